"""Worlds through fisheyes: what is seen where, at what distance."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera, wide_lens
from ros2_raxels.scenes.renderer import depth_map, render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

FISHEYE = wide_lens(64, 48, 200.0)


@pytest.fixture(scope="module")
def pose() -> np.ndarray:
    return handheld_loop(40)[7]


def test_a_fisheye_and_a_pinhole_meet_the_same_points(pose: np.ndarray) -> None:
    world, pinhole = furnished_room(), PinholeCamera(96, 72, 60.0, 60.0, 47.5, 35.5)
    depth = depth_map(world, pinhole, pose)
    points = pinhole.bearings() / pinhole.bearings()[..., 2:] * depth[..., None]
    wide = depth_map(world, FISHEYE, pose)
    pixels = FISHEYE.project(points.reshape(-1, 3)).round().astype(int)
    found, expected = wide[pixels[:, 1], pixels[:, 0]], FISHEYE.depth(points.reshape(-1, 3))
    # Pixels of the fisheye are coarser, and differ where they lie beside an outline.
    assert np.median(np.abs(found / expected - 1)) < 0.02


def test_it_sees_behind_itself_what_a_camera_turned_round_sees(pose: np.ndarray) -> None:
    world = furnished_room()
    rays, depth = FISHEYE.bearings(), depth_map(world, FISHEYE, pose)
    behind = rays[..., 2] < -0.05
    assert behind.sum() > 50
    round_about = pose.copy()
    round_about[:3, :3] = pose[:3, :3] @ np.diag([-1.0, 1.0, -1.0])
    there = rays[behind] * np.array([-1.0, 1.0, -1.0])
    other = PinholeCamera(401, 401, 20.0, 20.0, 200.0, 200.0)
    seen = other.project(there)
    inside = ((seen > 0) & (seen < 400)).all(axis=1)
    assert inside.sum() > 20
    pixels = seen[inside].round().astype(int)
    along_z = depth_map(world, other, round_about)[pixels[:, 1], pixels[:, 0]]
    found = depth[behind][inside] * there[inside, 2]
    assert np.median(np.abs(found / along_z - 1)) < 0.05


def test_what_the_lens_does_not_see_is_black_and_nowhere(pose: np.ndarray) -> None:
    folding = FisheyeCamera(64, 48, 30.0, 30.0, 31.5, 23.5, (-0.2, 0.0, 0.0, 0.0))
    image, depth = render(furnished_room(), folding, pose)
    valid = folding.valid_mask()
    assert 0.3 < valid.mean() < 0.9
    assert not image[~valid].any()
    assert np.isinf(depth[~valid]).all()
    assert np.isfinite(depth[valid]).all()
    assert image[valid].mean() > 20
