"""Posed sets on disk, and runs of frames drawn from them, for ever the same for the same seed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, GeometryError
from ros2_raxels.recordings.source import (
    DEFAULT_RATE_HZ,
    Frame,
    FrameSource,
    SourceError,
    _check_camera_fits,
    _check_increasing,
    _median_rate_hz,
    read_image,
)
from ros2_raxels.utils.files import FileError, load_json, numbers, take, take_list

_SAME_CAMERA_DECIMALS = 1
"""Of intrinsics, px: what is the same so far is one camera."""


@dataclass(frozen=True, eq=False)
class PosedSet:
    """A ``cameras.json``.

    Attributes:
        name: of the set.
        images: N files.
        intrinsics: (N, 4) fx, fy, cx, cy in px.
        camera_to_world: (N, 4, 4) optical frames, the set's own unit.
        frames: as the file has them.
        where: each frame's place in the file, for messages.
    """

    name: str
    images: tuple[Path, ...]
    intrinsics: FloatArray
    camera_to_world: FloatArray
    frames: Sequence[Any]
    where: Sequence[str]

    @classmethod
    def read(cls, file: Path) -> PosedSet:
        """Read the file.

        Raises:
            FileError: it is malformed.
        """
        record = load_json(file)
        name, frames = str(take(record, "name", str(file))), take_list(record, "frames", str(file))
        where = [f"{file}: frames[{index}]" for index in range(len(frames))]
        images = [file.parent / str(take(f, "file", w)) for f, w in zip(frames, where, strict=True)]
        intrinsics = [numbers(take(f, "K", w), (4,), f"{w}.K") for f, w in zip(frames, where, strict=True)]
        poses = [numbers(take(f, "c2w", w), (4, 4), f"{w}.c2w") for f, w in zip(frames, where, strict=True)]
        return cls(name, tuple(images), np.array(intrinsics), np.array(poses), frames, where)

    def has_one_camera(self, chosen: slice) -> bool:
        """Whether these frames are of one size and, to a tenth of a pixel, of the same intrinsics.

        Raises:
            FileError: a frame has no size, or none in numbers.
        """
        frames, sides = zip(self.frames[chosen], self.where[chosen], strict=True), ("width", "height")
        sizes = [[numbers(take(f, side, w), (), f"{w}.{side}") for side in sides] for f, w in frames]
        cameras = np.column_stack([sizes, self.intrinsics[chosen].round(_SAME_CAMERA_DECIMALS)])
        return len(np.unique(cameras, axis=0)) == 1


def set_files(root: Path) -> list[Path]:
    """The ``cameras.json`` of all posed sets of a folder.

    Raises:
        FileError: there is none.
    """
    files = sorted(root.glob("*/cameras.json"))
    if not files:
        raise FileError(f"{root} holds no posed set (*/cameras.json); give the folder that holds the sets")
    return files


class PosedSetSource(FrameSource):
    """Images of a ``cameras.json``, with their cameras and true poses."""

    kind = "posed set"

    def __init__(self, path: Path, camera: PinholeCamera | None, rate_hz: float | None, limit: int | None) -> None:
        self._path, self._file = path, path / "cameras.json"
        record = self._load()
        frames = self._field(record, "frames", list, "cameras.json")[:limit]
        if not frames:
            raise SourceError(f"{self._file}: frames is empty; it must list at least one image")
        self.name = str(record.get("name") or path.resolve().name)
        rate = rate_hz or self._frame_rate(record)
        self._files = [self._image_file(frame, f"frames[{i}]") for i, frame in enumerate(frames)]
        self._cameras = [camera or self._camera(frame, f"frames[{i}]") for i, frame in enumerate(frames)]
        self._poses = [self._pose(frame, f"frames[{i}]") for i, frame in enumerate(frames)]
        self._stamps_ns = [self._stamp_ns(frame, i, rate) for i, frame in enumerate(frames)]
        _check_increasing(self._stamps_ns, self._file, [f"frames[{i}].timestamp" for i in range(len(frames))])
        self.length = len(frames)
        is_timed = any(frame.get("timestamp") is not None for frame in frames)
        self.rate_hz = _median_rate_hz(self._stamps_ns, rate) if is_timed else rate
        self.camera = self._cameras[0]
        self.has_truth = all(pose is not None for pose in self._poses)
        self.is_metric = record.get("metric_scale") is True

    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self._files):
            image = read_image(file)
            camera = self._cameras[index]
            _check_camera_fits(camera, image, file)
            yield Frame(index, self._stamps_ns[index], image, camera, self._poses[index], file.name)

    def _load(self) -> dict[str, Any]:
        try:
            record = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._file} is not readable JSON ({error}); write it again") from error
        if not isinstance(record, dict):
            raise SourceError(f"{self._file} holds a {type(record).__name__}; it must be an object with frames")
        return record

    def _wrong(self, field: str, value: object, wanted: str) -> SourceError:
        return SourceError(f"{self._file}: {field} = {str(value)[:80]!r} must be {wanted}")

    def _field(self, record: object, key: str, kind: type, where: str) -> Any:
        if not isinstance(record, dict) or key not in record:
            raise SourceError(f"{self._file}: {where} has no {key}; add it")
        value = record[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self._wrong(f"{where}.{key}", value, f"a {kind.__name__}")
        return value

    def _numbers(self, value: object, shape: tuple[int, ...], field: str) -> FloatArray:
        try:
            array = np.array(value, float)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.shape != shape or not np.isfinite(array).all():
            raise self._wrong(field, value, f"{'x'.join(map(str, shape))} finite numbers")
        return array

    def _frame_rate(self, record: dict[str, Any]) -> float:
        rate = record.get("frame_rate")
        if rate is None:
            return DEFAULT_RATE_HZ
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < math.inf:
            raise self._wrong("frame_rate", rate, "a positive number of Hz or null")
        return float(rate)

    def _image_file(self, frame: object, where: str) -> Path:
        file: Path = self._path / self._field(frame, "file", str, where)
        if not file.is_file():
            raise SourceError(f"{self._file}: {where}.file = {file} does not exist; restore the image")
        return file

    def _camera(self, frame: dict[str, Any], where: str) -> PinholeCamera | None:
        if frame.get("K") is None:
            return None
        intrinsics = self._numbers(frame["K"], (4,), f"{where}.K")
        width, height = (self._field(frame, key, int, where) for key in ("width", "height"))
        try:
            return PinholeCamera(width, height, *intrinsics.tolist())
        except GeometryError as error:
            raise SourceError(f"{self._file}: {where}.K: {error}") from error

    def _pose(self, frame: dict[str, Any], where: str) -> FloatArray | None:
        if frame.get("c2w") is None:
            return None
        pose = self._numbers(frame["c2w"], (4, 4), f"{where}.c2w")
        rotation = pose[:3, :3]
        rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-2) and np.linalg.det(rotation) > 0
        if not rigid or not np.allclose(pose[3], (0, 0, 0, 1), atol=1e-6):
            raise self._wrong(f"{where}.c2w", frame["c2w"], "a rotation and a translation over 0 0 0 1")
        return pose

    def _stamp_ns(self, frame: dict[str, Any], index: int, rate_hz: float) -> int:
        stamp = frame.get("timestamp")
        if stamp is None:
            return round(index / rate_hz * 1e9)
        if isinstance(stamp, bool) or not isinstance(stamp, (int, float)) or not math.isfinite(stamp):
            raise self._wrong(f"frames[{index}].timestamp", stamp, "a number of seconds or null")
        return round(stamp * 1e9)
