"""plane_sweep: planes that need no scale, views of a textured plane that is known exactly, and what is not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from views_scene import TexturedPlane, depth_of_plane, shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.view_synthesis.plane_sweep import LARGEST_DISPARITY, inverse_depths, plane_of, sweep

CAMERA = PinholeCamera(64, 48, 60.0, 58.0, 30.0, 25.0)
PLANES = 8

steady = settings(max_examples=25, deadline=None, derandomize=True)


def swept_plane(index: int, poses: list[FloatArray], target: FloatArray) -> tuple[Any, Any]:
    """A plane at the depth of one of the sweep's, swept from `poses`; and what `target` sees of it."""
    baseline = max(float(np.linalg.norm(pose[:3, 3] - target[:3, 3])) for pose in poses)
    scene = TexturedPlane(target[2, 3] + depth_of_plane(CAMERA, baseline, PLANES, index))
    return sweep(scene.views(CAMERA, np.array(poses)), poses, CAMERA, target, PLANES), scene.view(CAMERA, target)


def errors(view: Any, truth: Any) -> FloatArray:
    """(planes,) mean absolute grey levels between one swept context (4, planes, H, W) and the truth, where it is seen.

    Infinite for a plane of which less than a fifth is seen.
    """
    whole = view[3] == 255
    difference = np.abs(np.moveaxis(view[:3].astype(float), 0, -1) - truth).mean(axis=-1)
    return np.array([d[w].mean() if w.mean() > 0.2 else np.inf for d, w in zip(difference, whole, strict=True)])


# --------------------------------------------------------------------------------------------------------- planes


def test_planes_run_from_infinity_to_the_largest_disparity() -> None:
    found = inverse_depths(CAMERA, 0.5, 5)
    nearest = LARGEST_DISPARITY * 64 / (60.0 * 0.5)
    np.testing.assert_allclose(found, nearest * np.array([0.0, 0.125, 8**-0.5, 0.75**1.5, 1.0]), rtol=1e-12)
    # What a point at the nearest depth moves by when the camera moves by the baseline.
    near = 1 / found[-1]
    moved = CAMERA.project([[0.5, 0.0, near]]) - CAMERA.project([[0.0, 0.0, near]])
    np.testing.assert_allclose(moved, [[LARGEST_DISPARITY * 64, 0.0]], atol=1e-9)


@steady
@given(baseline=st.floats(1e-3, 1e3), planes=st.integers(2, 64))
def test_the_index_of_each_plane_is_its_own(baseline: float, planes: int) -> None:
    found = plane_of(inverse_depths(CAMERA, baseline, planes), inverse_depths(CAMERA, baseline, planes))
    np.testing.assert_allclose(found, np.arange(planes), atol=1e-9)


@steady
@given(baseline=st.floats(1e-3, 1e3), scale=st.floats(1e-3, 1e3), planes=st.integers(2, 64))
def test_depths_scale_with_the_unit_of_length(baseline: float, scale: float, planes: int) -> None:
    found = inverse_depths(CAMERA, baseline, planes)
    np.testing.assert_allclose(inverse_depths(CAMERA, scale * baseline, planes) * scale, found, rtol=1e-9)
    assert (np.diff(found, n=2) > 0).all()


