"""A rendered walk of two cameras that look to the left and to the right of a robot, as it drives round a curve."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, make_pose, rotation_from_vector
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.world import furnished_room

Image = npt.NDArray[np.uint8]
LENS = PinholeCamera(240, 180, 192.0, 192.0, 119.5, 89.5)
STEP_NS = 66_666_667
FIRST_NS = 1_700_000_000_123_456_789


def mounted(yaw_rad: float, x_m: float, y_m: float) -> MountedCamera:
    """A camera that looks so far to the left of ahead."""
    turn = rotation_from_vector(np.array([0.0, 0.0, yaw_rad]))
    return MountedCamera(LENS, make_pose(turn @ OPTICAL_TO_BODY[:3, :3], (x_m, y_m, 0.4)))


@dataclass(frozen=True)
class RigWalk:
    """What a rig sees.

    Attributes:
        rig: its cameras.
        base_to_world: (N, 4, 4), m.
        images: N by name of the camera.
    """

    rig: Rig
    base_to_world: FloatArray
    images: list[dict[str, Image]]

    def stamp_ns(self, index: int) -> int:
        return FIRST_NS + index * STEP_NS

    def truth(self, indices: list[int]) -> FloatArray:
        """Poses of the first camera (N, 4, 4) in its first one."""
        leader = self.base_to_world @ self.rig[self.rig.leader].camera_to_base
        return np.asarray(np.linalg.inv(leader[0]) @ leader[indices])


def round_a_curve(count: int, turn_rad: float) -> FloatArray:
    """Base poses (N, 4, 4) along an arc of 1.3 m."""
    yaw = np.linspace(0, turn_rad, count)
    ahead = np.stack([np.cos(yaw), np.sin(yaw), 0 * yaw], axis=1) * (1.3 / count)
    position = np.array([-1.9, -0.8, 0.5]) + np.cumsum(ahead, axis=0)
    return make_pose(rotation_from_vector(np.stack([0 * yaw, 0 * yaw, yaw], axis=1)), position)


STEREO = Rig({"left": mounted(0.0, 0.15, 0.06), "right": mounted(0.0, 0.15, -0.06)})
"""Two cameras beside each other."""

STEREO_WAY = round_a_curve(24, 1.2)
"""Of its base, a turn of 70 degrees."""


@cache
def seen_by_stereo(name: str, moment: int) -> Image:
    """What a camera of `STEREO` sees on its way, where not all of `stereo` is needed."""
    return render(furnished_room(3), LENS, STEREO_WAY[moment] @ STEREO[name].camera_to_base)[0]


def filmed(rig: Rig, base_to_world: FloatArray) -> RigWalk:
    room = furnished_room(3)
    images = [
        {name: render(room, rig[name].camera, pose @ rig[name].camera_to_base)[0] for name in rig.names}
        for pose in base_to_world
    ]
    return RigWalk(rig, base_to_world, images)


@cache
def sides() -> RigWalk:
    """Two cameras that see nothing in common, 40 moments, a turn of 115 degrees."""
    rig = Rig({"left": mounted(0.9, 0.15, 0.2), "right": mounted(-0.9, 0.15, -0.2)})
    return filmed(rig, round_a_curve(40, 2.0))


@cache
def stereo() -> RigWalk:
    """`STEREO` on its way."""
    return filmed(STEREO, STEREO_WAY)
