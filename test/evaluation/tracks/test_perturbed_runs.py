"""Runs of one recording, each a little otherwise: what is perturbed, and what is said of the runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from posed_sets import write_rendered_set

from ros2_raxels.evaluation.tracks.perturbed_runs import (
    Perturbation,
    PerturbedScore,
    PerturbedSource,
    RunScore,
    as_table,
    draw_perturbations,
    score_runs,
)
from ros2_raxels.factory import make_tracker
from ros2_raxels.geometry.trajectory import TrajectoryScore
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import Frame, FrameSource
from ros2_raxels.utils.files import FileError

FRAMES = 16


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room", FRAMES)


def test_a_perturbed_recording_begins_later_and_is_compressed_once_more(room: Path) -> None:
    source = open_source(room)
    whole, perturbed = list(source), list(PerturbedSource(source, Perturbation(40, 3)))
    assert [f.index for f in perturbed] == list(range(3, FRAMES))
    assert [f.stamp_ns for f in perturbed] == [f.stamp_ns for f in whole[3:]]
    difference = np.abs(perturbed[0].image.astype(int) - whole[3].image)
    assert 0.5 < difference.mean() < 10
    untouched = list(PerturbedSource(source, Perturbation()))
    np.testing.assert_array_equal(untouched[5].image, whole[5].image)
    assert PerturbedSource(source, Perturbation(skipped=3)).length == FRAMES - 3


def test_noise_is_of_one_grey_level_and_the_same_each_time(room: Path) -> None:
    source = open_source(room)
    first, again = (list(PerturbedSource(source, Perturbation(noise_seed=7))) for _ in range(2))
    np.testing.assert_array_equal(first[2].image, again[2].image)
    off = first[2].image.astype(int) - next(f.image for f in source if f.index == 2)
    # Rounding adds a twelfth of a grey level squared, and clipping takes a little where it is black or white.
    assert off.std() == pytest.approx(np.sqrt(1.0 + 1.0 / 12.0), rel=0.05)
    assert (first[3].image.astype(int) - first[2].image).any()


def test_perturbations_are_drawn_by_number_and_seed() -> None:
    drawn = draw_perturbations(5, 1)
    assert drawn[0] == Perturbation()
    assert draw_perturbations(3, 1) == drawn[:3]
    assert draw_perturbations(5, 2)[1:] != drawn[1:]
    assert all(75 <= p.jpeg_quality < 97 and 1 <= p.skipped <= 10 for p in drawn[1:] if p.jpeg_quality is not None)
    assert [p.noise_seed is None for p in drawn] == [True, False, True, False, True]
    assert [p.drop_seed is None for p in drawn] == [True, True, False, True, False]


def test_single_frames_are_missing_never_two_together() -> None:
    whole = _Blank(500)
    kept = [f.index for f in PerturbedSource(whole, Perturbation(drop_seed=3))]
    assert kept == [f.index for f in PerturbedSource(whole, Perturbation(drop_seed=3))]
    assert len(kept) == 500 - 500 // 25
    assert set(np.diff(kept).tolist()) == {1, 2}
    assert PerturbedSource(whole, Perturbation(drop_seed=3)).length is None


class _Blank(FrameSource):
    """Frames of nothing."""

    def __init__(self, length: int) -> None:
        self.name, self.kind, self.rate_hz, self.length, self.camera = "blank", "posed set", 30.0, length, None

    def __iter__(self) -> Iterator[Frame]:
        image = np.zeros((4, 4, 3), np.uint8)
        yield from (Frame(k, k * 10**7, image, None, None, "") for k in range(self.length or 0))


def test_every_run_is_scored_by_itself(room: Path) -> None:
    runs = (Perturbation(), Perturbation(90, 2))
    score = score_runs(open_source(room), lambda: make_tracker("none"), runs)
    assert (score.name, [run.perturbation for run in score.runs]) == ("room", list(runs))
    for run, frames in zip(score.runs, (FRAMES, FRAMES - 2), strict=True):
        assert run.error is not None
        assert run.error.poses == frames
        assert 0 < run.error.ate_percent < 10
        assert (run.tracked, run.losses) == (1.0, 0)
        assert run.keyframes > 0
        assert run.cpu_ms > 0
        assert run.blunders == 0.0


def _run(ate_percent: float | None, tracked: float) -> RunScore:
    error = None
    if ate_percent is not None:
        error = TrajectoryScore(9, 1.0, ate_percent, 1.0, 1.0, 0.1, 0.1, ate_percent / 10, 0.2, 1.0, 1.5)
    return RunScore(Perturbation(), error, tracked, 1, 7, 8.0, 0.02 if tracked < 1 else 0.0)


def test_the_median_and_the_worst_run_are_told() -> None:
    score = PerturbedScore("room", (_run(0.3, 1.0), _run(0.9, 0.5), _run(0.4, 0.9)))
    assert (score.median("ate_percent"), score.worst("ate_percent"), score.tracked) == (0.4, 0.9, (0.9, 0.5))
    record = score.record()
    assert record["median"] == {
        "ate_percent": 0.4,
        "rpe_second": 0.04,
        "rpe_second_deg": 0.2,
        "scale_range": 1.5,
        "tracked": 0.9,
    }
    assert (record["worst"]["ate_percent"], record["worst"]["tracked"], record["worst"]["blunders"]) == (0.9, 0.5, 0.02)
    row = ["room", "0.40 / 0.90", "0.0400 / 0.0900", "0.200 / 0.200", "1.500 / 1.500", "90 / 50"]
    assert as_table([score])[1] == [*row, "1", "2", "7", "8.0", "0.30 0.90 0.40"]


def test_a_run_without_an_error_is_the_worst() -> None:
    score = PerturbedScore("room", (_run(0.3, 1.0), _run(None, 0.0), _run(0.4, 1.0)))
    assert (score.median("ate_percent"), score.worst("ate_percent")) == (0.4, float("inf"))
    assert score.record()["worst"] == dict.fromkeys(("ate_percent", "rpe_second", "rpe_second_deg", "scale_range")) | {
        "tracked": 0.0,
        "blunders": 0.02,
    }


def test_without_truth_there_is_no_score(room: Path) -> None:
    with pytest.raises(FileError, match="images has frames without a true pose"):
        score_runs(open_source(room / "images", limit=3), lambda: make_tracker("none"), [Perturbation()])
