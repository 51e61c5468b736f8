"""A ball that floats above a floor, whose shadow and outline are known in closed form."""

from __future__ import annotations

import numpy as np

from ros2_raxels.scenes.textures import TILE_PX, TextureAtlas
from ros2_raxels.scenes.world import Boxes, Light, Planes, Spheres, World


def ball_before_a_floor(light: Light) -> World:
    """A floor at z = 0 and a sphere of radius 0.5 that floats at z = 1.5, both grey."""
    index = np.zeros(1, np.intp)
    nothing = Boxes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3, 3)), index[:0])
    floor = Planes(np.array([[0.0, 0.0, 1.0]]), np.zeros(1), np.array([[1.0, 0.0, 0.0]]), index)
    ball = Spheres(np.array([[0.0, 0.0, 1.5]]), np.array([0.5]), index)
    grey = TextureAtlas.build([np.full((TILE_PX, TILE_PX, 3), 128, np.uint8)])
    return World(floor, nothing, ball, light, grey)
