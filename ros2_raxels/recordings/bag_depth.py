"""The depth images of a bag, each found by the stamp of its colour image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.recordings.depth_picture import DepthArray, DepthPicture, decode_compressed_depth, decode_depth
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.recordings.source import SourceError

APART_NS = 20_000_000
"""Between an image and its depth image: less than half a period of most sensors."""


class DepthOfStamps:
    """Depth messages in the order of their stamps, asked for by the ascending stamps of images.

    Args:
        messages: stamps, ns, and messages of the depth topic.
        topic: for messages to people.
        camera: intrinsics of the depth images; None for those of the images, scaled.
    """

    def __init__(self, messages: Iterator[tuple[int, Any]], topic: str, camera: Camera | None) -> None:
        self._messages, self._topic, self._camera = messages, topic, camera
        self._waiting: list[tuple[int, Any]] = []
        self.missing = 0

    def near(self, stamp_ns: int) -> DepthPicture | None:
        """The depth image nearest to a stamp; None where there is none close to it.

        Raises:
            SourceError: it cannot be read.
        """
        while not self._waiting or self._waiting[-1][0] < stamp_ns + APART_NS:
            following = next(self._messages, None)
            if following is None:
                break
            self._waiting.append(following)
        self._waiting = [waiting for waiting in self._waiting if waiting[0] >= stamp_ns - APART_NS]
        best = min(self._waiting, key=lambda waiting: abs(waiting[0] - stamp_ns), default=None)
        if best is None or abs(best[0] - stamp_ns) > APART_NS:
            self.missing += 1
            return None
        return DepthPicture(decoded(best[1], self._topic), self._camera)

    def words(self) -> tuple[str, ...]:
        """For `FrameSource.remarks`."""
        if not self.missing:
            return ()
        return (f"{self.missing} images without a depth image of {self._topic} within {APART_NS // 10**6} ms",)


def check_registered(depth: Any, image: Any, topic: str, image_topic: str) -> None:
    """See by the frames of their headers that depths are seen from where the images are.

    Raises:
        SourceError: they are not.
    """
    ours, theirs = depth.header.frame_id, image.header.frame_id
    if ours and theirs and ours != theirs:
        raise SourceError(
            f"{topic} is in frame {ours} but {image_topic} in {theirs}, so that its depths are not registered to the "
            "images; choose the topic of aligned depth (aligned_depth_to_color, depth_registered), or leave "
            "--depth-topic out"
        )


def decoded(message: Any, topic: str) -> DepthArray:
    """Depths (H, W), m, of a message.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        if not hasattr(message, "encoding"):
            return decode_compressed_depth(message.data, message.format)
        m = message
        return decode_depth(m.data, m.height, m.width, m.encoding, m.step, m.is_bigendian)
    except ImageError as error:
        raise SourceError(f"{topic}: {error}") from error
