"""What a recording is played on: images and camera_info of its cameras, depth, and where they stand."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.nodes.common.messages import (
    camera_info_message,
    image_message,
    pose_message,
    transform_message,
)
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import Frame, FrameSource
from ros2_raxels.utils.ros_environment import ros_name

Filled = Sequence[tuple[Any, Any]]
"""Publishers, each with its message, camera_info before its image."""


class CameraTopics:
    """Publishers for a recording.

    Of one camera ``~/image_raw`` and ``~/camera_info``; of a rig those are the first camera's, and every camera has
    ``~/NAME/image_raw`` and ``~/NAME/camera_info`` as well, in the frame ``NAME_optical_frame``, which /tf_static puts
    on the base. ``~/depth/image_raw`` where there are depth images.

    Args:
        node: that publishes.
        source: the recording.
        qos: of images and camera_info.
        frame_id: of ``~/image_raw``.
        base_frame: of the robot; empty for no /tf_static.

    Attributes:
        images: publishers of images, the first camera's first.
        infos: publishers of camera_info; none without intrinsics, because an empty topic would let listeners wait.
    """

    def __init__(self, node: Node, source: FrameSource, qos: QoSProfile, frame_id: str, base_frame: str) -> None:
        self._node, self._frame_id, self._rig = node, frame_id, source.rig
        names = ("", *(source.rig.names if source.rig is not None else ()))
        self._images = {name: node.create_publisher(Image, f"~/{_below(name)}image_raw", qos) for name in names}
        self._infos = (
            {name: node.create_publisher(CameraInfo, f"~/{_below(name)}camera_info", qos) for name in names}
            if source.camera is not None
            else {}
        )
        self._depth = node.create_publisher(Image, "~/depth/image_raw", qos) if source.has_depth else None
        self._depth_info = node.create_publisher(CameraInfo, "~/depth/camera_info", qos) if source.has_depth else None
        self.images, self.infos = list(self._images.values()), list(self._infos.values())
        if source.rig is not None and base_frame:
            self._static = node.create_publisher(TFMessage, "/tf_static", tf_qos(static=True))
            self._static.publish(TFMessage(transforms=list(self._mounts(base_frame))))

    def _mounts(self, base_frame: str) -> Iterator[TransformStamped]:
        assert self._rig is not None
        stamp = self._node.get_clock().now().to_msg()
        for name in self._rig.names:
            header = Header(frame_id=base_frame, stamp=stamp)
            place = transform_message(pose_message(self._rig[name].camera_to_base))
            yield TransformStamped(header=header, child_frame_id=_optical(name), transform=place)

    def filled(self, frame: Frame) -> Filled:
        """A frame as messages that have no stamp yet."""
        found: list[tuple[Any, Any]] = []
        if not frame.leader_missing:
            found += self._of("", self._frame_id, frame.image, frame.camera)
        if self._rig is not None:
            seen = {} if frame.leader_missing else {self._rig.leader: frame.image}
            for name, image in {**seen, **frame.others}.items():
                found += self._of(name, _optical(name), image, self._rig[name].camera)
        if frame.depth is not None and self._depth is not None:
            header = Header(frame_id=self._frame_id)
            if frame.depth.camera is not None:
                found.append((self._depth_info, camera_info_message(frame.depth.camera, header)))
            found.append((self._depth, depth_message(frame.depth.depth_m, Header(frame_id=self._frame_id))))
        return found

    def _of(self, name: str, frame_id: str, image: ImageArray, camera: Camera | None) -> Filled:
        found: list[tuple[Any, Any]] = []
        if camera is not None and name in self._infos:
            found.append((self._infos[name], camera_info_message(camera, Header(frame_id=frame_id))))
        return [*found, (self._images[name], image_message(image, Header(frame_id=frame_id)))]

    def send(self, messages: Filled, stamp: Time) -> None:
        """Publish the messages of a frame with a stamp; what nobody hears is not copied."""
        for publisher, message in messages:
            if publisher.get_subscription_count():
                message.header.stamp = stamp
                publisher.publish(message)


def _below(name: str) -> str:
    return f"{ros_name(name)}/" if name else ""


def _optical(name: str) -> str:
    return f"{ros_name(name)}_optical_frame"


def depth_message(depth_m: np.ndarray, header: Header) -> Image:
    """``32FC1`` from (height, width), m, NaN where there is none."""
    height, width = depth_m.shape
    message = Image(header=header, height=height, width=width, encoding="32FC1", step=4 * width)
    message.is_bigendian = int(sys.byteorder == "big")
    message.data.frombytes(np.ascontiguousarray(depth_m, np.float32).view(np.uint8).data)
    return message
