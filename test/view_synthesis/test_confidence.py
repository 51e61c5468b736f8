"""confidence of views: odds by hand, weights found again by the fit, and the command that writes them into a card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from posed_sets import write_rendered_set
from ros_testing import ROOT

from ros2_raxels.cli.calibrate import Seen, fit
from ros2_raxels.cli.main import main
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.view_synthesis.confidence import ALONE, CHECKED, Signs, probability


def signs_of(count: int, seed: int = 0) -> Signs:
    rng = np.random.default_rng(seed)
    return Signs(
        np.exp(rng.normal(-2.3, 0.7, count)),
        rng.uniform(0, 1, count),
        rng.uniform(0, 1, count),
        rng.uniform(0, 0.1, count),
    )


def odds_of(probability: np.ndarray) -> np.ndarray:
    return np.log(probability / (1.0 - probability))


# ------------------------------------------------------------------------------------------------------- probability


def test_odds_are_linear_in_the_features() -> None:
    weights = {"one": 0.5, "expected_error": -1.0, "made_up": -2.0, "agreed": 3.0, "spread": 0.1}
    signs = Signs(np.array([0.09, 0.19]), np.array([0.0, 0.5]), np.array([1.0, 0.25]), np.array([0.008, 0.098]))
    expected = [
        0.5 - np.log(0.1) - 0.0 + 3.0 + 0.1 * np.log(0.01),
        0.5 - np.log(0.2) - 1.0 + 0.75 + 0.1 * np.log(0.1),
    ]
    np.testing.assert_allclose(odds_of(probability({ALONE: weights}, signs)), expected)


def test_poses_estimated_back_count_and_so_does_that_there_are_none() -> None:
    weights = {"one": 1.0, "lost": -2.0, "turned": -0.5, "moved": -0.25}
    signs = signs_of(3).checked(np.array([0.007, 0.007, np.nan]), np.array([0.09, np.nan, 0.1]))
    expected = [1.0 - 0.5 * np.log(0.01) - 0.25 * np.log(0.1), -1.0, -1.0]
    np.testing.assert_allclose(odds_of(probability({ALONE: {"one": 9.0}, CHECKED: weights}, signs)), expected)


def test_where_nothing_was_fitted_for_checked_views_the_other_weights_serve() -> None:
    checked = signs_of(4).checked(np.full(4, 0.1), np.full(4, np.nan))
    calibration = {ALONE: {"one": -1.0, "made_up": 2.0}}
    np.testing.assert_array_equal(probability(calibration, checked), probability(calibration, signs_of(4)))


def test_without_calibration_an_expected_error_of_20_db_has_even_odds() -> None:
    signs = replace(signs_of(3), expected_error=np.array([0.02, 0.1, 0.5]))
    sure, even, doubtful = probability({}, signs)
    assert sure > 0.95
    assert even == pytest.approx(0.5, abs=0.05)
    assert doubtful < 0.05


def test_absurd_signs_have_a_probability_all_the_same() -> None:
    found = probability({ALONE: {"made_up": 1e9}}, replace(signs_of(2), made_up=np.array([1.0, -1.0])))
    np.testing.assert_allclose(found, [1.0, 0.0], atol=1e-12)


# --------------------------------------------------------------------------------------------------------------- fit


def drawn(count: int, calibration: dict[str, dict[str, float]], seed: int) -> Seen:
    """Views that are good as often as weights say."""
    rng = np.random.default_rng(seed)
    turned, moved = np.exp(rng.normal(-3.0, 1.0, (2, count)))
    turned[rng.random(count) < 0.2] = np.nan
    signs = signs_of(count, seed).checked(turned, moved)
    return Seen(signs, rng.random(count) < probability(calibration, signs))


def test_weights_that_made_the_data_are_found_again() -> None:
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
        # Deviations of such fits over seeds are below .05, of the constant below .2.
        assert found[CHECKED][name] == pytest.approx(weight, abs=0.6 if name == "one" else 0.2), name
    assert found[ALONE].keys() == {"one", "expected_error", "made_up", "agreed", "spread"}


def test_what_is_stated_is_what_happens_also_without_poses_estimated_back() -> None:
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
def test_views_that_are_all_alike_are_told_so(good: bool) -> None:
    seen = Seen(signs_of(50).checked(np.full(50, 0.01), np.full(50, 0.01)), np.full(50, good))
    stated = probability(fit([seen]), seen.signs)
    assert np.isfinite(stated).all()
    assert ((stated > 0.9) == good).all()


# ----------------------------------------------------------------------------------------------------------- command


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The card that ships, as if nobody had calibrated it."""
    (tmp_path / "model").mkdir()
    for path in (ROOT / "engines").glob("compact_views*"):
        (tmp_path / "model" / path.name).symlink_to(path)
    card = tmp_path / "model" / "compact_views.json"
    record = json.loads(card.read_text())
    card.unlink()
    card.write_text(json.dumps({**record, "confidence": {}}))
    return card


def write_tasks(folder: Path, truth: int) -> Path:
    """One task of two known frames and two ahead."""
    write_rendered_set(folder / "room", 4)
    frames = json.loads((folder / "room" / "cameras.json").read_text())["frames"]
    paths = [str(folder / "room" / frame["file"]) for frame in frames]
    poses = [frame["c2w"] for frame in frames]
    k = frames[0]["K"]
    task = {"id": "room/0", "context": paths[:2], "context_poses": poses[:2], "intrinsics": k, "trajectory": poses[2:]}
    path = folder / "tasks.json"
    path.write_text(json.dumps({"tasks": [{**task, "truth": paths[2 : 2 + truth]}]}))
    return path


def test_the_card_gets_a_confidence_and_keeps_the_rest(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ModelCard.read(copied)
    tasks = write_tasks(tmp_path, truth=2)
    assert main(["calibrate", str(copied), "--tasks", str(tasks), "--clips", "2"]) == 0
    after = ModelCard.read(copied)
    assert after.confidence[CHECKED].keys() > after.confidence[ALONE].keys() > {"one"}
    assert replace(after, confidence={}) == before
    lines = capsys.readouterr().out.splitlines()
    # Every fifth clip, so the first of three.
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


def test_a_card_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.json"
    assert main(["calibrate", str(missing)]) == 2
    assert str(missing) in capsys.readouterr().err
