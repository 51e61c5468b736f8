"""What a listener hears of a pose node: when, how late and how sure. The only part of the demo that imports rclpy."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry import FloatArray, make_pose, rotation_from_quaternion

IMAGE_TOPIC, INFO_TOPIC = "/camera/image_raw", "/camera/camera_info"
POSE_TOPIC, STATUS_TOPIC = "/raxels_pose/pose", "/raxels_pose/status"

_UNKNOWN_VARIANCE = 9999.0
_STATES = ("waiting", "initialising", "tracking", "held", "lost")


@dataclass
class Heard:
    """Everything received, by stamp.

    Attributes:
        published_ns: stamps of the camera's frames in order.
        poses: camera_to_world of the frames that were tracked, by stamp, ns.
        latency_s: from stamp to reception of the pose, by stamp, ns; only means something with wall-clock stamps.
        confidence: by stamp, ns.
        state: newest state in words.
        message: why it is not tracking, in words.
        received, dropped: the pose node's own count of frames.
        transforms: frames whose transform came.
    """

    published_ns: list[int] = field(default_factory=list)
    poses: dict[int, FloatArray] = field(default_factory=dict)
    latency_s: dict[int, float] = field(default_factory=dict)
    confidence: dict[int, float] = field(default_factory=dict)
    state: str = "waiting"
    message: str = ""
    received: int = 0
    dropped: int = 0
    transforms: int = 0


class Observer:
    """A node of its own context, driven by `spin`.

    Args:
        has_camera_info: whether the camera sends one with every frame; else stamps are read from the images.
        interrupted: set once the user wants it to end.
    """

    def __init__(self, has_camera_info: bool, interrupted: Event) -> None:
        self.heard = Heard()
        self._interrupted = interrupted
        self._context = rclpy.Context()
        # Ctrl-C must reach Python: the children are ended by its KeyboardInterrupt.
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("raxels_demo", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        subscribe = self._node.create_subscription
        subscribe(PoseWithCovarianceStamped, POSE_TOPIC, self._on_pose, 100)
        subscribe(PoseStatus, STATUS_TOPIC, self._on_status, 100)
        subscribe(TFMessage, "/tf", self._on_transforms, 100)
        if has_camera_info:
            subscribe(CameraInfo, INFO_TOPIC, self._on_info, 100)
        else:
            subscribe(Image, IMAGE_TOPIC, self._on_raw_image, 10, raw=True)

    def spin(self, seconds: float) -> None:
        """Receive for so long.

        Raises:
            KeyboardInterrupt: it was interrupted, now or before.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
            if self._interrupted.is_set():
                raise KeyboardInterrupt

    def hears(self, *topics: str) -> bool:
        """Whether all of these have a publisher already."""
        return all(self._node.count_publishers(topic) for topic in topics)

    def close(self) -> None:
        """Leave the network."""
        self._executor.shutdown(timeout_sec=0.5)
        self._node.destroy_node()
        self._context.try_shutdown()

    def _on_info(self, message: CameraInfo) -> None:
        self.heard.published_ns.append(_nanoseconds(message.header.stamp))

    def _on_raw_image(self, serialized: bytes) -> None:
        # CDR: four bytes of encapsulation, then the stamp; the pixels need not be unpacked for it.
        sec, nanosec = struct.unpack_from("<iI", serialized, 4)
        self.heard.published_ns.append(sec * 10**9 + nanosec)

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        now_ns, stamp_ns = time.time_ns(), _nanoseconds(message.header.stamp)
        if message.pose.covariance[0] >= _UNKNOWN_VARIANCE:
            return
        p, q = message.pose.pose.position, message.pose.pose.orientation
        rotation = rotation_from_quaternion((q.x, q.y, q.z, q.w))
        self.heard.poses[stamp_ns] = make_pose(rotation, (p.x, p.y, p.z))
        self.heard.latency_s[stamp_ns] = (now_ns - stamp_ns) * 1e-9

    def _on_status(self, message: PoseStatus) -> None:
        heard = self.heard
        heard.state, heard.message = state_name(message.state), message.message
        heard.received, heard.dropped = int(message.frames_received), int(message.frames_dropped)
        heard.confidence[_nanoseconds(message.header.stamp)] = float(message.confidence)

    def _on_transforms(self, message: TFMessage) -> None:
        self.heard.transforms += sum(t.child_frame_id == "camera_optical_frame" for t in message.transforms)


def state_name(state: int) -> str:
    """Of PoseStatus, in a word."""
    return next((name for name in _STATES if getattr(PoseStatus, f"STATE_{name.upper()}") == state), f"state {state}")


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)
