"""engine_parity and `raxels engine check`: the same answers are called so, and others not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from learned_rig import FakeGraphs

pytest.importorskip("onnxruntime")

from ros2_raxels.cli.engine_parity import compare_poses, compare_views, made_up_clip, shift_found
from ros2_raxels.cli.main import main
from ros2_raxels.engine import Arrays, Engine
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine
from ros2_raxels.engine.tensorrt_plans import gpu_role
from ros2_raxels.estimation.learned_prior import LearnedDenoiser, named_card
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.view_synthesis.predictor import SHIPPED as VIEWS

CapSys = pytest.CaptureFixture[str]


def engines_of(card_path: Path, roles: tuple[str, ...], *, half: bool = False) -> dict[str, Engine]:
    card = ModelCard.read(card_path)
    return {r: OnnxRuntimeEngine(card.graph_path(card_path.parent, gpu_role(card, r) if half else r)) for r in roles}


class Off:
    """An engine whose outputs are off by a share of their spread."""

    def __init__(self, engine: Engine, share: float) -> None:
        self.engine, self.share = engine, share

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        rng = np.random.default_rng(0)
        out: Mapping[str, npt.NDArray[Any]] = self.engine.run(arrays)
        return {name: (v + self.share * v.std() * rng.normal(size=v.shape)).astype(v.dtype) for name, v in out.items()}


def test_half_precision_loses_less_than_poses_are_worth() -> None:
    """.1 deg and .5 % of the way at most, on the denoiser's answer before anything corrects it."""
    card_path = named_card("")
    card = ModelCard.read(card_path)
    single, half = (engines_of(card_path, ("encode", "rays"), half=h) for h in (False, True))
    parity = compare_poses(card, single, half, clips=12)
    assert 0.0 < parity.differences["rotation_deg"] < 0.1
    assert 0.0 < parity.differences["translation_percent"] < 0.5
    assert parity.holds
    assert min(parity.reference_ms, parity.candidate_ms) > 0.0
    same = compare_poses(card, single, single, clips=2)
    assert same.differences == {"rotation_deg": pytest.approx(0.0, abs=1e-3), "translation_percent": pytest.approx(0.0)}


def test_an_engine_that_is_off_is_found_out() -> None:
    card_path = named_card("")
    good = engines_of(card_path, ("encode", "rays"))
    off = compare_poses(ModelCard.read(card_path), good, good | {"rays": Off(good["rays"], 0.05)}, clips=2)
    assert not off.holds
    assert off.differences["rotation_deg"] > 0.1


def test_views_are_compared_by_what_is_seen() -> None:
    card_path = named_card("", VIEWS)
    card, good = ModelCard.read(card_path), engines_of(card_path, ("sweep", "joint"))
    same = compare_views(card, good, good)
    assert (same.differences, same.holds) == ({"grey_levels": 0.0}, True)
    off = compare_views(card, good, good | {"joint": Off(good["joint"], 0.1)})
    assert off.differences["grey_levels"] > 1.0
    assert not off.holds


def test_made_up_clips_look_to_the_model_like_clips() -> None:
    """It tells right matches from wrong ones, so that half precision is tested where it is used."""
    evidence, bearings = made_up_clip(3)
    assert (evidence.frames, evidence.seen.shape) == (4, (400, 4))
    again, _ = made_up_clip(3)
    np.testing.assert_array_equal(again.pixels, evidence.pixels)
    engines = engines_of(named_card(""), ("encode", "rays"))
    judged = LearnedDenoiser(ModelCard.read(named_card("")), engines["encode"], engines["rays"]).judge(
        evidence, bearings
    )
    score = np.where(evidence.seen, judged.inlier, np.nan)[:, 1:]
    assert np.nanquantile(score, 0.05) < 0.6
    assert np.nanquantile(score, 0.3) > 0.9


def test_the_command_checks_the_chosen_engine(capsys: CapSys) -> None:
    assert main(["engine", "check", "--half"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("encode and rays: rotation_deg 0.0")
    assert first.endswith("(at most 0.5): same answers")
    assert "ms a clip" in second
    assert main(["engine", "check", "--backend", "onnxruntime"]) == 0
    chosen, first, _ = capsys.readouterr().out.splitlines()
    assert chosen.startswith("engine: ONNX Runtime ")
    assert first.startswith("encode and rays: rotation_deg 0.0000 (at most 0.1), translation_percent 0.0000")


def test_the_command_says_that_answers_differ(capsys: CapSys, monkeypatch: pytest.MonkeyPatch) -> None:
    def off(card: ModelCard, folder: Path, roles: tuple[str, ...], _: Any) -> dict[str, Any]:
        return {r: Off(OnnxRuntimeEngine(folder / card.graphs[r].file), 0.05) for r in roles}

    monkeypatch.setattr("ros2_raxels.cli.engine.open_engines", off)
    assert main(["engine", "check"]) == 1
    assert "ANSWERS DIFFER" in capsys.readouterr().out


def test_the_command_names_a_model_that_is_not_there(capsys: CapSys) -> None:
    assert main(["engine", "check", "--model", "/nowhere/card.json"]) == 2
    assert capsys.readouterr().err.startswith("raxels: /nowhere/card.json is not a model card")


def test_a_shifted_picture_is_found_by_a_matcher_that_works_alone() -> None:
    found = shift_found(LearnedMatcher(FakeGraphs()))
    assert found.holds
    assert found.matches > 100
    # As if descriptors were worth nothing: every keypoint looks alike.
    graphs = FakeGraphs()
    found_keypoints = graphs.keypoints.run
    graphs.keypoints.run = lambda arrays: {**(k := found_keypoints(arrays)), "descriptors": 0 * k["descriptors"] + 1}  # type: ignore[method-assign]
    assert not shift_found(LearnedMatcher(graphs)).holds
