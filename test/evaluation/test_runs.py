"""Runs of frames: drawn within their rule, fixed for a seed, and different for every set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from posed_sets import set_record, wandering, write_set

from ros2_raxels.evaluation.runs import RunRule, draw_runs
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.recordings.posed_set import CompleteSet, PosedSet

RULE = RunRule(3, (1, 4), origin=1, max_rotation_deg=30.0)


def posed(folder: Path, poses: FloatArray) -> CompleteSet:
    return PosedSet.read(write_set(folder, poses) / "cameras.json").complete()


def turning(count: int, step_deg: float, step: float = 0.1) -> FloatArray:
    """Cameras that turn about y by so much, and go so far along x, with every frame."""
    turn, place = np.zeros((2, count, 3))
    turn[:, 1], place[:, 0] = np.radians(step_deg) * np.arange(count), step * np.arange(count)
    return make_pose(rotation_from_vector(turn), place)


def test_runs_are_those_of_the_rule_and_told_in_the_camera_of_its_origin(tmp_path: Path) -> None:
    poses = wandering(40, 3, turn=0.02)
    runs = draw_runs(posed(tmp_path / "walk", poses), RULE, 12, seed=1)
    assert len({run.id for run in runs}) == len(runs) == 12
    for run in runs:
        first, stride = (int(part) for part in run.id.removeprefix("walk/").split("x"))
        assert stride in RULE.strides
        assert run.chosen == slice(first, first + 2 * stride + 1, stride)
        chosen = poses[run.chosen]
        np.testing.assert_allclose(chosen[1] @ run.camera_to_origin, chosen, atol=1e-9)


def test_every_run_that_there_is_comes_once_where_more_are_asked_for(tmp_path: Path) -> None:
    found = draw_runs(posed(tmp_path / "walk", turning(11, 0.0)), RULE, 1000, seed=0)
    # Nine places for neighbours, three for every fourth frame.
    assert sorted(run.id for run in found) == sorted(
        [*(f"walk/{k:06d}x1" for k in range(9)), *(f"walk/{k:06d}x4" for k in range(3))]
    )
    assert draw_runs(posed(tmp_path / "short", turning(2, 0.0)), RULE, 1000, seed=0) == []


def test_a_seed_fixes_the_runs_and_every_set_has_its_own(tmp_path: Path) -> None:
    poses = wandering(60, 5, turn=0.02)
    sets = {name: posed(tmp_path / name, poses) for name in ("a", "b")}

    def drawn(name: str, seed: int) -> list[str]:
        return [run.id.rpartition("/")[2] for run in draw_runs(sets[name], RULE, 10, seed)]

    assert drawn("a", 1) == drawn("a", 1)
    assert drawn("a", 1) != drawn("b", 1)
    assert drawn("a", 1) != drawn("a", 2)


def test_who_turns_too_far_or_stands_still_is_left_out(tmp_path: Path) -> None:
    # Neighbours turn by 20 degrees, every fourth frame by 80.
    turned = draw_runs(posed(tmp_path / "turned", turning(12, 20.0)), RULE, 100, seed=0)
    assert {run.id.partition("x")[2] for run in turned} == {"1"}
    assert len(turned) == 10
    assert draw_runs(posed(tmp_path / "far", turning(12, 31.0)), RULE, 100, seed=0) == []
    assert draw_runs(posed(tmp_path / "still", turning(12, 2.0, step=0.0)), RULE, 100, seed=0) == []


def test_where_one_camera_is_asked_for_a_run_does_not_span_two(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "zoom", turning(12, 0.0))
    record = set_record("zoom", turning(12, 0.0))
    for frame in record["frames"][6:]:
        frame["K"][0] += 5.0
    (folder / "cameras.json").write_text(json.dumps(record))
    source = PosedSet.read(folder / "cameras.json").complete()
    assert len(draw_runs(source, RULE, 1000, seed=0)) == 10 + 4
    runs = draw_runs(source, replace(RULE, one_camera=True), 1000, seed=0)
    assert sorted(run.id for run in runs) == [f"zoom/{k:06d}x1" for k in (0, 1, 2, 3, 6, 7, 8, 9)]
