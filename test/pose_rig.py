"""A camera for the pose node, and ears for all that the node says."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import scripted_node as script
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Pose, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_testing import Probe, Spawn, matched, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from raxels_interfaces.srv import SetPose
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import (
    OPTICAL_TO_BODY,
    FloatArray,
    direction_angle_rad,
    make_pose,
    relative_pose,
    rotation_angle_rad,
    rotation_from_quaternion,
)
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message, stamp_ns
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos

FRAME = "eye_optical_frame"
CAMERA = PinholeCamera(64, 48, 60.0, 61.0, 31.5, 23.5)
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
UNKNOWN = np.eye(6) * 9999.0
PERIOD_NS = 33_333_333
_clock_ns = time.time_ns()


def next_stamp_ns() -> int:
    """Stamps of this module's images: they increase, and use all digits."""
    global _clock_ns
    _clock_ns += PERIOD_NS
    return _clock_ns


def picture(action: int = script.TRACK, width: int = CAMERA.width, height: int = CAMERA.height) -> np.ndarray:
    return np.full((height, width, 3), action, np.uint8)


def settled_rig(probe: Probe, spawn: Spawn, *parameters: str) -> Rig:
    """The scripted node, its subscriptions exchanged for reliable ones, and a first answer."""
    rig = Rig(probe, spawn("scripted_node.py", *parameters))
    # An exchange of subscriptions is not what these tests are about.
    wait_until(lambda: rig.follows(rig.images) and rig.follows(rig.infos), what="both reliable subscriptions")
    rig.settle()
    return rig


def agrees_with_truth(poses: Mapping[int, Pose], truth: FloatArray) -> None:
    """Poses by frame number against (N, 4, 4) optical frames: the world begins where the first camera was."""
    origin = make_pose(truth[0][:3, :3] @ OPTICAL_TO_BODY[:3, :3].T, truth[0][:3, 3])
    for index, pose in poses.items():
        expected = relative_pose(origin, truth[index])
        q, p = pose.orientation, np.array([pose.position.x, pose.position.y, pose.position.z])
        rotation = rotation_from_quaternion([q.x, q.y, q.z, q.w])
        assert math.degrees(rotation_angle_rad(expected[:3, :3].T @ rotation)) < 3.0
        if np.linalg.norm(expected[:3, 3]) > 0.2:
            assert math.degrees(direction_angle_rad(p, expected[:3, 3])) < 10.0