@steady
@given(power=st.integers(-20, 20), seed=st.integers(0, 99))
def test_a_sweep_does_not_depend_on_the_unit_of_length(power: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = list(rng.integers(0, 256, (2, 48, 64, 3), dtype=np.uint8))
    poses = [shifted(*rng.uniform(-0.3, 0.3, 3), turn_deg=rng.uniform(-20, 20, 3).tolist()) for _ in range(3)]
    # Powers of two, for which floating point is exact.
    scaled = [pose.copy() for pose in poses]
    for pose in scaled:
        pose[:3, 3] *= 2.0**power
    found = sweep(images, scaled[:2], CAMERA, scaled[2], PLANES)
    assert found[:, 3].max() == 255
    np.testing.assert_array_equal(found, sweep(images, poses[:2], CAMERA, poses[2], PLANES))


def test_the_origin_of_the_world_does_not_matter() -> None:
    poses, target = [shifted(0.1, turn_deg=(0, 5, 0)), shifted(-0.2, 0.1, turn_deg=(3, 0, 2))], shifted(0.0)
    images = TexturedPlane(1.0).views(CAMERA, np.array(poses))
    elsewhere = shifted(40.0, -30.0, 20.0, turn_deg=(50, -70, 110))
    here = sweep(images, poses, CAMERA, target, PLANES).astype(int)
    there = sweep(images, [elsewhere @ pose for pose in poses], CAMERA, elsewhere @ target, PLANES)
    # Positions are rounded to 1/32 pixel, and may fall to the other side.
    assert np.abs(there - here).max() <= 255 / 32 + 1
    assert np.abs(there - here).mean() < 0.01


# ---------------------------------------------------------------------------------------------------------- views


@pytest.mark.parametrize("index", range(1, PLANES))
def test_the_plane_that_is_there_shows_what_the_target_sees(index: int) -> None:
    """From a camera that is turned and shifted against it, and from one that is further away."""
    target = shifted(0.05, -0.02, 0.1)
    swept, truth = swept_plane(index, [shifted(-0.1, 0.04, 0.02, turn_deg=(2, -4, 3)), shifted(0.4)], target)
    assert swept.shape == (2, 4, PLANES, 48, 64)
    for view in swept:
        found = errors(view, truth)
        assert found[index] < 1.5
        assert np.delete(found, index).min() > 4 * found[index]


def test_context_frames_keep_their_order() -> None:
    colours = np.array([[200, 100, 50], [10, 20, 30], [0, 255, 128]], np.uint8)
    images = [np.full((48, 64, 3), colour, np.uint8) for colour in colours]
    swept = sweep(images, [shifted(x) for x in (0.01, 0.02, 0.03)], CAMERA, shifted(0.0), 2)
    np.testing.assert_array_equal(swept[:, :3, 0, 24, 32], colours)


@steady
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.integers(2, 40),
    height=st.integers(2, 40),
    focal=st.floats(10.0, 500.0),
    planes=st.integers(1, 5),
)
def test_a_view_from_where_an_image_was_taken_is_the_image(
    seed: int, width: int, height: int, focal: float, planes: int
) -> None:
    """At any depth, through any camera."""
    rng = np.random.default_rng(seed)
    camera = PinholeCamera(width, height, focal, focal * rng.uniform(0.8, 1.2), *rng.uniform(-5.0, 45.0, 2))
    pose = shifted(*rng.uniform(-3, 3, 3), turn_deg=rng.uniform(-90, 90, 3).tolist())
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    opaque = np.dstack([image, np.full((height, width), 255, np.uint8)])
    swept = sweep([image], [pose], camera, pose, planes)
    np.testing.assert_array_equal(swept, np.repeat(opaque.transpose(2, 0, 1)[None, :, None], planes, axis=2))


def test_a_rotation_alone_shows_the_same_at_every_depth() -> None:
    target = shifted(3.0, 2.0, 1.0, turn_deg=(4, -12, 5))
    context = shifted(3.0, 2.0, 1.0)
    scene = TexturedPlane(2.0, detail=9.0)
    swept = sweep([scene.view(CAMERA, context)], [context], CAMERA, target, PLANES)
    np.testing.assert_array_equal(swept, np.repeat(swept[:, :, :1], PLANES, axis=2))
    assert errors(swept[0], scene.view(CAMERA, target)).max() < 1.5
    assert 0.5 < (swept[0, 3] == 255).mean() < 0.9


# --------------------------------------------------------------------------------------------------------- unseen


def test_alpha_is_one_where_the_context_saw_and_zero_elsewhere() -> None:
    target, context = shifted(0.0), shifted(0.3, -0.1, 0.1, turn_deg=(5, -8, 10))
    swept = sweep([np.full((48, 64, 3), (250, 120, 30), np.uint8)], [context], CAMERA, target, PLANES)[0]
    depths = inverse_depths(CAMERA, float(np.linalg.norm(context[:3, 3])), PLANES)
    bearings = CAMERA.bearings() / CAMERA.bearings()[..., 2:]
    to_context = inverse_pose(context)
    for plane, inverse_depth in enumerate(depths):
        points = bearings @ to_context[:3, :3].T + inverse_depth * to_context[:3, 3]
        x, y = np.moveaxis(CAMERA.project(points).reshape(48, 64, 2), -1, 0)
        # How far inside the outermost pixel centres, px.
        inside = np.minimum(np.minimum(x, 63 - x), np.minimum(y, 47 - y))
        alpha = swept[3, plane]
        assert (alpha[inside > 0.02] == 255).all()
        assert (alpha[inside < -1.02] == 0).all()
        assert 0.2 < (inside > 0.02).mean() < 0.95
    partly = (swept[3] > 0) & (swept[3] < 255)
    assert partly.sum() > 50
    for channel, colour in zip(swept[:3].astype(float), (250, 120, 30), strict=True):
        np.testing.assert_allclose(channel, colour * (swept[3] / 255.0), atol=1.0)


