"""A camera's recent frames with their poses from TF, for goals that bring no context of their own."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent import futures
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.frame_tree import JUMP_BACK_S, FrameError, bare
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common.diagnostics import Problems, worded
from ros2_raxels.nodes.common.messages import check_image, image_array, stamp_ns
from ros2_raxels.nodes.common.subscription import CameraInfos, Listener, image_subscription, topic_of
from ros2_raxels.nodes.common.tf_listener import TransformReader
from ros2_raxels.nodes.views.goal import CODES, GoalError
from ros2_raxels.recordings.camera_info import CameraInfoError, camera_from_info
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.view_synthesis.context import ContextBuffer, ContextFrame, SpreadSettings, plain_lens, undistorted

_RECENT = 10
"""Images that are remembered undecoded, one an update, for goals whose reference_time is a moment ago."""

_SILENCE_S = 1.0
"""Without an image, after which old ones are no longer taken for late ones."""


@dataclass(frozen=True, eq=False)
class Arrival:
    """An image and its camera_info."""

    image: Any
    info: CameraInfo

    @property
    def stamp_ns(self) -> int:
        """Of the image."""
        return stamp_ns(self.image.header.stamp)

    @property
    def frame_id(self) -> str:
        """The camera's optical frame."""
        return bare(self.image.header.frame_id)

    def frame(self, rectified: bool, camera_to_world: FloatArray | None, stretch: Stretch) -> ContextFrame:
        """Decoded, in colour and without distortion.

        Args:
            rectified: the image has no distortion.
            camera_to_world: 4x4; None when not known.
            stretch: of the images that this one, if it has 16 bits, is to be as bright as.

        Raises:
            ImageError, CameraInfoError: image or camera_info cannot be used.
        """
        camera, pixels = camera_from_info(self.info, rectified), image_array(self.image, stretch)
        height, width = pixels.shape[:2]
        if (camera.width, camera.height) != (width, height):
            raise CameraInfoError(
                f"image is {width}x{height} px but camera_info describes {camera.width}x{camera.height} px: send the "
                "camera_info of the image"
            )
        image, plain = undistorted(pixels, camera)
        return ContextFrame(image, plain, self.stamp_ns, self.frame_id, camera_to_world)


