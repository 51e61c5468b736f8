"""visual_inertial: scale and gravity of a camera that is pushed about, and a sigma that knows what cannot be told."""

from __future__ import annotations

import numpy as np
import pytest
from pushed_camera import IMU_TO_CAMERA, UP, Drive

from ros2_raxels.geometry.poses import make_pose
from ros2_raxels.recordings.imu import ImuReadings, RecordedImu
from ros2_raxels.tracking.frame import KeyframePose
from ros2_raxels.tracking.visual_inertial import InertialPath, accelerometer_trouble


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
    assert words.startswith("the accelerometer is left out: it reads 1 m/s2")
    assert words.endswith("as if in g; publish m/s2, gravity included")
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
