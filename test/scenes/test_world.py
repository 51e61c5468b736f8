"""Furnished rooms: seeded, closed and with room for the camera."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import ROOM_HALF_M, ROOM_HEIGHT_M, World, furnished_room

CAMERA = PinholeCamera(160, 120, 130.0, 131.0, 79.5, 59.5)


@pytest.fixture(scope="module")
def room() -> World:
    return furnished_room(3)


def test_rooms_are_seeded_and_closed(room: World) -> None:
    pose = handheld_loop(7.0)[0]
    images = [render(furnished_room(seed), CAMERA, pose)[0] for seed in (3, 4)]
    np.testing.assert_array_equal(images[0], render(room, CAMERA, pose)[0])
    assert np.abs(images[0].astype(int) - images[1]).mean() > 10


@pytest.mark.parametrize("seed", range(2))
def test_the_camera_keeps_clear_of_everything(seed: int) -> None:
    world, poses = furnished_room(seed), handheld_loop(7.0, 5.0, seed)
    position = poses[:, :3, 3]
    assert (np.abs(position[:, :2]) < np.array(ROOM_HALF_M) - 0.4).all()
    assert (position[:, 2] < ROOM_HEIGHT_M - 0.4).all()
    small = PinholeCamera(64, 48, 50.0, 50.0, 31.5, 23.5)
    assert min(render(world, small, pose)[1].min() for pose in poses[::4]) > 0.3