class LiveContext:
    """Subscribes images and camera_info, and keeps a few frames that differ.

    Messages come and `update` is called in the executor's thread; `until` may be asked in any. Images are decoded in a
    thread of their own, one after the other and outside the lock: neither the executor, which other nodes may share,
    nor whoever asks waits for that.

    Args:
        node: whose subscriptions they are.
        transport: ``raw`` or ``compressed``.
        rectified: the images have no distortion.
        world: TF frame of the poses.
        reader: of TF.
        settings: of the buffer.
        camera: name of one of several, below which its topics are; empty for the only one.
    """

    def __init__(
        self,
        node: Node,
        transport: str,
        rectified: bool,
        world: str,
        reader: TransformReader,
        settings: SpreadSettings,
        camera: str = "",
    ) -> None:
        self._rectified, self._world, self._reader = rectified, world, reader
        self._whose = f"camera {camera!r}: " if camera else ""
        self._without_pose = ""
        self._problems = Problems(node.get_logger())
        self._stretch = Stretch()
        self._lock = threading.Lock()
        self._buffer = ContextBuffer(settings)
        self._recent: deque[Arrival] = deque(maxlen=_RECENT)
        self._unplaced: list[Arrival] = []
        self._worlds = 0
        self._world_until_ns = 0
        self._thread = futures.ThreadPoolExecutor(1, "context")
        self._settling: futures.Future[None] | None = None
        self._newest: Arrival | None = None
        self._cameras = CameraInfos()
        self._arrived_at = 0.0
        self._infos = Listener(node, CameraInfo, topic_of(camera, "camera_info"), self._cameras.add)
        self._images = image_subscription(node, transport, self._on_image, camera)

    def _on_image(self, message: Any) -> None:
        info = self._cameras.of(message.header)
        if info is None:
            return
        try:
            check_image(message)
        except ImageError as error:
            self._problems.report(f"{self._whose}image cannot be used as context: {error}")
            return
        arrival = Arrival(message, info)
        self._arrived_at = time.monotonic()
        with self._lock:
            back_s = 0.0 if self._newest is None else (self._newest.stamp_ns - arrival.stamp_ns) * 1e-9
            if back_s > JUMP_BACK_S:
                # Time began again: what was seen then is not the past of what is seen now.
                self._forget()
                self._world_until_ns = 0
            if back_s <= 0.0 or back_s > JUMP_BACK_S:
                self._newest = arrival

    def update(self) -> None:
        """Look at the publishers, and keep the newest image if it differs; call it a few times a second."""
        self._images.update()
        self._infos.update()
        with self._lock:
            newest = self._newest = self._paired(self._newest)
            if newest is not None and (not self._recent or newest.image is not self._recent[-1].image):
                self._recent.append(newest)
                if newest.stamp_ns > self._world_until_ns:
                    self._unplaced.append(newest)
            self._unplaced = [arrival for arrival in self._unplaced if arrival in self._recent]
            waiting, world = tuple(self._unplaced), self._worlds
        if waiting and (self._settling is None or self._settling.done()):
            self._settling = self._thread.submit(self._settle_all, waiting, world)

    def _paired(self, arrival: Arrival | None) -> Arrival | None:
        """With the camera_info of the image, which may have come right after it."""
        if arrival is None:
            return None
        info = self._cameras.of(arrival.image.header, arrival.info)
        return arrival if info is arrival.info else Arrival(arrival.image, info)

    def forget(self) -> None:
        """Drop all frames, because the world in which they were placed is no more; TF still tells where they were."""
        with self._lock:
            self._forget()
            self._world_until_ns = self.newest_ns or 0

    def _forget(self) -> None:
        self._worlds += 1
        self._buffer.clear()
        self._recent.clear()
        self._unplaced.clear()

    def _settle_all(self, waiting: tuple[Arrival, ...], world: int) -> None:
        """Keep images or not, oldest first; in the thread that decodes."""
        for arrival in waiting:
            if self._settle(arrival, world):
                with self._lock:
                    self._unplaced = [other for other in self._unplaced if other is not arrival]

    def _settle(self, arrival: Arrival, world: int) -> bool:
        """Keep an image or not; False while its pose is not known yet.

        Args:
            arrival: the image.
            world: in which it was taken; an image of one that is no more is not kept.
        """
        try:
            pose = self._reader.lookup(self._world, arrival.frame_id, arrival.stamp_ns)
        except FrameError as error:
            self._without_pose = str(error)
            return False
        with self._lock:
            if world != self._worlds or not self._buffer.wants(arrival.stamp_ns, pose):
                return True
        try:
            frame = arrival.frame(self._rectified, pose, self._stretch)
        except Exception as error:
            # Whatever a decoder raises, the images after it are looked at.
            words = str(error) if isinstance(error, ValueError) else worded(error)
            self._problems.report(f"{self._whose}image cannot be used as context: {words}")
            return True
        with self._lock:
            if world == self._worlds:
                self._buffer.add(frame)
        return True

    @property
    def stretch(self) -> Stretch:
        """Contrast limits with which a 16-bit image becomes as bright as the frames that are kept; a copy."""
        return self._stretch.copy()

    @property
    def frames(self) -> tuple[ContextFrame, ...]:
        """That are kept, oldest first."""
        with self._lock:
            return self._buffer.frames

    @property
    def kept(self) -> int:
        """How many frames are kept."""
        return len(self.frames)

    @property
    def frame_id(self) -> str:
        """Optical frame of the newest image; empty while there is none."""
        newest = self._newest
        return "" if newest is None else newest.frame_id

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest image."""
        newest = self._newest
        return None if newest is None else newest.stamp_ns

    def why_empty(self) -> str:
        """Why there is no image, in one line; empty when there is one."""
        if self._newest is not None:
            return ""
        info = self._cameras.newest
        without = self._infos if info is None else self._images
        return f"no image with camera_info yet: {without.why_silent(info)}"

    def why_unplaced(self) -> str:
        """Why TF places no image of the last second, in one line; empty where it places one."""
        with self._lock:
            return self._without_pose if len(self._unplaced) >= _RECENT else ""

    def lens_of(self, arrival: Arrival) -> PinholeCamera:
        """The camera of frames that are made of images like this one.

        Raises:
            CameraInfoError: camera_info cannot be used.
        """
        return plain_lens(camera_from_info(arrival.info, self._rectified))

    def why_old(self) -> str:
        """Why the newest image is an old one, in one line."""
        if time.monotonic() - self._arrived_at > _SILENCE_S:
            return self._images.why_silent(self._cameras.newest)
        return f"{self._images.topic} arrives with old stamps: check the clocks of camera and robot, and the delay"

    def until(self, reference_ns: int) -> tuple[list[Arrival], tuple[ContextFrame, ...]]:
        """The newest images, undecoded, and the frames that are kept, none later than a moment; 0 is now.

        Both oldest first; one may be empty.

        Raises:
            GoalError: NO_CONTEXT, there is none.
        """
        if reason := self.why_empty():
            raise GoalError(CODES.NO_CONTEXT, reason)
        latest = reference_ns or 2**63
        with self._lock:
            newest = self._paired(self._newest)
            recent = [a for a in (*self._recent, newest) if a is not None and a.stamp_ns <= latest]
            kept = tuple(frame for frame in self._buffer.frames if frame.stamp_ns <= latest)
        if not recent and not kept:
            words = f"no image from before reference_time = {reference_ns} ns is kept; give a later time, or 0"
            raise GoalError(CODES.NO_CONTEXT, words)
        return sorted(recent, key=lambda arrival: arrival.stamp_ns), kept

    def destroy(self) -> None:
        """Unsubscribe; what is being decoded is not waited for."""
        self._images.destroy()
        self._infos.destroy()
        self._thread.shutdown(wait=False, cancel_futures=True)
