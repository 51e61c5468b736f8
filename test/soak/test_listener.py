"""The listener of a soak: answers, poses and counts by stamp, and a new world with every new trajectory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseWithCovarianceStamped
from std_msgs.msg import Header

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.nodes.common.messages import pose_message, stamp_message
from ros2_raxels.soak.listener import Listener

pytestmark = pytest.mark.ros

NOW_S = 12.5
POSE = make_pose(rotation_from_vector([0.1, 0.2, 0.3]), (1.0, 2.0, 3.0))


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener(lambda: NOW_S, Event())
    yield listener
    listener.close()


def hear(listener: Listener, condition: Callable[[], Any]) -> None:
    def heard() -> bool:
        listener.spin(0.02)
        return bool(condition())

    wait_until(heard, what="what was published")


def header(stamp_ns: int) -> Header:
    return Header(stamp=stamp_message(stamp_ns), frame_id="world")


def test_every_status_is_the_answer_to_the_image_with_its_stamp(listener: Listener, probe: Probe) -> None:
    statuses = matched(probe.publisher(PoseStatus, "/soak/raxels_pose/status", 100))
    assert listener.state_name == "waiting"
    for stamp, state in ((1, PoseStatus.STATE_TRACKING), (2, PoseStatus.STATE_HELD)):
        status = PoseStatus(header=header(stamp), state=state, latency_s=0.25 * stamp)
        status.frames_received, status.frames_processed = 10 * stamp, 9 * stamp
        statuses.publish(status)
    hear(listener, lambda: len(listener.answers) == 2)
    answers = {stamp: (a.at_s, a.tracked, a.latency_s) for stamp, a in listener.answers.items()}
    assert answers == {1: (NOW_S, True, 0.25), 2: (NOW_S, False, 0.5)}
    assert (listener.counts.received, listener.counts.processed) == (20, 18)
    assert listener.state_name == "held"


def test_a_new_world_begins_whenever_tracking_restarts(listener: Listener, probe: Probe) -> None:
    statuses = matched(probe.publisher(PoseStatus, "/soak/raxels_pose/status", 100))
    poses = matched(probe.publisher(PoseWithCovarianceStamped, "/soak/raxels_pose/pose", 100))
    begin, track = PoseStatus.STATE_INITIALISING, PoseStatus.STATE_TRACKING
    said = [
        (begin, 0),
        (begin, 0),
        (track, 0),
        (PoseStatus.STATE_LOST, 0),
        (track, 0),
        (begin, 0),
        (track, 0),
        (track, 1),
    ]
    counts = [*range(1, len(said) + 1), 1]
    # The last is of a node that was started again.
    said.append((track, 1))
    for stamp, ((state, resets), count) in enumerate(zip(said, counts, strict=True), 1):
        statuses.publish(PoseStatus(header=header(stamp), state=state, resets=resets, frames_processed=count))
        hear(listener, lambda stamp=stamp: stamp in listener.answers)
        if state == track:
            pose = PoseWithCovarianceStamped(header=header(stamp))
            pose.pose.pose = pose_message(POSE)
            poses.publish(pose)
            hear(listener, lambda stamp=stamp: stamp in listener.places)
    assert {stamp: world for stamp, (world, _) in listener.places.items()} == {3: 1, 5: 1, 7: 2, 8: 3, 9: 4}
    for _, place in listener.places.values():
        np.testing.assert_allclose(place, POSE[:3, 3])
    assert listener.newest is not None
    frame, newest = listener.newest
    assert frame == "world"
    np.testing.assert_allclose(newest, POSE, atol=1e-12)


def test_the_first_pose_that_cannot_be_used_is_remembered(listener: Listener, probe: Probe) -> None:
    poses = matched(probe.publisher(PoseWithCovarianceStamped, "/soak/raxels_pose/pose", 100))
    nan, zero = PoseWithCovarianceStamped(header=header(1)), PoseWithCovarianceStamped(header=header(2))
    nan.pose.pose.position.x = float("nan")
    zero.pose.pose.orientation.w = 0.0
    poses.publish(nan)
    hear(listener, lambda: listener.unusable)
    words = listener.unusable
    assert "nan" in words.lower()
    poses.publish(zero)
    good = PoseWithCovarianceStamped(header=header(3))
    good.pose.pose = pose_message(POSE)
    poses.publish(good)
    hear(listener, lambda: listener.newest)
    assert listener.unusable == words
    assert set(listener.places) == {3}


def test_counts_of_replaced_and_rejected_frames_come_from_the_diagnostics(listener: Listener, probe: Probe) -> None:
    diagnostics = matched(probe.publisher(DiagnosticArray, "/diagnostics", 100))
    values = {"frames replaced by a newer one": "7", "frames rejected": "3", "other": "x"}
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    other = DiagnosticStatus(name="soak/raxels_views: input")
    own = DiagnosticStatus(name="soak/raxels_pose: input", values=pairs)
    diagnostics.publish(DiagnosticArray(status=[other, own]))
    hear(listener, lambda: listener.counts.replaced)
    assert (listener.counts.replaced, listener.counts.rejected) == (7, 3)


def test_both_nodes_are_present_only_once_each_is(listener: Listener, probe: Probe) -> None:
    nodes = []
    try:
        for name in ("raxels_pose", "raxels_views"):
            assert not listener.hears_both()
            nodes.append(rclpy.create_node(name, context=probe.node.context, namespace="/soak"))
        wait_until(listener.hears_both, what="both nodes")
    finally:
        for node in nodes:
            node.destroy_node()
