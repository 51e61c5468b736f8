"""What a pose node publishes, by stamp: poses, latency, confidence and state."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Event

from geometry_msgs.msg import PoseWithCovarianceStamped
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.harness.spun_node import SpunNode
from ros2_raxels.nodes.common.messages import pose_array, raw_stamp_ns, stamp_ns

IMAGE_TOPIC, INFO_TOPIC = "/camera/image_raw", "/camera/camera_info"
POSE_TOPIC, STATUS_TOPIC = "/raxels_pose/pose", "/raxels_pose/status"

_STATES = ("waiting", "initialising", "tracking", "held", "lost")


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
        transforms: number of frames whose transform was received.
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


class Observer(SpunNode):
    """Fills `Heard` while it is spun.

    Args:
        has_camera_info: whether a camera_info comes with every frame; if not, stamps are read from the images.
        interrupted: set once the user wants it to end.
    """

    def __init__(self, has_camera_info: bool, interrupted: Event) -> None:
        super().__init__("raxels_demo", interrupted)
        self.heard = Heard()
        subscribe = self.node.create_subscription
        subscribe(PoseWithCovarianceStamped, POSE_TOPIC, self._on_pose, 100)
        subscribe(PoseStatus, STATUS_TOPIC, self._on_status, 100)
        subscribe(TFMessage, "/tf", self._on_transforms, 100)
        if has_camera_info:
            subscribe(CameraInfo, INFO_TOPIC, self._on_info, 100)
        else:
            subscribe(Image, IMAGE_TOPIC, self._on_raw_image, 10, raw=True)

    def hears(self, *topics: str) -> bool:
        """Whether a publisher of each of these topics has been discovered."""
        return all(self.node.count_publishers(topic) for topic in topics)

    def _on_info(self, message: CameraInfo) -> None:
        self.heard.published_ns.append(stamp_ns(message.header.stamp))

    def _on_raw_image(self, serialized: bytes) -> None:
        self.heard.published_ns.append(raw_stamp_ns(serialized))

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        now_ns, stamp = time.time_ns(), stamp_ns(message.header.stamp)
        if message.pose.covariance[0] < UNKNOWN_VARIANCE:
            self.heard.poses[stamp] = pose_array(message.pose.pose)
            self.heard.latency_s[stamp] = (now_ns - stamp) * 1e-9

    def _on_status(self, message: PoseStatus) -> None:
        heard = self.heard
        heard.state, heard.message = state_name(message.state), message.message
        heard.received, heard.dropped = int(message.frames_received), int(message.frames_dropped)
        heard.confidence[stamp_ns(message.header.stamp)] = float(message.confidence)

    def _on_transforms(self, message: TFMessage) -> None:
        self.heard.transforms += sum(t.child_frame_id == "camera_optical_frame" for t in message.transforms)


def state_name(state: int) -> str:
    """Name of a state of PoseStatus."""
    return next((name for name in _STATES if getattr(PoseStatus, f"STATE_{name.upper()}") == state), f"state {state}")
