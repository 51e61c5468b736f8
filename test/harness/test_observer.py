"""An observer keeps what a pose node says by the stamp of the image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.harness.observer import (
    IMAGE_TOPIC,
    INFO_TOPIC,
    POSE_TOPIC,
    STATUS_TOPIC,
    WORLD_FRAME,
    Observer,
    state_name,
)
from ros2_raxels.nodes.common.messages import image_message, pose_message, stamp_message
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos

pytestmark = pytest.mark.ros

STAMP_NS = 1_700_000_000_123_456_789
POSE = make_pose(rotation_from_vector([0.1, -0.2, 0.3]), (1.0, 2.0, 3.0))


@contextmanager
def observing(has_camera_info: bool = True, camera_to_base: FloatArray | None = None) -> Iterator[Observer]:
    observer = Observer(has_camera_info, Event(), camera_to_base)
    try:
        yield observer
    finally:
        observer.close()


def hear(observer: Observer, condition: Callable[[], Any]) -> None:
    def heard() -> bool:
        observer.spin(0.02)
        return bool(condition())

    wait_until(heard, what="what was published")


def header(stamp_ns: int = STAMP_NS) -> Header:
    return Header(stamp=stamp_message(stamp_ns))


def test_poses_statuses_stamps_and_transforms_are_kept(probe: Probe) -> None:
    with observing() as observer:
        heard = observer.heard
        poses, statuses, tf, infos = (
            matched(probe.publisher(kind, topic, 100))
            for kind, topic in (
                (PoseWithCovarianceStamped, POSE_TOPIC),
                (PoseStatus, STATUS_TOPIC),
                (TFMessage, "/tf"),
                (CameraInfo, INFO_TOPIC),
            )
        )
        known, unknown = PoseWithCovarianceStamped(header=header()), PoseWithCovarianceStamped(header=header(5))
        known.pose.pose = unknown.pose.pose = pose_message(POSE)
        unknown.pose.covariance[0] = UNKNOWN_VARIANCE
        now_ns = time.time_ns()
        recent = PoseWithCovarianceStamped(header=header(now_ns - 50_000_000), pose=known.pose)
        for message in (unknown, known, recent):
            poses.publish(message)
        status = PoseStatus(header=header(), state=PoseStatus.STATE_HELD, message="dark", confidence=0.25)
        status.frames_received, status.frames_dropped = 7, 2
        status.scale_is_metric, status.latency_s = True, 0.125
        statuses.publish(status)
        edges = [
            TransformStamped(header=header(index), child_frame_id=name)
            for index, name in ((6, "base_link"), (7, "camera_optical_frame"))
        ]
        tf.publish(TFMessage(transforms=edges))
        infos.publish(CameraInfo(header=header()))
        hear(observer, lambda: len(heard.poses) == 2 and heard.confidence and heard.transforms and heard.published_ns)
    assert set(heard.poses) == {STAMP_NS, now_ns - 50_000_000}
    np.testing.assert_allclose(heard.poses[STAMP_NS], POSE, atol=1e-12)
    assert 0.05 <= heard.latency_s[now_ns - 50_000_000] < 5.0
    assert (heard.state, heard.message, heard.received, heard.dropped) == ("held", "dark", 7, 2)
    assert heard.confidence == {STAMP_NS: 0.25}
    assert heard.published_ns == [STAMP_NS]
    assert [edge.stamp_ns for edge in heard.transforms] == [7]
    np.testing.assert_allclose(heard.published[5][0], POSE, atol=1e-12)
    assert heard.published[5][1][0, 0] == UNKNOWN_VARIANCE
    assert heard.statuses == {STAMP_NS: ("held", 0.25, True, 0.125)}


def test_a_world_that_hangs_below_the_base_is_heard_too(probe: Probe) -> None:
    with observing() as observer:
        tf = matched(probe.publisher(TFMessage, "/tf", 100))
        edges = ((6, "odom", "base_link"), (7, WORLD_FRAME, "base_link"), (8, "base_link", WORLD_FRAME))
        for stamp, parent, child in edges:
            edge = TransformStamped(header=header(stamp), child_frame_id=child)
            edge.header.frame_id = parent
            tf.publish(TFMessage(transforms=[edge]))
        hear(observer, lambda: len(observer.heard.transforms) == 2)
    assert [edge.stamp_ns for edge in observer.heard.transforms] == [7, 8]


def test_it_tells_where_the_camera_is_on_the_robot(probe: Probe) -> None:
    with observing(camera_to_base=POSE):
        told = probe.collect(TFMessage, "/tf_static", tf_qos(static=True))
        wait_until(lambda: told, what="the mount")
    (edge,) = told[0].transforms
    assert (edge.header.frame_id, edge.child_frame_id) == ("base_link", "camera_optical_frame")
    np.testing.assert_allclose(
        [edge.transform.translation.x, edge.transform.translation.y, edge.transform.translation.z], POSE[:3, 3]
    )


def test_without_camera_info_stamps_are_read_from_the_images(probe: Probe) -> None:
    with observing(has_camera_info=False) as observer:
        images = matched(probe.publisher(Image, IMAGE_TOPIC))
        images.publish(image_message(np.zeros((3, 4, 3), np.uint8), header()))
        hear(observer, lambda: observer.heard.published_ns)
    assert observer.heard.published_ns == [STAMP_NS]


def test_it_hears_a_topic_once_that_has_a_publisher(probe: Probe) -> None:
    with observing() as observer:
        assert not observer.hears(POSE_TOPIC)
        probe.publisher(PoseWithCovarianceStamped, POSE_TOPIC)
        wait_until(lambda: observer.hears(POSE_TOPIC), what="its publisher")
        assert not observer.hears(POSE_TOPIC, STATUS_TOPIC)


def test_every_state_has_a_name() -> None:
    states = {name: getattr(PoseStatus, name) for name in dir(PoseStatus) if name.startswith("STATE_")}
    assert {state_name(value) for value in states.values()} == {name[6:].lower() for name in states}
    assert state_name(99) == "state 99"
