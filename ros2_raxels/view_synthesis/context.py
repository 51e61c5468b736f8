"""Context frames: the few recent frames, seen from different places, that views are predicted from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose, rotation_angle_rad
from ros2_raxels.recordings.image_codec import ImageArray

_WIDEST_PX = 640
"""Width of kept frames: models work on less, and a few frames of a large camera would fill the memory."""

Mask = npt.NDArray[np.bool_]

_NOWHERE_PX = -1e4
"""Outside every image."""


@dataclass(frozen=True, eq=False)
class ContextFrame:
    """A frame to predict views from.

    Attributes:
        image: (H, W, 3) RGB uint8, without distortion.
        camera: of the image, without distortion.
        stamp_ns: of the image.
        frame_id: its optical frame.
        camera_to_world: 4x4; None where one frame is enough and its pose does not matter.
    """

    image: ImageArray
    camera: PinholeCamera
    stamp_ns: int
    frame_id: str
    camera_to_world: FloatArray | None


@dataclass(frozen=True)
class SpreadSettings:
    """When a frame is different enough from those that are kept.

    Attributes:
        frames: number of frames that are kept.
        least_motion: smallest distance between two of them, in the world's unit...
        least_turn_rad: ...or smallest angle.
        keep_s: older frames are dropped.
    """

    frames: int = 12
    least_motion: float = 0.05
    least_turn_rad: float = float(np.radians(5.0))
    keep_s: float = 30.0


class ContextBuffer:
    """Keeps a few recent frames that differ in position or direction. Not for use from two threads at once."""

    def __init__(self, settings: SpreadSettings) -> None:
        self._settings = settings
        self._frames: list[ContextFrame] = []

    @property
    def frames(self) -> tuple[ContextFrame, ...]:
        """Oldest first."""
        return tuple(self._frames)

    def wants(self, stamp_ns: int, camera_to_world: FloatArray) -> bool:
        """Whether to add a frame at this pose: it is newer than all that are kept, and far from each; drops the old."""
        self._drop_before(stamp_ns - round(self._settings.keep_s * 1e9))
        if self._frames and stamp_ns <= self._frames[-1].stamp_ns:
            return False
        return not any(self._is_close(frame, camera_to_world) for frame in self._frames)

    def add(self, frame: ContextFrame) -> None:
        """Keep a frame; if there are too many, the oldest is dropped."""
        self._frames = [*self._frames, frame][-self._settings.frames :]

    def _drop_before(self, oldest_ns: int) -> None:
        self._frames = [kept for kept in self._frames if kept.stamp_ns >= oldest_ns]

    def clear(self) -> None:
        """Drop all frames."""
        self._frames.clear()

    def _is_close(self, frame: ContextFrame, camera_to_world: FloatArray) -> bool:
        assert frame.camera_to_world is not None
        between = relative_pose(frame.camera_to_world, camera_to_world)
        is_near = float(np.linalg.norm(between[:3, 3])) < self._settings.least_motion
        return is_near and float(rotation_angle_rad(between[:3, :3])) < self._settings.least_turn_rad


def check_images(images: Sequence[ImageArray], camera: PinholeCamera) -> None:
    """Refuse images that a view cannot be predicted from.

    Raises:
        ValueError: the camera has distortion, or an image is not uint8 or not RGB of the camera's size.
    """
    if camera.is_distorted:
        raise ValueError(f"camera with distortion {camera.distortion}; undistort the images first")
    for index, image in enumerate(images):
        if image.dtype != np.uint8:
            raise ValueError(f"image {index} is of {image.dtype}; give uint8, 0 to 255")
        if image.shape != (camera.height, camera.width, 3):
            raise ValueError(
                f"image {index} has shape {image.shape}, its camera is {camera.width}x{camera.height} px; give RGB "
                "images of the camera's size"
            )


def undistorted(image: ImageArray, camera: Camera) -> tuple[ImageArray, PinholeCamera]:
    """(H, W, 3) the image in colour, without distortion and at most 640 px wide; and its camera.

    Of a fisheye it is the middle, as a pinhole of the same focal length sees it.
    """
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    plain = plain_lens(camera)
    if not camera.is_distorted:
        return np.asarray(cv2.resize(image, (plain.width, plain.height), interpolation=cv2.INTER_AREA), np.uint8), plain
    return _remapped(image, camera, plain), plain


def plain_lens(camera: Camera) -> PinholeCamera:
    """The camera of an image that `undistorted` makes of one of this camera."""
    width = min(camera.width, _WIDEST_PX)
    return camera.resized(width, max(1, round(camera.height * width / camera.width))).pinhole


def as_seen_by(camera: PinholeCamera, frames: Sequence[ContextFrame]) -> list[ImageArray]:
    """(H, W, 3) images of all frames as one undistorted camera sees them; what a frame does not show is black."""
    return [f.image if f.camera == camera else _remapped(f.image, f.camera, camera) for f in frames]


def shown_in(camera: PinholeCamera, cameras: Sequence[PinholeCamera]) -> list[Mask] | None:
    """(H, W) which pixels of each image of `as_seen_by` its frame shows; None where all are of the same camera.

    Args:
        camera: that sees the frames.
        cameras: that took them.
    """
    return None if all(of == camera for of in cameras) else [_is_shown(of, camera) for of in cameras]


def _is_shown(camera: PinholeCamera, plain: PinholeCamera) -> Mask:
    if camera == plain:
        return np.ones((plain.height, plain.width), bool)
    across, down = _places(camera, plain)
    inside = (across >= 0) & (across <= camera.width - 1) & (down >= 0) & (down <= camera.height - 1)
    return np.asarray(inside, bool)


def _remapped(image: ImageArray, camera: Camera, plain: PinholeCamera) -> ImageArray:
    return np.asarray(cv2.remap(image, *_places(camera, plain), cv2.INTER_LINEAR), np.uint8)


@lru_cache(maxsize=8)
def _places(camera: Camera, plain: PinholeCamera) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Where the pixels of a camera without distortion lie in the image of another: x and y (H, W), px."""
    if isinstance(camera, PinholeCamera):
        lens, size = np.array(camera.distortion) if camera.is_distorted else None, (plain.width, plain.height)
        across, down = cv2.initUndistortRectifyMap(camera.matrix, lens, None, plain.matrix, size, cv2.CV_32FC1)
        return np.asarray(across, np.float32), np.asarray(down, np.float32)
    seen = camera.project(plain.bearings().reshape(-1, 3)).reshape(plain.height, plain.width, 2)
    across, down = np.moveaxis(np.nan_to_num(seen, nan=_NOWHERE_PX), 2, 0)
    return np.ascontiguousarray(across, np.float32), np.ascontiguousarray(down, np.float32)
