"""Two cameras of a pose node over DDS, and what the node says of them."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from pose_rig import CAMERA, next_stamp_ns, picture
from ros_testing import Probe, matched, wait_until
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message, stamp_ns
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos

NAMES = ("left", "right")


class TwoCameras:
    """Their publishers, and what the node says."""

    def __init__(self, probe: Probe, node: Any) -> None:
        self.node = node
        self._images = {name: probe.publisher(Image, f"{name}/image") for name in NAMES}
        self._infos = {name: probe.publisher(CameraInfo, f"{name}/camera_info") for name in NAMES}
        self._static = probe.publisher(TFMessage, "/tf_static", tf_qos(static=True))
        self._diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
        self.status = probe.collect(PoseStatus, "/raxels_pose/status")
        for publisher in (*self._images.values(), *self._infos.values()):
            matched(publisher)

    def mount(self) -> None:
        """Say where the right camera is."""
        header, away = Header(frame_id="left_optical"), Vector3(x=0.12)
        transform = Transform(translation=away, rotation=Quaternion(w=1.0))
        edge = TransformStamped(header=header, child_frame_id="right_optical", transform=transform)
        self._static.publish(TFMessage(transforms=[edge]))

    def send(self, *names: str, height: int = CAMERA.height) -> int:
        """Images of one moment; its stamp."""
        stamp = next_stamp_ns()
        for name in names:
            header = Header(frame_id=f"{name}_optical", stamp=stamp_message(stamp))
            self._infos[name].publish(camera_info_message(CAMERA, header))
            image = picture(height=height if name == "right" else CAMERA.height)
            self._images[name].publish(image_message(image, header))
        return stamp

    def answer_with(self, words: str, *names: str) -> PoseStatus:
        """The first status, of moments sent until then, that has these words."""
        sent: set[int] = set()

        def found() -> PoseStatus | None:
            sent.add(self.send(*names))
            fitting = [s for s in self.status if stamp_ns(s.header.stamp) in sent and words in s.message]
            return fitting[-1] if fitting else None

        return wait_until(found, 20.0, f"status with {words!r}", every_s=0.05)

    def health(self, words: str, *names: str, of: str = "cameras") -> DiagnosticStatus:
        """A diagnostic `of` the node with these words from now on, while moments are sent."""
        since = len(self._diagnostics)

        def found() -> DiagnosticStatus | None:
            self.send(*names)
            told = [s for m in self._diagnostics[since:] for s in m.status if s.name == f"raxels_pose: {of}"]
            return next((s for s in reversed(told) if words in s.message), None)

        return wait_until(found, 20.0, f"diagnostic of {of} with {words!r}", every_s=0.1)
