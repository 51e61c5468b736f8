"""visual_inertial: scale and gravity of a camera that is pushed about, and a sigma that knows what cannot be told."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.recordings.imu import ImuReadings, RecordedImu
from ros2_raxels.tracking.frame import KeyframePose
from ros2_raxels.tracking.visual_inertial import GRAVITY, Alignment, InertialPath, Pose, accelerometer_trouble

RATE_HZ = 200
IMU_TO_CAMERA = make_pose(rotation_from_vector([0.2, -0.4, 1.0]), [0.05, -0.1, 0.2])
UP = np.array([0.1, -0.99, 0.05]) / np.linalg.norm([0.1, -0.99, 0.05])
BIAS = np.array([0.05, -0.03, 0.04])


class Drive:
    """A camera whose place (m) and turn are smooth functions of time, and an IMU beside it."""

    def __init__(self, push: float, turn: float = 0.5, seconds: float = 4.0, noise: float = 0.0) -> None:
        rng = np.random.default_rng(0)
        self.t = np.arange(round(seconds * RATE_HZ) + 1) / RATE_HZ
        fine = np.linspace(-0.01, seconds + 0.01, 20 * len(self.t))
        self.push, self.turn = push, turn
        imu = self._imu_place(fine)
        velocity = np.gradient(imu, fine, axis=0)
        acceleration = np.gradient(velocity, fine, axis=0)
        at = [np.interp(self.t, fine, column) for column in acceleration.T]
        force = np.stack(at, axis=1) + GRAVITY * UP
        axes = np.array([self._rotation(t) @ IMU_TO_CAMERA[:3, :3] for t in self.t])
        read = np.einsum("nji,nj->ni", axes, force) + BIAS + rng.normal(0, 0.05 * (noise > 0), force.shape)
        rate = np.tile(IMU_TO_CAMERA[:3, :3].T @ self._axis(), (len(self.t), 1)) * self._rate(self.t)[:, None]
        stamps_ns = (self.t * 1e9).round().astype(np.int64)
        self.imu = RecordedImu(ImuReadings(stamps_ns, rate, read), IMU_TO_CAMERA, "imu.csv")
        self._noise = noise

    @staticmethod
    def _axis() -> FloatArray:
        return np.array([0.0, 1.0, 0.0])

    def _rate(self, t: FloatArray) -> FloatArray:
        return np.asarray(self.turn * np.cos(1.5 * t))

    def _rotation(self, t: float) -> FloatArray:
        return rotation_from_vector(self._axis() * self.turn * np.sin(1.5 * t) / 1.5)

    def _camera_place(self, t: FloatArray) -> FloatArray:
        return np.stack([0.3 * t, self.push * np.sin(2.5 * t), self.push * np.cos(2.0 * t)], axis=1)

    def _imu_place(self, t: FloatArray) -> FloatArray:
        turned = np.array([self._rotation(moment) @ IMU_TO_CAMERA[:3, 3] for moment in t])
        return self._camera_place(t) + turned

    def path(self, unit_m: float, step: int = 70) -> list[Pose]:
        """What is seen of it, three times a second, in units of so many metres."""
        rng = np.random.default_rng(1)
        places = self._camera_place(self.t) / unit_m + rng.normal(0, self._noise / unit_m, (len(self.t), 3))
        return [
            (round(self.t[k] * 1e9), make_pose(self._rotation(self.t[k]), places[k]))
            for k in range(0, len(self.t), step)
        ]

    def along(self, path: list[Pose], scene_depth: float) -> Alignment | None:
        """By way of the path that a tracker keeps, in which all is told beside one keyframe."""
        kept = InertialPath(self.imu)
        for stamp_ns, pose in path:
            assert kept.see(stamp_ns, KeyframePose(0, pose, 0.0))
            assert not kept.see(stamp_ns + 10**8, KeyframePose(0, pose, 0.0))
        return kept.aligned(lambda told: told.pose, np.zeros(3), scene_depth)

    def aligned(self, unit_m: float, scene_depth_m: float = 3.0) -> Alignment:
        found = self.along(self.path(unit_m), scene_depth_m / unit_m)
        assert found is not None
        return found


@pytest.mark.parametrize("unit_m", [0.2, 1.0, 5.0])
def test_the_scale_of_a_camera_that_is_pushed_about(unit_m: float) -> None:
    found = Drive(0.3).aligned(unit_m)
    assert np.exp(found.log_metres) == pytest.approx(unit_m, rel=0.01)
    assert found.sigma < 0.05
    assert np.degrees(np.arccos(found.up @ UP)) < 0.5


def test_noise_makes_it_no_smaller() -> None:
    found = Drive(0.3, noise=0.008).aligned(2.0)
    assert np.exp(found.log_metres) == pytest.approx(2.0, rel=4 * found.sigma)
    assert 0.001 < found.sigma < 0.1


def test_a_motion_that_is_too_smooth_says_so() -> None:
    """Straight on at one speed: any scale explains it, and gravity is known all the same."""
    smooth = Drive(0.0, turn=0.0, noise=0.008)
    found = smooth.along(smooth.path(2.0), 1.5)
    assert found is None or found.sigma > 0.3


def test_where_readings_are_missing_nothing_is_known() -> None:
    drive = Drive(0.3)
    assert InertialPath(drive.imu).covers(0, 10**9)
    assert not InertialPath(drive.imu).covers(10**10, 10**10 + 10**9)
    later = [(stamp_ns + 10**10, pose) for stamp_ns, pose in drive.path(1.0)]
    assert drive.along(later, 3.0) is None
    assert drive.along(drive.path(1.0)[:3], 3.0) is None


def test_an_accelerometer_in_another_unit_is_named() -> None:
    drive = Drive(0.1)
    assert accelerometer_trouble(drive.imu, 0, 10**9) == ""
    readings = drive.imu.between(0, 10**9)
    assert readings is not None
    in_g = ImuReadings(readings.stamps_ns, readings.turn_rate, readings.acceleration / 9.81)
    words = accelerometer_trouble(RecordedImu(in_g, np.eye(4), "imu.csv"), 0, 10**9)
    assert words.startswith("no metres from the IMU: its accelerometer reads 1")
    assert words.endswith("as if in g; publish m/s2")
    assert accelerometer_trouble(drive.imu, 10**10, 10**10 + 1) == ""


def test_a_bias_of_the_gyro_that_is_learned_later_is_taken_into_account() -> None:
    drive = Drive(0.3)
    readings = drive.imu.between(0, 4 * 10**9)
    assert readings is not None
    bias = np.array([0.02, -0.03, 0.01])
    biased = ImuReadings(readings.stamps_ns, readings.turn_rate + bias, readings.acceleration)
    at_camera = make_pose(np.eye(3), IMU_TO_CAMERA[:3, 3])
    kept = InertialPath(RecordedImu(biased, at_camera, "imu.csv"))
    for stamp_ns, pose in drive.path(1.0):
        kept.see(stamp_ns, KeyframePose(0, pose, 0.0))
    first, later = (kept.aligned(lambda told: told.pose, known, 3.0) for known in (np.zeros(3), bias))
    assert first is not None
    assert later is not None
    assert abs(later.log_metres) < 0.01
    assert later.sigma < first.sigma
