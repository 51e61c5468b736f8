"""initializer: which frames are waited for, where the first cameras are placed, where frames in between were."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from keyframes_on_a_line import CAMERA, frame

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.geometry.turns import Turn
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import StreamFrame
from ros2_raxels.tracking.initializer import FirstCameras, FirstSolver, Initializer, Waiting
from ros2_raxels.tracking.pose_covariance import of_first_cameras
from ros2_raxels.tracking.shared_matches import SharedMatches
from ros2_raxels.tracking.types import TrackerSettings

SETTINGS = TrackerSettings(window=3, start_motion=0.05, start_frames=4, confidence_min=0.2)


class Moving:
    """Says of each frame how far the image has moved since the first one, and how much of that is still seen."""

    def __init__(self, motion: list[float], overlap: float = 0.9, left_rad: float = 0.1) -> None:
        self.motion, self.overlap, self.left_rad = motion, overlap, left_rad

    def image_motion(self, first: StreamFrame, newest: StreamFrame) -> tuple[float, float]:
        return self.motion[newest.number], self.overlap

    def turn(self, first: StreamFrame, newest: StreamFrame) -> Turn:
        """About the vertical, by the motion of the image."""
        moved_rad = self.motion[newest.number] - self.motion[first.number]
        return Turn(rotation_from_vector([0.0, moved_rad, 0.0]), moved_rad, self.left_rad)


class Asked:
    """An estimator that notes which frames it was given, and is as sure as it is told to be."""

    def __init__(self, confidence: float) -> None:
        self.confidence, self.asked = confidence, []
        self.matcher = Matcher()

    def estimate_seen(self, features: list[Features], cameras: Any, matches: Any) -> Any:
        assert list(matches) == list(itertools.combinations(range(len(features)), 2))
        self.asked.append((len(features), cameras is not None))
        return SimpleNamespace(confidence=np.array([1.0] * (len(features) - 1) + [self.confidence]))


def begun(
    motion: list[float], confidence: float = 0.9, overlap: float = 0.9, left_rad: float = 0.1
) -> tuple[Initializer, Asked]:
    estimator = Asked(confidence)
    solver = FirstSolver(estimator, in_background=False)  # type: ignore[arg-type]
    return Initializer(SETTINGS, solver, Moving(motion, overlap, left_rad)), estimator  # type: ignore[arg-type]


def see(initializer: Initializer, number: int, focal_known: bool = True) -> FirstCameras | Waiting:
    return initializer.see(frame(number), focal_known, {})


def test_the_first_cameras_are_solved_when_the_image_has_moved_far_enough() -> None:
    initializer, estimator = begun([0.0, 0.02, 0.04, 0.06])
    waiting = [see(initializer, k) for k in range(3)]
    assert [w.turn.moved_rad for w in waiting if isinstance(w, Waiting) and w.turn] == [0.0, 0.02, 0.04]
    assert [w.reason for w in waiting if isinstance(w, Waiting)] == [
        "first frame; waiting for motion",
        "image moved 2.0 % of its width; 5.0 % needed to start",
        "image moved 4.0 % of its width; 5.0 % needed to start",
    ]
    first = see(initializer, 3, focal_known=False)
    assert isinstance(first, FirstCameras)
    assert [f.number for f in first.frames] == [0, 1, 2, 3]
    assert [f.number for f in first.waited] == [0, 1, 2]
    assert estimator.asked == [(4, False)]


def test_after_many_frames_a_quarter_of_the_motion_is_enough() -> None:
    initializer, _ = begun([0.0, *[0.013] * 8])
    found = [see(initializer, k) for k in range(5)]
    assert all(isinstance(f, Waiting) for f in found[:4])
    assert isinstance(found[4], FirstCameras)


def test_two_frames_that_share_little_are_tried_at_once() -> None:
    initializer, _ = begun([0.0, 0.0], overlap=0.1)
    see(initializer, 0)
    assert isinstance(see(initializer, 1), FirstCameras)


def test_while_nothing_moves_frames_stay_few_and_spread_over_the_time() -> None:
    initializer, _ = begun([0.0] * 40)
    for k in range(40):
        assert isinstance(see(initializer, k), Waiting)
    kept = [f.number for f in initializer.pending]
    assert (len(kept), kept[0], kept[-1]) == (4, 0, 39)


def test_cameras_that_are_too_uncertain_give_up_the_older_half() -> None:
    initializer, _ = begun([0.0, 0.01, 0.02, 0.06], confidence=0.1)
    found = [see(initializer, k) for k in range(4)][-1]
    assert isinstance(found, Waiting)
    assert found.reason == "first cameras are too uncertain (confidence 0.10); move sideways, not only turn"
    assert [f.number for f in found.given_up] == [0, 1]
    assert [f.number for f in initializer.pending] == [2, 3]
    assert found.turn is not None
    assert found.advance is not None
    assert (found.advance.moved_rad, found.turn.moved_rad) == pytest.approx((0.02, 0.04))


class Held(Asked):
    """One that takes until it is let go."""

    def __init__(self, confidence: float) -> None:
        super().__init__(confidence)
        self.go = threading.Event()

    def estimate_seen(self, features: list[Features], cameras: Any, matches: Any) -> Any:
        assert self.go.wait(60.0)
        return super().estimate_seen(features, cameras, matches)


def test_frames_go_on_while_the_first_cameras_are_solved_beside_them() -> None:
    estimator = Held(0.9)
    solver = FirstSolver(estimator, in_background=True)  # type: ignore[arg-type]
    motion = [0.0, 0.04, 0.06, *[0.07] * 10]
    initializer = Initializer(SETTINGS, solver, Moving(motion))  # type: ignore[arg-type]
    waiting = [see(initializer, k) for k in range(9)]
    assert [w.reason for w in waiting[2:] if isinstance(w, Waiting)] == ["first cameras are being solved"] * 7
    assert [w.turn.moved_rad for w in waiting[2:] if isinstance(w, Waiting) and w.turn] == [0.06, *[0.07] * 6]
    assert {0, 1, 2, 8} <= {f.number for f in initializer.pending}, "those that are being solved must not be forgotten"
    estimator.go.set()
    solver.wait()
    first = see(initializer, 9)
    assert isinstance(first, FirstCameras)
    assert [f.number for f in first.frames] == [0, 1, 2]
    assert [f.number for f in first.waited] == [0, 1]
    assert 2 <= len(first.since) <= 4, "what is needed to come to the present in small steps"
    assert {f.number for f in first.since} <= set(range(3, 9))
    assert first.since[-1].number == 8
    assert estimator.asked == [(3, True)]


def test_first_cameras_of_another_start_are_not_taken() -> None:
    estimator = Held(0.9)
    solver = FirstSolver(estimator, in_background=True)  # type: ignore[arg-type]
    left = Initializer(SETTINGS, solver, Moving([0.0, 0.06]))  # type: ignore[arg-type]
    assert [isinstance(see(left, k), Waiting) for k in range(2)] == [True, True]
    begun_anew = Initializer(SETTINGS, solver, Moving([0.0] * 10))  # type: ignore[arg-type]
    see(begun_anew, 2)
    estimator.go.set()
    solver.wait()
    found = see(begun_anew, 3)
    assert isinstance(found, Waiting)
    assert found.reason == "image moved 0.0 % of its width; 5.0 % needed to start"


def test_an_image_that_shows_nothing_is_the_reason_and_not_collected() -> None:
    initializer, estimator = begun([0.0, 0.0, 0.06, 0.06])
    see(initializer, 0)
    for number in (1, 2):
        blank = StreamFrame(number, number, Features(np.full((120, 160), 90, np.uint8)), CAMERA)
        found = initializer.see(blank, True, {})
        assert isinstance(found, Waiting)
        assert found.reason == "the image is nearly constant (standard deviation 0.0 of 255): is the lens covered?"
        assert found.turn is None
    assert isinstance(see(initializer, 3), FirstCameras)
    assert estimator.asked == [(2, True)]


@pytest.mark.parametrize(("overlap", "kept"), [(0.9, [0, 1, 2, 3]), (0.2, [2, 3])])
def test_where_all_is_a_turn_no_cameras_are_tried(overlap: float, kept: list[int]) -> None:
    initializer, estimator = begun([0.0, 0.02, 0.04, 0.06], overlap=0.9, left_rad=0.0)
    waiting = [see(initializer, k) for k in range(3)]
    assert all(isinstance(w, Waiting) for w in waiting)
    initializer._shared.overlap = overlap  # type: ignore[attr-defined]
    found = see(initializer, 3)
    assert isinstance(found, Waiting)
    assert found.reason == "all but 0.0 px of what the image has moved is a turn; move sideways, not only turn"
    assert [f.number for f in initializer.pending] == kept
    assert found.turn is not None
    assert estimator.asked == []


def solved_clip(poses: FloatArray, inverse_depth: list[float], spread_rad: float) -> Any:
    count = len(poses)
    return SimpleNamespace(
        camera_to_first=poses,
        cameras=[CAMERA] * count,
        inverse_depth=np.array(inverse_depth),
        evidence=SimpleNamespace(anchor=np.array([0, 0, 0, 1])),
        spread_rotation_rad=np.full(count, spread_rad),
        spread_direction_rad=np.full(count, 0.5),
    )


def test_the_median_depth_becomes_the_unit_and_frames_in_between_move_smoothly() -> None:
    """Depths of 2, 4 and 5 clip units in the first camera: the median, 4, becomes 2."""
    poses = np.array([np.eye(4), make_pose(rotation_from_vector([0.0, 0.2, 0.0]), [1.0, 0.0, 0.0])])
    frames = [StreamFrame(k, 100 * k, Features(np.zeros((4, 4), np.uint8)), CAMERA) for k in (0, 2)]
    between = StreamFrame(1, 50, Features(np.zeros((4, 4), np.uint8)), CAMERA)
    clip = solved_clip(poses, [1 / 2, 1 / 4, 1 / 5, 1 / 100], spread_rad=0.001)
    first = FirstCameras(frames, clip, [frames[0], between], SharedMatches(Matcher()))
    begin = make_pose(np.eye(3), [10.0, 0.0, 0.0])
    solved, clip_to_unit = first.placed(begin, np.diag([0.1] * 6), unit=2.0)
    assert clip_to_unit == pytest.approx(2.0 / 4.0)
    np.testing.assert_allclose([s.camera_to_world[0, 3] for s in solved], [10.0, 10.5])
    # The uncertainty of where the first camera stands, and that of the solve, for a spread of half a radian.
    of_solve = np.diag(of_first_cameras(0.001, 0.5, 2.0))
    np.testing.assert_allclose(np.diag(solved[0].covariance), [*(0.1 + of_solve), 0.0])
    another, _ = first.placed(begin, np.diag([0.1] * 6), 2.0, unit_variance=0.3)
    assert another[0].covariance[6, 6] == 0.3
    (at_0, pose_0), (at_50, pose_50) = first.between(solved)
    assert (at_0, at_50) == (0, 50)
    np.testing.assert_allclose(pose_0, begin, atol=1e-12)
    np.testing.assert_allclose(pose_50[0, 3], 10.0 + 0.5 * 50 / 200)
