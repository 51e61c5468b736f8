"""factory: commands get the model that is asked for, or an error that says what to give instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from learned_rig import FakeGraphs
from ros_testing import ROOT

from ros2_raxels import factory
from ros2_raxels.engine.learned_graphs import card_path
from ros2_raxels.estimation import learned_matcher, learned_prior
from ros2_raxels.estimation.estimator import ALWAYS_LEARNED
from ros2_raxels.estimation.learned_prior import STREAM, LearnedDenoiser
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.tracking.metric_scale import ScaleSource
from ros2_raxels.utils.files import FileError

SHIPPED = ROOT / "engines" / "compact.json"
SHIPPED_VIEWS = ROOT / "engines" / "compact_views.json"


def test_none_is_geometry_alone() -> None:
    assert factory.make_denoiser("none") is None
    tracker = factory.make_tracker("none")
    assert "no denoiser" in tracker.engine_id
    assert tracker.settings.history
    assert tracker.settings.scale.source is ScaleSource.NONE
    assert factory.make_tracker("none", lambda stamp_ns: None).settings.scale.source is ScaleSource.ODOM


@pytest.mark.parametrize("model", ["", str(SHIPPED)])
def test_a_tracker_has_the_denoiser_of_the_card(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[Path, Any]] = []
    real = LearnedDenoiser.load

    def load(card: Path, settings: Any = None, options: Any = None) -> LearnedDenoiser:
        loaded.append((card, settings))
        return real(card, settings, options)

    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(LearnedDenoiser, "load", load)
    tracker = factory.make_tracker(model)
    assert loaded == [(SHIPPED, STREAM)]
    assert tracker.engine_id.startswith("compact: ")
    assert tracker.settings.history


def test_the_shipped_cards_are_the_default() -> None:
    assert factory.model_card("") == SHIPPED
    assert factory.model_card("", "compact_views") == SHIPPED_VIEWS
    assert factory.model_card("mine.json") == Path("mine.json")


def test_a_predictor_needs_a_model_of_views() -> None:
    pytest.importorskip("onnxruntime")
    assert factory.make_predictor("").card.name == json.loads(SHIPPED_VIEWS.read_text())["name"]
    with pytest.raises(FileError, match="was not trained on pixels and makes no views; give another model"):
        factory.make_predictor(str(SHIPPED))


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (factory.make_denoiser, "--model none does without"),
        (factory.make_estimator, "--model none does without"),
        (factory.make_tracker, "--model none does without"),
        (factory.make_predictor, "give another model"),
    ],
)
def test_a_card_that_cannot_be_read_is_a_file_error(make: Callable[[str], object], advice: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.json is not a model card") as caught:
        make(str(tmp_path / "gone.json"))
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_no_model_is_installed_one_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_prior, "shipped_model", lambda _: None)
    for make in (factory.make_predictor, factory.model_card):
        with pytest.raises(FileError, match=r"no model is installed with this package; .*, or give --model"):
            make("")


def test_the_learned_matcher_is_used_where_it_was_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert factory.make_learned_matcher("classic") is None
    assert factory.make_learned_matcher("auto") is None
    with pytest.raises(FileError, match=r"there is no learned matcher in .*--matcher classic does without"):
        factory.make_learned_matcher("learned")
    monkeypatch.setattr(learned_matcher, "open_learned", FakeGraphs)
    assert isinstance(factory.make_learned_matcher("auto"), LearnedMatcher)
    assert factory.make_estimator("none", "learned").settings.weak == ALWAYS_LEARNED
    assert factory.make_estimator("none", "auto").settings.weak < 1
    assert factory.make_tracker("none", matcher="auto")._learned is not None
    assert factory.make_tracker("none")._learned is None
    assert capsys.readouterr().err == ""


def test_a_damaged_learned_matcher_is_named_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    card_path().parent.mkdir(parents=True)
    card_path().write_text("nothing")
    assert factory.make_learned_matcher("auto") is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("raxels: matcher: classic, because the learned matcher cannot be used: ")
    assert line.endswith("run `raxels engine import learned-matcher` again")
    with pytest.raises(FileError, match="cannot be used"):
        factory.make_learned_matcher("learned")
