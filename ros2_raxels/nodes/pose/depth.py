"""Depth images as they are heard on ``depth/image``, each found by the stamp of its image."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.frame_tree import FrameError, bare
from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad
from ros2_raxels.nodes.common.messages import stamp_ns
from ros2_raxels.nodes.common.parameters import Parameters
from ros2_raxels.nodes.common.subscription import CameraInfos, FollowingSubscription
from ros2_raxels.recordings.camera_info import CameraInfoError, camera_from_info, is_rectified_topic
from ros2_raxels.recordings.depth_picture import DepthPicture, check_raw_depth, decode_depth
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.tracking.depth_image import DepthImage, DepthImageError

_KEPT = 8
"""Newest messages; each takes half a megabyte or more."""

_IN_VAIN, _AGAIN = 3, 30
"""After so many waits in vain in a row, only one image in so many waits: depth comes less often, or not at all."""

_RECENT_S = 3.0
_SAME_PLACE_M, _SAME_AXES_RAD = 0.001, 0.002


class DepthListener:
    """Keeps the newest depth images, and finds that of an image.

    `of` is the worker's; all else is for the executor's thread, or for any where it says so.

    Args:
        node: that subscribes.
        settings: parameters of the node.
        optical_to: ``(frame, stamp_ns)`` to the pose of the optical frame in a frame of the robot; raises FrameError.
        report: told of depth images that are of no use, in one line.
    """

    def __init__(
        self,
        node: Node,
        settings: Parameters,
        optical_to: Callable[[str, int], FloatArray],
        report: Callable[[str], None],
    ) -> None:
        self._settings, self._optical_to, self._report = settings, optical_to, report
        self._arrived = threading.Condition()
        self._kept: deque[tuple[int, Image]] = deque(maxlen=_KEPT)
        self._infos = CameraInfos()
        self._counts: Counter[str] = Counter()
        self._in_vain = 0
        self._fault, self._fault_at = "", 0.0
        self._closed = False
        self.subscription = FollowingSubscription(node, Image, "depth/image", self._on_depth)
        self._info_subscription = FollowingSubscription(node, CameraInfo, "depth/camera_info", self._infos.add, True)

    def _on_depth(self, message: Image) -> None:
        self._counts["received"] += 1
        try:
            check_raw_depth(len(message.data), message.height, message.width, message.encoding, message.step)
        except ImageError as error:
            self._blame(str(error))
            return
        with self._arrived:
            self._kept.append((stamp_ns(message.header.stamp), message))
            self._arrived.notify_all()

    def of(self, stamp: int, optical: str, width: int, height: int) -> DepthImage | None:
        """The depth image of an image; None where there is none that can be used.

        Args:
            stamp: of the image, ns. Its depth image may come later: it is waited for, as long as `depth.wait_s` says.
            optical: frame of the image.
            width, height: of the image, px.
        """
        message = self._awaited(stamp)
        if message is None:
            self._counts["missing"] += 1
            return None
        try:
            self._check_registered(message, bare(optical))
            picture = DepthPicture(self._decoded(message), self._camera(message))
            found = DepthImage(picture, width, height)
        except (ImageError, DepthImageError, CameraInfoError) as error:
            self._blame(str(error))
            return None
        self._counts["used"] += 1
        return found

    def _awaited(self, stamp: int) -> Image | None:
        tolerance_ns = round(self._settings.number("depth.tolerance_s") * 1e9)
        waits = self._in_vain < _IN_VAIN or self._counts["missing"] % _AGAIN == 0
        wait_s = self._settings.number("depth.wait_s") if waits and self._counts["received"] else 0.0
        with self._arrived:
            self._arrived.wait_for(
                lambda: self._closed or any(at >= stamp - tolerance_ns for at, _ in self._kept), wait_s
            )
            near = [(abs(at - stamp), message) for at, message in self._kept if abs(at - stamp) <= tolerance_ns]
        self._in_vain = 0 if near else self._in_vain + 1
        return min(near, key=lambda found: found[0])[1] if near else None

    def _check_registered(self, message: Image, optical: str) -> None:
        frame = bare(message.header.frame_id)
        if frame in ("", optical):
            return
        try:
            apart = self._optical_to(frame, stamp_ns(message.header.stamp))
            same_axes = float(rotation_angle_rad(apart[:3, :3])) < _SAME_AXES_RAD
            same = same_axes and float(np.linalg.norm(apart[:3, 3])) < _SAME_PLACE_M
        except FrameError:
            same = False
        if same:
            return
        raise DepthImageError(
            f"depth images are in frame {frame!r} and images in {optical!r}, so that they are not registered; remap "
            "depth/image to the aligned depth of the driver"
        )

    @staticmethod
    def _decoded(message: Image) -> np.ndarray:
        m = message
        return decode_depth(m.data, m.height, m.width, m.encoding, m.step, m.is_bigendian)

    def _camera(self, message: Image) -> Camera | None:
        """Intrinsics of a depth image; None where nobody says them, and they are those of the image, scaled."""
        info = self._infos.of(message.header)
        if info is None or not any(info.k):
            return None
        rectified = is_rectified_topic(self.subscription.topic) and info.p[0] > 0
        return camera_from_info(info, bool(rectified))

    def _blame(self, fault: str) -> None:
        self._counts["left out"] += 1
        self._fault, self._fault_at = f"{self.subscription.topic}: {fault}", time.monotonic()
        self._report(self._fault)

    def update(self) -> None:
        """Look at the publishers, a few times a second."""
        self.subscription.update()
        self._info_subscription.update()

    def trouble(self) -> str:
        """Why depth images are of no use now, in one line; empty where they are, or where nobody is to send any."""
        if self._fault and time.monotonic() - self._fault_at < _RECENT_S:
            return self._fault
        if not self._counts["received"]:
            wanted = self._settings.text("scale.mode") == "depth" or bool(self.subscription.publishers)
            return self.subscription.why_silent() if wanted else ""
        if self._in_vain >= _IN_VAIN:
            tolerance_s = self._settings.number("depth.tolerance_s")
            return (
                f"no depth image on {self.subscription.topic} within {tolerance_s:g} s of the images; check the "
                "stamps, or raise depth.tolerance_s or depth.wait_s"
            )
        return ""

    def values(self) -> dict[str, str]:
        """For the diagnostics."""
        return {f"depth images {name}": str(self._counts[name]) for name in ("received", "used", "missing", "left out")}

    def destroy(self) -> None:
        """Unsubscribe; who waits goes on without."""
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()
        self.subscription.destroy()
        self._info_subscription.destroy()
