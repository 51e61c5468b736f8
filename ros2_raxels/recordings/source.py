"""Frames from wherever a recording lives: posed set, image folder, video, rosbag2 or camera. Free of ROS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray, ImageError, decode_compressed

DEFAULT_RATE_HZ = 30.0
"""Rate of recordings that carry no times, unless the caller knows better."""

_PROBED_FRAMES = 10


class SourceError(ValueError):
    """A recording that cannot be read; the message is one line: the path, the value and the remedy."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a recording.

    Attributes:
        index: place in the recording, from 0.
        stamp_ns: time of exposure as recorded, or index / rate where nothing is recorded.
        image: (H, W, 3) uint8 RGB.
        camera: intrinsics of this image; None when they are not known.
        camera_to_world: true 4x4 pose of the optical frame, in the recording's unit; None when not known.
        name: file name, or topic and number, for messages to people.
    """

    index: int
    stamp_ns: int
    image: ImageArray
    camera: PinholeCamera | None
    camera_to_world: FloatArray | None
    name: str


class FrameSource(ABC):
    """A recording, or a live camera, as an iterable of `Frame`. Iterating again starts again.

    Attributes:
        name: the recording's name, for titles.
        kind: "posed set" | "image folder" | "video" | "rosbag2" | "camera".
        length: number of frames; None when unknown or endless. A video's is its container's claim.
        rate_hz: typical frame rate.
        camera: intrinsics of the first frame; None when not known.
        has_truth: whether every frame carries its true pose.
        is_metric: whether those poses are known to be in metres.

    Iterating raises `SourceError` for an image that cannot be read. Stamps increase strictly, except those of
    a bag, which are as recorded (a loop or a clock jump is the consumer's to see).
    """

    name: str
    kind: str
    length: int | None
    rate_hz: float
    camera: PinholeCamera | None
    has_truth: bool = False
    is_metric: bool = False

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Frames in order."""


# ---------------------------------------------------------------------------------------------- image files


def read_image(path: Path) -> ImageArray:
    """RGB pixels (H, W, 3) uint8 of an image file, upright by its EXIF orientation.

    Raises:
        SourceError: the file is missing, no image, truncated or absurdly large.
    """
    try:
        return decode_compressed(path.read_bytes(), honour_orientation=True)
    except (OSError, ImageError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def _check_camera_fits(camera: PinholeCamera | None, image: ImageArray, name: str | Path) -> None:
    height, width = image.shape[:2]
    if camera is not None and (camera.width, camera.height) != (width, height):
        raise SourceError(
            f"{name} is {width}x{height} px but its camera is {camera.width}x{camera.height} px; "
            "give the intrinsics of this image size"
        )


def _check_increasing(stamps_ns: list[int], where: str | Path, names: list[str]) -> None:
    for index in range(1, len(stamps_ns)):
        if stamps_ns[index] <= stamps_ns[index - 1]:
            raise SourceError(
                f"{where}: time of {names[index]}, {stamps_ns[index] / 1e9:.9f} s, is not after "
                f"{stamps_ns[index - 1] / 1e9:.9f} s of the one before; correct or sort the recording"
            )


def _median_rate_hz(stamps_ns: list[int], default_hz: float) -> float:
    gaps = np.diff(np.array(stamps_ns, dtype=np.int64))
    gaps = gaps[gaps > 0]
    return 1e9 / float(np.median(gaps)) if len(gaps) else default_hz


# ---------------------------------------------------------------------------------------------------- video


# -------------------------------------------------------------------------------------------------- rosbag2
