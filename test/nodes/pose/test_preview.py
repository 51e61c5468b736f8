"""nodes.pose.preview: the colours of the picture are the raxels, to within a step of 8 bits."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.pose.preview import RaxelPicture

CAMERA = PinholeCamera(320, 240, 260.0, 250.0, 150.0, 119.5)
POSE = make_pose(rotation_from_vector([0.1, 0.7, -0.2]), [3.0, -1.0, 2.0])


def shown(picture: np.ndarray, reach: float) -> FloatArray:
    """Raxels of the cells of a picture, in the world."""
    return (picture[::8, ::8].astype(float) - 127.5) / 127.5 * reach


def test_a_cell_shows_the_position_of_its_raxel_in_the_world():
    picture = RaxelPicture().draw((CAMERA, POSE))
    assert (picture.shape, picture.dtype) == ((30 * 8, 40 * 8, 3), np.uint8)
    np.testing.assert_array_equal(picture, picture[::8, ::8].repeat(8, axis=0).repeat(8, axis=1))
    reach = 1.0 + float(np.linalg.norm(POSE[:3, 3]))
    raxels = shown(picture, reach)
    # At unit distance from the camera, along the ray through the middle of the cell.
    rays = (raxels - POSE[:3, 3]) @ POSE[:3, :3]
    step = reach / 127.5
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1.0, atol=2 * step)
    for row, column in ((0, 0), (29, 39), (12, 5)):
        pixel = CAMERA.project(rays[row, column][None])[0]
        centre = (np.array([column, row]) + 0.5) * 8 - 0.5
        np.testing.assert_allclose(pixel, centre, atol=2 * step * CAMERA.fx)


@pytest.mark.parametrize("x", [-9.0, 0.0, 9.0])
def test_nothing_saturates_wherever_the_camera_is(x: float):
    raxels = shown(RaxelPicture().draw((CAMERA, make_pose(np.eye(3), [x, 0.0, 0.0]))), 1.0 + abs(x))
    # A channel at its limit would bring raxels nearer to the camera than they are.
    np.testing.assert_allclose(np.linalg.norm(raxels - [x, 0.0, 0.0], axis=-1), 1.0, atol=2 * (1.0 + abs(x)) / 127.5)


def test_what_a_fisheye_does_not_see_is_grey():
    lens = FisheyeCamera(320, 240, 100.0, 100.0, 159.5, 119.5, (-0.2, 0.0, 0.0, 0.0))
    cells = RaxelPicture().draw((lens, POSE))[::8, ::8]
    unseen = np.isnan(lens.bearings(30, 40)[..., 0])
    assert 0.1 < unseen.mean() < 0.9
    assert (cells[unseen] == 128).all()
    assert not (cells[~unseen] == 128).all(axis=-1).any()


def test_rays_depend_on_the_camera_alone():
    picture, wide = RaxelPicture(), PinholeCamera(320, 160, 130.0, 130.0, 159.5, 79.5)
    first = picture.draw((CAMERA, POSE))
    assert picture.draw((wide, POSE)).shape == (20 * 8, 40 * 8, 3)
    np.testing.assert_array_equal(picture.draw((CAMERA, POSE)), first)
    np.testing.assert_array_equal(picture.draw((wide, POSE)), RaxelPicture().draw((wide, POSE)))


def test_cameras_of_a_rig_are_side_by_side_and_equal_colours_are_equal_points():
    wide = PinholeCamera(320, 160, 130.0, 130.0, 159.5, 79.5)
    beside = make_pose(POSE[:3, :3], POSE[:3, 3] + [0.0, 0.5, 0.0])
    picture = RaxelPicture().draw((CAMERA, POSE), (wide, beside))
    # A grey strip between them, and below the lower one.
    assert picture.shape == (30 * 8, (40 + 1 + 40) * 8, 3)
    assert (picture[:, 320:328] == 128).all()
    assert (picture[160:, 328:] == 128).all()
    reach = 1.0 + max(float(np.linalg.norm(pose[:3, 3])) for pose in (POSE, beside))
    for cells, pose in ((picture[:, :320], POSE), (picture[:160, 328:], beside)):
        from_camera = np.linalg.norm(shown(cells, reach) - pose[:3, 3], axis=-1)
        np.testing.assert_allclose(from_camera, 1.0, atol=2 * reach / 127.5)
