"""tracker: two cameras that see nothing in common are tracked as one, in metres after a turn, whoever is missing."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rig_walk import LENS, RigWalk, sides, stereo

from ros2_raxels.geometry.poses import FloatArray, relative_pose, rotation_angle_rad
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.tracking.budget import Budget
from ros2_raxels.tracking.metric_scale import ScaleSettings, ScaleSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose, TrackerSettings, TrackState

BLACK = np.zeros((180, 240, 3), np.uint8)


@pytest.fixture(scope="module")
def walk() -> RigWalk:
    return sides()


def tracker(walk: RigWalk) -> Tracker:
    return Tracker(TrackerSettings(history=True), rig=walk.rig)


def follow(
    found: Tracker, walk: RigWalk, left: Set[int] = frozenset(), right: Set[int] = frozenset()
) -> list[TrackedPose]:
    """Answers to all moments; `left` and `right` are those at which one camera gives no image."""
    answers = []
    for k, images in enumerate(walk.images):
        others = {} if k in right else {"right": images["right"]}
        image = BLACK if k in left else images["left"]
        answers.append(found.track(image, walk.stamp_ns(k), walk.rig["left"].camera, others=others))
        found.improve()
    return answers


def errors(poses: FloatArray, truth: FloatArray) -> tuple[float, float]:
    """Largest distance, share of the way, and rotation, rad, after a common first pose."""
    own, true = relative_pose(poses[0], poses), relative_pose(truth[0], truth)
    away = np.linalg.norm(own[:, :3, 3] - true[:, :3, 3], axis=1).max()
    length = np.linalg.norm(np.diff(true[:, :3, 3], axis=0), axis=1).sum()
    return float(away / length), float(rotation_angle_rad(relative_pose(own, true)[:, :3, :3]).max())


def test_a_curve_tells_metres_where_cameras_see_nothing_in_common(walk: RigWalk) -> None:
    found = tracker(walk)
    answers = follow(found, walk)
    assert all(a.state is TrackState.TRACKING for a in answers)
    metric = [a.scale.is_metric for a in answers]
    assert metric == sorted(metric)
    assert metric.index(True) < 20
    assert answers[-1].scale.source is ScaleSource.STEREO
    assert answers[-1].scale.sigma < 0.05
    # What is known of the unit by then is in the covariance, also before it is good enough for metres.
    poses, truth = np.array([a.camera_to_world for a in answers]), walk.truth(list(range(len(answers))))
    off = np.linalg.norm(poses[:, :3, 3] - truth[:, :3, 3], axis=1)
    sd = np.array([np.sqrt(np.trace(a.covariance[:3, :3])) for a in answers])
    assert sd.max() < 1.0
    assert sd[-1] < 0.1
    assert (off < 3.0 * sd + 1e-6).all()
    away, turned = errors(np.array([found.pose_now(a) for a in answers]), walk.truth(list(range(len(answers)))))
    assert away < 0.03
    assert turned < 0.01


def test_a_camera_that_drops_out_costs_its_own_rays_only(walk: RigWalk) -> None:
    """First the one that leads, which is black then, later the other one."""
    answers = follow(tracker(walk), walk, left={15, 16, 17}, right=set(range(24, 30)))
    assert all(a.state is TrackState.TRACKING for a in answers[3:])
    seen = np.array([a.solve.correspondences for a in answers])
    usual = np.median(seen[5:15])
    assert (seen[15:18] < 0.7 * usual).all()
    assert (seen[24:30] < 0.7 * usual).all()
    poses = np.array([a.camera_to_world for a in answers])
    away, turned = errors(poses[13:24], walk.truth(list(range(13, 24))))
    assert away < 0.08
    assert turned < 0.01


@pytest.mark.parametrize("dark", [frozenset(), frozenset({6, 7})])
def test_without_time_a_camera_that_sees_the_same_is_left_to_keyframes_unless_it_is_needed(
    dark: frozenset[int],
) -> None:
    class Slow(Budget):
        def can_spare(self, look: str) -> bool:
            return False

    pair, looked = stereo(), []
    hurried = tracker(pair)
    hurried._budget = Slow(limited=True)
    hurried.reset()
    assert hurried._live.mapper.rig is not None
    right = hurried._live.mapper.rig.shared("right")
    expected = right.expected
    right.expected = lambda *of: (looked.append(of[1].number), expected(*of))[1]  # type: ignore[method-assign, func-returns-value]
    answers, usual = follow(hurried, pair, left=dark), follow(tracker(pair), pair, left=dark)
    assert [(a.state, a.scale.is_metric) for a in answers] == [(a.state, a.scale.is_metric) for a in usual]
    assert set(looked) == set(dark)
    solved = [k for k, a in enumerate(answers) if a.state is TrackState.TRACKING]
    assert set(range(len(answers))) - set(solved) <= set(dark)
    away, turned = errors(np.array([answers[k].camera_to_world for k in solved]), pair.truth(solved))
    assert away < 0.02
    assert turned < 0.005


@pytest.mark.slow
def test_without_time_a_camera_that_sees_something_else_is_looked_at_all_the_same(walk: RigWalk) -> None:
    class Slow(Budget):
        def can_spare(self, look: str) -> bool:
            return False

    hurried = tracker(walk)
    hurried._budget = Slow(limited=True)
    hurried.reset()
    usual, found = (np.array([a.camera_to_world for a in follow(t, walk)]) for t in (tracker(walk), hurried))
    np.testing.assert_allclose(found, usual, atol=1e-9)


def test_where_the_first_camera_is_dead_for_long_the_other_goes_on_and_makes_the_map(walk: RigWalk) -> None:
    answers = follow(tracker(walk), walk, left=set(range(10, 30)))
    assert all(a.state is TrackState.TRACKING for a in answers)
    assert sum(a.keyframe for a in answers[10:30]) >= 3
    truth = walk.truth(list(range(10, 40)))
    away, turned = errors(np.array([a.camera_to_world for a in answers[10:]]), truth)
    assert away < 0.08
    assert turned < 0.02


def test_cameras_of_different_sizes_are_one_rig() -> None:
    pair = stereo()
    small = replace(pair.rig["right"], camera=pair.rig["right"].camera.resized(160, 120))
    found = Tracker(rig=Rig({"left": pair.rig["left"], "right": small}))
    answers = []
    for k in range(12):
        right = cv2.resize(pair.images[k]["right"], (160, 120), interpolation=cv2.INTER_AREA)
        answers.append(found.track(pair.images[k]["left"], pair.stamp_ns(k), LENS, others={"right": right}))
        found.improve()
    assert all(a.state is TrackState.TRACKING and a.scale.is_metric for a in answers)
    away, turned = errors(np.array([a.camera_to_world for a in answers]), pair.truth(list(range(12))))
    assert away < 0.02
    assert turned < 0.005


def test_images_of_nobody_and_of_another_size_are_named(walk: RigWalk) -> None:
    lens, image = walk.rig["left"].camera, walk.images[0]["left"]
    with pytest.raises(ValueError, match="camera 'top', which is none of the rig"):
        tracker(walk).track(image, 1, lens, others={"top": image})
    with pytest.raises(ValueError, match="image of 'right' is 100x90 px"):
        tracker(walk).track(image, 1, lens, others={"right": np.zeros((90, 100), np.uint8)})
    # Without a rig they are not looked at.
    assert Tracker().track(image, 1, lens, others={"right": image[:5]}).state is TrackState.TRACKING


def test_two_eyes_see_metres_in_the_first_frame_and_keep_them(walk: RigWalk) -> None:
    pair = stereo()
    found = tracker(pair)
    answers = follow(found, pair, right={9, 10, 11})
    assert all(a.state is TrackState.TRACKING and a.has_depth for a in answers)
    assert all(a.scale.is_metric and a.scale.source is ScaleSource.STEREO for a in answers)
    away, turned = errors(np.array([a.camera_to_world for a in answers]), pair.truth(list(range(len(answers)))))
    assert away < 0.01
    assert turned < 0.005


@pytest.mark.parametrize("dark", [False, True], ids=["silent", "dark"])
def test_a_pair_that_begins_with_one_eye_sees_metres_when_the_other_comes_back(walk: RigWalk, dark: bool) -> None:
    pair = stereo()
    found, answers = tracker(pair), []
    for k, images in enumerate(pair.images):
        others = {"right": images["right"]} if k >= 10 else {"right": BLACK} if dark else {}
        answers.append(found.track(images["left"], pair.stamp_ns(k), LENS, others=others))
        found.improve()
    assert all(a.state is TrackState.TRACKING for a in answers)
    metric = [a.scale.is_metric for a in answers]
    assert metric == sorted(metric)
    assert not any(metric[:10])
    first = metric.index(True)
    assert first < 16
    assert answers[first].scale.source is ScaleSource.STEREO
    poses, truth = np.array([a.camera_to_world for a in answers[first:]]), pair.truth(list(range(first, 24)))
    away, turned = errors(poses, truth)
    assert away < 0.03
    assert turned < 0.01


def test_a_pair_whose_first_eye_is_dark_at_the_start_sees_metres_when_it_comes_back(walk: RigWalk) -> None:
    pair = stereo()
    answers = follow(tracker(pair), pair, left=set(range(8)))
    assert all(a.state is TrackState.TRACKING for a in answers)
    metric = [a.scale.is_metric for a in answers]
    assert metric == sorted(metric)
    first = metric.index(True)
    assert first < 20
    poses, truth = np.array([a.camera_to_world for a in answers[first:]]), pair.truth(list(range(first, 24)))
    assert errors(poses, truth)[0] < 0.05


def test_other_sources_of_metres_come_first(walk: RigWalk) -> None:
    pair = stereo()
    fixed = ScaleSettings(ScaleSource.FIXED, scene_depth_m=3.0)
    found = Tracker(TrackerSettings(scale=fixed), rig=pair.rig)
    first = found.track(pair.images[0]["left"], 1, pair.rig["left"].camera, others={"right": pair.images[0]["right"]})
    assert not first.has_depth


def test_a_first_camera_that_is_dead_from_the_start_costs_no_pose_and_joins_when_it_comes_back(walk: RigWalk) -> None:
    found = tracker(walk)
    answers = follow(found, walk, left=set(range(20)))
    assert all(a.state is TrackState.TRACKING for a in answers)
    begun = next(k for k, a in enumerate(answers) if a.has_depth)
    assert begun < 10
    # The other one tells when there is to be a keyframe: not every frame is one because the first one is dark.
    assert sum(a.keyframe for a in answers[begun:20]) < 0.6 * (20 - begun)
    # One camera on an arm tells no metres.
    assert not any(a.scale.is_metric for a in answers[:20])
    seen = np.array([a.solve.correspondences for a in answers])
    assert np.median(seen[-5:]) > 1.3 * np.median(seen[begun + 1 : 20])
    own, true = np.array([a.camera_to_world for a in answers[:20]]), walk.truth(list(range(20)))
    assert rotation_angle_rad(relative_pose(own, true)[:, :3, :3]).max() < 0.01
    scale = np.linalg.norm(true[-1, :3, 3]) / np.linalg.norm(own[-1, :3, 3])
    assert 0.4 < scale < 2.5
    # Places are those of the first camera, up to the arm in a unit that is not known yet.
    arm = np.linalg.norm(walk.rig.to_leader("right")[:3, 3]) * abs(1.0 - scale)
    assert np.linalg.norm(scale * own[:, :3, 3] - true[:, :3, 3], axis=1).max() < 0.03 + arm
