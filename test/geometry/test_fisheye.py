"""Equidistant lenses against OpenCV up to 90 degrees from the axis, and beyond against themselves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lens_checks import assert_derivative, assert_round_trip
from random_geometry import seeds, steady

from ros2_raxels.geometry.fisheye import FisheyeCamera, wide_lens
from ros2_raxels.geometry.poses import FloatArray, GeometryError

LENS = (-0.021, 0.011, -0.0043, 0.0006)


def lens(distortion: tuple[float, ...] = LENS, focal_px: float = 152.0) -> FisheyeCamera:
    return FisheyeCamera(320, 240, focal_px, 1.03 * focal_px, 158.2, 121.7, distortion)


@st.composite
def fisheyes(draw: st.DrawFn) -> FisheyeCamera:
    """From 60 to 200 degrees across, that do not fold back in the image."""
    focal_px = 160 / np.radians(draw(st.floats(60, 200)) / 2)
    coefficients = tuple(draw(st.floats(-scale, scale)) for scale in (0.03, 0.006, 0.001, 0.0002))
    return lens(coefficients, focal_px)


@pytest.mark.parametrize("distortion", [(), (0.0,) * 4, LENS])
def test_projection_and_rays_are_those_of_opencv_within_its_half_space(distortion: tuple[float, ...]) -> None:
    camera = lens(distortion)
    points = np.random.default_rng(1).uniform((-4, -4, 0.2), (4, 4, 3), (500, 3))
    by_opencv, _ = cv2.fisheye.projectPoints(
        points[:, None], np.zeros(3), np.zeros(3), camera.matrix, np.array(distortion or (0.0,) * 4)
    )
    np.testing.assert_allclose(camera.project(points), by_opencv[:, 0], atol=1e-9)
    rays = camera.rays(by_opencv[:, 0])
    np.testing.assert_allclose(rays, points / np.linalg.norm(points, axis=1, keepdims=True), atol=1e-9)


@steady
@given(fisheyes(), seeds)
def test_pixels_come_back_and_derivatives_hold(camera: FisheyeCamera, seed: int) -> None:
    assert_round_trip(camera, seed)
    assert_derivative(camera, seed)


def test_a_lens_of_200_degrees_sees_behind_itself() -> None:
    camera = wide_lens(400, 400, 200.0)
    assert np.degrees(camera.horizontal_fov_rad) == pytest.approx(200.0, abs=1e-6)
    angle = np.radians(98.0)
    point = 3.0 * np.array([[np.sin(angle), 0.0, np.cos(angle)]])
    assert point[0, 2] < 0
    np.testing.assert_allclose(camera.project(point), [[199.5 + 196.0, 199.5]], atol=1e-9)
    np.testing.assert_allclose(camera.rays([[395.5, 199.5]]) * 3.0, point, atol=1e-9)
    assert camera.depth(point) == pytest.approx(3.0)
    # Further out than 110 degrees is the rim, and straight behind there is nothing.
    assert np.isnan(camera.project([[0.0, 0.0, -1.0], [0.3, 0.0, -1.0]])).all()


def test_beyond_where_the_polynomial_folds_back_there_are_no_rays() -> None:
    camera = lens((-0.15, 0.0, 0.0, 0.0))
    # The derivative of t - 0.15 t^3 is zero at t^2 = 1 / 0.45.
    folds = np.sqrt(1 / 0.45)
    assert camera.most_half_angle_rad == pytest.approx(folds, abs=1e-9)
    furthest_px = 152.0 * (folds - 0.15 * folds**3)
    inside, outside = 158.2 + furthest_px - 0.1, 158.2 + furthest_px + 0.1
    seen = camera.rays([[inside, 121.7], [outside, 121.7]])
    assert np.isfinite(seen[0]).all()
    assert np.isnan(seen[1]).all()
    mask = camera.valid_mask()
    assert mask.shape == (240, 320)
    assert mask[120, 160]
    assert not mask[0, 0]
    assert np.isnan(camera.bearings()[~mask]).all()
    beyond: FloatArray = np.array([[np.sin(folds + 0.01), 0.0, np.cos(folds + 0.01)]])
    assert np.isnan(camera.project(beyond)).all()


def test_an_equidistant_lens_has_its_focal_length_along_the_radius_everywhere() -> None:
    camera = FisheyeCamera(320, 240, 150.0, 150.0, 159.5, 119.5)
    angle = 1.0
    found = camera.local_focal_px([[159.5, 119.5], [159.5 + 150.0 * angle, 119.5]])
    # Along the radius 150 px a radian; around it a circle of 150 px times the angle over its sine.
    np.testing.assert_allclose(found, [150.0, 150.0 * np.sqrt(angle / np.sin(angle))], rtol=1e-9)
    np.testing.assert_allclose(camera.scale_px(camera.rays([[309.5, 119.5]])), found[1:], rtol=1e-9)


@pytest.mark.parametrize("distortion", [(0.1,), (0.0, 0.0, np.inf, 0.0), (0.1,) * 5])
def test_coefficients_of_another_lens_are_refused(distortion: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError, match="must be 0 or 4 finite numbers"):
        lens(distortion)
