"""Runs of one recording, each a little otherwise: what is perturbed, and what is said of the runs."""

from __future__ import annotations

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
    score_runs,
)
from ros2_raxels.factory import make_tracker
from ros2_raxels.recordings.open import open_source
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


def test_every_run_is_scored_by_itself(room: Path) -> None:
    runs = (Perturbation(), Perturbation(90, 2))
    score = score_runs(open_source(room), lambda: make_tracker("none"), runs)
    assert (score.name, [run.perturbation for run in score.runs]) == ("room", list(runs))
    for run in score.runs:
        assert 0 < run.ate_percent < 10
        assert run.tracked == 1.0
        assert run.cpu_ms > 0


def test_the_median_and_the_worst_run_are_told() -> None:
    runs = tuple(RunScore(Perturbation(), ate, share, 8.0) for ate, share in ((0.3, 1.0), (0.9, 0.5), (0.4, 0.9)))
    score = PerturbedScore("room", runs)
    assert (score.median_ate_percent, score.worst_ate_percent, score.worst_tracked) == (0.4, 0.9, 0.5)
    assert score.record()["median_ate_percent"] == 0.4
    assert as_table([score])[1] == ["room", "0.40", "0.90", "0.30 0.90 0.40", "50", "8.0"]


def test_without_truth_there_is_no_score(room: Path) -> None:
    with pytest.raises(FileError, match="images has frames without a true pose"):
        score_runs(open_source(room / "images", limit=3), lambda: make_tracker("none"), [Perturbation()])
