"""rosbag: odometry of a bag, through /tf_static to the camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags_rig import FIRST_NS, STORE, geometry, header, image_messages, static_message, write_bag

from ros2_raxels.geometry.poses import FloatArray, make_pose, quaternion_from_rotation, rotation_from_vector
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import SourceError

MOUNT = make_pose(rotation_from_vector((0.3, 0.2, 0.1)), (0.2, 0.0, 0.5))


def odometry_message(stamp_ns: int, pose: FloatArray) -> Any:
    nothing = geometry("Vector3", 0.0, 0.0, 0.0)
    turn = geometry("Quaternion", *map(float, quaternion_from_rotation(pose[:3, :3])))
    stood = geometry(
        "PoseWithCovariance", geometry("Pose", geometry("Point", *map(float, pose[:3, 3])), turn), np.zeros(36)
    )
    twist = geometry("TwistWithCovariance", geometry("Twist", nothing, nothing), np.zeros(36))
    return STORE.types["nav_msgs/msg/Odometry"](header(stamp_ns), "base", stood, twist)


def readings(begin_ns: int = FIRST_NS) -> list[Any]:
    poses = [make_pose(rotation_from_vector((0, 0, 0.1 * k)), (0.1 * k, 0, 0)) for k in range(4)]
    return [odometry_message(begin_ns + 50_000_000 * k, pose) for k, pose in enumerate(poses)]


def test_the_camera_goes_with_the_base_of_the_odometry(tmp_path: Path) -> None:
    topics = {"/image": image_messages(), "/odom": readings(), "/tf_static": [static_message("base", "camera", MOUNT)]}
    camera_to_odom = open_source(write_bag(tmp_path / "bag", topics)).odometry()
    found = camera_to_odom(FIRST_NS + 75_000_000)
    assert found is not None
    expected = make_pose(rotation_from_vector((0, 0, 0.15)), (0.15, 0, 0)) @ MOUNT
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert camera_to_odom(FIRST_NS - 1) is None


def imu_message(stamp_ns: int, rate: float) -> Any:
    stamped = header(stamp_ns, "imu")
    turn, push = geometry("Vector3", 0.0, 0.0, rate), geometry("Vector3", 0.0, 0.0, 9.81)
    at_rest = geometry("Quaternion", 0.0, 0.0, 0.0, 1.0)
    nothing = np.zeros(9)
    return STORE.types["sensor_msgs/msg/Imu"](stamped, at_rest, nothing, turn, nothing, push, nothing)


def test_the_imu_of_a_bag_reads_in_the_axes_of_the_camera(tmp_path: Path) -> None:
    """The mount of the camera is that of the IMU on the base, so that the camera's axes are those of the base."""
    readings = [imu_message(FIRST_NS + 5_000_000 * k, 0.1 * k) for k in range(10)]
    static = [static_message("base", "imu", MOUNT), static_message("base", "camera", MOUNT)]
    imu = open_source(
        write_bag(tmp_path / "bag", {"/image": image_messages(), "/imu": readings, "/tf_static": static})
    ).imu()
    np.testing.assert_allclose(imu.place, np.zeros(3), atol=1e-9)
    found = imu.between(FIRST_NS, FIRST_NS + 10_000_000)
    assert found is not None
    np.testing.assert_allclose(found.turn_rate, [[0, 0, 0], [0, 0, 0.1], [0, 0, 0.2]], atol=1e-9)
    with pytest.raises(SourceError, match=r"has 0 topics of an IMU \(none\) and must have one; give a bag with one"):
        open_source(write_bag(tmp_path / "none", {"/image": image_messages()})).imu()


@pytest.mark.parametrize(
    ("topics", "words"),
    [
        ({}, "has 0 topics of odometry (none) and must have one; give a bag with that of the wheels"),
        ({"/a": readings(), "/b": readings()}, "has 2 topics of odometry (/a, /b) and must have one"),
        ({"/odom": readings()}, "/tf_static does not tell where the camera is on the robot"),
        (
            {"/odom": readings(), "/tf_static": [static_message("base", "other", MOUNT)]},
            "/tf_static does not tell where the camera is",
        ),
        (
            {"/odom": readings(10**9), "/tf_static": [static_message("base", "camera", MOUNT)]},
            "/odom covers 1 to 1.15 s, and frames begin",
        ),
    ],
)
def test_odometry_that_cannot_be_used_is_named(tmp_path: Path, topics: dict[str, list[Any]], words: str) -> None:
    source = open_source(write_bag(tmp_path / "bag", {"/image": image_messages(), **topics}))
    with pytest.raises(SourceError) as caught:
        source.odometry()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
