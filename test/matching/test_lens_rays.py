"""Pixels through lenses of every kind."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.matching.lens_rays import looking_along, see_through

PLAIN = PinholeCamera(320, 240, 260.0, 255.0, 158.0, 121.0)
BENT = PinholeCamera(320, 240, 240.0, 240.0, 155.0, 123.0, (-0.2, 0.05, 0.001, -0.001))
WIDE = FisheyeCamera(320, 240, 100.0, 100.0, 159.5, 119.5)


def test_pixels_on_the_planes_of_cameras_with_lenses_of_their_own() -> None:
    plane = np.array([[[0.1, -0.2], [0.3, 0.25]], [[0.0, 0.05], [-0.4, 0.1]]])
    rays = np.concatenate([plane, np.ones((2, 2, 1))], axis=-1)
    pixels = np.stack([camera.project(rays[:, k]) for k, camera in enumerate((PLAIN, BENT))], axis=1)
    found, focal_px, lens = see_through(pixels, [PLAIN, BENT])
    np.testing.assert_allclose(found, plane, atol=1e-9)
    np.testing.assert_allclose(focal_px, [np.sqrt(260.0 * 255.0), 240.0])
    assert lens is not None
    np.testing.assert_allclose(lens.ray, rays, atol=1e-9)
    # A barrel squeezes the edge of the image.
    np.testing.assert_allclose(lens.scale_px[:, 0], np.sqrt(260.0 * 255.0))
    assert 0.7 * 240 < lens.scale_px[1, 1] < lens.scale_px[0, 1] < 240


def test_plain_pinholes_need_no_rays() -> None:
    pixels = np.array([[[10.0, 20.0], [np.nan, np.nan]]])
    plane, _, lens = see_through(pixels, [PLAIN, PLAIN])
    assert lens is None
    np.testing.assert_allclose(plane[0, 0], [(10 - 158) / 260, (20 - 121) / 255])
    assert np.isnan(plane[0, 1]).all()


def test_a_fisheye_has_unit_rays_and_a_plane_in_the_middle() -> None:
    pixels = np.array([[[159.5 + 30.0, 119.5], [159.5 + 150.0, 119.5], [np.nan, np.nan]]]).swapaxes(0, 1)
    plane, focal_px, lens = see_through(pixels, [WIDE])
    assert lens is not None
    assert not lens.is_flat.any()
    np.testing.assert_allclose(lens.ray[:2, 0, 0], np.sin([0.3, 1.5]), atol=1e-12)
    np.testing.assert_allclose(lens.scale_px[0, 0], 100.0 * np.sqrt(0.3 / np.sin(0.3)))
    np.testing.assert_allclose(plane[0, 0], [np.tan(0.3), 0.0], atol=1e-12)
    # A pinhole of this focal length does not see so far.
    assert np.isnan(plane[1:]).all()
    assert np.isnan(lens.ray[2]).all()
    assert focal_px == [100.0]


def test_a_frame_that_looks_along_a_ray_is_a_rotation() -> None:
    rays = Rotation.random(200, random_state=1).as_matrix()[:, 2]
    rays[0], rays[1] = (0.0, 0.0, 1.0), (0.0, 0.0, -1.0)
    turns = looking_along(rays)
    np.testing.assert_allclose(turns @ np.swapaxes(turns, 1, 2), np.tile(np.eye(3), (200, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1.0, atol=1e-12)
    np.testing.assert_allclose((turns @ rays[..., None])[..., 0], np.tile([0.0, 0.0, 1.0], (200, 1)), atol=1e-12)
    np.testing.assert_allclose(turns[0], np.eye(3), atol=1e-15)
