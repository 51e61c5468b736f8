"""Runs of frames drawn from posed sets, for ever the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.posed_set import CompleteSet

_TRIES = 4000


_STILL = 1e-6


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


def draw_runs(posed: CompleteSet, rule: RunRule, count: int, seed: int) -> list[Run]:
    """At most so many runs of a set; one is left out when it breaks the rule or when no camera moves."""
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
