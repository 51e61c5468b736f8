"""Reading TF over DDS: the same tests for tf2_ros's buffer, where it is installed, and for our own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")

from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from ros2_raxels.geometry.frame_tree import FrameError, NoDataError, NotConnectedError, UnknownFrameError
from ros2_raxels.nodes.common.messages import stamp_message
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos
from ros2_raxels.nodes.common.tf_listener import Tf2Reader, TransformReader, TreeReader, make_reader

pytestmark = pytest.mark.ros

S = 1_000_000_000
T0 = 1_700_000_000 * S
QUARTER = Quaternion(x=0.0, y=0.0, z=np.sqrt(0.5), w=np.sqrt(0.5))


class Broadcaster:
    """Publishers of /tf and /tf_static."""

    def __init__(self, probe: Probe) -> None:
        self._publishers = {s: matched(probe.publisher(TFMessage, t, tf_qos(s))) for t, s in TOPICS}

    def send(self, parent: str, child: str, stamp: int, x: float = 0.0, *, static: bool = False, turn: Any = None):
        transform = Transform(translation=Vector3(x=x), rotation=turn or Quaternion(w=1.0))
        header = Header(frame_id=parent, stamp=stamp_message(stamp))
        edge = TransformStamped(header=header, child_frame_id=child, transform=transform)
        self._publishers[static].publish(TFMessage(transforms=[edge]))


TOPICS = (("/tf", False), ("/tf_static", True))


@pytest.fixture(params=[TreeReader, Tf2Reader])
def reader(request: pytest.FixtureRequest, probe: Probe) -> Iterator[TransformReader]:
    if request.param is Tf2Reader:
        pytest.importorskip("tf2_ros")
    instance = request.param(probe.node)
    yield instance
    instance.destroy()


@pytest.fixture
def tf(probe: Probe, reader: TransformReader) -> Broadcaster:
    return Broadcaster(probe)


def test_a_chain_is_composed_interpolated_and_static_edges_hold_at_any_time(reader: TransformReader, tf: Broadcaster):
    tf.send("/base_link", "eye", T0, 0.5, static=True, turn=QUARTER)
    tf.send("odom", "base_link", T0, 1.0)
    tf.send("odom", "base_link", T0 + S // 10, 2.0)
    expected = np.array([[0, -1, 0, 1.75], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    np.testing.assert_allclose(reader.wait_for("odom", "/eye", T0 + S // 40, 5.0), expected, atol=1e-12)
    np.testing.assert_allclose(reader.lookup("eye", "odom", T0 + S // 40), np.linalg.inv(expected), atol=1e-12)
    assert reader.lookup("odom", "eye")[0, 3] == pytest.approx(2.5)
    assert reader.lookup("base_link", "eye", T0 - 999 * S)[0, 3] == pytest.approx(0.5)


def test_each_missing_transform_has_its_own_error_and_none_is_extrapolated(reader: TransformReader, tf: Broadcaster):
    tf.send("odom", "base_link", T0)
    tf.send("odom", "base_link", T0 + S // 10)
    tf.send("island", "hut", T0, static=True)
    reader.wait_for("odom", "base_link", T0 + S // 10, 5.0)
    reader.wait_for("island", "hut", T0, 5.0)
    for stamp in (-S, T0 - 1, T0 + S // 10 + 1):
        with pytest.raises(NoDataError, match="base_link"):
            reader.lookup("odom", "base_link", stamp)
    with pytest.raises(NotConnectedError, match="hut"):
        reader.lookup("odom", "hut", T0)
    with pytest.raises(UnknownFrameError, match="nowhere"):
        reader.lookup("odom", "nowhere", T0)


def test_waiting_ends_with_the_pose_or_the_reason(reader: TransformReader, tf: Broadcaster):
    tf.send("odom", "base_link", T0)
    reader.wait_for("odom", "base_link", T0, 5.0)
    begun = time.monotonic()
    with pytest.raises(NoDataError):
        reader.wait_for("odom", "base_link", T0 + S, 0.2)
    assert time.monotonic() - begun >= 0.2
    tf.send("odom", "base_link", T0 + S, 3.0)
    assert reader.wait_for("odom", "base_link", T0 + S, 5.0)[0, 3] == pytest.approx(3.0)


def test_transforms_that_are_not_poses_are_ignored(reader: TransformReader, tf: Broadcaster):
    tf.send("odom", "base_link", T0, 1.0)
    reader.wait_for("odom", "base_link", T0, 5.0)
    tf.send("odom", "base_link", T0 + 1, float("nan"))
    tf.send("odom", "base_link", T0 + 2, 1.0, turn=Quaternion(w=0.0))
    tf.send("odom", "base_link", T0 + 3, 4.0)
    reader.wait_for("odom", "base_link", T0 + 3, 5.0)
    assert reader.lookup("odom", "base_link", T0 + 2)[0, 3] == pytest.approx(3.0)


def test_a_simulated_clock_that_jumps_back_forgets_what_moved(probe: Probe):
    probe.node.set_parameters([Parameter("use_sim_time", value=True)])
    clock = matched(probe.publisher(Clock, "/clock"))
    reader = make_reader(probe.node)
    tf = Broadcaster(probe)

    def tick(stamp: int) -> None:
        clock.publish(Clock(clock=stamp_message(stamp)))
        wait_until(lambda: probe.node.get_clock().now().nanoseconds == stamp, what="simulated time")

    tick(T0 + 9 * S)
    tf.send("odom", "base_link", T0 + 9 * S)
    tf.send("base_link", "eye", T0, static=True)
    reader.wait_for("odom", "base_link", T0 + 9 * S, 5.0)
    reader.wait_for("base_link", "eye", T0, 5.0)
    tick(T0)
    with pytest.raises(FrameError):
        reader.lookup("odom", "base_link", T0 + 9 * S)
    assert reader.lookup("base_link", "eye", T0)[0, 3] == 0.0
    reader.destroy()
