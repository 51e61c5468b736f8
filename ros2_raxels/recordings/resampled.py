"""Recordings at another size: what is seen stays the same, and what pixels cost shows alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import Frame, FrameSource


class ResampledSource(FrameSource):
    """A recording whose images have another size, see `resampled`; frames keep their numbers and stamps.

    Args:
        source: the recording.
        width, height: px.
    """

    def __init__(self, source: FrameSource, width: int, height: int) -> None:
        self._source, self._size = source, (width, height)
        self.name, self.kind, self.rate_hz, self.length = source.name, source.kind, source.rate_hz, source.length
        self.has_depth, self.has_truth, self.is_metric = source.has_depth, source.has_truth, source.is_metric
        self.camera_to_base, self.notes = source.camera_to_base, source.notes
        self.camera = None if source.camera is None else _camera(source.camera, width, height)
        self.rig = None if source.rig is None else _rig(source.rig, width, height)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            yield resampled(frame, *self._size)


def resampled(frame: Frame, width: int, height: int) -> Frame:
    """The middle of a frame in the shape of ``width`` by ``height`` px, at that size, with the camera that it has then.

    Images of other cameras likewise; depth images stay as they are.
    """
    camera = None if frame.camera is None else _camera(frame.camera, width, height)
    others = {name: _image(image, width, height) for name, image in frame.others.items()}
    return replace(frame, image=_image(frame.image, width, height), camera=camera, others=others)


def _middle(wide: int, tall: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of the middle of an image, in the shape of another, px."""
    kept_wide, kept_tall = min(wide, round(tall * width / height)), min(tall, round(wide * height / width))
    return (wide - kept_wide) // 2, (tall - kept_tall) // 2, kept_wide, kept_tall


def _image(image: ImageArray, width: int, height: int) -> ImageArray:
    left, top, kept_wide, kept_tall = _middle(image.shape[1], image.shape[0], width, height)
    middle = image[top : top + kept_tall, left : left + kept_wide]
    found = cv2.resize(middle, (width, height), interpolation=cv2.INTER_AREA if width < kept_wide else cv2.INTER_CUBIC)
    return np.asarray(found, np.uint8)


def _camera(camera: Camera, width: int, height: int) -> Camera:
    return camera.cropped(*_middle(camera.width, camera.height, width, height)).resized(width, height)


def _rig(rig: Rig, width: int, height: int) -> Rig:
    return Rig(
        {
            name: MountedCamera(_camera(mounted.camera, width, height), mounted.camera_to_base)
            for name, mounted in rig.cameras.items()
        }
    )
