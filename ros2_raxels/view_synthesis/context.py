"""Frames to make views from: few, recent, and seen from places that differ. Free of ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, interpolate_pose, relative_pose, rotation_angle_rad
from ros2_raxels.recordings.image_codec import ImageArray

_WIDEST_PX = 640
"""Of kept frames: models work on less, and a few of a large camera would fill the memory."""


@dataclass(frozen=True, eq=False)
class ContextFrame:
    """A frame whose pose is known.

    Attributes:
        image: (H, W, 3) RGB uint8, without distortion.
        camera: of it.
        stamp_ns: of it.
        frame_id: its optical frame.
        camera_to_world: 4x4; None while only one frame is needed and its place does not matter.
    """

    image: ImageArray
    camera: PinholeCamera
    stamp_ns: int
    frame_id: str
    camera_to_world: FloatArray | None


@dataclass(frozen=True)
class SpreadSettings:
    """When a frame sees enough that the ones before did not.

    Attributes:
        frames: that are kept.
        least_motion: between two of them, in the world's unit.
        least_turn_rad: or this.
        keep_s: an older one is dropped.
    """

    frames: int = 4
    least_motion: float = 0.05
    least_turn_rad: float = float(np.radians(5.0))
    keep_s: float = 30.0


class ContextBuffer:
    """Keeps a few recent frames that differ in place or direction. Not for use from two threads at once."""

    def __init__(self, settings: SpreadSettings) -> None:
        self._settings = settings
        self._frames: list[ContextFrame] = []

    @property
    def frames(self) -> tuple[ContextFrame, ...]:
        """Oldest first."""
        return tuple(self._frames)

    def wants(self, stamp_ns: int, camera_to_world: FloatArray) -> bool:
        """Whether a frame at this pose, later than those that are kept, sees what they do not; what is too old goes."""
        self._drop_before(stamp_ns - round(self._settings.keep_s * 1e9))
        if self._frames and stamp_ns <= self._frames[-1].stamp_ns:
            return False
        return not any(self._is_close(frame, camera_to_world) for frame in self._frames)

    def add(self, frame: ContextFrame) -> None:
        """Keep a frame that is wanted; the oldest go."""
        self._frames = [*self._frames, frame][-self._settings.frames :]

    def _drop_before(self, oldest_ns: int) -> None:
        self._frames = [kept for kept in self._frames if kept.stamp_ns >= oldest_ns]

    def clear(self) -> None:
        """Forget all."""
        self._frames.clear()

    def _is_close(self, frame: ContextFrame, camera_to_world: FloatArray) -> bool:
        assert frame.camera_to_world is not None
        between = relative_pose(frame.camera_to_world, camera_to_world)
        is_near = float(np.linalg.norm(between[:3, 3])) < self._settings.least_motion
        return is_near and float(rotation_angle_rad(between[:3, :3])) < self._settings.least_turn_rad


def undistorted(image: ImageArray, camera: PinholeCamera) -> tuple[ImageArray, PinholeCamera]:
    """The same picture in colour, without distortion, and no larger than is of use; and its camera."""
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    width = min(camera.width, _WIDEST_PX)
    small = camera.resized(width, max(1, round(camera.height * width / camera.width)))
    plain = PinholeCamera(small.width, small.height, small.fx, small.fy, small.cx, small.cy)
    if not camera.is_distorted:
        return np.asarray(cv2.resize(image, (plain.width, plain.height), interpolation=cv2.INTER_AREA), np.uint8), plain
    return _remapped(image, camera, plain), plain


def as_seen_by(camera: PinholeCamera, frames: Sequence[ContextFrame]) -> list[ImageArray]:
    """Pictures of all frames through one camera without distortion; what a frame does not show is black."""
    return [f.image if f.camera == camera else _remapped(f.image, f.camera, camera) for f in frames]


def _remapped(image: ImageArray, camera: PinholeCamera, plain: PinholeCamera) -> ImageArray:
    distortion = np.array(camera.distortion) if camera.is_distorted else None
    size = (plain.width, plain.height)
    across, down = cv2.initUndistortRectifyMap(camera.matrix, distortion, None, plain.matrix, size, cv2.CV_32FC1)
    return np.asarray(cv2.remap(image, across, down, cv2.INTER_LINEAR), np.uint8)


def along_arc(poses: FloatArray, count: int) -> FloatArray:
    """(count, 4, 4) poses at even distances along a path of (N, 4, 4), from its first to its last.

    Where the path does not move, evenly over its poses. One alone is the last.
    """
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    if arc[-1] <= 0.0:
        arc = np.arange(len(poses), dtype=float)
    wanted = np.linspace(0.0, arc[-1], count) if count > 1 else arc[-1:]
    at = np.interp(wanted, arc, np.arange(len(poses)))
    found = []
    for place in at:
        before = min(int(place), max(0, len(poses) - 2))
        after = min(before + 1, len(poses) - 1)
        found.append(interpolate_pose(poses[before], poses[after], float(place - before)))
    return np.array(found)
