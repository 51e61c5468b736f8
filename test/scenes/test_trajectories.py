"""Handheld trajectories are smooth, closed and of walking pace."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.poses import rotation_angle_rad
from ros2_raxels.scenes.trajectories import handheld_loop


@pytest.mark.parametrize("seed", range(4))
def test_a_handheld_loop_is_smooth_closed_and_of_walking_pace(seed: int) -> None:
    poses = handheld_loop(7.0, 30.0, seed)
    assert poses.shape == (210, 4, 4)
    np.testing.assert_allclose(
        poses[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2), np.tile(np.eye(3), (210, 1, 1)), atol=1e-12
    )
    around = np.concatenate([poses, poses[:2]])
    velocity = np.diff(around[:, :3, 3], axis=0) * 30
    speed, acceleration = np.linalg.norm(velocity, axis=1), np.linalg.norm(np.diff(velocity, axis=0) * 30, axis=1)
    turn = rotation_angle_rad(np.swapaxes(around[:-1, :3, :3], 1, 2) @ around[1:, :3, :3]) * 30
    assert speed.min() > 0.3
    assert speed.max() < 1.6
    assert acceleration.max() < 4.0
    assert np.degrees(turn).max() < 60.0
    assert np.degrees(turn).mean() > 8.0
    forward, sideways = (np.einsum("ni,ni->n", poses[:, :3, axis], velocity[:210]) for axis in (2, 0))
    assert np.abs(forward).max() > 0.4
    assert np.abs(sideways).max() > 0.6
    np.testing.assert_allclose(poses, handheld_loop(7.0, 30.0, seed))