class Rig:
    """A camera's publishers and all that the node says."""

    def __init__(
        self,
        probe: Probe,
        node: Any,
        namespace: str = "",
        qos: Any = 10,
        image_type: Any = Image,
        image: str = "image",
        info_qos: Any = None,
    ) -> None:
        self.probe, self.node = probe, node
        self.compressed = image_type is CompressedImage
        image_topic = f"{namespace}/{image}" + ("/compressed" if self.compressed else "")
        self.images = probe.publisher(image_type, image_topic, qos)
        self.infos = probe.publisher(CameraInfo, f"{namespace}/camera_info", info_qos or qos)
        own = self._name = f"{namespace}/raxels_pose"
        self.poses = probe.collect(PoseWithCovarianceStamped, f"{own}/pose")
        self.odometry = probe.collect(Odometry, f"{own}/odometry")
        self.edges = probe.collect(TFMessage, "/tf", tf_qos())
        self.diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
        # The status last, as the node sends it last: of messages that wait, the executor serves older subscriptions
        # first, so that all about an image has been collected when its status has.
        self.status = probe.collect(PoseStatus, f"{own}/status")
        matched(self.images)
        matched(self.infos)

    def settle(self, info: CameraInfo | None = None, image: np.ndarray | None = None) -> None:
        """Send until the node answers: each side finds the other's topics one by one. There is no map yet."""
        width, height = (info.width, info.height) if info else (CAMERA.width, CAMERA.height)
        image = picture(script.INITIALISE, width, height) if image is None else image

        def answered() -> bool:
            self.send_info(info)
            self.send(image)
            return any(status.state != PoseStatus.STATE_WAITING for status in self.status)

        wait_until(answered, what="first answer", every_s=0.05)

    def follows(self, publisher: Any) -> bool:
        """Whether the node listens to this reliable publisher reliably by now."""
        listeners = self.probe.node.get_subscriptions_info_by_topic(publisher.topic_name)
        return any(
            listener.node_name == "raxels_pose" and listener.qos_profile.reliability == ReliabilityPolicy.RELIABLE
            for listener in listeners
        )

    def send_info(self, info: CameraInfo | None = None) -> None:
        self.infos.publish(info or camera_info_message(CAMERA, Header(frame_id=FRAME)))

    def send(self, image: Image | np.ndarray, stamp: int | None = None) -> int:
        """Publish an image; its stamp."""
        message = self._message(image) if isinstance(image, np.ndarray) else image
        stamp = next_stamp_ns() if stamp is None else stamp
        message.header.stamp = stamp_message(stamp)
        self.images.publish(message)
        return stamp

    def _message(self, image: np.ndarray) -> Image | CompressedImage:
        if not self.compressed:
            return image_message(image, Header(frame_id=FRAME))
        message = CompressedImage(header=Header(frame_id=FRAME), format="png")
        message.data.frombytes(cv2.imencode(".png", image)[1].tobytes())
        return message

    def send_busy(self, action: int = script.SLEEP) -> int:
        """Publish an image that keeps the tracker busy; its stamp, once the tracker is."""
        before = self.node.log.count(script.BUSY)
        stamp = self.send(picture(action))
        wait_until(lambda: self.node.log.count(script.BUSY) > before, what="a busy tracker")
        return stamp

    def taken(self) -> None:
        """Waits until the node has taken all that was sent so far."""
        self.probe.round_trip(self._name)

    def in_hand(self) -> None:
        """Waits until the worker has the newest image: no later one can take its place."""
        self.taken()
        # Refused, but by the worker, which takes image and request together.
        assert not self.probe.call(SetPose, "/raxels_pose/set_pose", SetPose.Request()).success

    def acquainted(self, kind: Any, name: str, first: Any) -> Any:
        """A client whose first request was answered.

        The node may discover a new client only when that repeats itself, which is later than anything sent after it.
        """
        client = self.probe.node.create_client(kind, f"/raxels_pose/{name}")
        assert client.wait_for_service(5.0)
        wait_until(client.call_async(first).done, what=f"response of {name}")
        return client

    def asked(self, client: Any, request: Any) -> Any:
        """The future of a response, once the node has taken the request and goes on without having answered.

        Args:
            client: of `acquainted`.
            request: its next one.
        """
        future = client.call_async(request)
        # Twice, because of requests that wait at the same time that of the older service is served first.
        self.taken()
        self.taken()
        return future

    def answer(self, stamp: int, timeout_s: float = 8.0) -> PoseStatus:
        """The status of an image."""
        return wait_until(lambda: self.stamped(self.status, stamp), timeout_s, f"status of image {stamp}")

    def seen(self, image: np.ndarray, info: CameraInfo, timeout_s: float = 20.0) -> PoseStatus:
        """The status of an image that is sent, as by a camera that stands, until first cameras are not on their way.

        They are solved beside the images; a film that goes on meanwhile, faster than a camera, would be over.
        """

        def answer() -> PoseStatus | None:
            self.send_info(info)
            status = self.answer(self.send(image), timeout_s)
            return None if "being solved" in status.message else status

        return wait_until(answer, timeout_s, "first cameras")

    def solve(self, action: int = script.TRACK, stamp: int | None = None) -> SimpleNamespace:
        """Send an image and gather everything that was published about it."""
        stamp = self.send(picture(action), stamp)
        status = self.answer(stamp)
        if status.state in (PoseStatus.STATE_TRACKING, PoseStatus.STATE_HELD):
            # The edge comes before them, if there is one.
            wait_until(
                lambda: self.stamped(self.poses, stamp) and self.stamped(self.odometry, stamp), what="pose and odometry"
            )
        edges = [e for message in self.edges for e in message.transforms if stamp_ns(e.header.stamp) == stamp]
        pose, odometry = self.stamped(self.poses, stamp), self.stamped(self.odometry, stamp)
        return SimpleNamespace(stamp=stamp, status=status, pose=pose, odometry=odometry, edges=edges)

    @staticmethod
    def stamped(messages: list[Any], stamp: int) -> Any:
        return next((m for m in reversed(messages) if stamp_ns(m.header.stamp) == stamp), None)

    def warned(self, words: str) -> bool:
        return wait_until(lambda: words in self.node.log, what=f"log of {words!r} in\n{self.node.log}\n")

    def health(self, part: str, since: int = 0) -> list[DiagnosticStatus]:
        return [s for m in self.diagnostics[since:] for s in m.status if s.name == f"raxels_pose: {part}"]

    def wait_health(self, part: str, level: bytes, *words: str) -> DiagnosticStatus:
        def found() -> DiagnosticStatus | None:
            fitting = [s for s in self.health(part) if s.level == level and all(w in s.message for w in words)]
            return fitting[-1] if fitting else None

        return wait_until(found, what=f"diagnostic of {part} with {words}")

    def assign(self, name: str, value: object) -> None:
        """Set a parameter of the node."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        assert self.probe.call(SetParameters, f"{self._name}/set_parameters", request).results[0].successful

    def reset(self) -> None:
        count = len(self.status)
        response = self.probe.call(Trigger, "/raxels_pose/reset", Trigger.Request())
        assert response.success, response.message
        wait_until(lambda: any("reset" in s.message for s in self.status[count:]), what="status of the reset")
