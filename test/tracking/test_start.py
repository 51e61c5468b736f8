"""start: what is answered before there are depths, and how a trajectory begins."""

from __future__ import annotations

import numpy as np
import pytest
from walk import (
    BLACK,
    CAMERA,
    FIRST_NS,
    INITIALISING,
    STEP_NS,
    TRACKING,
    Image,
    Walk,
    follow,
    solved_from,
    states,
)

from ros2_raxels.geometry.poses import (
    make_pose,
    relative_pose,
    rotation_angle_rad,
    rotation_from_vector,
    rotation_vector,
)
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.metric_scale import USUAL_DEPTH_M
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import Motion, TrackedPose


def test_before_there_are_depths_the_pose_is_within_what_is_said_of_it(
    walk: Walk, tracked: list[TrackedPose], scale: float
) -> None:
    begun = solved_from(tracked)
    truth = relative_pose(walk.poses[0], walk.poses[:begun])
    for found, true in zip(tracked[:begun], truth, strict=True):
        sigma = np.sqrt(np.diag(found.covariance))
        assert (sigma[:3] * scale < 0.05 * walk.depth_m).all()
        off = found.camera_to_world[:3, 3] - true[:3, 3] / scale
        turned = rotation_vector(found.camera_to_world[:3, :3] @ true[:3, :3].T)
        assert (np.abs(np.concatenate([off, turned])) < 2.5 * sigma).all()


def test_frames_before_the_start_are_told_afterwards(walk: Walk, tracked: list[TrackedPose], scale: float) -> None:
    begun = solved_from(tracked)
    assert [k for k, f in enumerate(tracked) if f.earlier] == [begun]
    # The step from a camera that was said to stand is no motion.
    assert [k for k, f in enumerate(tracked[: begun + 3]) if f.corrected] == [begun]
    earlier = tracked[begun].earlier
    frames = [(stamp - FIRST_NS) // STEP_NS for stamp, _ in earlier]
    assert frames == list(range(begun))
    truth = relative_pose(walk.poses[0], walk.poses[frames])
    for (_, pose), true in zip(earlier, truth, strict=True):
        assert np.linalg.norm(scale * pose[:3, 3] - true[:3, 3]) < 0.01 * walk.depth_m
        assert np.degrees(rotation_angle_rad(pose[:3, :3].T @ true[:3, :3])) < 0.5


def test_the_first_cameras_tell_where_the_next_frames_are(walk: Walk, tracked: list[TrackedPose], scale: float) -> None:
    """They may be known only when the camera is elsewhere."""
    tracker, begun = Tracker(), solved_from(tracked)
    there = follow(tracker, walk[: begun + 1])[-1].camera_to_world
    expected = relative_pose(there, tracker._live.motion.expected_pose(FIRST_NS + (begun + 3) * STEP_NS))
    truth = relative_pose(walk.poses[begun], walk.poses[begun + 3])
    assert np.linalg.norm(scale * expected[:3, 3] - truth[:3, 3]) < 0.3 * np.linalg.norm(truth[:3, 3])
    assert np.degrees(rotation_angle_rad(expected[:3, :3].T @ truth[:3, :3])) < 1.0


@pytest.mark.parametrize("first", [1, 6])
def test_black_frames_first(walk: Walk, scale: float, first: int) -> None:
    found = follow(Tracker(), [*[BLACK] * first, *walk[:14]])
    assert set(states(found[:first])) == {INITIALISING}
    begun = solved_from(found)
    assert begun < first + 10
    assert set(states(found[begun:])) == {TRACKING}
    # Whatever frame became the origin, poses relative to each other are right.
    last = relative_pose(found[begun].camera_to_world, found[-1].camera_to_world)
    truth = relative_pose(walk.poses[begun - first], walk.poses[13])
    assert np.degrees(rotation_angle_rad(last[:3, :3].T @ truth[:3, :3])) < 0.5
    cosine = last[:3, 3] @ truth[:3, 3] / np.linalg.norm(last[:3, 3]) / np.linalg.norm(truth[:3, 3])
    assert cosine > np.cos(np.radians(3))


@pytest.fixture(scope="module")
def turning(walk: Walk) -> list[Image]:
    """A camera that turns to the right on the spot, by 2 degrees from frame to frame."""
    room, rights = furnished_room(3), [rotation_from_vector([0.0, np.radians(2.0 * k), 0.0]) for k in range(9)]
    return [render(room, CAMERA, walk.poses[0] @ make_pose(right, np.zeros(3)))[0] for right in rights]


def test_a_camera_that_only_turns_is_turned_and_does_not_start(walk: Walk, turning: list[Image]) -> None:
    tracker = Tracker()
    found = follow(tracker, turning)
    assert set(states(found)) == {TRACKING}
    assert all("sideways" in f.message for f in found[2:])
    for k, turned in enumerate(found):
        assert not turned.has_depth
        np.testing.assert_array_equal(turned.camera_to_world[:3, 3], np.zeros(3))
        off = turned.camera_to_world[:3, :3].T @ rotation_from_vector([0.0, np.radians(2.0 * k), 0.0])
        assert np.degrees(rotation_angle_rad(off)) < 0.3
        assert rotation_angle_rad(off) < 2.0 * np.sqrt(turned.covariance[4, 4])
    # And it still starts when there is something to start from.
    last = follow(tracker, walk[:14])[-1]
    assert (last.state, last.has_depth) == (TRACKING, True)


def test_a_camera_that_never_moves_stands_from_the_first_frame(walk: Walk) -> None:
    noise = np.random.default_rng(0).normal(0, 2, (25, *BLACK.shape))
    images = [(walk.images[0] + n).clip(0, 255).astype(np.uint8) for n in noise]
    found = follow(Tracker(), images)
    assert set(states(found)) == {TRACKING}
    assert {f.motion for f in found} == {Motion.STILL}
    for still in found:
        np.testing.assert_array_equal(still.camera_to_world[:3, 3], np.zeros(3))
        assert np.degrees(rotation_angle_rad(still.camera_to_world[:3, :3])) < 0.05
        assert np.sqrt(np.diag(still.covariance)).max() < 0.005 * USUAL_DEPTH_M
        assert not still.scale.is_metric
        assert still.confidence > 0.9
    assert "moved" in found[-1].message


def test_nothing_but_black_is_no_error() -> None:
    for camera in (CAMERA, None):
        assert set(states(follow(Tracker(), [BLACK] * 12, camera))) == {INITIALISING}


def test_a_pose_set_while_the_camera_turns_is_that_of_the_newest_frame(turning: list[Image]) -> None:
    tracker = Tracker()
    follow(tracker, turning[:8])
    there = make_pose(rotation_from_vector([0.0, 1.0, 0.0]), [5.0, 0.0, -3.0])
    tracker.set_pose(there, np.eye(6) * 1e-4)
    after = tracker.track(turning[8], FIRST_NS + 8 * STEP_NS, CAMERA)
    assert (after.state, after.has_depth, after.corrected) == (TRACKING, False, True)
    moved = relative_pose(there, after.camera_to_world)
    assert np.linalg.norm(moved[:3, 3]) < 1e-9
    off = moved[:3, :3].T @ rotation_from_vector([0.0, np.radians(2.0), 0.0])
    assert np.degrees(rotation_angle_rad(off)) < 0.3
    assert np.trace(after.covariance) > 6e-4
