"""depth_prior: what is known of chosen points, of the tracks of evidence, and a walk that is in metres all along."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from made_up_tracks import cameras, tracks_of
from walk import (
    BLACK,
    CAMERA,
    COUNT,
    FIRST_NS,
    LOST,
    STEP_NS,
    TRACKING,
    Image,
    SensorDepths,
    Walk,
    path_m,
    similarity,
    states,
)

from ros2_raxels.geometry.poses import FloatArray, make_pose
from ros2_raxels.tracking.depth_prior import PointDepths, with_known_depths
from ros2_raxels.tracking.metric_scale import ScaleSettings, ScaleSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import Motion, TrackedPose, TrackerSettings

SLOPE = SensorDepths(np.tile(np.linspace(1.0, 5.0, 320), (240, 1)), 0.0)


def test_points_know_their_own_depths_and_no_others() -> None:
    grid = np.stack(np.meshgrid(np.arange(8, 312, 16), np.arange(8, 232, 16)), axis=-1).reshape(-1, 2)
    kept = PointDepths.of(SLOPE, grid, CAMERA)
    assert (kept.source, kept.scale_sigma) == (ScaleSource.DEPTH, 0.005)
    asked = np.array([[40.0, 24.0], [41.0, 24.0], [8.0, 8.0], [296.0, 216.0], [1000.0, -7.0]])
    depth, sigma = kept.at(asked, CAMERA)
    expected, expected_sigma = SLOPE.at(asked[[0, 2, 3]], CAMERA)
    np.testing.assert_array_equal(depth, [expected[0], np.nan, expected[1], expected[2], np.nan])
    np.testing.assert_array_equal(sigma, [expected_sigma[0], np.nan, expected_sigma[1], expected_sigma[2], np.nan])


def test_tracks_know_the_depths_of_their_anchors() -> None:
    rng = np.random.default_rng(0)
    evidence, _ = tracks_of(rng, cameras(rng))
    assert with_known_depths(evidence, [(None, CAMERA)] * 4) is evidence
    known = with_known_depths(evidence, [(SLOPE, CAMERA), (None, CAMERA), (None, CAMERA), (SLOPE, CAMERA)]).known
    assert known is not None
    has = np.isin(evidence.anchor, (0, 3))
    np.testing.assert_array_equal(known.there, has)
    column = np.round(evidence.pixels[np.arange(len(has)), evidence.anchor, 0])
    np.testing.assert_allclose(known.inverse_depth[has], 1.0 / (1.0 + 4.0 * column[has] / 319.0))
    np.testing.assert_array_equal(np.isfinite(known.sigma), has)


def see(
    tracker: Tracker, images: Sequence[Image], depths_m: Sequence[FloatArray | None], begun: int = 0
) -> list[TrackedPose]:
    return [
        tracker.track(image, FIRST_NS + k * STEP_NS, CAMERA, None if depth is None else SensorDepths(depth, seed=k))
        for k, (image, depth) in enumerate(zip(images, depths_m, strict=True), begun)
    ]


def test_with_depths_poses_are_in_metres_from_the_first_frame_on(walk: Walk) -> None:
    found = see(Tracker(), walk.images, walk.depths_m)
    assert states(found) == [TRACKING] * COUNT
    assert all(f.has_depth and f.scale.is_metric for f in found)
    assert {(f.scale.source, f.scale.sigma) for f in found} == {(ScaleSource.DEPTH, 0.005)}
    assert found[0].scale.metres_per_unit == pytest.approx(walk.depth_m, rel=0.1)
    np.testing.assert_array_equal(found[0].camera_to_world, np.eye(4))
    assert not any(f.corrected for f in found)
    off, turn = walk.error(found, list(range(COUNT)), 1.0)
    assert off < 0.003
    assert turn < 0.15
    assert max(float(np.diag(f.covariance).max()) for f in found) < 0.03**2


def test_a_camera_that_stands_is_tracked_and_in_metres(walk: Walk) -> None:
    found = see(Tracker(), [walk.images[0]] * 12, [walk.depths_m[0]] * 12)
    assert states(found) == [TRACKING] * 12
    assert all(f.has_depth and f.scale.is_metric for f in found)
    assert max(float(np.linalg.norm(f.camera_to_world[:3, 3])) for f in found) < 0.002
    assert found[-1].motion is Motion.STILL
    # A frame of its own that stands a little to the side: the depths of the first one alone tell how far.
    moved = see(Tracker(), [walk.images[0], walk.images[3]], [walk.depths_m[0], None])
    off, turn = walk.error(moved, [0, 3], 1.0)
    assert off < 0.004
    assert turn < 0.15


def test_holes_leave_the_rest(walk: Walk) -> None:
    """Half of each depth image is missing, another half each time, and none comes with every third frame."""
    rng = np.random.default_rng(3)
    holed: list[FloatArray | None] = []
    for k, depth in enumerate(walk.depths_m):
        column, row = np.meshgrid(np.arange(320) // 40, np.arange(240) // 40)
        holed.append(None if k % 3 == 1 else np.where(rng.random((6, 8))[row, column] < 0.5, np.nan, depth))
    found = see(Tracker(), walk.images, holed)
    assert states(found) == [TRACKING] * COUNT
    off, turn = walk.error(found, list(range(COUNT)), 1.0)
    assert off < 0.006
    assert turn < 0.2


def test_after_a_loss_a_new_trajectory_begins_in_metres_at_once_and_an_old_place_is_found_in_metres(walk: Walk) -> None:
    tracker = Tracker(TrackerSettings(lost_frames=2, restart_frames=3))
    see(tracker, walk[:20], walk.depths_m[:20])
    noise = list(np.random.default_rng(0).integers(0, 255, (5, *BLACK.shape)).astype(np.uint8))
    lost = see(tracker, noise, [None] * 5, 20)
    assert LOST in states(lost)
    away = [np.ascontiguousarray(image[:, ::-1]) for image in walk[40:44]]
    found = see(tracker, away, [depth[:, ::-1] for depth in walk.depths_m[40:44]], 25)
    begun = states(found).index(TRACKING)
    assert begun == 0
    assert all(f.scale.source is ScaleSource.DEPTH and f.scale.is_metric for f in found[begun:])
    see(tracker, noise[:3], [None] * 3, 29)
    back = see(tracker, walk[10:14], walk.depths_m[10:14], 32)
    assert states(back)[-1] is TRACKING
    assert all(f.scale.is_metric for f in back if f.state is TRACKING)
    off, turn = walk.error(back[-1:], [13], 1.0)
    assert off < 0.006
    assert turn < 0.3


def test_depths_are_not_used_without_intrinsics_or_where_metres_come_from_elsewhere(walk: Walk) -> None:
    unknown = Tracker().track(walk.images[0], FIRST_NS, None, SensorDepths(walk.depths_m[0]))
    fixed = Tracker(TrackerSettings(scale=ScaleSettings(ScaleSource.FIXED, 2.0)))
    elsewhere = fixed.track(walk.images[0], FIRST_NS, CAMERA, SensorDepths(walk.depths_m[0]))
    for found in (unknown, elsewhere):
        assert not found.has_depth
        assert not found.scale.is_metric


def test_where_nothing_is_to_be_seen_no_map_begins_from_depths_alone(walk: Walk) -> None:
    found = Tracker().track(np.full_like(BLACK, 90), FIRST_NS, CAMERA, SensorDepths(walk.depths_m[0]))
    assert not found.has_depth


def test_a_pose_that_was_set_before_depths_stays(walk: Walk) -> None:
    tracker = Tracker()
    see(tracker, walk[:2], [None, None])
    there = make_pose(np.eye(3), [1.0, 2.0, 3.0])
    tracker.set_pose(there, np.eye(6) * 0.01)
    found = see(tracker, walk.images[2:3], walk.depths_m[2:3], 2)[0]
    assert found.has_depth
    np.testing.assert_allclose(found.camera_to_world[:3, 3], [1.0, 2.0, 3.0], atol=0.02)


def test_depths_of_another_place_are_named_and_left_out_and_poses_are_as_good_as_without(walk: Walk) -> None:
    """As by a sensor with a narrower lens that stands beside the camera, whose depths are not registered."""
    elsewhere = [np.roll(cv2.resize(d, None, fx=1.5, fy=1.5)[60:300, 80:400], 25, axis=1) for d in walk.depths_m]
    tracker, alone = Tracker(), Tracker()
    found, without = see(tracker, walk.images, elsewhere), see(alone, walk.images, [None] * COUNT)
    assert states(found) == [TRACKING] * COUNT
    assert "they contradict what the motion of the camera says of" in tracker.depth_trouble
    metric = [f.scale.is_metric for f in found]
    assert metric[0]
    left_out = metric.index(False)
    assert 5 < left_out < 40
    assert not any(metric[left_out:])
    errors = []
    for answers in (found, without):
        positions = np.array([f.camera_to_world[:3, 3] for f in answers[left_out + 1 :]])
        errors.append(similarity(positions, walk.poses[left_out + 1 :, :3, 3])[1])
    assert errors[0] < max(1.5 * errors[1], 0.01 * path_m(walk.poses))
    tracker.reset()
    assert tracker.depth_trouble == ""


def test_depths_that_come_after_a_map_was_begun_give_it_metres(walk: Walk) -> None:
    tracker = Tracker()
    found = see(tracker, walk.images, [None] * 15 + walk.depths_m[15:])
    assert states(found) == [TRACKING] * COUNT
    metric = [f.scale.is_metric for f in found]
    begun = metric.index(True)
    assert 15 < begun < 30
    assert all(metric[begun:])
    assert found[begun].corrected
    assert found[begun].scale.source is ScaleSource.DEPTH
    off, _ = walk.error(found[-10:], list(range(COUNT - 10, COUNT)), 1.0)
    assert off < 0.01


def test_a_loop_between_measured_keyframes_leaves_the_unit_as_it_is(walk: Walk) -> None:
    there_and_back = [*range(COUNT), *range(COUNT - 2, 4, -1)]
    tracker = Tracker()
    found = see(tracker, walk[there_and_back], [walk.depths_m[k] for k in there_and_back])
    assert states(found) == [TRACKING] * len(there_and_back)
    off, turn = walk.error(found, there_and_back, 1.0)
    assert off < 0.004
    assert turn < 0.2
    assert {k.log_growth for k in tracker._live.keyframes.all} == {0.0}
