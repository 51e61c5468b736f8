"""Runs of frames drawn from posed sets, reproducible from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.posed_set import CompleteSet

_TRIES = 4000
_STILL = 1e-6
"""No camera of a run that moves less, in the unit of its set, has moved."""


@dataclass(frozen=True)
class RunRule:
    """Which runs of frames are drawn.

    Attributes:
        frames: of a run.
        strides: steps between its frames, all equally likely.
        origin: index of the frame whose camera is the origin of the poses of a run.
        max_rotation_deg: runs in which a camera is turned further from the origin are skipped.
        one_camera: whether all frames must have one size and the same intrinsics.
    """

    frames: int
    strides: Sequence[int]
    origin: int
    max_rotation_deg: float
    one_camera: bool = False


@dataclass(frozen=True, eq=False)
class Run:
    """Equally spaced frames of a set.

    Attributes:
        id: names the set, the first frame and the stride.
        chosen: slice of the set's frames.
        camera_to_origin: (frames, 4, 4) poses in the camera of the rule's origin.
    """

    id: str
    chosen: slice
    camera_to_origin: FloatArray


def draw_runs(posed: CompleteSet, rule: RunRule, count: int, seed: int) -> list[Run]:
    """Up to ``count`` runs of a set; those that break the rule, or in which no camera moves, are skipped."""
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
    """First frame and stride. The order of the draws must not change: it is what makes runs reproducible."""
    generator = np.random.default_rng([seed, *name.encode()])
    for _ in range(_TRIES if frames else 0):
        stride = int(generator.choice(strides))
        yield int(generator.integers(frames)), stride


def _is_usable(camera_to_origin: FloatArray, max_rotation_deg: float) -> bool:
    cosine = (np.trace(camera_to_origin[:, :3, :3], axis1=1, axis2=2) - 1.0) / 2.0
    moved = np.linalg.norm(camera_to_origin[:, :3, 3], axis=1)
    return bool(cosine.min() >= np.cos(np.radians(max_rotation_deg)) and moved.max() >= _STILL)
