"""nodes.pose.odometry: where odometry says that the camera was, heard over DDS."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")

from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from ros2_raxels.geometry.frame_tree import UnknownFrameError
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.messages import pose_message, stamp_message
from ros2_raxels.nodes.pose.odometry import OdometryListener

pytestmark = pytest.mark.ros

S = 1_000_000_000
T0 = 1_700_000_000 * S
MOUNT = make_pose(rotation_from_vector([0.0, 0.3, 0.0]), [0.3, 0.0, 0.5]) @ OPTICAL_TO_BODY


class Wheels:
    """A publisher of odometry, and a listener whose camera is on the base from `mounted_ns` on."""

    mounted_ns = 0

    def __init__(self, probe: Probe) -> None:
        self.problems: list[str] = []
        self.listener = OdometryListener(probe.node, self._optical_to, self.problems.append)
        self.silence = self.listener.why_silent()
        self._publisher = matched(probe.publisher(Odometry, "/odom"))
        self._last_ns = 0

    def _optical_to(self, frame: str, stamp_ns: int) -> FloatArray:
        if frame != "base_link" or stamp_ns < self.mounted_ns:
            raise UnknownFrameError(f"the camera is not on {frame}")
        return MOUNT

    def send(self, stamp_ns: int, pose: FloatArray, child: str = "base_link") -> None:
        message = Odometry(header=Header(frame_id="odom", stamp=stamp_message(stamp_ns)), child_frame_id=child)
        message.pose.pose = pose_message(pose)
        self._publisher.publish(message)

    def camera(self, stamp_ns: int) -> FloatArray:
        """Once it is known."""
        return wait_until(lambda: _box(self.listener.camera_to_odom(stamp_ns)), what="pose of the camera")[0]


def _box(found: FloatArray | None) -> tuple[FloatArray, ...]:
    """An array has no truth value."""
    return () if found is None else (found,)


@pytest.fixture
def wheels(probe: Probe) -> Iterator[Wheels]:
    instance = Wheels(probe)
    yield instance
    instance.listener.destroy()


def test_the_camera_moves_with_the_base_and_is_interpolated_between_messages(wheels: Wheels):
    assert wheels.listener.camera_to_odom(T0) is None
    assert wheels.silence.startswith("no publisher on /odom")
    for second in (0, 1):
        wheels.send(
            T0 + second * S, make_pose(rotation_from_vector([0.0, 0.0, 0.4 * second]), [2.0 * second, 1.0, 0.0])
        )
    half = make_pose(rotation_from_vector([0.0, 0.0, 0.2]), [1.0, 1.0, 0.0])
    np.testing.assert_allclose(wheels.camera(T0 + S // 2), half @ MOUNT, atol=1e-9)
    assert wheels.listener.why_silent() == ""
    # Never an extrapolation.
    assert wheels.listener.camera_to_odom(T0 - 1) is None
    assert wheels.listener.camera_to_odom(T0 + S + 1) is None
    assert wheels.problems == []


def test_the_reason_is_reported_where_tf_does_not_place_the_camera(wheels: Wheels):
    wheels.mounted_ns = T0 + S
    for second in (0, 1):
        wheels.send(T0 + second * S, make_pose(np.eye(3), [0.0, 0.0, 0.0]))
    np.testing.assert_allclose(wheels.camera(T0 + S), MOUNT, atol=1e-12)
    assert wheels.listener.camera_to_odom(T0) is None
    assert wheels.problems == ["no scale from odometry: the camera is not on base_link"]


def test_invalid_odometry_is_reported_and_the_last_valid_one_stays(wheels: Wheels):
    wheels.send(T0, make_pose(np.eye(3), [1.0, 0.0, 0.0]))
    wheels.camera(T0)
    wheels.send(T0 + S, make_pose(np.eye(3), [np.nan, 0.0, 0.0]))
    wait_until(lambda: wheels.problems, what="a word about it")
    assert wheels.problems[0].startswith("/odom: ")
    assert wheels.listener.camera_to_odom(T0 + S) is None
    np.testing.assert_allclose(wheels.camera(T0)[:3, 3], [1.3, 0.0, 0.5], atol=1e-12)
