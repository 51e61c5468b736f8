"""Scores of clips: by hand on pairs of frames, and equal to the independent yardstick's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posed_sets import wandering, write_set, yardstick

from ros2_raxels.evaluation.clips.clip_sets import (
    Clip,
    ClipAnswer,
    make_clips,
    read_answers,
)
from ros2_raxels.evaluation.clips.metrics import (
    auc,
    focal_error,
    mean_over_sets,
    pair_errors,
    pose_score,
    score_sets,
)
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.utils.files import FileError


def records(clips: list[Clip]) -> dict[str, Any]:
    return {"clips": [clip.record() for clip in clips]}


def turned(axis: int, degrees: float) -> FloatArray:
    return rotation_from_vector(np.eye(3)[axis] * np.radians(degrees))


def line_clip() -> Clip:
    """Three cameras on a line; the second step is 100 times shorter than the first, and so masked."""
    poses = np.array([make_pose(np.eye(3), [x, 0, 0]) for x in (0.0, 1.0, 1.01)])
    return Clip("a", "s", (Path("0"), Path("1"), Path("2")), np.full((3, 4), 100.0), poses)


def test_errors_of_pairs_by_hand() -> None:
    clip = line_clip()
    assert clip.camera_to_first is not None
    found = clip.camera_to_first.copy()
    found[1, :3, :3] = turned(2, 10.5)
    found[2, :3, 3] = [1.0, 1.0, 0]
    errors = pair_errors(clip, ClipAnswer("a", found))
    np.testing.assert_allclose(errors.rotation_deg, [10.5, 0, 10.5], atol=1e-5)
    np.testing.assert_allclose(errors.direction_deg[:2], [0, 45], atol=1e-5)
    np.testing.assert_array_equal(errors.masked, [False, False, True])
    np.testing.assert_allclose(errors.combined_deg, [10.5, 45, 10.5], atol=1e-5)
    score = pose_score(errors)
    assert (score.pairs, score.masked) == (3, 1)
    assert score.rra5 == pytest.approx(1 / 3)
    assert score.rra15 == 1
    assert score.rta30 == 0.5
    assert score.rot_med_deg == pytest.approx(10.5)
    assert score.dir_med_deg == pytest.approx(22.5)
    assert score.auc5 == 0
    # Two of three pairs are right from the 11th of 30 degrees on.
    assert score.auc30 == pytest.approx(2 / 3 * 20 / 30)


def test_the_opposite_direction_is_wrong_unless_the_sign_does_not_count() -> None:
    clip = line_clip()
    assert clip.camera_to_first is not None
    found = clip.camera_to_first.copy()
    found[:, :3, 3] *= -1
    score = pose_score(pair_errors(clip, ClipAnswer("a", found)))
    assert score.dir_med_deg == 180
    assert (score.rta15, score.rta15_blind, score.rta30_blind) == (0, 1, 1)


def test_missing_poses_count_as_wrong() -> None:
    clip = line_clip()
    broken = np.tile(np.eye(4), (3, 1, 1))
    broken[1, 0, 0] = np.nan
    for answer in (None, ClipAnswer("a", pairs={}), ClipAnswer("a", np.zeros((3, 4, 4))), ClipAnswer("a", broken[:2])):
        errors = pair_errors(clip, answer)
        assert (errors.rotation_deg == 180).all()
        assert (errors.direction_deg == 180).all()
        score = pose_score(errors)
        assert (score.rra30, score.rta30, score.rta30_blind, score.auc30) == (0, 0, 0, 0)


def test_a_translation_of_zero_is_90_degrees_off() -> None:
    errors = pair_errors(line_clip(), ClipAnswer("a", np.tile(np.eye(4), (3, 1, 1))))
    np.testing.assert_array_equal(errors.direction_deg, 90)
    np.testing.assert_array_equal(errors.rotation_deg, 0)


@pytest.mark.parametrize(
    ("errors", "limit", "expected"),
    [
        ([], 5, 0),
        ([0.5], 5, 1),
        ([4.5], 5, 0.2),
        ([7], 5, 0),
        ([0.5, 2.5], 5, 0.8),
        ([200], 30, 0),
        ([29.5], 30, 1 / 30),
    ],
)
def test_area_under_the_accuracy_curve(errors: list[float], limit: int, expected: float) -> None:
    assert auc(errors, limit) == pytest.approx(expected)


def test_a_clip_without_truth_cannot_be_scored() -> None:
    with pytest.raises(FileError, match="has no 'camera_to_first'"):
        pair_errors(Clip("a", "s", (Path("0"), Path("1"))), None)


def test_sets_have_equal_weight_and_pairs_add_up() -> None:
    clip = line_clip()
    clips = [clip, Clip("b", "s", clip.images, None, clip.camera_to_first)]
    clips.append(Clip("c", "t", clip.images, None, clip.camera_to_first))
    answers = {name: ClipAnswer(name, clip.camera_to_first) for name in "ab"}
    scores = score_sets(clips, answers)
    mean = mean_over_sets(scores)
    assert (scores["s"].auc5, scores["t"].auc5, mean.auc5) == (1, 0, 0.5)
    assert (scores["s"].pairs, scores["t"].pairs, mean.pairs, mean.masked) == (6, 3, 9, 3)


def test_focal_error_is_a_share_of_the_true_focal_length() -> None:
    clip = line_clip()
    found = np.full((3, 4), 100.0)
    found[:, 0] = [90, 105, 180]
    assert focal_error([clip], {"a": ClipAnswer("a", intrinsics=found)}) == pytest.approx(0.1)
    assert focal_error([clip], {}) is None


def noisy_answers(clips: list[Clip], seed: int) -> dict[str, Any]:
    """An answer of every kind: good, bad, not finite, too short, by pairs, and none."""
    generator, answers = np.random.default_rng(seed), []
    for number, clip in enumerate(clips):
        assert clip.camera_to_first is not None
        poses = clip.camera_to_first.copy()
        for pose in poses:
            pose[:3, :3] = pose[:3, :3] @ rotation_from_vector(generator.normal(0, 0.08, 3))
            pose[:3, 3] += generator.normal(0, 0.05, 3)
        entry: dict[str, Any] = {"id": clip.id, "camera_to_first": poses.tolist()}
        kind = number % 8
        if kind == 1:
            entry["camera_to_first"][2][0][3] = float("nan")
        elif kind == 2:
            entry["camera_to_first"].pop()
        elif kind == 3:
            entry = {"id": clip.id, "pairs": {"0-1": poses[1].tolist(), "1-3": poses[2].tolist()}}
        elif kind == 4:
            entry["camera_to_first"][0] = np.zeros((4, 4)).tolist()
        elif kind == 5:
            continue
        answers.append(entry)
    return {"name": "noisy", "clips": answers}


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_the_yardsticks(tmp_path: Path, seed: int) -> None:
    tool = yardstick("score_poses")
    for name in ("a", "b", "c"):
        poses = wandering(60, 10 * seed + ord(name))
        # Part of the time the camera stands still, so that directions are masked.
        poses[20:30, :3, 3] = poses[20, :3, 3]
        write_set(tmp_path / name, poses)
    clips = make_clips(tmp_path, 20, seed)
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(noisy_answers(clips, seed)))
    table, _ = tool.score(records(clips), json.loads(path.read_text()))
    scores = score_sets(clips, read_answers(path).clips)
    assert sum(score.masked for score in scores.values()) > 0
    scores["MEAN OVER SETS"] = mean_over_sets(scores)
    assert table.keys() == scores.keys()
    for name, numbers in table.items():
        ours = scores[name].record()
        for key, value in numbers.items():
            assert ours[key] == pytest.approx(value, abs=1e-9), (name, key)
