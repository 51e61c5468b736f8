"""Which camera an image goes with: that of its camera_info, the last usable one, or none where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.nodes.common.parameters import Parameters
from ros2_raxels.nodes.common.subscription import CameraInfos, Listener, image_topic, topic_of
from ros2_raxels.nodes.pose.intake import NotCalibratedError
from ros2_raxels.recordings.camera_info import (
    CameraInfoError,
    camera_from_info,
    check_principal_point,
    is_rectified_topic,
)

_WAITING = "waiting for a usable camera_info"


class Intrinsics:
    """Hears camera_info. The last usable camera outlives a silence, a deactivation and unusable messages.

    A camera that is said to be there, but not how it sees, is waited for: poses with a guessed lens would look as sure
    as those of a calibrated one. Where nobody publishes camera_info, or ``allow_uncalibrated`` says so, the focal
    length is estimated after a while.

    `of` and `forget` are the worker's; all else is for the executor's thread.

    Args:
        node: that subscribes, and logs.
        settings: parameters of the node.
        report: told of messages that are of no use, in one line.
        clock: s.
        camera: name of one of several; empty for the only one.

    Attributes:
        missing: why the focal length is estimated, in one line; empty while it is not. Any thread may read it.
        doubt: what is assumed of a usable camera_info that its images contradict, in one line; empty where nothing is.
            Any thread may read it.
    """

    def __init__(
        self,
        node: Node,
        settings: Parameters,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        camera: str = "",
    ) -> None:
        self._name = camera
        self._node, self._settings, self._report, self._clock = node, settings, report, clock
        self._camera: Camera | None = None
        self._converted: CameraInfo | None = None
        self.missing = self.doubt = ""

    def listen(self) -> Listener:
        """Subscribe; what came before an earlier silence is no longer paired with images."""
        self._infos = CameraInfos()
        self._waiting_since = 0.0
        self.missing = ""
        self._images = image_topic(self._node, self._settings.text("image_transport"), self._name)
        self._listener = Listener(self._node, CameraInfo, topic_of(self._name, "camera_info"), self._infos.add)
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
        self._camera, self._waiting_since, self.missing, self.doubt = None, 0.0, "", ""

    def of(self, image: Header, heard: CameraInfo | None) -> Camera | None:
        """Camera of an image; None when one has been waited for in vain, and the focal length must be estimated.

        Args:
            image: its header.
            heard: what `heard_for` said when the image came.

        Raises:
            NotCalibratedError: a camera is waited for.
        """
        # Asked once more: the message of the image may have come right after it.
        problem = self._convert(self._infos.of(image, heard))
        if problem and self._camera:
            self._report(problem)
        if self._camera is not None:
            self.missing = ""
            return self._camera
        why = problem or self._why_none()
        if not self._may_guess:
            self.missing = ""
            raise NotCalibratedError(f"{_WAITING}: {why} (allow_uncalibrated is false, so no focal length is guessed)")
        if self.missing:
            if problem:
                self._report(problem)
            return None
        self._waiting_since = self._waiting_since or self._clock()
        waited_s = self._clock() - self._waiting_since
        if waited_s < self._settings.number("camera_info_timeout_s"):
            raise NotCalibratedError(f"{_WAITING}: {why}")
        self.missing = f"no usable camera_info after {waited_s:.1f} s, the focal length is estimated: {why}"
        self._node.get_logger().warning(self.missing)
        return None

    def _why_none(self) -> str:
        if self._infos.newest is None:
            return self._listener.why_silent()
        return f"none on {self._listener.topic} since another camera sends the images"

    @property
    def _may_guess(self) -> bool:
        """Whether the focal length may be estimated: nobody says anything of the camera, or it is allowed."""
        if self._settings.flag("allow_uncalibrated"):
            return True
        newest = self._infos.newest
        # What was said of the camera before says nothing of this one.
        return not self._listener.has_publisher and (newest is None or newest is self._converted)

    def _convert(self, info: CameraInfo | None) -> str:
        """Take over the camera of a message; the reason if it is of no use, which leaves the one before."""
        if info is None or info is self._converted:
            return ""
        try:
            camera = camera_from_info(info, self._settings.flag("image_rectified"))
            check_principal_point(camera)
        except CameraInfoError as error:
            return f"{self._listener.topic}: {error}"
        self._camera, self._converted = camera, info
        self._doubt(self._contradiction(camera))
        return ""

    def _contradiction(self, camera: Camera) -> str:
        if not camera.is_distorted or not is_rectified_topic(self._images):
            return ""
        coefficients = ", ".join(f"{value:g}" for value in camera.distortion)
        return (
            f"{self._images} is rectified by its name, but the D of {self._listener.topic} is not zero ({coefficients})"
            ": the images are assumed to have this distortion, because image_rectified is false; set it to true if "
            "they have none"
        )

    def _doubt(self, words: str) -> None:
        """Log a doubt once."""
        if words and words != self.doubt:
            self._node.get_logger().warning(words)
        self.doubt = words
