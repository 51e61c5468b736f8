"""Cast shadows lie where the geometry of lamp and ball says."""

from __future__ import annotations

import numpy as np
from ball_world import ball_before_a_floor

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.shadows import with_shadows
from ros2_raxels.scenes.trajectories import look_at
from ros2_raxels.scenes.world import Light

CAMERA = PinholeCamera(160, 120, 130.0, 131.0, 79.5, 59.5)


def test_a_ball_casts_its_shadow_where_geometry_says() -> None:
    lamp = Light((0.01, 0.0, 3.0), ambient=0.2, corner_shade=0.0, contact_shade=0.0)
    world = ball_before_a_floor(lamp)
    pose = look_at(np.array([3.0, 0.0, 1.2]), np.zeros(3))
    camera = PinholeCamera(320, 240, 200.0, 200.0, 159.5, 119.5)
    plain, depth = render(world, camera, pose)
    shaded, same = render(with_shadows(world, np.zeros(3), 4.0), camera, pose)
    np.testing.assert_array_equal(depth, same)
    bearings = camera.bearings()
    points = (bearings / bearings[..., 2:] * depth.clip(0, 1e3)[..., None]) @ pose[:3, :3].T + pose[:3, 3]
    floor = np.abs(points[..., 2]) < 1e-3
    # The cone from the lamp that touches the ball meets the floor in a circle.
    radius = 3.0 * 0.5 / np.sqrt(1.5**2 - 0.5**2)
    away = np.hypot(points[..., 0], points[..., 1])
    dark = (plain.astype(int) - shaded).mean(axis=2) > 4
    assert dark[floor & (away < radius - 0.06)].mean() > 0.99
    assert dark[floor & (away > radius + 0.06) & (away < 2.5)].mean() < 0.01
