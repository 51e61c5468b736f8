"""calibration: the fit recovers known weights, and `raxels calibrate` writes them into a card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from posed_sets import write_rendered_set
from ros_testing import ROOT
from views_scene import signs_of

from ros2_raxels.cli.main import main
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.evaluation.views.calibration import Seen, fit
from ros2_raxels.view_synthesis.confidence import ALONE, CHECKED, probability

# --------------------------------------------------------------------------------------------------------------- fit


def drawn(count: int, calibration: dict[str, dict[str, float]], seed: int) -> Seen:
    """Views that are good with the probability that weights give them."""
    rng = np.random.default_rng(seed)
    turned, moved = np.exp(rng.normal(-3.0, 1.0, (2, count)))
    turned[rng.random(count) < 0.2] = np.nan
    signs = signs_of(count, seed).checked(turned, moved)
    return Seen(signs, rng.random(count) < probability(calibration, signs))


def test_the_fit_recovers_the_weights_that_the_data_was_drawn_from() -> None:
    true = {
        "one": -4.0,
        "expected_error": -2.0,
        "made_up": -1.5,
        "agreed": 2.0,
        "spread": 0.3,
        "lost": 1.5,
        "turned": -0.8,
        "moved": -0.4,
    }
    found = fit([drawn(4000, {CHECKED: true}, seed) for seed in range(10)])
    assert found[CHECKED].keys() == true.keys()
    for name, weight in true.items():
        # The standard deviation of such fits over seeds is below 0.05, that of the constant below 0.2.
        assert found[CHECKED][name] == pytest.approx(weight, abs=0.6 if name == "one" else 0.2), name
    assert found[ALONE].keys() == {"one", "expected_error", "made_up", "agreed", "spread"}


def test_stated_confidence_is_calibrated_with_and_without_poses_estimated_back() -> None:
    true = {"one": -3.0, "expected_error": -2.0, "agreed": 1.0, "turned": -0.5}
    found = fit([drawn(4000, {CHECKED: true}, seed) for seed in range(5)])
    fresh = drawn(20000, {CHECKED: true}, 99)
    for signs in (fresh.signs, replace(fresh.signs, turned_rad=None, moved=None)):
        stated = probability(found, signs)
        for low in (0.0, 0.2, 0.4, 0.6, 0.8):
            inside = (stated >= low) & (stated < low + 0.2)
            if inside.sum() > 500:
                assert fresh.good[inside].mean() == pytest.approx(stated[inside].mean(), abs=0.05)


@pytest.mark.parametrize("good", [True, False])
def test_a_fit_to_views_that_are_all_good_or_all_bad_is_sure_of_it(good: bool) -> None:
    seen = Seen(signs_of(50).checked(np.full(50, 0.01), np.full(50, 0.01)), np.full(50, good))
    stated = probability(fit([seen]), seen.signs)
    assert np.isfinite(stated).all()
    assert ((stated > 0.9) == good).all()


# ----------------------------------------------------------------------------------------------------------- command


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The shipped card without its calibration."""
    (tmp_path / "model").mkdir()
    for path in (ROOT / "engines").glob("compact_views*"):
        (tmp_path / "model" / path.name).symlink_to(path)
    card = tmp_path / "model" / "compact_views.json"
    record = json.loads(card.read_text())
    card.unlink()
    card.write_text(json.dumps({**record, "confidence": {}}))
    return card


def write_tasks(folder: Path, truth: int) -> Path:
    """A task of two context frames and two views."""
    write_rendered_set(folder / "room", 4)
    frames = json.loads((folder / "room" / "cameras.json").read_text())["frames"]
    paths = [str(folder / "room" / frame["file"]) for frame in frames]
    poses = [frame["c2w"] for frame in frames]
    k = frames[0]["K"]
    task = {"id": "room/0", "context": paths[:2], "context_poses": poses[:2], "intrinsics": k, "trajectory": poses[2:]}
    path = folder / "tasks.json"
    path.write_text(json.dumps({"tasks": [{**task, "truth": paths[2 : 2 + truth]}]}))
    return path


def test_the_card_gets_a_calibration_and_keeps_the_rest(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ModelCard.read(copied)
    tasks = write_tasks(tmp_path, truth=2)
    assert main(["calibrate", str(copied), "--tasks", str(tasks), "--clips", "2"]) == 0
    after = ModelCard.read(copied)
    assert after.confidence[CHECKED].keys() > after.confidence[ALONE].keys() > {"one"}
    assert replace(after, confidence={}) == before
    lines = capsys.readouterr().out.splitlines()
    # Every fifth clip is held out: of three, the first.
    assert lines[0].startswith("2 views held out, ")
    assert [line.split(":")[0] for line in lines[1:3]] == [ALONE, CHECKED]
    assert lines[3] == f"-> {copied}"


def test_tasks_without_truth_are_refused(copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = write_tasks(tmp_path, truth=1)
    assert main(["calibrate", str(copied), "--tasks", str(tasks), "--clips", "1"]) == 2
    assert capsys.readouterr().err == (
        f"raxels: {tasks}: task room/0 has 1 images of truth for 2 poses; give one for each\n"
    )
    assert ModelCard.read(copied).confidence == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"intrinsics": [0.0, 1.0, 2.0, 3.0]}, "task room/0: "),
        ({"trajectory": [[[None] * 4] * 4] * 2}, "trajectory"),
        ({"context": ["nowhere.png", "neither.png"]}, "nowhere.png"),
    ],
)
def test_a_task_that_cannot_be_used_is_named(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], words: str
) -> None:
    path = write_tasks(tmp_path, truth=2)
    (task,) = json.loads(path.read_text())["tasks"]
    path.write_text(json.dumps({"tasks": [task | change]}))
    assert main(["calibrate", str(copied), "--tasks", str(path), "--clips", "1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_file_that_is_no_card_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.json"
    assert main(["calibrate", str(missing)]) == 2
    assert str(missing) in capsys.readouterr().err
