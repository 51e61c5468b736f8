"""A camera with a place in TF for the view server, and a client of it."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from ros_testing import NodeProcess, Probe, matched, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.client import ViewClient, ViewClientError, make_goal
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.frame_tree import FrameTree
from ros2_raxels.geometry.poses import FloatArray, make_pose, quaternion_from_rotation
from ros2_raxels.nodes.common.messages import (
    camera_info_message,
    image_message,
    pose_message,
    stamp_message,
    transform_message,
)
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos
from ros2_raxels.nodes.common.tf_listener import TransformReader
from ros2_raxels.recordings.image_codec import encode_compressed

WORLD, EYE, BASE, MAP = "raxels_world", "eye_optical_frame", "base_link", "map"
PARAMETERS = (
    "-p",
    "self_consistency:=false",
    "-p",
    "image_format:=png",
    "-p",
    "max_side_px:=256",
    "-p",
    "context.max_age_s:=4.0",
)
"""Of servers in tests: nothing is estimated back, and pictures arrive as they were painted."""

CAMERA = PinholeCamera(64, 48, 60.0, 60.0, 31.5, 23.5)


def at(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> FloatArray:
    """A pose without a turn."""
    return make_pose(np.eye(3), (x, y, z))


def with_context(goal: Any, stamps: list[int], frame: str = EYE, data: bytes | None = None) -> Any:
    """A goal that brings images of its own, one a stamp."""
    _, encoded = cv2.imencode(".png", np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8))
    for stamp in stamps:
        header = Header(frame_id=frame, stamp=stamp_message(stamp))
        image = CompressedImage(header=header, format="png", data=encoded.tobytes() if data is None else data)
        goal.context.append(image)
    goal.context_camera_info.append(camera_info_message(CAMERA, Header(frame_id=frame)))
    return goal


class Tree(TransformReader):
    """Edges that are put in by hand."""

    def __init__(self) -> None:
        self.tree = FrameTree()

    def place(self, parent: str, child: str, pose: FloatArray, stamp_ns: int = 0) -> None:
        """At a stamp, or for good."""
        turn = quaternion_from_rotation(pose[:3, :3])
        assert not self.tree.insert(parent, child, stamp_ns, pose[:3, 3], turn, not stamp_ns)

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        return self.tree.lookup(target, source, stamp_ns)

    def destroy(self) -> None:
        pass


class ViewsRig:
    """Publishers of a camera and of TF, and a client."""

    def __init__(self, probe: Probe, node: NodeProcess, *, compressed: bool = False) -> None:
        self.probe, self.node, self.compressed = probe, node, compressed
        image_type, topic = (CompressedImage, "/image/compressed") if compressed else (Image, "/image")
        self.images = matched(probe.publisher(image_type, topic))
        self.infos = matched(probe.publisher(CameraInfo, "/camera_info"))
        self.status = matched(probe.publisher(PoseStatus, "/raxels_pose/status"))
        self._tf = {static: probe.publisher(TFMessage, t, tf_qos(static)) for t, static in TOPICS}
        self.diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
        self.client = ViewClient()
        for publisher in self._tf.values():
            matched(publisher)

    def place(self, parent: str, child: str, pose: FloatArray, stamp: int = 0, *, static: bool = False) -> None:
        """An edge of TF."""
        edge = TransformStamped(header=Header(frame_id=parent, stamp=stamp_message(stamp)), child_frame_id=child)
        edge.transform = transform_message(pose_message(pose))
        self._tf[static].publish(TFMessage(transforms=[edge]))

    def send(self, image: np.ndarray, stamp: int | None = None, camera: PinholeCamera = CAMERA) -> int:
        """Publish an image with its camera_info; its stamp."""
        stamp = time.time_ns() if stamp is None else stamp
        header = Header(frame_id=EYE, stamp=stamp_message(stamp))
        self.infos.publish(camera_info_message(camera, header))
        if self.compressed:
            self.images.publish(CompressedImage(header=header, format="png", data=encode_compressed(image, "png")))
        else:
            self.images.publish(image_message(image, header))
        return stamp

    def look(self, pose: FloatArray, image: np.ndarray | None = None, camera: PinholeCamera = CAMERA) -> int:
        """Publish an image and where it was taken; its stamp."""
        stamp = time.time_ns()
        self.place(WORLD, EYE, pose, stamp)
        self.send(np.full((camera.height, camera.width, 3), 90, np.uint8) if image is None else image, stamp, camera)
        return stamp

    def settle(self) -> int:
        """An image at x = 0.5 that goals can start from; its stamp. Each side finds the other's topics one by one."""

        def served() -> int:
            stamp = self.look(at(0.5))
            self.taken()
            try:
                found = self.client.send(make_goal([at()], WORLD, seed=1)).result()
            except ViewClientError:
                return 0
            return stamp if found.ok and found.stamp_ns == stamp else 0

        return wait_until(served, what="first views", every_s=0.02)

    def taken(self) -> None:
        """Waits until the server has taken all that was sent so far."""
        self.probe.round_trip("/raxels_views")

    def tell(
        self, *, metric: bool, state: int = PoseStatus.STATE_TRACKING, resets: int = 0, frames_processed: int = 10
    ) -> None:
        """What the pose node would say of its world."""
        counts = {"resets": resets, "frames_processed": frames_processed}
        self.status.publish(PoseStatus(header=Header(frame_id=WORLD), scale_is_metric=metric, state=state, **counts))

    def health(self, part: str, since: int = 0) -> list[DiagnosticStatus]:
        """Diagnostics of a part of the node."""
        return [s for m in self.diagnostics[since:] for s in m.status if s.name == f"raxels_views: {part}"]

    def warned(self, words: str) -> bool:
        """Waits for words in the server's log."""
        return wait_until(lambda: words in self.node.log, what=f"log of {words!r} in\n{self.node.log}\n")

    def close(self) -> None:
        """Leave the network."""
        self.client.close()


TOPICS = (("/tf", False), ("/tf_static", True))
