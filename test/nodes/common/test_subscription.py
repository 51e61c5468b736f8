"""nodes.subscription: which camera_info goes with an image."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from ros2_raxels.nodes.common.messages import stamp_message
from ros2_raxels.nodes.common.subscription import CameraInfos


def header(stamp_ns: int, frame: str = "eye") -> Header:
    return Header(stamp=stamp_message(stamp_ns), frame_id=frame)


def info(stamp_ns: int, frame: str = "eye") -> CameraInfo:
    return CameraInfo(header=header(stamp_ns, frame))


def test_an_image_gets_the_message_of_its_stamp_or_else_the_newest() -> None:
    infos = CameraInfos()
    assert infos.of(header(1)) is None
    assert infos.newest is None
    first, second = info(1), info(2)
    infos.add(first)
    infos.add(second)
    assert infos.of(header(1)) is first
    assert infos.of(header(3)) is second
    assert infos.of(header(3), first) is first
    assert infos.of(header(2), first) is second
    assert infos.newest is second


def test_two_cameras_triggered_together_each_keep_their_own() -> None:
    infos = CameraInfos()
    left, right = info(1, "left"), info(1, "right")
    infos.add(left)
    infos.add(right)
    assert infos.of(header(1, "/left")) is left
    assert infos.of(header(1, "right")) is right
    # A driver that names another frame in its camera_info than in its images.
    assert infos.of(header(1, "eye")) is right


def test_a_busy_topic_does_not_fill_the_memory() -> None:
    infos = CameraInfos()
    for stamp in range(1000):
        infos.add(info(stamp))
    assert infos.of(header(0)) is infos.newest
    assert infos.of(header(980)).header.stamp.nanosec == 980


def test_a_message_that_comes_twice_is_kept_once_and_an_older_one_that_comes_again_is_the_newest() -> None:
    infos = CameraInfos()
    wide, narrow = info(0), CameraInfo(header=header(0), width=64)
    for found in (wide, narrow, info(0)):
        infos.add(found)
    assert len(infos._kept) == 2
    assert infos.newest == wide
