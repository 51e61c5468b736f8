"""prediction: points of a plane and of two, in a camera that has moved."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.prediction import predict

CAMERA = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5, (-0.2, 0.05, 0.0, 0.0))
GRID = Matcher().grid((240, 320)).astype(float)
MOVED = make_pose(rotation_from_vector([0.02, -0.05, 0.03]), [0.2, -0.1, 0.15])
INNER = ((GRID.min(axis=0) < GRID) & (GRID.max(axis=0) > GRID)).all(axis=1)


def slanted(pixels: FloatArray) -> FloatArray:
    """Inverse depths of a plane; through a lens without distortion they are linear in the pixels."""
    plane = CAMERA.normalise(pixels)
    return np.asarray(0.35 + 0.1 * plane[:, 0] + 0.25 * plane[:, 1])


def seen_there(pixels: FloatArray) -> FloatArray:
    plane = CAMERA.normalise(pixels)
    points = np.column_stack([plane, np.ones(len(plane)), slanted(pixels)]) @ MOVED.T
    return CAMERA.project(points[:, :3])


def test_points_and_patches_of_a_slanted_plane_are_where_they_will_be() -> None:
    found = predict(GRID, slanted(GRID), MOVED, CAMERA, CAMERA)
    np.testing.assert_allclose(found.pixels, seen_there(GRID), atol=1e-9)
    steps = [(seen_there(GRID + step) - seen_there(GRID - step)) / 2 for step in np.eye(2)]
    true = np.stack(steps, axis=-1)
    assert np.abs(true - np.eye(2)).max() > 0.1
    np.testing.assert_allclose(found.warp[INNER], true[INNER], atol=0.01)


def test_across_an_edge_both_sides_face_the_camera() -> None:
    depth = np.where(GRID[:, 0] < 160, 0.5, 0.2)
    found = predict(GRID, depth, MOVED, CAMERA, CAMERA)
    whole = [predict(GRID, np.full(len(GRID), rho), MOVED, CAMERA, CAMERA).warp for rho in (0.5, 0.2)]
    np.testing.assert_allclose(found.warp, np.where(GRID[:, :1, None] < 160, *whole), atol=1e-9)


def test_what_comes_much_closer_is_not_looked_for() -> None:
    ahead = make_pose(np.eye(3), [0.0, 0.0, -1.0])
    found = predict(GRID, np.full(len(GRID), 0.4), ahead, CAMERA, CAMERA)
    assert np.isnan(found.pixels).all()
