"""The raxel grid of a clip: its rays, and poses relative to the first camera."""

from __future__ import annotations

import numpy as np
from random_geometry import random_pose

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS, clip_bearings, decode_clip
from ros2_raxels.geometry.raxels import encode_raxels

CAMERA = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
BENT = PinholeCamera(320, 240, 240.0, 240.0, 155.0, 123.0, (-0.2, 0.05, 0.001, -0.001))


def test_every_camera_has_its_own_rays_on_the_grid() -> None:
    bearings = clip_bearings([CAMERA, BENT, CAMERA])
    assert bearings.shape == (3, RAXEL_ROWS, RAXEL_COLUMNS, 3) == (3, 12, 16, 3)
    for found, camera in zip(bearings, (CAMERA, BENT, CAMERA), strict=True):
        np.testing.assert_array_equal(found, camera.bearings(12, 16))


def test_a_clip_is_decoded_relative_to_its_first_camera() -> None:
    rng = np.random.default_rng(0)
    poses = np.array([[random_pose(rng) for _ in range(3)] for _ in range(2)])
    bearings = clip_bearings([CAMERA, BENT, CAMERA])
    expected = np.linalg.inv(poses[:, :1]) @ poses
    raxels = encode_raxels(bearings, poses)
    np.testing.assert_allclose(decode_clip(bearings, raxels), expected, atol=1e-9)
    np.testing.assert_allclose(decode_clip(bearings, raxels[1]), expected[1], atol=1e-9)
