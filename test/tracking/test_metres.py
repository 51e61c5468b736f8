"""metres: by wheels, kept over losses and loops."""

from __future__ import annotations

from collections.abc import Sequence
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
    Image,
    Walk,
    follow,
    solved_from,
    states,
)

from ros2_raxels.geometry.poses import (
    FloatArray,
    make_pose,
    rotation_from_vector,
)
from ros2_raxels.tracking.metric_scale import ScaleSettings, ScaleSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose, TrackerSettings


def test_odometry_makes_metres(walk: Walk) -> None:
    """The camera's true path, in another frame, as odometry; poses of before are in the unit of before."""
    elsewhere = make_pose(rotation_from_vector([0.3, 0.1, 2.0]), [10.0, -4.0, 1.0])

    def odometry(stamp_ns: int) -> FloatArray:
        return elsewhere @ walk.poses[(stamp_ns - FIRST_NS) // STEP_NS]

    settings = TrackerSettings(scale=ScaleSettings(ScaleSource.ODOM))
    tracker = Tracker(settings, odometry=odometry)
    found = follow(tracker, walk.images)
    metric = [k for k, f in enumerate(found) if f.state is TRACKING and f.scale.is_metric]
    assert metric[0] < 30
    assert metric == list(range(metric[0], COUNT))
    # From one answer on, the first or a later one, the world is in metres and says so; that step is no motion.
    assert metric[0] == 0 or found[metric[0]].corrected
    off, turn = walk.error([found[k] for k in metric], metric, 1.0)
    assert off < 0.02
    assert turn < 1.0
    assert found[-1].scale.metres_per_unit == pytest.approx(walk.depth_m, rel=0.25)
    assert found[-1].scale.sigma < 0.05
    # In the end the frames of before are known in metres, too.
    begun = solved_from(found)
    assert metric[0] == 0 or begun <= metric[0]
    now = [replace(f, camera_to_world=tracker.pose_now(f)) for f in found[begun:]]
    off, turn = walk.error(now, list(range(begun, COUNT)), 1.0)
    assert off < 0.02
    assert turn < 1.0


class PartlyMetric:
    """A tracker whose odometry, the camera's true path, is there for some of the frames that it is given only."""

    def __init__(self, walk: Walk) -> None:
        self.poses: list[FloatArray | None] = []
        self._walk = walk
        settings = TrackerSettings(lost_frames=2, restart_frames=3, scale=ScaleSettings(ScaleSource.ODOM))
        self._tracker = Tracker(settings, odometry=lambda stamp_ns: self.poses[(stamp_ns - FIRST_NS) // STEP_NS])
        self._noise = np.random.default_rng(0)

    def see(self, images: list[Image], frames: Sequence[int], *, with_odometry: bool) -> list[TrackedPose]:
        begun = len(self.poses)
        self.poses += [self._walk.poses[k] if with_odometry else None for k in frames]
        return [self._tracker.track(im, FIRST_NS + (begun + k) * STEP_NS, CAMERA) for k, im in enumerate(images)]

    def see_nothing(self, count: int) -> None:
        noise = list(self._noise.integers(0, 255, (count, *BLACK.shape)).astype(np.uint8))
        self.see(noise, range(count), with_odometry=False)


@pytest.mark.parametrize("first", [True, False])
def test_back_on_a_known_place_poses_are_in_metres_if_those_of_that_trajectory_were(walk: Walk, first: bool) -> None:
    tracker = PartlyMetric(walk)
    assert tracker.see(walk[:30], range(30), with_odometry=first)[-1].scale.is_metric == first
    tracker.see_nothing(5)
    mirrored = [image[:, ::-1] for image in walk[30:]]
    assert tracker.see(mirrored, range(30, COUNT), with_odometry=not first)[-1].scale.is_metric != first
    tracker.see_nothing(3)
    back = tracker.see(walk[20:28], range(20, 28), with_odometry=False)
    begun = states(back).index(TRACKING)
    assert {f.scale.is_metric for f in back[begun:]} == {first}
    if first:
        off, turn = walk.error(back[begun:], list(range(20 + begun, 28)), 1.0)
        assert off < 0.02
        assert turn < 1.0


@pytest.mark.parametrize("first", [True, False])
def test_two_trajectories_are_joined_in_metres_if_either_was_in_metres(walk: Walk, first: bool) -> None:
    tracker = PartlyMetric(walk)
    tracker.see(walk[:24], range(24), with_odometry=first)
    tracker.see_nothing(5)
    away = range(COUNT - 1, -1, -1)
    found = tracker.see(walk[list(away)], away, with_odometry=not first)
    # The camera may close further loops after the one that joins, and metres may come before it.
    corrected = [k for k, f in enumerate(found) if f.state is TRACKING and f.corrected]
    joined = next(k for k in corrected if found[k - 1].scale.is_metric != first)
    assert joined < COUNT - 10
    assert {f.scale.is_metric for f in found[joined:]} == {True}
    off, turn = walk.error(found[joined:], list(away[joined:]), 1.0)
    assert off < 0.05
    assert turn < 2.0
