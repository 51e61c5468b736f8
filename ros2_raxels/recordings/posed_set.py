"""Posed sets: folders of images with a ``cameras.json`` of cameras, true poses and times; the one parser of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeGuard, TypeVar

import numpy as np

from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, GeometryError
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.depth_files import find_depths
from ros2_raxels.recordings.source import (
    DEFAULT_RATE_HZ,
    DepthOptions,
    Frame,
    FrameSource,
    SourceError,
    UnreadDepths,
    check_camera_fits,
    check_increasing,
    median_rate_hz,
    read_image,
)
from ros2_raxels.utils.files import FileError, has, load_json, numbers, of_kind, shown, take, take_list

CAMERAS_FILE = "cameras.json"

Value = TypeVar("Value")

_SAME_CAMERA_DECIMALS = 1
"""Of intrinsics in px: frames that agree to this many are of one camera."""

_ORTHONORMAL_TOLERANCE, _LAST_ROW_TOLERANCE = 1e-2, 1e-6
"""Poses are written with few digits, so rotations are only nearly orthonormal."""


@dataclass(frozen=True, eq=False)
class CompleteSet:
    """A posed set whose every frame has intrinsics and a pose.

    Attributes:
        name: of the set.
        images: N files.
        sizes: (N, 2) width and height, px.
        intrinsics: (N, 4) fx, fy, cx, cy, px.
        camera_to_world: (N, 4, 4) optical frames, in the set's unit.
    """

    name: str
    images: tuple[Path, ...]
    sizes: FloatArray
    intrinsics: FloatArray
    camera_to_world: FloatArray

    def has_one_camera(self, chosen: slice) -> bool:
        """Whether these frames have one size and, to a tenth of a pixel, one set of intrinsics."""
        cameras = np.hstack([self.sizes[chosen], self.intrinsics[chosen].round(_SAME_CAMERA_DECIMALS)])
        return len(np.unique(cameras, axis=0)) == 1


@dataclass(frozen=True, eq=False)
class PosedSet:
    """What a ``cameras.json`` says, every value checked. The images themselves are not looked at.

    Attributes:
        file: the ``cameras.json``.
        name: of the set; empty where the file gives none.
        images: N files.
        cameras: N; None for a frame without intrinsics.
        poses: N camera-to-world 4x4 of optical frames, in the set's unit; None for a frame without a pose.
        stamps_ns: N, strictly increasing; index / rate for a frame without a time.
        rate_hz: typical frame rate.
        is_timed: whether the file gives times.
        is_metric: whether the unit is known to be the metre.
    """

    file: Path
    name: str
    images: tuple[Path, ...]
    cameras: tuple[PinholeCamera | None, ...]
    poses: tuple[FloatArray | None, ...]
    stamps_ns: tuple[int, ...]
    rate_hz: float
    is_timed: bool
    is_metric: bool

    @classmethod
    def read(cls, file: Path, rate_hz: float | None = None, limit: int | None = None) -> PosedSet:
        """Read the file.

        Args:
            file: the ``cameras.json``.
            rate_hz: of frames without a time; outranks the rate that the file gives.
            limit: at most so many frames; those after them are not looked at.

        Raises:
            SourceError: the file cannot be read, or a value is missing or wrong.
        """
        try:
            return cls._parsed(file, load_json(file), rate_hz, limit)
        except FileError as error:
            raise SourceError(str(error)) from error

    @classmethod
    def _parsed(cls, file: Path, record: object, rate_hz: float | None, limit: int | None) -> PosedSet:
        frames = [
            (frame, f"{file}: frames[{index}]")
            for index, frame in enumerate(take_list(record, "frames", str(file))[:limit])
        ]
        if not frames:
            raise SourceError(f"{file}: frames is empty; it must list at least one image")
        images = [file.parent / of_kind(take(frame, "file", where), str, f"{where}.file") for frame, where in frames]
        cameras = [_camera(frame, where) for frame, where in frames]
        poses = [rigid_pose(frame, "c2w", where) for frame, where in frames]
        rate = rate_hz or frame_rate_hz(record, file)
        stamps_ns = [frame_stamp_ns(*frame, index / rate) for index, frame in enumerate(frames)]
        check_increasing(stamps_ns, file, [f"frames[{index}].timestamp" for index in range(len(frames))])
        is_timed = any(_optional(frame, "timestamp") is not None for frame, _ in frames)
        return cls(
            file=file,
            name=str(_optional(record, "name") or ""),
            images=tuple(images),
            cameras=tuple(cameras),
            poses=tuple(poses),
            stamps_ns=tuple(stamps_ns),
            rate_hz=median_rate_hz(stamps_ns, rate) if is_timed else rate,
            is_timed=is_timed,
            is_metric=_optional(record, "metric_scale") is True,
        )

    def complete(self) -> CompleteSet:
        """The set as evaluation needs it.

        Raises:
            SourceError: it has no name, or a frame has no intrinsics or no pose.
        """
        if not self.name:
            raise SourceError(f"{self.file} has no 'name'; add it")
        cameras = [self._given(camera, index, "K") for index, camera in enumerate(self.cameras)]
        poses = [self._given(pose, index, "c2w") for index, pose in enumerate(self.poses)]
        return CompleteSet(
            self.name,
            self.images,
            np.array([(c.width, c.height) for c in cameras], float),
            np.array([(c.fx, c.fy, c.cx, c.cy) for c in cameras]),
            np.array(poses),
        )

    def _given(self, value: Value | None, index: int, key: str) -> Value:
        if value is None:
            raise SourceError(f"{self.file}: frames[{index}] has no {key!r}; add it")
        return value


class PosedSetSource(FrameSource):
    """Images of a posed set, with their cameras and true poses."""

    kind = "posed set"

    def __init__(
        self,
        path: Path,
        camera: Camera | None,
        rate_hz: float | None,
        limit: int | None,
        ignore_calibration: bool = False,
        ignore_exif: bool = False,
        depth: DepthOptions | None = None,
    ) -> None:
        self._set = posed = PosedSet.read(path / CAMERAS_FILE, rate_hz, limit)
        check_images(posed.file, posed.images)
        self._upright = not ignore_exif
        self._cameras = [camera or (None if ignore_calibration else own) for own in posed.cameras]
        self.name = posed.name or path.resolve().name
        self.length = len(posed.images)
        self.rate_hz = posed.rate_hz
        self.camera = self._cameras[0]
        self.has_truth = all(pose is not None for pose in posed.poses)
        self.is_metric = posed.is_metric
        self._depths = None if depth is None else find_depths(posed.images, posed.stamps_ns, depth.unit_m)
        self.has_depth = self._depths is not None
        times = "times as listed" if posed.is_timed else f"no times, {self.rate_hz:g} Hz {_rate_origin(rate_hz)}"
        said_of_depth = [self._depths.words] if self._depths else []
        self.notes = (f"{self.length} images listed in {CAMERAS_FILE}", times, *said_of_depth)

    def __iter__(self) -> Iterator[Frame]:
        posed, stretch, unread = self._set, Stretch(), UnreadDepths()
        self.remarks = ()
        for index, file in enumerate(posed.images):
            image = read_image(file, upright=self._upright, stretch=stretch)
            check_camera_fits(self._cameras[index], image, file)
            depth = None if self._depths is None else unread.passed_over(partial(self._depths.read, index))
            self.remarks = unread.words()
            stamp_ns, camera, pose = posed.stamps_ns[index], self._cameras[index], posed.poses[index]
            yield Frame(index, stamp_ns, image, camera, pose, file.name, depth=depth)


def _rate_origin(given_hz: float | None) -> str:
    return "given" if given_hz else "as listed or assumed (--rate-hz)"


def check_images(file: Path, images: Sequence[Path]) -> None:
    """See that every image is there that a set's file lists.

    Raises:
        SourceError: one is not.
    """
    for index, image in enumerate(images):
        if not image.is_file():
            raise SourceError(f"{file}: frames[{index}].file = {image} does not exist; restore the image")


def set_files(root: Path) -> list[Path]:
    """The ``cameras.json`` of every posed set in a folder.

    Raises:
        SourceError: there is none.
    """
    files = sorted(root.glob(f"*/{CAMERAS_FILE}"))
    if not files:
        raise SourceError(f"{root} holds no posed set (*/{CAMERAS_FILE}); give the folder that holds the sets")
    return files


# ---------------------------------------------------------------------------------------------------------- fields


def _optional(record: object, key: str) -> object:
    return record.get(key) if isinstance(record, dict) else None


def frame_rate_hz(record: object, file: Path) -> float:
    """What a set's file says of its rate, Hz; the default where it says nothing.

    Raises:
        FileError: it is no positive number.
    """
    rate = _optional(record, "frame_rate")
    if rate is None:
        return DEFAULT_RATE_HZ
    if not _is_number(rate) or not 0 < rate < math.inf:
        raise FileError(f"{file}: frame_rate = {shown(rate)} must be a positive number of Hz or null; correct it")
    return float(rate)


def _camera(frame: object, where: str) -> PinholeCamera | None:
    if not has(frame, "K"):
        return None
    intrinsics = numbers(take(frame, "K", where), (4,), f"{where}.K")
    width, height = (of_kind(take(frame, key, where), int, f"{where}.{key}") for key in ("width", "height"))
    try:
        return PinholeCamera(width, height, *intrinsics.tolist())
    except GeometryError as error:
        raise FileError(f"{where}.K: {error}") from error


def rigid_pose(record: object, key: str, where: str) -> FloatArray | None:
    """The 4x4 of a key, a rotation and a translation; None where there is none.

    Raises:
        FileError: it is something else.
    """
    if not has(record, key):
        return None
    value = take(record, key, where)
    pose = numbers(value, (4, 4), f"{where}.{key}")
    rotation = pose[:3, :3]
    is_rotation = np.allclose(rotation @ rotation.T, np.eye(3), atol=_ORTHONORMAL_TOLERANCE)
    is_rotation = is_rotation and np.linalg.det(rotation) > 0
    if not is_rotation or not np.allclose(pose[3], (0, 0, 0, 1), atol=_LAST_ROW_TOLERANCE):
        raise FileError(f"{where}.{key} = {shown(value)} must be a rotation and a translation over 0 0 0 1; correct it")
    return pose


def frame_stamp_ns(frame: object, where: str, otherwise_s: float) -> int:
    """Time of a frame, ns; `otherwise_s` where it has none.

    Raises:
        FileError: it is no finite number of seconds.
    """
    stamp_s = _optional(frame, "timestamp")
    if stamp_s is None:
        return round(otherwise_s * 1e9)
    if not _is_number(stamp_s) or not math.isfinite(stamp_s):
        raise FileError(f"{where}.timestamp = {shown(stamp_s)} must be a number of seconds or null; correct it")
    return round(stamp_s * 1e9)


def _is_number(value: object) -> TypeGuard[float]:
    # JSON's true and false are integers to Python.
    return isinstance(value, int | float) and not isinstance(value, bool)
