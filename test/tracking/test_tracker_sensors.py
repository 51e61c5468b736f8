"""The tracker with a gyro and wheels beside the camera: turns over a gap, and metres from the first frame."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from velocity_filter import VelocityFilter
from walk import BLACK, CAMERA, FIRST_NS, HELD, LOST, STEP_NS, TRACKING, Walk

from ros2_raxels.geometry.poses import (
    FloatArray,
    interpolate_pose,
    make_pose,
    relative_pose,
    rotation_angle_rad,
    rotation_from_vector,
    rotation_vector,
)
from ros2_raxels.geometry.trajectory import absolute_error
from ros2_raxels.recordings.imu import ImuReadings, RecordedImu
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.metric_scale import ScaleSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose

READINGS = 14
"""Of the gyro, from one frame to the next."""


def gyro_of(walk: Walk, factor: float = 1.0) -> RecordedImu:
    """Even turns from frame to frame, with a bias and noise; gravity alone for the accelerometer."""
    rng = np.random.default_rng(0)
    rates = []
    for before, after in pairwise(walk.poses):
        turn = rotation_vector(before[:3, :3].T @ after[:3, :3]) / (STEP_NS * 1e-9)
        rates += [factor * turn] * READINGS
    read = np.array(rates) + np.array([0.01, -0.02, 0.015]) + rng.normal(0, 3e-3, (len(rates), 3))
    stamps_ns = FIRST_NS + (np.arange(len(rates)) * (STEP_NS / READINGS)).astype(np.int64)
    return RecordedImu(ImuReadings(stamps_ns, read, np.tile([0.0, -9.81, 0.0], (len(rates), 1))), np.eye(4), "imu.csv")


def tracked(tracker: Tracker, walk: Walk, frames: list[int]) -> list[TrackedPose]:
    found = []
    for k in frames:
        found.append(tracker.track(walk.images[k], FIRST_NS + k * STEP_NS, CAMERA))
        tracker.improve()
    return found


def test_over_a_gap_the_gyro_knows_where_the_camera_looks(walk: Walk) -> None:
    """Half a second without a frame; constant velocity does not know of the curve."""
    before, after = 45, 53
    off = {}
    for name, imu in (("eyes", None), ("gyro", gyro_of(walk)), ("liar", gyro_of(walk, -3.0))):
        tracker = Tracker(imu=imu)
        found = tracked(tracker, walk, list(range(before + 1)))
        expected = tracker._live.motion.expected_pose(FIRST_NS + after * STEP_NS)
        turned = relative_pose(found[-1].camera_to_world, expected)[:3, :3]
        truth = relative_pose(walk.poses[before], walk.poses[after])[:3, :3]
        off[name] = np.degrees(float(rotation_angle_rad(turned.T @ truth)))
        assert tracked(tracker, walk, [after])[0].state is TRACKING
        assert bool(tracker.sensor_remarks) == (name == "liar")
    assert off["gyro"] < 0.7
    assert off["gyro"] < 0.5 * off["eyes"]
    # Who lies is no worse than nobody.
    assert off["liar"] == pytest.approx(off["eyes"], abs=0.5)


def wheels_of(walk: Walk) -> Callable[[int], FloatArray | None]:
    """Odometry that is right."""

    def odometry(stamp_ns: int) -> FloatArray | None:
        at = (stamp_ns - FIRST_NS) / STEP_NS
        k = int(at)
        return interpolate_pose(walk.poses[k], walk.poses[min(k + 1, len(walk.poses) - 1)], at - k)

    return odometry


def test_how_sure_metres_are_at_the_start_is_known_of_all_that_comes_after(walk: Walk) -> None:
    """Wheels that stop then say nothing more of it."""
    tracker = Tracker(odometry=wheels_of(walk))
    answer = next(answer for k in range(24) if (answer := tracked(tracker, walk, [k])[0]).has_depth)
    assert answer.scale.is_metric
    for keyframe in tracker._live.keyframes.all:
        assert keyframe.covariance[6, 6] == pytest.approx(answer.scale.sigma**2, rel=0.01)


def test_with_wheels_there_are_metres_from_the_first_frame_and_no_step_when_there_are_depths(walk: Walk) -> None:
    found = tracked(Tracker(odometry=wheels_of(walk)), walk, list(range(24)))
    assert [answer.state for answer in found] == [TRACKING] * 24
    assert all(answer.scale.is_metric and answer.scale.source is ScaleSource.ODOM for answer in found)
    assert not found[0].has_depth
    assert found[-1].has_depth
    assert found[1].scale.sigma == pytest.approx(0.03)
    truth = [relative_pose(walk.poses[0], walk.poses[k]) for k in range(24)]
    off_m = [
        np.linalg.norm(answer.camera_to_world[:3, 3] - pose[:3, 3]) for answer, pose in zip(found, truth, strict=True)
    ]
    assert max(off_m) < 0.02 * walk.depth_m
    for k, (one, other) in enumerate(pairwise(found)):
        step = relative_pose(one.camera_to_world, other.camera_to_world)[:3, 3]
        true_step = relative_pose(walk.poses[k], walk.poses[k + 1])[:3, 3]
        assert np.linalg.norm(step - true_step) < 0.02 * walk.depth_m


def test_a_filter_sees_no_step_at_the_start_when_metres_come_in_a_loss_and_after_it(walk: Walk) -> None:
    """Metres come late, because odometry does; over six black frames, a loss without them, wheels carry the camera."""
    late, lost = 18, range(30, 36)

    def odometry(stamp_ns: int) -> FloatArray | None:
        k = round((stamp_ns - FIRST_NS) / STEP_NS)
        return walk.poses[k] if k >= late - 6 else None

    tracker, filtered = Tracker(odometry=odometry), VelocityFilter()
    metric, answers, begun = [], [], False
    for k in range(48):
        image = BLACK if k in lost else walk.images[k]
        answer = tracker.track(image, FIRST_NS + k * STEP_NS, CAMERA)
        tracker.improve()
        metric.append(answer.scale.is_metric)
        answers.append(answer)
        if begun:
            filtered.predict(STEP_NS * 1e-9)
        assert answer.step is None or not answer.corrected
        if answer.step is not None and answer.scale.is_metric:
            steps = filtered.update(*answer.step.velocity(np.eye(4), answer.scale.sigma))
            assert steps.max() < 3.0, k
            if not begun:
                begun, first = True, k
                filtered.pose, filtered.covariance[:6, :6] = np.eye(4), np.eye(6) * 1e-9
    assert metric == sorted(metric)
    assert 10 < first < 30
    held, last = answers[lost.start : lost.stop], answers[lost.start - 1]
    assert {answer.state for answer in held} == {HELD}
    assert answers[lost.stop].state is TRACKING
    spreads = [np.trace(answer.covariance[:3, :3]) for answer in held]
    assert spreads == sorted(spreads)
    for k, answer in zip(lost, held, strict=True):
        moved = relative_pose(last.camera_to_world, answer.camera_to_world)
        off = moved[:3, 3] - relative_pose(walk.poses[lost.start - 1], walk.poses[k])[:3, 3]
        assert np.linalg.norm(off) < 0.02 * walk.depth_m
    # Where it has come to is where it is, as far as it knows.
    truth = relative_pose(walk.poses[first], walk.poses[47])
    sigma = np.sqrt(np.diag(filtered.covariance)[:3])
    assert (np.abs(filtered.pose[:3, 3] - truth[:3, 3]) < 3.0 * sigma + 0.01).all()
    assert float(rotation_angle_rad(filtered.pose[:3, :3].T @ truth[:3, :3])) < 0.1


@pytest.mark.parametrize(("imu", "lost"), [(True, 0), (False, 6)])
def test_with_a_gyro_ten_black_frames_are_no_loss(walk: Walk, imu: bool, lost: int) -> None:
    """Two thirds of a second; without one the sixth of them, and all after it, is LOST."""
    black = range(36, 46)
    tracker = Tracker(imu=gyro_of(walk) if imu else None)
    tracked(tracker, walk, list(range(black.start)))
    before, found = tracker._live.motion.camera_to_world, []
    for k in black:
        found.append(tracker.track(BLACK, FIRST_NS + k * STEP_NS, CAMERA))
        tracker.improve()
    assert [answer.state for answer in found].count(LOST) == lost
    assert all(answer.state in (HELD, LOST) for answer in found)
    turned = relative_pose(before, found[-1].camera_to_world)[:3, :3]
    truth = relative_pose(walk.poses[black.start - 1], walk.poses[black.stop - 1])[:3, :3]
    off_deg = np.degrees(float(rotation_angle_rad(turned.T @ truth)))
    if imu:
        assert off_deg < 0.7
        assert off_deg < 3.0 * np.degrees(np.sqrt(found[-1].covariance[4, 4]))
    assert tracked(tracker, walk, [black.stop])[0].state is TRACKING


class TurnedAway(Walk):
    """A walk that stops; a second without frames in which the camera turns by 75 degrees; then sideways steps."""

    STOP, GAP = 30, 15

    def __init__(self, walk: Walk) -> None:
        end = walk.poses[self.STOP]
        turns = np.radians(np.concatenate([np.arange(1, self.GAP + 1) * 5.0, np.full(24, 75.0)]))
        aside = np.concatenate([np.zeros(self.GAP), 0.03 * np.arange(24)])
        room, away = furnished_room(3), []
        for turn, step in zip(turns, aside, strict=True):
            looks = end @ make_pose(rotation_from_vector(np.array([0.0, turn, 0.0])), np.zeros(3))
            away.append(looks @ make_pose(np.eye(3), np.array([step, 0.0, 0.0])))
        self.poses = np.array([*walk.poses[: self.STOP + 1], *away])
        unseen, seen = [BLACK] * self.GAP, [render(room, CAMERA, pose)[0] for pose in away[self.GAP :]]
        self.images = [*walk.images[: self.STOP + 1], *unseen, *seen]
        self.depths_m, self.depth_m = [], walk.depth_m

    @property
    def after(self) -> list[int]:
        """Frames after the gap."""
        return list(range(self.STOP + self.GAP + 1, len(self.poses)))


def test_who_was_carried_out_of_sight_of_all_keyframes_goes_on_there_and_is_not_lost(walk: Walk) -> None:
    """Another trajectory begins where wheels and gyro say that the camera is, in metres and in the same world."""
    away = TurnedAway(walk)
    tracker = Tracker(odometry=wheels_of(away), imu=gyro_of(away))
    tracked(tracker, away, list(range(away.STOP + 1)))
    found = tracked(tracker, away, away.after)
    states = [answer.state for answer in found]
    assert LOST not in states
    # Six frames until it is sure that nothing known is to be seen, and those of the first cameras.
    assert states[-8:] == [TRACKING] * 8
    assert found[-1].scale.is_metric
    assert len(tracker._live.keyframes.trajectories) == 2
    truth = relative_pose(away.poses[0], away.poses[away.after[-1]])
    assert float(rotation_angle_rad(found[-1].camera_to_world[:3, :3].T @ truth[:3, :3])) < 0.02
    assert np.linalg.norm(found[-1].camera_to_world[:3, 3] - truth[:3, 3]) < 0.02 * walk.depth_m


class Wrong:
    """Wheels and an IMU of a walk, each wrong in its own way."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def wheels(self, name: str) -> Callable[[int], FloatArray | None]:
        def odometry(stamp_ns: int) -> FloatArray | None:
            k = min(round((stamp_ns - FIRST_NS) / STEP_NS), len(self._walk.poses) - 1)
            pose = self._walk.poses[k].copy()
            if name == "jump":
                pose[:3, 3] += self._walk.depth_m * max(k // 6 - 2, 0)
            if name == "lie":
                pose[:3, :3] = pose[:3, :3].T
            return pose

        return odometry

    def imu(self, name: str) -> RecordedImu:
        right = gyro_of(self._walk).between(FIRST_NS, FIRST_NS + (len(self._walk.poses) - 2) * STEP_NS)
        assert right is not None
        stamps_ns, rate, force = right.stamps_ns, right.turn_rate, right.acceleration
        if name == "in g":
            force = force / 9.81
        if name == "in degrees":
            rate = np.degrees(rate)
        if name == "axes":
            rate = rate[:, [1, 2, 0]]
        if name == "saturated":
            # Full scale half of the time, as of an IMU that is shaken.
            rate = np.where(np.arange(len(rate))[:, None] // 10 % 2, np.copysign(8.7, rate), rate)
        if name == "clock":
            stamps_ns = stamps_ns + 100 * 10**9
        if name == "gaps":
            stamps_ns = stamps_ns + (np.arange(len(stamps_ns)) // 20) * 60_000_000
        return RecordedImu(ImuReadings(stamps_ns, rate, force), np.eye(4), "imu.csv")


@pytest.mark.parametrize(
    ("sensor", "wrong", "words"),
    [
        ("wheels", "jump", "they slip"),
        ("wheels", "lie", "they slip, or lie"),
        ("imu", "in g", "as if in g"),
        ("imu", "in degrees", "as if in deg/s; publish rad/s"),
        ("imu", "axes", "other axes than what is seen"),
        ("imu", "saturated", "has a gap or is saturated"),
        ("imu", "clock", "give both one clock"),
        ("imu", "gaps", "has a gap or is saturated"),
    ],
)
def test_a_sensor_that_is_wrong_is_named_and_costs_no_pose(walk: Walk, sensor: str, wrong: str, words: str) -> None:
    """Poses are as good as those of images alone: some thousandths of the depth of the scene off."""
    frames = list(range(40))
    sensors = Wrong(walk)
    tracker = Tracker(odometry=sensors.wheels(wrong)) if sensor == "wheels" else Tracker(imu=sensors.imu(wrong))
    found = tracked(tracker, walk, frames)
    assert any(words in remark for remark in tracker.sensor_remarks), tracker.sensor_remarks
    assert all(answer.state is TRACKING for answer in found)
    off = absolute_error([tracker.pose_now(answer) for answer in found], walk.poses[frames])
    assert off.translation.max() < 0.005 * walk.depth_m
