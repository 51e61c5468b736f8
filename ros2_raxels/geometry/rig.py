"""Rigs: cameras that are fixed to one base, each with a lens of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, GeometryError, relative_pose, rotation_angle_rad

_OVERLAP_GRID = (24, 32)
_DEPTH = 10.0
"""Baselines: how far away the scene is taken to be."""

_SAME_PLACE_M = 1e-4


@dataclass(frozen=True, eq=False)
class MountedCamera:
    """A camera on a base.

    Attributes:
        camera: its lens.
        camera_to_base: 4x4 of the optical frame in the base, m.
    """

    camera: Camera
    camera_to_base: FloatArray


class Rig:
    """Cameras by name, in order; the first one leads: its frames are those that are answered.

    Args:
        cameras: by name, at least one.

    Raises:
        GeometryError: there is none, or two stand in the same place and look the same way: one was entered twice.
    """

    def __init__(self, cameras: Mapping[str, MountedCamera]) -> None:
        if not cameras:
            raise GeometryError("a rig has no camera; give at least one")
        self.cameras: Mapping[str, MountedCamera] = MappingProxyType(dict(cameras))
        for k, first in enumerate(self.names):
            for second in self.names[k + 1 :]:
                apart = self.between(second, first)
                if np.linalg.norm(apart[:3, 3]) < _SAME_PLACE_M and rotation_angle_rad(apart[:3, :3]) < _SAME_PLACE_M:
                    raise GeometryError(
                        f"cameras {first!r} and {second!r} of the rig are mounted in the same place; give each its own "
                        "camera_to_base"
                    )

    def __reduce__(self) -> tuple[type[Rig], tuple[dict[str, MountedCamera]]]:
        """For other processes: what cannot be written to cannot be pickled."""
        return Rig, (dict(self.cameras),)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the cameras, in order."""
        return tuple(self.cameras)

    @property
    def leader(self) -> str:
        """Name of the first camera."""
        return self.names[0]

    @property
    def others(self) -> tuple[str, ...]:
        """Names of all but the first camera."""
        return self.names[1:]

    def __getitem__(self, name: str) -> MountedCamera:
        return self.cameras[name]

    def between(self, source: str, target: str) -> FloatArray:
        """``source_to_target`` (4x4, m) of two cameras by name."""
        return relative_pose(self.cameras[target].camera_to_base, self.cameras[source].camera_to_base)

    def to_leader(self, name: str) -> FloatArray:
        """``camera_to_leader`` (4x4, m) of a camera by name."""
        return self.between(name, self.leader)

    def baseline_m(self, first: str, second: str) -> float:
        """Distance of two cameras by name, m."""
        return float(np.linalg.norm(self.between(first, second)[:3, 3]))

    def overlap(self, first: str, second: str) -> float:
        """Share of the field of one camera that another one sees too, 0 to 1, of a scene ten baselines away."""
        a, b = self.cameras[first].camera, self.cameras[second].camera
        return overlap(a, b, self.between(first, second), _DEPTH * self.baseline_m(first, second))


def overlap(a: Camera, b: Camera, a_to_b: FloatArray, depth: float) -> float:
    """Share of the field of one camera that another one sees too, 0 to 1, of a scene at one distance.

    Args:
        a: whose field it is a share of.
        b: the other one.
        a_to_b: 4x4 of their optical frames.
        depth: of the scene from the first one, in the unit of ``a_to_b``.
    """
    rays = a.bearings(*_OVERLAP_GRID).reshape(-1, 3)
    rays = rays[np.isfinite(rays[:, 0])]
    if not len(rays):
        return 0.0
    pixels = b.project(rays @ a_to_b[:3, :3].T * depth + a_to_b[:3, 3])
    inside = (pixels > -0.5).all(axis=1) & (pixels < (b.width - 0.5, b.height - 0.5)).all(axis=1)
    return float(inside.mean())
