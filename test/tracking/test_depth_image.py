"""depth_image: a plane exactly, noise as large as is said, edges and holes left out, other sizes, and wrong units."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from walk import CAMERA

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import wide_lens
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.depth_picture import DepthPicture
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.depth_image import DepthImage, DepthImageError, DepthNoise
from ros2_raxels.tracking.metric_scale import ScaleSource

GRID = np.stack(np.meshgrid(np.arange(8.0, 312, 16), np.arange(8.0, 232, 16)), axis=-1).reshape(-1, 2)


def plane_depth(camera: PinholeCamera, normal: FloatArray, distance_m: float) -> FloatArray:
    """Depths (H, W) along z of a plane."""
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.rays(np.stack([column, row], axis=-1).reshape(-1, 2).astype(float))
    return np.asarray(distance_m / (rays @ normal)).reshape(camera.height, camera.width).astype(np.float32)


FLOOR = np.array([0.2, 0.6, 0.75])


def test_a_plane_is_known_exactly_at_any_point() -> None:
    depth = DepthImage(DepthPicture(plane_depth(CAMERA, FLOOR, 2.0)), 320, 240)
    assert (depth.source, depth.scale_sigma) == (ScaleSource.DEPTH, 0.005)
    points = GRID + np.random.default_rng(0).uniform(-0.5, 0.5, GRID.shape)
    inverse, sigma = depth.at(points, CAMERA)
    np.testing.assert_allclose(inverse, CAMERA.rays(points) @ FLOOR / 2.0, rtol=1e-5)
    assert (sigma > 0.0015).all()
    assert (sigma < 0.02 * inverse).all()


def test_a_smaller_depth_image_is_scaled_and_one_with_its_own_camera_is_looked_up_by_rays() -> None:
    expected = CAMERA.rays(GRID) @ FLOOR / 2.0
    half = CAMERA.resized(160, 120)
    assert isinstance(half, PinholeCamera)
    found, _ = DepthImage(DepthPicture(plane_depth(half, FLOOR, 2.0)), 320, 240).at(GRID, CAMERA)
    known = np.isfinite(found)
    assert known.mean() > 0.95
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-4)
    # As by a sensor of another view; what that does not see is not known.
    own = PinholeCamera(200, 160, 210.0, 205.0, 97.0, 81.0)
    found, _ = DepthImage(DepthPicture(plane_depth(own, FLOOR, 2.0), own), 320, 240).at(GRID, CAMERA)
    known = np.isfinite(found)
    assert 0.4 < known.mean() < 0.8
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-4)
    # The image that is worked in may be smaller than the image that the depths are for.
    working = CAMERA.resized(240, 180)
    found, _ = DepthImage(DepthPicture(plane_depth(CAMERA, FLOOR, 2.0)), 320, 240).at(GRID / 1.4, working)
    np.testing.assert_allclose(found, working.rays(GRID / 1.4) @ FLOOR / 2.0, rtol=1e-4)


def test_through_a_wide_lens_depths_count_along_rays() -> None:
    lens = wide_lens(320, 240, 120.0)
    rays = lens.rays(GRID)
    column, row = np.meshgrid(np.arange(320.0), np.arange(240.0))
    every = lens.rays(np.stack([column, row], axis=-1).reshape(-1, 2))
    wall = DepthPicture(np.where(every[:, 2] > 0.1, 2.0, np.nan).reshape(240, 320).astype(np.float32))
    found, _ = DepthImage(wall, 320, 240).at(GRID, lens)
    known = np.isfinite(found)
    assert known.mean() > 0.9
    points = rays[known] / found[known, None]
    np.testing.assert_allclose(points[:, 2], 2.0, rtol=1e-5)


def test_errors_are_as_large_as_is_said() -> None:
    noise = DepthNoise()
    rng = np.random.default_rng(1)
    truth = plane_depth(CAMERA, np.array([0.3, 0.3, 0.9]), 3.0)
    measured = truth + rng.normal(0.0, 1.0, truth.shape) * noise.per_metre * truth**2
    inverse, sigma = DepthImage(DepthPicture(measured.astype(np.float32)), 320, 240).at(GRID, CAMERA)
    known = np.isfinite(inverse)
    assert known.mean() > 0.9
    off = np.abs(inverse - CAMERA.rays(GRID) @ [0.3, 0.3, 0.9] / 3.0)[known]
    assert (off < 3 * sigma[known]).all()
    # Beside the pixel's own noise stands what calibration leaves, so that the fit is surer than is said.
    assert np.median(off) < 0.3 * np.median(sigma[known])


def test_holes_edges_and_pixels_between_two_surfaces_are_left_out() -> None:
    depth = np.full((240, 320), 3.0, np.float32)
    depth[:, 160:] = 1.0
    depth[:, 158:162] = [2.6, 2.1, 1.6, 1.2]
    depth[100:140, 40:80] = np.nan
    image = DepthImage(DepthPicture(depth), 320, 240)
    across = np.column_stack([np.arange(150.0, 171.0), np.full(21, 30.0)])
    inverse, _ = image.at(across, CAMERA)
    known = np.isfinite(inverse)
    assert not known[6:14].any()
    np.testing.assert_allclose(inverse[known], np.where(across[known, 0] < 160, 1 / 3, 1.0), rtol=1e-5)
    assert known.sum() > 8
    assert np.isnan(image.at(np.array([[60.0, 120.0], [-7.0, 3.0], [400.0, 30.0]]), CAMERA)[0]).all()


def test_in_a_room_nearly_all_that_is_known_is_right() -> None:
    """With pixels mixed across edges, as lenses and sensors mix them."""
    pose = handheld_loop(7.0, 15.0, seed=1)[0]
    _, truth = render(furnished_room(3), CAMERA, pose)
    mixed = cv2.GaussianBlur(truth.astype(np.float32), (3, 3), 0.8)
    inverse, sigma = DepthImage(DepthPicture(mixed), 320, 240).at(GRID, CAMERA)
    column, row = GRID.astype(int).T
    known = np.isfinite(inverse)
    assert 0.6 < known.mean() < 1.0
    right = np.abs(inverse - 1.0 / truth[row, column]) < 3 * sigma
    assert right[known].mean() > 0.97


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (np.full((240, 320), 1500.0), "median of 1500 m, which no sensor measures; its values seem to be mm where"),
        (np.full((240, 320), 0.002), "median of 0.002 m, which no sensor measures; its values seem to be m where"),
        (np.full((200, 320), 1.5), "320x200 px has another shape than the image of 320x240 px"),
    ],
)
def test_what_cannot_be_is_named(depth: FloatArray, words: str) -> None:
    with pytest.raises(DepthImageError) as error:
        DepthImage(DepthPicture(depth.astype(np.float32)), 320, 240)
    assert words in str(error.value)


def test_a_camera_of_another_size_is_named_and_nothing_measured_is_no_error() -> None:
    with pytest.raises(DepthImageError, match="100x80 px but its camera_info is of 320x240 px"):
        DepthImage(DepthPicture(np.ones((80, 100), np.float32), CAMERA), 320, 240)
    nothing = DepthImage(DepthPicture(np.full((240, 320), np.nan, np.float32)), 320, 240)
    assert np.isnan(nothing.at(GRID, CAMERA)[0]).all()
