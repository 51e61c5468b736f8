"""stereo: depths of a rendered pair against those of the renderer, through equal and unequal lenses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from conftest import DATA

from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.fisheye import wide_lens
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, make_pose, rotation_from_vector
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.stereo import StereoDepths, stereo_depths
from ros2_raxels.recordings.rig_set import RigSet
from ros2_raxels.recordings.source import read_image
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

LENS = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
BENT = PinholeCamera(320, 240, 240.0, 240.0, 150.0, 118.0, (-0.25, 0.07, 0.0, 0.0, 0.0))
BESIDE = make_pose(rotation_from_vector(np.array([0.01, 0.05, -0.02])), (0.12, 0.0, 0.01))


@dataclass
class Pair:
    """What two cameras see of a room at the same time, and how far the points of a grid are for the first."""

    here: Features
    there: Features
    grid: FloatArray
    true: FloatArray
    right_camera: Camera

    def depths(self, right_to_left: FloatArray = BESIDE) -> StereoDepths:
        to_right = inverse_pose(right_to_left)
        return stereo_depths(self.here, LENS, self.there, self.right_camera, to_right, self.grid)


def pair(right: Camera, usable: np.ndarray | None = None) -> Pair:
    matcher, world, pose = Matcher(), furnished_room(3), handheld_loop(7.0, 15.0, seed=3)[20]
    image, depth = render(world, LENS, pose)
    beside, _ = render(world, right, pose @ BESIDE)
    grid = np.asarray(matcher.grid((240, 320)))
    column, row = grid.astype(int).T
    return Pair(matcher.look(image, usable), matcher.look(beside), grid, 1.0 / depth[row, column], right)


@pytest.fixture(scope="module")
def unequal() -> Pair:
    return pair(BENT)


def check(found: StereoDepths, true: FloatArray, share: float, within: float) -> None:
    """Nearly all depths are right to what they say of themselves; at the edges of things a patch sees two depths."""
    known = np.isfinite(found.inverse_depth)
    assert known.mean() > share
    off = np.abs(found.inverse_depth - true)[known] / found.sigma[known]
    assert 0.4 < 1.4826 * np.median(off) < within
    assert (off > 5).mean() < 0.14
    np.testing.assert_array_equal(np.isfinite(found.sigma), known)


def test_depths_through_two_different_lenses(unequal: Pair) -> None:
    found = unequal.depths()
    check(found, unequal.true, 0.8, 1.2)
    assert np.nanmedian(np.abs(found.off_curve_px)) < 0.08
    assert np.nanmedian(found.sigma / found.inverse_depth) < 0.02


def test_depths_from_a_camera_that_sees_almost_half_of_everything() -> None:
    beside = pair(wide_lens(320, 240, 150.0))
    check(beside.depths(), beside.true, 0.5, 2.0)


def test_cameras_that_stand_elsewhere_than_is_said_show_it(unequal: Pair) -> None:
    """By a degree of roll, 3 px at the edge."""
    rolled = BESIDE @ make_pose(rotation_from_vector(np.array([0.0, 0.0, np.radians(0.5)])), np.zeros(3))
    assert np.nanmedian(np.abs(unequal.depths(rolled).off_curve_px)) > 0.3
    swapped = unequal.depths(inverse_pose(BESIDE))
    assert np.isfinite(swapped.inverse_depth).mean() < 0.3


def test_what_is_masked_or_outside_has_no_depth(unequal: Pair) -> None:
    usable = np.ones((240, 320), bool)
    usable[:, :160] = False
    masked = pair(BENT, usable).depths()
    assert not np.isfinite(masked.inverse_depth[unequal.grid[:, 0] < 160]).any()
    outside = stereo_depths(
        unequal.here, LENS, unequal.there, BENT, inverse_pose(BESIDE), np.array([[-9.0, 5.0], [np.nan, 1.0]])
    )
    assert not np.isfinite(outside.inverse_depth).any()


def test_a_wall_without_texture_has_no_depth() -> None:
    grey = Matcher().look(np.full((240, 320), 120, np.uint8))
    found = stereo_depths(grey, LENS, grey, LENS, inverse_pose(BESIDE), np.array([[100.0, 100.0]]))
    assert np.isnan(found.inverse_depth).all()


def test_real_cameras_with_distortion_agree_to_a_fifth_of_a_pixel() -> None:
    folder = DATA / "robot" / "euroc_still"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    rig, matcher = RigSet.read(folder / "rig.json"), Matcher()
    left, right = (matcher.look(read_image(folder / c.folder / rig.images[0])) for c in rig.cameras)
    lenses = [f.working_camera(c.lens()) for f, c in zip((left, right), rig.cameras, strict=True)]
    to_right = inverse_pose(rig.cameras[1].camera_to_base) @ rig.cameras[0].camera_to_base
    found = stereo_depths(left, lenses[0], right, lenses[1], to_right, np.asarray(matcher.grid(left.grey.shape)))
    assert np.isfinite(found.inverse_depth).mean() > 0.4
    assert 1.4826 * np.nanmedian(np.abs(found.off_curve_px)) < 0.2
    assert 1.5 < 1.0 / np.nanmedian(found.inverse_depth) < 3.0
