"""nodes.outputs: what other threads see while an answer is being published."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ros_testing import Probe

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import rclpy
from std_msgs.msg import Header

from ros2_raxels.geometry.frame_tree import UnknownFrameError
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common.parameters import declare
from ros2_raxels.nodes.pose.outputs import PoseOutputs
from ros2_raxels.nodes.pose.parameters import POSE_TABLE
from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackState

pytestmark = pytest.mark.ros


class _Watching:
    """TF without any frame; notes down what the diagnostics would show at each question."""

    outputs: PoseOutputs

    def __init__(self) -> None:
        self.seen: list[str] = []

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        self.seen.append(self.outputs.tf_refusal)
        raise UnknownFrameError("nobody knows a frame")


@pytest.fixture
def watching(probe: Probe) -> Iterator[_Watching]:
    """Outputs that are asked to publish an edge in metres, of which nothing is known."""
    mode = [rclpy.Parameter("tf.mode", value="odom_to_base")]
    node = rclpy.create_node("outputs", context=probe.node.context, parameter_overrides=mode)
    found = _Watching()
    found.outputs = PoseOutputs(node, declare(node, POSE_TABLE), found, "scripted")
    yield found
    found.outputs.destroy()
    node.destroy_node()


def answer(stamp_ns: int, state: TrackState = TrackState.TRACKING) -> TrackedPose:
    return TrackedPose(stamp_ns, np.eye(4), np.eye(6), state, SolveQuality(0.75, 0.5, 100, 80, 0.01, 0.02))


def test_a_refusal_stays_visible_while_the_next_answer_is_placed(watching: _Watching) -> None:
    header = Header(frame_id="eye")
    watching.outputs.publish(answer(1), header, None)
    refusal = watching.outputs.tf_refusal
    assert refusal == "tf.mode odom_to_base needs the pose of the camera on the base: nobody knows a frame"
    watching.seen.clear()
    watching.outputs.publish(answer(2), header, None)
    assert watching.seen
    assert set(watching.seen) == {refusal}
    assert watching.outputs.tf_refusal == refusal
    watching.outputs.publish(answer(3, TrackState.INITIALISING), header, None)
    assert watching.outputs.tf_refusal == ""
