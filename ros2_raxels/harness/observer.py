"""What a pose node publishes, by stamp: poses, latency, confidence and state."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Event
from typing import NamedTuple

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.harness.spun_node import SpunNode
from ros2_raxels.nodes.common.messages import pose_array, pose_message, raw_stamp_ns, stamp_ns, transform_message
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos

IMAGE_TOPIC, INFO_TOPIC = "/camera/image_raw", "/camera/camera_info"
POSE_TOPIC, STATUS_TOPIC = "/raxels_pose/pose", "/raxels_pose/status"

OPTICAL_FRAME, BASE_FRAME, WORLD_FRAME = "camera_optical_frame", "base_link", "raxels_world"

_STATES = ("waiting", "initialising", "tracking", "held", "lost")


class Status(NamedTuple):
    """What a status says of a frame: name of the state, confidence, whether metres, and the node's own latency, s."""

    state: str
    confidence: float
    metric: bool
    latency_s: float


class Transform(NamedTuple):
    """Stamp of a transform, ns, and when it came, s on the steady clock."""

    stamp_ns: int
    received_s: float


@dataclass
class Heard:
    """Everything received.

    Attributes:
        published_ns: stamps of the camera's frames in order.
        poses: camera_to_world of the frames that were tracked, by stamp, ns.
        latency_s: from stamp to reception of the pose, by stamp, ns; only meaningful with wall-clock stamps.
        confidence: by stamp, ns.
        state: name of the newest state.
        message: why the node is not tracking.
        received, dropped: the pose node's own counts of frames.
        transforms: of the camera or the base, as they came.
        published: pose and 6x6 covariance of every pose that was published, by stamp, ns.
        statuses: by stamp, ns; those that belong to no frame carry the time at which they were sent.
    """

    published_ns: list[int] = field(default_factory=list)
    poses: dict[int, FloatArray] = field(default_factory=dict)
    latency_s: dict[int, float] = field(default_factory=dict)
    confidence: dict[int, float] = field(default_factory=dict)
    state: str = "waiting"
    message: str = ""
    received: int = 0
    dropped: int = 0
    transforms: list[Transform] = field(default_factory=list)
    published: dict[int, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    statuses: dict[int, Status] = field(default_factory=dict)


class Observer(SpunNode):
    """Fills `Heard` while it is spun.

    Args:
        has_camera_info: whether a camera_info comes with every frame; if not, stamps are read from the images.
        interrupted: set once the user wants it to end.
        camera_to_base: 4x4 of the optical frame in the base, m, to be told on /tf_static; None for a camera alone.
    """

    def __init__(self, has_camera_info: bool, interrupted: Event, camera_to_base: FloatArray | None = None) -> None:
        super().__init__("raxels_demo", interrupted)
        if camera_to_base is not None:
            self._tell_mount(camera_to_base)
        self.heard = Heard()
        subscribe = self.node.create_subscription
        subscribe(PoseWithCovarianceStamped, POSE_TOPIC, self._on_pose, 100)
        subscribe(PoseStatus, STATUS_TOPIC, self._on_status, 100)
        subscribe(TFMessage, "/tf", self._on_transforms, 100)
        if has_camera_info:
            subscribe(CameraInfo, INFO_TOPIC, self._on_info, 100)
        else:
            subscribe(Image, IMAGE_TOPIC, self._on_raw_image, 10, raw=True)

    def _tell_mount(self, camera_to_base: FloatArray) -> None:
        edge = TransformStamped(child_frame_id=OPTICAL_FRAME, transform=transform_message(pose_message(camera_to_base)))
        edge.header.frame_id = BASE_FRAME
        self.node.create_publisher(TFMessage, "/tf_static", tf_qos(static=True)).publish(TFMessage(transforms=[edge]))

    def hears(self, *topics: str) -> bool:
        """Whether a publisher of each of these topics has been discovered."""
        return all(self.node.count_publishers(topic) for topic in topics)

    def _on_info(self, message: CameraInfo) -> None:
        self.heard.published_ns.append(stamp_ns(message.header.stamp))

    def _on_raw_image(self, serialized: bytes) -> None:
        self.heard.published_ns.append(raw_stamp_ns(serialized))

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        now_ns, stamp = time.time_ns(), stamp_ns(message.header.stamp)
        pose, covariance = pose_array(message.pose.pose), np.reshape(message.pose.covariance, (6, 6))
        self.heard.published[stamp] = pose, covariance
        if covariance[0, 0] < UNKNOWN_VARIANCE:
            self.heard.poses[stamp] = pose
            self.heard.latency_s[stamp] = (now_ns - stamp) * 1e-9

    def _on_status(self, message: PoseStatus) -> None:
        heard = self.heard
        heard.state, heard.message = state_name(message.state), message.message
        heard.received, heard.dropped = int(message.frames_received), int(message.frames_dropped)
        stamp, confidence = stamp_ns(message.header.stamp), float(message.confidence)
        heard.confidence[stamp] = confidence
        metric, latency_s = bool(message.scale_is_metric), float(message.latency_s)
        heard.statuses[stamp] = Status(heard.state, confidence, metric, latency_s)

    def _on_transforms(self, message: TFMessage) -> None:
        now_s = time.monotonic()
        for edge in message.transforms:
            if edge.child_frame_id == OPTICAL_FRAME or WORLD_FRAME in (edge.header.frame_id, edge.child_frame_id):
                self.heard.transforms.append(Transform(stamp_ns(edge.header.stamp), now_s))


def state_name(state: int) -> str:
    """Name of a state of PoseStatus."""
    return next((name for name in _STATES if getattr(PoseStatus, f"STATE_{name.upper()}") == state), f"state {state}")
