"""camera_topics: images, camera_info and places of all cameras of a rig, and depth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rig_sets import write_walk_set
from rig_walk import LENS, stereo
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from ros2_raxels.geometry.frame_tree import FrameTree
from ros2_raxels.nodes.camera_topics import CameraTopics, depth_message, ros_name
from ros2_raxels.nodes.common.messages import image_array, stamp_message
from ros2_raxels.nodes.common.tf_broadcaster import insert_edges, tf_qos
from ros2_raxels.recordings.depth_picture import DepthPicture, decode_depth
from ros2_raxels.recordings.open import open_source

pytestmark = pytest.mark.ros

STAMP = stamp_message(1_700_000_000_123_456_789)


def told(messages: list[Image] | list[CameraInfo]) -> list[tuple[str, Time]]:
    return [(message.header.frame_id, message.header.stamp) for message in messages]


def test_all_cameras_of_a_rig_are_played_with_their_camera_info_and_places(probe: Probe, tmp_path: Path) -> None:
    source = open_source(write_walk_set(tmp_path / "rig", stereo(), 2))
    topics = CameraTopics(probe.node, source, QoSProfile(depth=5), "eye", "base_link")
    images = {name: probe.collect(Image, f"/probe/{name}image_raw") for name in ("", "left/", "right/")}
    infos = probe.collect(CameraInfo, "/probe/right/camera_info")
    static = probe.collect(TFMessage, "/tf_static", tf_qos(static=True))
    for publisher in (*topics.images, topics.infos[2]):
        matched(publisher)
    frame = next(iter(source))
    topics.send(topics.filled(frame), STAMP)
    wait_until(lambda: all(images.values()) and infos and static, what="a moment")
    assert [told(found) for found in images.values()] == [
        [("eye", STAMP)],
        [("left_optical_frame", STAMP)],
        [("right_optical_frame", STAMP)],
    ]
    for name, expected in (("", "left"), ("left/", "left"), ("right/", "right")):
        np.testing.assert_array_equal(image_array(images[name][0]), stereo().images[0][expected])
    assert told(infos) == [("right_optical_frame", STAMP)]
    assert (infos[0].width, infos[0].k[0]) == (LENS.width, LENS.fx)
    tree = FrameTree()
    assert not any(insert_edges(tree, static[0], static=True))
    mount = stereo().rig["right"].camera_to_base
    np.testing.assert_allclose(tree.lookup("base_link", "right_optical_frame"), mount, atol=1e-9)


def test_a_moment_without_the_first_camera_is_that_of_the_others_alone(probe: Probe, tmp_path: Path) -> None:
    source = open_source(write_walk_set(tmp_path / "rig", stereo(), 1))
    topics = CameraTopics(probe.node, source, QoSProfile(depth=5), "eye", "")
    filled = topics.filled(replace(next(iter(source)), leader_missing=True))
    assert [publisher.topic_name for publisher, _ in filled] == [
        "/probe/right/camera_info",
        "/probe/right/image_raw",
    ]


def test_depth_is_played_in_metres() -> None:
    depth_m = np.array([[1.5, np.nan], [0.25, 3.0], [1.0, 2.0]], np.float32)
    message = depth_message(DepthPicture(depth_m).depth_m, Header(frame_id="eye"))
    assert (message.encoding, message.width, message.height, message.header.frame_id) == ("32FC1", 2, 3, "eye")
    found = decode_depth(
        message.data, message.height, message.width, message.encoding, message.step, message.is_bigendian
    )
    np.testing.assert_array_equal(found, depth_m)


@pytest.mark.parametrize(("name", "topic"), [("left", "left"), ("cam-0.a", "cam_0_a"), ("0", "camera_0")])
def test_a_name_becomes_part_of_a_topic(name: str, topic: str) -> None:
    assert ros_name(name) == topic
