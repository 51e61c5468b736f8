"""Posed sets on disk, and runs of frames drawn from them, for ever the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.utils.files import FileError, load_json, numbers, take, take_list

_TRIES = 4000
_STILL = 1e-6
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


@dataclass(frozen=True)
class RunRule:
    """Which runs of frames are drawn.

    Attributes:
        frames: of a run.
        strides: between its frames, each as likely as the others.
        origin: the frame of a run in whose camera its poses are told.
        max_rotation_deg: no camera of a run turns further from that one.
        one_camera: whether all frames must be of one.
    """

    frames: int
    strides: Sequence[int]
    origin: int
    max_rotation_deg: float
    one_camera: bool = False


@dataclass(frozen=True, eq=False)
class Run:
    """Some frames of a set.

    Attributes:
        id: of set, first frame and stride.
        chosen: of the set's frames.
        camera_to_origin: (frames, 4, 4) in the camera of the rule's origin.
    """

    id: str
    chosen: slice
    camera_to_origin: FloatArray


def set_files(root: Path) -> list[Path]:
    """The ``cameras.json`` of all posed sets of a folder.

    Raises:
        FileError: there is none.
    """
    files = sorted(root.glob("*/cameras.json"))
    if not files:
        raise FileError(f"{root} holds no posed set (*/cameras.json); give the folder that holds the sets")
    return files


def draw_runs(posed: PosedSet, rule: RunRule, count: int, seed: int) -> list[Run]:
    """At most so many runs of a set; one is left out when it breaks the rule or when no camera moves.

    Raises:
        FileError: the rule asks for one camera, and a frame has no size.
    """
    runs: dict[tuple[int, int], Run] = {}
    for first, stride in _draws(seed, posed.name, len(posed.images), rule.strides):
        if len(runs) == count:
            break
        chosen = slice(first, first + stride * (rule.frames - 1) + 1, stride)
        if chosen.stop > len(posed.images) or (first, stride) in runs:
            continue
        poses = posed.camera_to_world[chosen]
        relative = np.linalg.inv(poses[rule.origin]) @ poses
        one_camera = not rule.one_camera or posed.has_one_camera(chosen)
        if one_camera and _is_usable(relative, rule.max_rotation_deg):
            runs[first, stride] = Run(f"{posed.name}/{first:06d}x{stride}", chosen, relative)
    return list(runs.values())


def _draws(seed: int, name: str, frames: int, strides: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First frame and stride; the order of the draws is what keeps the runs fixed."""
    generator = np.random.default_rng([seed, *name.encode()])
    for _ in range(_TRIES if frames else 0):
        stride = int(generator.choice(strides))
        yield int(generator.integers(frames)), stride


def _is_usable(camera_to_origin: FloatArray, max_rotation_deg: float) -> bool:
    cosine = (np.trace(camera_to_origin[:, :3, :3], axis1=1, axis2=2) - 1.0) / 2.0
    moved = np.linalg.norm(camera_to_origin[:, :3, 3], axis=1)
    return bool(cosine.min() >= np.cos(np.radians(max_rotation_deg)) and moved.max() >= _STILL)