@pytest.mark.parametrize("turn_deg", [100.0, 150.0, 170.0, 180.0])
def test_what_lies_behind_a_context_camera_is_not_seen(turn_deg: float) -> None:
    swept = sweep([np.full((48, 64, 3), 255, np.uint8)], [shifted(0, turn_deg=(0, turn_deg, 0))], CAMERA, shifted(0), 3)
    assert swept.max() == 0


@pytest.mark.parametrize("turn_deg", [(0, 100, 0), (0, -70, 0), (95, 0, 20), (60, 110, 0)])
def test_what_lies_partly_behind_is_seen_in_part(turn_deg: tuple[float, float, float]) -> None:
    """A lens so wide that a camera turned away still sees some of the target's field."""
    wide = PinholeCamera(64, 48, 16.0, 16.0, 31.5, 23.5)
    context = shifted(0.0, turn_deg=turn_deg)
    alpha = sweep([np.full((48, 64, 3), 255, np.uint8)], [context], wide, shifted(0.0), 1)[0, 3, 0]
    rays = wide.bearings() @ context[:3, :3]
    x, y = np.moveaxis(wide.project(rays).reshape(48, 64, 2), -1, 0)
    inside = (x > 0.02) & (x < 62.98) & (y > 0.02) & (y < 46.98)
    assert 0.02 < inside.mean() < 0.7
    assert (rays[..., 2] < 0).mean() > 0.1
    assert (alpha[inside] == 255).all()
    assert (alpha[rays[..., 2] < 0] == 0).all()


def test_planes_that_a_context_camera_has_passed_are_not_seen() -> None:
    wide = PinholeCamera(64, 48, 16.0, 16.0, 31.5, 23.5)
    swept = sweep([np.full((48, 64, 3), 255, np.uint8)], [shifted(0.0, 0.0, 1.0)], wide, shifted(0.0), PLANES)
    passed = inverse_depths(wide, 1.0, PLANES) > 1.0
    assert passed.sum() == 2
    assert swept[0, :, passed].max() == 0
    assert (swept[0, :, ~passed, 23:25, 31:33] == 255).all()


# --------------------------------------------------------------------------------------------------------- errors


def test_a_sweep_needs_an_image_and_a_pose_for_each() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="0 images and 0 poses; give one or more images, a pose each"):
        sweep([], [], CAMERA, np.eye(4), 2)
    with pytest.raises(ValueError, match="2 images and 1 poses; give one or more images, a pose each"):
        sweep([image, image], [np.eye(4)], CAMERA, np.eye(4), 2)


def test_a_camera_with_distortion_is_refused_by_its_coefficients() -> None:
    camera = PinholeCamera(64, 48, 60.0, 60.0, 31.5, 23.5, (-0.25, 0.1, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"camera with distortion \(-0.25, 0.1, 0.0, 0.0\); undistort the images"):
        sweep([np.zeros((48, 64, 3), np.uint8)], [np.eye(4)], camera, np.eye(4), 2)


@pytest.mark.parametrize("shape", [(47, 64, 3), (48, 63, 3), (48, 64), (48, 64, 4), (64, 48, 3)])
def test_an_image_that_is_not_the_cameras_is_refused_by_shape(shape: tuple[int, ...]) -> None:
    images = [np.zeros((48, 64, 3), np.uint8), np.zeros(shape, np.uint8)]
    with pytest.raises(ValueError) as refused:
        sweep(images, [np.eye(4)] * 2, CAMERA, np.eye(4), 2)
    assert f"image 1 has shape {shape}, its camera is 64x48 px; give RGB images of the camera's size" in str(
        refused.value
    )
