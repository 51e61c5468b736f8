"""Rigs to render with: cameras of one lens, mounted as on usual robots."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, make_pose, rotation_from_vector
from ros2_raxels.geometry.rig import MountedCamera, Rig

_MOUNTS = {
    "stereo": {"left": (0.0, 0.0, 0.06), "right": (0.0, 0.0, -0.06)},
    "sides": {"left": (50.0, 0.0, 0.1), "right": (-50.0, 0.0, -0.1)},
    "four": {
        "front": (0.0, 0.12, 0.0),
        "left": (90.0, 0.0, 0.12),
        "back": (180.0, -0.12, 0.0),
        "right": (-90.0, 0.0, -0.12),
    },
}
"""Of each camera: how far it looks to the left of ahead, deg, and where it stands ahead and to the left, m."""

RIGS = tuple(_MOUNTS)
"""Names: two cameras beside each other, two that look to the sides, four that look all round."""


def rig_of(name: str, lens: Camera) -> Rig:
    """A rig on a base with a robot's axes (x ahead, y left, z up).

    Args:
        name: one of `RIGS`.
        lens: of all its cameras.
    """
    return Rig({camera: _mounted(lens, *mount) for camera, mount in _MOUNTS[name].items()})


def _mounted(lens: Camera, yaw_deg: float, ahead_m: float, left_m: float) -> MountedCamera:
    turn = rotation_from_vector(np.array([0.0, 0.0, np.radians(yaw_deg)]))
    return MountedCamera(lens, make_pose(turn @ OPTICAL_TO_BODY[:3, :3], (ahead_m, left_m, 0.0)))
