"""frame_search: what is looked at when there is no time, and where constant velocity leads astray."""

from __future__ import annotations

import numpy as np
from learned_rig import CornersGraph, FakeGraphs
from walk import (
    BLACK,
    CAMERA,
    FIRST_NS,
    HELD,
    LOST,
    STEP_NS,
    TRACKING,
    Image,
    Walk,
    follow,
    similarity,
    solved_from,
    states,
)

from ros2_raxels.geometry.poses import (
    relative_pose,
    rotation_angle_rad,
)
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.tracking.budget import Budget
from ros2_raxels.tracking.learned_look import LearnedLook
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackerSettings


def test_without_time_a_frame_is_not_looked_at_thoroughly_and_what_is_lost_is_found_all_the_same(walk: Walk) -> None:
    """A machine on which each frame takes longer than its period, and a thorough look ten times as long."""

    class Slow(Budget):
        def has_time_for(self, look: str) -> bool:
            self.refused = True
            return False

    tracker = Tracker()
    tracker._budget, looked = Slow(limited=True), []
    tracker.reset()
    thoroughly = tracker._search._thoroughly
    tracker._search._thoroughly = lambda *of: (looked.append(of[0].number), thoroughly(*of))[1]  # type: ignore[method-assign, func-returns-value]
    found = follow(tracker, [*walk[:16], *[BLACK] * 6, *walk[16:22]])
    covered, back = found[16:22], found[22:]
    assert states(covered) == [HELD] * 4 + [LOST] * 2
    assert looked[0] == 21
    assert all("no time for a thorough look at this rate" in held.message for held in covered[:4])
    assert "no time" not in covered[5].message
    assert states(back)[-4:] == [TRACKING] * 4


def test_stamps_that_jitter_by_half_a_period_cost_no_pose(walk: Walk, scale: float) -> None:
    """Constant velocity leads up to half a step astray."""
    rng, tracker = np.random.default_rng(0), Tracker()
    stamps_ns = [FIRST_NS + k * STEP_NS + int(rng.uniform(-0.45, 0.45) * STEP_NS) for k in range(30)]
    assert 0 < min(np.diff(stamps_ns)) < 0.6 * STEP_NS
    found = [tracker.track(image, stamp_ns, CAMERA) for image, stamp_ns in zip(walk[:30], stamps_ns, strict=True)]
    begun = solved_from(found)
    assert set(states(found[begun:])) == {TRACKING}
    off, turn = walk.error(found[begun:], list(range(begun, 30)), scale)
    assert off < 0.02
    assert turn < 1.0


def test_frames_after_a_recovery_far_from_all_keyframes(walk: Walk) -> None:
    """The first keyframe there shares no flow with the others, and yet the frames that follow it have depth."""
    tracker = Tracker(TrackerSettings(stored_keyframes=1))
    found = follow(tracker, walk[24:60])
    chosen = [k for k, f in enumerate(found) if f.state is TRACKING]
    positions = np.array([found[k].camera_to_world[:3, 3] for k in chosen])
    scale, _ = similarity(positions, walk.poses[24:60][chosen, :3, 3])
    assert states(follow(tracker, [BLACK] * 6))[-1] is LOST
    back = follow(tracker, walk[24:34])
    begun = states(back).index(TRACKING)
    assert begun < 3
    assert set(states(back[begun:])) == {TRACKING}
    truth = relative_pose(walk.poses[24], walk.poses[24 + begun : 34])
    poses = np.array([f.camera_to_world for f in back[begun:]])
    assert np.linalg.norm(scale * poses[:, :3, 3] - truth[:, :3, 3], axis=1).max() < 0.02 * walk.depth_m
    turn = rotation_angle_rad(np.swapaxes(poses[:, :3, :3], 1, 2) @ truth[:, :3, :3])
    assert np.degrees(turn).max() < 1.0


def test_ground_known_from_long_ago(walk: Walk, scale: float) -> None:
    """The last keyframes see the right of the scene alone; after the loss only its left is to be seen."""

    def between(left: int, right: int, images: list[Image]) -> list[Image]:
        seen = (np.arange(320) >= left) & (np.arange(320) < right)
        return [np.where(seen[:, None], image, np.uint8(0)) for image in images]

    images = [*walk[:16], *between(96, 320, walk[16:46]), *[BLACK] * 6, *between(0, 150, walk[2:10])]
    found = follow(Tracker(), images)
    assert found[51].state is LOST
    begun = states(found[52:]).index(TRACKING)
    assert set(states(found[52 + begun :])) == {TRACKING}
    off, turn = walk.error(found[52 + begun :], list(range(2 + begun, 10)), scale)
    assert off < 0.02
    assert turn < 1.0


def test_what_is_not_found_otherwise_is_found_by_learned_keypoints(walk: Walk, scale: float) -> None:
    corners = CornersGraph()
    tracker = Tracker(learned=LearnedLook(LearnedMatcher(FakeGraphs(corners))))
    assert follow(tracker, walk[:24])[-1].state is TRACKING
    # Nothing is found by the keypoints and the flow of always, as from far away or in other light.
    tracker._search._thoroughly = lambda *of: None  # type: ignore[method-assign]
    assert states(follow(tracker, [BLACK] * 6))[-1] is LOST
    assert not corners.asked
    back = follow(tracker, walk[10:14])
    assert corners.asked
    assert set(states(back)) == {TRACKING}
    off, turn = walk.error(back, list(range(10, 14)), scale)
    assert off < 0.02
    assert turn < 1.0


def test_no_frame_of_a_camera_waits_for_learned_keypoints() -> None:
    look = LearnedLook(LearnedMatcher(FakeGraphs()))
    assert Tracker(learned=look)._search._learned is look
    live = Tracker(TrackerSettings(real_time=True), learned=look)
    assert live._search._learned is None
    assert live._maker._learned is look
