"""visual_inertial: scale and gravity of a camera that is pushed about, and a sigma that knows what cannot be told."""

from __future__ import annotations

import numpy as np
import pytest
from pushed_camera import IMU_TO_CAMERA, UP, Drive
from scale_bound import Sensors, scale_sigmas, spin

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


def test_what_an_imu_can_tell_at_best_of_a_drive_like_robot_spin() -> None:
    """With the noise of its IMU. Images of 320x240 pixels tell places to 1.3 mm there, so 3 % takes four seconds."""
    drive = spin(14.9)
    at_2, at_4, at_6, at_end = 59, 117, 179, 446
    as_seen, exact = (scale_sigmas(*drive, Sensors(place_m)) for place_m in (0.0013, 1e-5))
    assert as_seen[[at_2, at_4]] == pytest.approx([0.037, 0.029], rel=0.03)
    # The brake tells most, and then the start of the second curve.
    assert as_seen[[at_6, at_end]] == pytest.approx([0.0095, 0.0062], rel=0.03)
    assert exact[[at_2, at_4, at_end]] == pytest.approx([0.0091, 0.0076, 0.0032], rel=0.03)
    # Nothing is found out while it turns on the spot, or drives on at one speed.
    assert as_seen[340] > 0.85 * as_seen[at_6]
    assert as_seen[at_4] > 0.75 * as_seen[at_2]
    # A robot that stands tells nothing.
    assert scale_sigmas(0.0 * drive[0], 0.0 * drive[1], Sensors(0.0013))[-1] > 1.0
