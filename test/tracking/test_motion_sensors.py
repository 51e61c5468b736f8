"""motion_sensors: the gyro turns and the wheels move, each alone and both."""

from __future__ import annotations

import numpy as np
import pytest
from turning_imu import Turning

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_angle_rad, rotation_from_vector
from ros2_raxels.tracking.motion_sensors import MotionSensors

ROLLED = make_pose(rotation_from_vector([0.0, 0.2, 0.0]), [0.3, 0.0, 0.1])


def rolled(stamp_ns: int) -> FloatArray | None:
    return {0: np.eye(4), 100: ROLLED}.get(stamp_ns)


def test_without_sensors_nothing_is_known() -> None:
    moved = MotionSensors().between(0, 100)
    assert moved.rotation is None
    assert moved.translation is None
    assert MotionSensors().remarks == ()


def test_wheels_alone_tell_turn_and_way() -> None:
    moved = MotionSensors(rolled).between(0, 100)
    assert moved.rotation is not None
    assert moved.translation is not None
    np.testing.assert_allclose(moved.rotation, ROLLED[:3, :3])
    np.testing.assert_allclose(moved.translation, ROLLED[:3, 3])
    assert MotionSensors(rolled).between(0, 50).translation is None


def test_the_gyro_outranks_the_turn_of_the_wheels_once_it_is_confirmed() -> None:
    drive = Turning()
    sensors = MotionSensors(lambda stamp_ns: make_pose(np.eye(3), [stamp_ns * 1e-9, 0.0, 0.0]), drive.imu())
    begin, end = (int(drive.stamps_ns[k]) for k in (900, 1000))
    assert sensors.between(begin, end).rotation == pytest.approx(np.eye(3))
    for k in range(0, 900, 20):
        sensors.see(int(drive.stamps_ns[k]), make_pose(drive.poses[k], [drive.stamps_ns[k] * 1e-9, 0.0, 0.0]), False)
    moved = sensors.between(begin, end)
    assert moved.rotation is not None
    assert rotation_angle_rad(moved.rotation.T @ drive.poses[900].T @ drive.poses[1000]) < 0.01


def test_what_is_left_out_is_told_once_until_all_is_forgotten() -> None:
    drive = Turning()
    sensors = MotionSensors(None, drive.imu(np.degrees))
    for k in range(0, len(drive.poses), 20):
        sensors.see(int(drive.stamps_ns[k]), make_pose(drive.poses[k], np.zeros(3)), False)
    (remark,) = sensors.remarks
    assert "deg/s" in remark
    assert sensors.words == remark
    sensors.forget()
    assert sensors.remarks == ()
    assert sensors.words == ""
