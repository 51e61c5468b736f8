"""view_depth: where pixels of a view lie in known frames, the depth that planes tell, and its match in the frames."""

from __future__ import annotations

import numpy as np
import pytest
from views_scene import TexturedPlane, shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import relative_pose
from ros2_raxels.view_synthesis.plane_sweep import inverse_depths
from ros2_raxels.view_synthesis.view_depth import Projection, chosen_depth, matched_depth, towards_frames

CAMERA = PinholeCamera(160, 120, 150.0, 155.0, 82.0, 57.0)
TARGET = shifted(0.1, -0.05, 0.2, turn_deg=(2, -3, 1))


def test_pixels_lie_where_the_points_that_they_show_are_projected() -> None:
    frame = shifted(-0.3, 0.1, turn_deg=(-4, 6, 2))
    depth = np.random.default_rng(0).uniform(1.0, 5.0, (120, 160))
    column, row, inside = Projection(CAMERA, relative_pose(frame, TARGET)).at((1.0 / depth).astype(np.float32))
    rays = CAMERA.bearings()
    points = rays / rays[..., 2:] * depth[..., None]
    local = points.reshape(-1, 3) @ relative_pose(frame, TARGET)[:3, :3].T + relative_pose(frame, TARGET)[:3, 3]
    expected = CAMERA.project(local).reshape(120, 160, 2)
    np.testing.assert_allclose(np.stack([column, row], -1), expected, atol=1e-3)
    shown = (expected > -0.5).all(-1) & (expected[..., 0] < 159.5) & (expected[..., 1] < 119.5)
    assert (inside == shown).mean() > 0.999
    assert 0.3 < shown.mean() < 1.0


def test_what_is_behind_a_frame_is_outside_of_it() -> None:
    behind = shifted(turn_deg=(0, 180, 0))
    assert not Projection(CAMERA, behind).at(np.ones((120, 160), np.float32))[2].any()


def test_the_chosen_depth_is_that_of_the_likeliest_planes() -> None:
    depths = inverse_depths(CAMERA, 0.3, 16)
    share = np.full((16, 12, 10), 1e-9, np.float32)
    share[5:7] = 0.45
    # The largest single share is elsewhere: one plane alone is less likely than two side by side.
    share[12] = 0.5
    found, _ = chosen_depth(np.log(share), depths)
    np.testing.assert_allclose(found, (depths[5] + depths[6]) / 2, rtol=1e-5)
    share[:], share[0] = 1e-9, 1.0
    np.testing.assert_allclose(chosen_depth(np.log(share), depths)[0], 0.0, atol=1e-6)
    share[:], share[-1] = 1e-9, 1.0
    np.testing.assert_allclose(chosen_depth(np.log(share), depths)[0], depths[-1], rtol=1e-5)


def test_the_error_of_a_depth_is_the_spread_of_what_is_likely() -> None:
    depths = np.linspace(0.0, 1.5, 76)
    share = np.full((76, 4, 5), 1e-9, np.float32)
    share[50], share[49], share[51] = 0.6, 0.2, 0.2
    found, error = chosen_depth(np.log(share), depths)
    np.testing.assert_allclose(found, 1.0, rtol=1e-4)
    np.testing.assert_allclose(error, 0.02 * 0.4**0.5, rtol=1e-3)
    share[4] = 0.5
    far_off = 1.0 - depths[4]
    expected = (0.4 * 0.02**2 + 0.5 * far_off**2) ** 0.5
    np.testing.assert_allclose(chosen_depth(np.log(share), depths)[1], expected, rtol=1e-3)


@pytest.mark.parametrize("wrong", [0.9, 1.0, 1.1])
def test_a_depth_is_moved_to_where_frames_agree(wrong: float) -> None:
    plane, frames = TexturedPlane(2.0, detail=60.0), [shifted(-0.1), shifted(0.25), shifted(0.0, 0.2)]
    target = shifted(0.05, 0.05)
    images, weights = plane.views(CAMERA, np.array(frames)), [np.full((120, 160), 1 / 3, np.float32)] * 3
    rough = np.full((120, 160), wrong / 2.0, np.float32)
    found = matched_depth(rough, weights, images, CAMERA, towards_frames(frames, target))
    inner = np.s_[25:-25, 25:-25]
    error = np.abs(found[inner] * 2.0 - 1.0)
    assert np.median(error) < 0.015
    assert np.percentile(error, 95) < 0.05


def test_what_a_mask_leaves_out_of_a_frame_moves_no_depth() -> None:
    """A part of the robot covers the left of the frames."""
    plane, poses, target = TexturedPlane(2.0, detail=60.0), [shifted(-0.1), shifted(0.25), shifted(0.1)], shifted(0.05)
    images, weights = plane.views(CAMERA, np.array(poses)), [np.full((120, 160), 1 / 3, np.float32)] * 3
    rough, frames = np.full((120, 160), 0.53, np.float32), towards_frames(poses, target)
    masks = [np.ones((120, 160), np.uint8) for _ in images]
    covered = np.s_[:, 40:90]
    noise = np.random.default_rng(3).integers(0, 255, (120, 50, 3), np.uint8)
    images[0][covered], masks[0][covered] = noise, 0
    inner = np.s_[30:-30, 40:75]
    off = [
        np.abs(matched_depth(rough, weights, images, CAMERA, frames, seen)[inner] * 2.0 - 1.0) for seen in (masks, None)
    ]
    assert np.median(off[0]) < 0.015
    assert np.percentile(off[0], 90) < 0.05
    assert np.percentile(off[1], 90) > 0.1


def test_without_texture_a_depth_stays() -> None:
    rough = np.full((120, 160), 0.5, np.float32)
    grey, weight = np.full((120, 160, 3), 90, np.uint8), np.ones((120, 160), np.float32)
    frames = towards_frames([shifted(0.1), shifted(-0.1)], shifted())
    np.testing.assert_allclose(matched_depth(rough, [weight] * 2, [grey] * 2, CAMERA, frames), 0.5, atol=1e-4)


def test_cameras_that_do_not_move_keep_the_depth() -> None:
    rough = np.full((120, 160), 0.5, np.float32)
    image = TexturedPlane(2.0).view(CAMERA, shifted())
    found = matched_depth(rough, [np.ones((120, 160), np.float32)], [image], CAMERA, [np.eye(4)])
    assert np.isfinite(found).all()
