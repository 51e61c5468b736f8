"""live_map: the map, the motion and the metres stay one, whenever keyframes come and the world moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from walk import (
    BLACK,
    CAMERA,
    COUNT,
    FIRST_NS,
    STEP_NS,
    TRACKING,
    Walk,
    follow,
    similarity,
    solved_from,
)

from ros2_raxels.geometry.poses import (
    make_pose,
    relative_pose,
    rotation_angle_rad,
    rotation_from_vector,
)
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose, TrackerSettings


def test_poses_do_not_depend_on_when_keyframes_are_made(walk: Walk, tracked: list[TrackedPose]) -> None:
    tracker, found = Tracker(), []
    for k, image in enumerate(walk[:30]):
        found.append(tracker.track(image, FIRST_NS + k * STEP_NS, CAMERA))
        if k % 3:
            tracker.improve()
    assert sum(f.keyframe for f in found) > 2
    for a, b in zip(found, tracked[:30], strict=True):
        np.testing.assert_array_equal(a.camera_to_world, b.camera_to_world)


def test_a_pose_set_from_outside(walk: Walk, scale: float) -> None:
    tracker = Tracker()
    follow(tracker, walk[:20])
    there = make_pose(rotation_from_vector([0.0, 1.0, 0.0]), [5.0, 0.0, -3.0])
    tracker.set_pose(there, np.diag([0.04] * 3 + [0.01] * 3))
    after = [tracker.track(image, FIRST_NS + (20 + k) * STEP_NS, CAMERA) for k, image in enumerate(walk[20:26])]
    assert after[0].corrected
    assert not after[1].corrected
    moved = relative_pose(there, after[-1].camera_to_world)
    truth = relative_pose(walk.poses[19], walk.poses[25])
    assert np.linalg.norm(scale * moved[:3, 3] - truth[:3, 3]) < 0.02 * walk.depth_m
    assert np.degrees(rotation_angle_rad(moved[:3, :3].T @ truth[:3, :3])) < 1.0
    assert np.diag(after[-1].covariance)[:3].min() >= 0.04
    # A turn that is not known moves what is far away.
    oldest = tracker._live.keyframes.all[0]
    lever = np.linalg.norm(oldest.camera_to_world[:3, 3] - there[:3, 3])
    assert np.trace(oldest.covariance[:3, :3]) == pytest.approx(3 * 0.04 + 2 * 0.01 * lever**2, rel=0.05)


@pytest.mark.parametrize("stored", [2, 300])
def test_what_is_known_at_the_end_of_all_frames(walk: Walk, stored: int) -> None:
    """Beside their keyframes, also beside those that were thinned out, and after the world has been moved."""
    tracker = Tracker(TrackerSettings(stored_keyframes=stored, history=True))
    found = follow(tracker, walk.images)
    begun = solved_from(found)
    frames = list(range(begun, COUNT))
    positions = np.array([tracker.pose_now(f)[:3, 3] for f in found[begun:]])
    scale, _ = similarity(positions, walk.poses[frames, :3, 3])
    now = [replace(f, camera_to_world=tracker.pose_now(f)) for f in found[begun:]]
    off, turn = walk.error(now, frames, scale)
    assert off < 0.02
    assert turn < 1.0
    motion = make_pose(rotation_from_vector([0.0, 0.5, 0.0]), [1.0, 2.0, 3.0])
    tracker.set_pose(motion @ tracker.pose_now(found[-1]), np.eye(6))
    for f, before in zip(found[begun:], now, strict=True):
        np.testing.assert_allclose(tracker.pose_now(f), motion @ before.camera_to_world, atol=1e-6)


def test_a_trajectory_begun_anew_is_joined_to_the_old_one_when_that_is_seen_again(walk: Walk, scale: float) -> None:
    tracker = Tracker(TrackerSettings(lost_frames=2, restart_frames=3))
    noise = list(np.random.default_rng(0).integers(0, 255, (5, *BLACK.shape)).astype(np.uint8))
    found = follow(tracker, [*walk[:20], *noise, *walk[::-1][20:]])
    back = [f for f in found[25:] if f.state is TRACKING]
    assert any(f.corrected for f in back)
    joined = back[[f.corrected for f in back].index(True) :]
    frames = [COUNT - 21 - (f.stamp_ns - FIRST_NS) // STEP_NS + 25 for f in joined]
    off, turn = walk.error(joined, frames, scale)
    # It began with an image of noise, which no other keyframe follows.
    assert off < 0.01
    assert turn < 0.5
