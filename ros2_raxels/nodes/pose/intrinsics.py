"""Which camera an image goes with: that of its camera_info, the last usable one, or after a while none."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.nodes.common.parameters import Parameters
from ros2_raxels.nodes.common.subscription import CameraInfos, Listener
from ros2_raxels.nodes.pose.intake import FrameRejectedError
from ros2_raxels.recordings.camera_info import CameraInfoError, camera_from_info


class Intrinsics:
    """Hears camera_info. The last usable camera outlives a silence, a deactivation and unusable messages.

    `of` and `forget` are the worker's; all else is for the executor's thread.

    Args:
        node: that subscribes, and logs.
        settings: parameters of the node.
        report: told of messages that are of no use, in one line.
        clock: s.

    Attributes:
        missing: why the focal length is estimated, in one line; empty while it is not. Any thread may read it.
    """

    def __init__(
        self,
        node: Node,
        settings: Parameters,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._settings, self._report, self._clock = node, settings, report, clock
        self._camera: Camera | None = None
        self._converted: CameraInfo | None = None
        self.missing = ""

    def listen(self) -> Listener:
        """Subscribe; what came before an earlier silence is no longer paired with images."""
        self._infos = CameraInfos()
        self._waiting_since = 0.0
        self.missing = ""
        self._listener = Listener(self._node, CameraInfo, "camera_info", self._infos.add)
        return self._listener

    @property
    def newest(self) -> CameraInfo | None:
        """The last message."""
        return self._infos.newest

    def heard_for(self, image: Header) -> CameraInfo | None:
        """The message that goes with an image, as far as it has come."""
        return self._infos.of(image)

    def forget(self) -> None:
        """Images come from another camera; the newest message, still that of the one before, is not taken again."""
        self._camera, self._waiting_since, self.missing = None, 0.0, ""

    def of(self, image: Header, heard: CameraInfo | None) -> Camera | None:
        """Camera of an image; None when one has been waited for in vain, and the focal length must be estimated.

        Args:
            image: its header.
            heard: what `heard_for` said when the image came.

        Raises:
            FrameRejectedError: a camera is still waited for.
        """
        # Asked once more: the message of the image may have come right after it.
        problem = self._convert(self._infos.of(image, heard))
        if problem and (self._camera or self.missing):
            self._report(problem)
        if self._camera is not None:
            self.missing = ""
            return self._camera
        if self.missing:
            return None
        self._waiting_since = self._waiting_since or self._clock()
        waited_s = self._clock() - self._waiting_since
        why = problem or self._listener.why_silent()
        if waited_s < self._settings.number("camera_info_timeout_s"):
            raise FrameRejectedError(f"waiting for a usable camera_info: {why}")
        self.missing = f"no usable camera_info after {waited_s:.1f} s, the focal length is estimated: {why}"
        self._node.get_logger().warning(self.missing)
        return None

    def _convert(self, info: CameraInfo | None) -> str:
        """Take over the camera of a message; the reason if it is of no use, which leaves the one before."""
        if info is None or info is self._converted:
            return ""
        try:
            self._camera = camera_from_info(info, self._settings.flag("image_rectified"))
        except CameraInfoError as error:
            return f"{self._listener.topic}: {error}"
        self._converted = info
        return ""
