"""dead_reckoning: a camera that is pushed about and not seen for a second is where the accelerometer says."""

from __future__ import annotations

import numpy as np
import pytest
from pushed_camera import BIAS, IMU_TO_CAMERA, RATE_HZ, UP, Drive

from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.tracking.dead_reckoning import DeadReckoning, Weight
from ros2_raxels.tracking.visual_inertial import GRAVITY, Pose

FRAME = RATE_HZ // 20
"""Readings from one frame to the next."""

LAST = 40
"""The last frame that is seen, two seconds after the first."""


def weight(pose: FloatArray, sigma: float = 0.02, bias: FloatArray = BIAS) -> Weight:
    return Weight(-GRAVITY * pose[:3, :3].T @ UP, IMU_TO_CAMERA[:3, :3] @ bias, sigma)


def seen(drive: Drive, path: list[Pose], last: int = LAST, sigma: float = 0.02) -> DeadReckoning:
    reckoning = DeadReckoning(drive.imu)
    for stamp_ns, pose in path[: last + 1]:
        reckoning.see(stamp_ns, pose, weight(pose, sigma), 3.0)
    return reckoning


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.0])
def test_who_is_pushed_about_unseen_is_where_the_accelerometer_says(seconds: float) -> None:
    drive = Drive(0.3)
    path = drive.path(1.0, FRAME)
    end = LAST + round(seconds * 20)
    told = seen(drive, path).moved(path[LAST][0], path[end][0], np.zeros(3))
    assert told is not None
    way, sigma_m = told
    truth = relative_pose(path[LAST][1], path[end][1])[:3, 3]
    # Constant velocity would be a decimetre off after half a second.
    assert np.linalg.norm(way - truth) < 0.004 * seconds
    assert sigma_m == pytest.approx(np.hypot(0.0125 * seconds, np.hypot(0.01 * seconds**2, 0.006 * seconds**1.5)), 0.3)


def test_ways_from_frame_to_frame_are_parts_of_the_whole() -> None:
    drive = Drive(0.3)
    path = drive.path(1.0, FRAME)
    reckoning, (whole_from, _) = seen(drive, path), path[LAST]
    place, turn = np.zeros(3), np.eye(3)
    for k in range(LAST + 3, LAST + 12, 3):
        told = reckoning.moved(path[k - 3][0], path[k][0], np.zeros(3))
        assert told is not None
        place = place + turn @ told[0]
        turn = turn @ relative_pose(path[k - 3][1], path[k][1])[:3, :3]
    whole = reckoning.moved(whole_from, path[LAST + 9][0], np.zeros(3))
    assert whole is not None
    np.testing.assert_allclose(place, whole[0], atol=1e-5)


def test_the_error_is_as_large_as_it_says() -> None:
    """Of places that are seen with some noise, and weight that is off by what it says."""
    drive, rng = Drive(0.3, noise=0.0015), np.random.default_rng(3)
    exact, off = Drive(0.3).path(1.0, FRAME), []
    for last in range(20, 55):
        path = drive.path(1.0, FRAME)
        reckoning = DeadReckoning(drive.imu)
        wrong = weight(np.eye(4), bias=BIAS + rng.normal(0.0, 0.02, 3)).bias
        for stamp_ns, pose in path[: last + 1]:
            reckoning.see(stamp_ns, pose, Weight(weight(pose).gravity, wrong, 0.02), 3.0)
        told = reckoning.moved(path[last][0], path[last + 20][0], np.zeros(3))
        assert told is not None
        off.append((told[0] - relative_pose(exact[last][1], exact[last + 20][1])[:3, 3]) / told[1])
    assert 0.4 < float(np.sqrt(np.mean(np.square(off)))) < 1.3


def test_it_is_silent_where_it_cannot_know() -> None:
    drive = Drive(0.3)
    path = drive.path(1.0, FRAME)
    begin_ns, no_bias = path[LAST][0], np.zeros(3)
    assert DeadReckoning(drive.imu).moved(begin_ns, begin_ns + 10**9, no_bias) is None
    reckoning = seen(drive, path)
    assert reckoning.moved(begin_ns, begin_ns + 50_000_000, no_bias) is None
    assert reckoning.moved(path[LAST - 2][0], begin_ns + 10**9, no_bias) is None
    assert reckoning.moved(begin_ns, begin_ns + 10**10, no_bias) is None
    reckoning.jump()
    assert reckoning.moved(begin_ns, begin_ns + 10**9, no_bias) is None
    # One pose tells no velocity.
    reckoning.see(begin_ns, path[LAST][1], weight(path[LAST][1]), 3.0)
    assert reckoning.moved(begin_ns, begin_ns + 10**9, no_bias) is None
