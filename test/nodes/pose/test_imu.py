"""nodes.pose.imu: readings of an IMU in the axes of the camera, heard over DDS."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")

from sensor_msgs.msg import Imu
from std_msgs.msg import Header

from ros2_raxels.geometry.frame_tree import UnknownFrameError
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.messages import stamp_message
from ros2_raxels.nodes.pose.imu import HeardImu, ImuListener
from ros2_raxels.recordings.imu import ImuReadings

pytestmark = pytest.mark.ros

MS = 1_000_000
T0 = 1_700_000_000 * 1000 * MS
MOUNT = make_pose(rotation_from_vector([0.0, 0.0, 0.1]), [0.3, 0.0, 0.5]) @ OPTICAL_TO_BODY


class Heard:
    """A publisher of readings, and a listener whose camera is on the IMU's frame."""

    def __init__(self, probe: Probe) -> None:
        self.problems: list[str] = []
        self.listener = ImuListener(probe.node, self._optical_to, self.problems.append)
        self.silence = self.listener.why_silent(T0)
        self._publisher = matched(probe.publisher(Imu, "/imu"))

    def _optical_to(self, frame: str, stamp_ns: int) -> FloatArray:
        if frame != "imu_link":
            raise UnknownFrameError(f"the camera is not on {frame}")
        return MOUNT

    def send(self, ms: int, rate: float, frame: str = "imu_link") -> None:
        message = Imu(header=Header(frame_id=frame, stamp=stamp_message(T0 + ms * MS)))
        message.angular_velocity.z = rate
        message.linear_acceleration.z = 9.81
        self._publisher.publish(message)

    def readings(self, begin_ms: int, end_ms: int) -> ImuReadings:
        """Once they are there."""
        return wait_until(
            lambda: self.listener.between(T0 + begin_ms * MS, T0 + end_ms * MS), what="readings of the IMU"
        )


@pytest.fixture
def heard(probe: Probe) -> Iterator[Heard]:
    found = Heard(probe)
    yield found
    found.listener.destroy()


def test_readings_are_told_in_the_axes_of_the_camera(heard: Heard) -> None:
    assert heard.silence.startswith("no publisher on /imu; start the ")
    for k in range(5):
        heard.send(5 * k, 0.1 * k)
    found = heard.readings(5, 20)
    assert found.stamps_ns.tolist() == [T0 + ms * MS for ms in (5, 10, 15, 20)]
    # Up is against the y axis of an optical frame.
    np.testing.assert_allclose(found.turn_rate[:, 1], [-0.1, -0.2, -0.3, -0.4], atol=1e-9)
    np.testing.assert_allclose(found.acceleration, np.tile([0.0, -9.81, 0.0], (4, 1)), atol=1e-9)
    np.testing.assert_allclose(heard.listener.place, -MOUNT[:3, :3].T @ MOUNT[:3, 3], atol=1e-9)
    assert heard.listener.between(T0 + 2000 * MS, T0 + 2010 * MS) is None
    assert "/imu covers 1700000000 to 1700000000 s" in heard.listener.why_silent(T0 + 2010 * MS)
    tracker_side = HeardImu(lambda: heard.listener)
    assert tracker_side.between(T0 + 5 * MS, T0 + 20 * MS) is not None
    np.testing.assert_allclose(tracker_side.place, heard.listener.place)


def test_what_is_of_no_use_is_named_and_passed_over(heard: Heard) -> None:
    for ms, rate in ((0, 0.1), (5, float("nan")), (5, 0.2), (4, 9.0), (10, 0.3)):
        heard.send(ms, rate)
    found = heard.readings(0, 10)
    np.testing.assert_allclose(found.turn_rate[:, 1], [-0.1, -0.2, -0.3], atol=1e-9)
    assert heard.problems == ["/imu: a reading is not finite and is passed over"]
    # Time has started again, and the mount of another frame is not known.
    for k in range(3):
        heard.send(5 * k - 5000, 1.0, frame="elsewhere")
    wait_until(
        lambda: heard.listener.between(T0 - 5000 * MS, T0 - 4990 * MS) is None and len(heard.problems) > 1,
        what="a word about the frame",
    )
    assert heard.problems[-1] == "the IMU is left out: the camera is not on elsewhere"


def test_while_the_node_does_not_listen_nothing_is_known() -> None:
    silent = HeardImu(lambda: None)
    assert silent.between(0, 10) is None
    assert silent.why_silent(0) == "the node does not listen"
    np.testing.assert_array_equal(silent.place, np.zeros(3))
