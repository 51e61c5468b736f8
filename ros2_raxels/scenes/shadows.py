"""Cast shadows: the depth of the world seen from its lamp, computed once for all frames."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.scenes.renderer import depth_map
from ros2_raxels.scenes.trajectories import look_at
from ros2_raxels.scenes.world import ShadowMap, World

_SIDE_PX = 448
_WIDEST_TAN = 3.0

SomeWorld = TypeVar("SomeWorld", bound=World)


def with_shadows(world: SomeWorld, target_m: FloatArray, radius_m: float) -> SomeWorld:
    """The same world with shadows around a point.

    Args:
        world: its lamp must not be straight above the target.
        target_m: (3,) centre of the region with shadows.
        radius_m: of that region; a lamp nearer than that covers less.
    """
    position = np.array(world.light.position_m)
    distance = float(np.linalg.norm(position - target_m))
    focal = _SIDE_PX / 2 / min(_WIDEST_TAN, radius_m / distance)
    camera = PinholeCamera(_SIDE_PX, _SIDE_PX, focal, focal, (_SIDE_PX - 1) / 2, (_SIDE_PX - 1) / 2)
    pose = look_at(position, target_m)
    depth = depth_map(world, camera, pose)
    return replace(world, shadows=ShadowMap(camera, inverse_pose(pose), depth))
