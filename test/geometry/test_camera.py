"""Cameras: projection and rays against the formula of the lens, OpenCV and each other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lens_checks import assert_derivative, assert_round_trip
from random_geometry import cameras, seeds, steady

from ros2_raxels.geometry.camera import PinholeCamera, ordinary_camera, unit_bearings
from ros2_raxels.geometry.poses import FloatArray, GeometryError

PLUMB_BOB = (-0.28, 0.09, 0.0012, -0.0007, -0.012)
RATIONAL = (0.42, -0.11, 0.0008, -0.0005, -0.004, 0.71, -0.05, -0.006)
THIN_PRISM = (*RATIONAL, 0.0011, -0.0007, 0.0004, 0.0009)
TILTED = (*THIN_PRISM, 0.013, -0.021)
LENSES = pytest.mark.parametrize("distortion", [PLUMB_BOB[:4], PLUMB_BOB, RATIONAL], ids=["4", "5", "8"])
ALL = pytest.mark.parametrize("distortion", [PLUMB_BOB, RATIONAL, THIN_PRISM, TILTED], ids=["5", "8", "12", "14"])


def lens_model(plane: FloatArray, distortion: tuple[float, ...]) -> FloatArray:
    """Distorted image-plane coordinates by the formula in the documentation of OpenCV."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*distortion, *[0.0] * (8 - len(distortion)))
    x, y = plane.T
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return np.stack(
        [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y],
        axis=1,
    )


def wide_camera(distortion: tuple[float, ...]) -> PinholeCamera:
    return PinholeCamera(640, 480, 520.0, 515.0, 322.3, 236.1, distortion)


@LENSES
def test_projection_undoes_bearings(distortion: tuple[float, ...]) -> None:
    camera = wide_camera(distortion).resized(160, 120)
    pixels = np.stack(np.meshgrid(np.arange(160.0), np.arange(120.0)), axis=-1)
    found = camera.project(7.3 * camera.bearings().reshape(-1, 3)).reshape(120, 160, 2)
    np.testing.assert_allclose(found, pixels, atol=2.5e-7)


@LENSES
def test_lenses_agree_with_the_formula_and_with_opencv(distortion: tuple[float, ...]) -> None:
    camera = wide_camera(distortion)
    rng = np.random.default_rng(2)
    points = np.column_stack([rng.uniform(-0.5, 0.5, (400, 2)), np.ones(400)]) * rng.uniform(0.5, 9, (400, 1))
    expected = lens_model(points[:, :2] / points[:, 2:], distortion) * (520.0, 515.0) + (322.3, 236.1)
    np.testing.assert_allclose(camera.project(points), expected, atol=1e-9)
    by_opencv = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, np.array(distortion))[0]
    np.testing.assert_allclose(camera.project(points), by_opencv[:, 0], atol=1e-9)
    back = cv2.undistortPoints(expected[:, None], camera.matrix, np.array(distortion))[:, 0]
    # OpenCV's default is five steps of the same iteration, so it is the less exact of the two.
    np.testing.assert_allclose(camera.normalise(expected), back, atol=2e-3)
    np.testing.assert_allclose(camera.normalise(expected), points[:, :2] / points[:, 2:], atol=1e-9)


@ALL
def test_thin_prism_and_tilt_are_those_of_opencv(distortion: tuple[float, ...]) -> None:
    camera = wide_camera(distortion)
    points = np.random.default_rng(4).uniform((-0.6, -0.4, 1.0), (0.6, 0.4, 1.0), (300, 3))
    by_opencv = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, np.array(distortion))[0][:, 0]
    np.testing.assert_allclose(camera.project(points), by_opencv, atol=1e-9)
    np.testing.assert_allclose(camera.rays(by_opencv), points, atol=1e-9)


@ALL
def test_a_mirrored_camera_sees_mirrored_points_at_mirrored_pixels(distortion: tuple[float, ...]) -> None:
    camera = wide_camera(distortion)
    points = np.random.default_rng(5).uniform((-0.6, -0.4, 1.0), (0.6, 0.4, 1.0), (300, 3))
    mirrored = (639.0, 0.0) + camera.project(points) * (-1.0, 1.0)
    np.testing.assert_allclose(camera.mirrored().project(points * (-1.0, 1.0, 1.0)), mirrored, atol=1e-9)


@ALL
@pytest.mark.parametrize("seed", range(3))
def test_pixels_come_back_and_derivatives_hold(distortion: tuple[float, ...], seed: int) -> None:
    assert_round_trip(wide_camera(distortion), seed)
    assert_derivative(wide_camera(distortion), seed)


@steady
@given(cameras(), seeds)
def test_derivatives_without_distortion(camera: PinholeCamera, seed: int) -> None:
    assert_round_trip(camera, seed)
    assert_derivative(camera, seed)


def test_beyond_where_the_distortion_folds_back_there_are_no_rays() -> None:
    camera = PinholeCamera(640, 480, 200.0, 200.0, 319.5, 239.5, (-0.2, 0.0, 0.0, 0.0))
    # The derivative of r - 0.2 r^3 is zero at r^2 = 1 / 0.6.
    folds = np.sqrt(1 / 0.6)
    furthest_px = 200.0 * (folds - 0.2 * folds**3)
    inside, outside = 319.5 + furthest_px - 0.01, 319.5 + furthest_px + 0.01
    # OpenCV's own iteration ends anywhere out there.
    seen = camera.normalise([[inside, 239.5], [outside, 239.5]])
    assert folds - 0.02 < seen[0, 0] < folds
    assert np.isnan(seen[1]).all()
    mask = camera.valid_mask()
    assert mask[240, 320]
    assert not mask[0, 0]
    assert np.isnan(camera.project([[folds + 0.01, 0.0, 1.0]])).all()
    assert mask.sum() == pytest.approx(np.pi * furthest_px**2, rel=0.01)


def test_a_strong_distortion_is_undone_where_plain_iteration_creeps() -> None:
    camera = PinholeCamera(640, 480, 330.0, 330.0, 319.5, 239.5, (-0.28, 0.09, 0.0012, -0.0007, -0.012))
    pixels = np.stack(np.meshgrid(np.arange(0.0, 640.0, 20.0), np.arange(0.0, 480.0, 20.0)), axis=-1).reshape(-1, 2)
    rays = camera.rays(pixels)
    assert np.isfinite(rays).all(axis=1).mean() > 0.99
    seen = np.isfinite(rays[:, 0])
    np.testing.assert_allclose(camera.project(rays[seen]), pixels[seen], atol=1e-7)


def test_a_crop_keeps_rays() -> None:
    camera = wide_camera(PLUMB_BOB)
    part = camera.cropped(100, 60, 200, 150)
    assert (part.width, part.height) == (200, 150)
    np.testing.assert_allclose(part.rays([[10.0, 20.0]]), camera.rays([[110.0, 80.0]]), atol=1e-12)


def test_the_local_focal_length_of_a_pinhole_grows_from_the_axis() -> None:
    camera = PinholeCamera(640, 480, 300.0, 300.0, 319.5, 239.5)
    angle = np.arctan(1.0)
    found = camera.local_focal_px([[319.5, 239.5], [619.5, 239.5]])
    # Along the radius by the square of the cosine, around it by the cosine.
    np.testing.assert_allclose(found, [300.0, 300.0 * np.cos(angle) ** -1.5], rtol=1e-9)


@steady
@given(cameras(), seeds)
def test_projection_without_distortion(camera: PinholeCamera, seed: int) -> None:
    points = np.random.default_rng(seed).uniform((-2, -2, 0.1), (2, 2, 8), (20, 3))
    homogeneous = points @ np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]]).T
    np.testing.assert_allclose(camera.project(points), homogeneous[:, :2] / homogeneous[:, 2:], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(camera.normalise(camera.project(points)), points[:, :2] / points[:, 2:], atol=1e-10)


@pytest.mark.parametrize("distortion", [(), PLUMB_BOB])
def test_points_behind_the_camera_have_no_pixel(distortion: tuple[float, ...]) -> None:
    camera = wide_camera(distortion)
    found = camera.project([[0.1, 0.2, 1.0], [0.1, 0.2, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    np.testing.assert_array_equal(np.isnan(found).all(axis=1), [False, True, True, False])
    np.testing.assert_allclose(found[3], (322.3, 236.1), atol=1e-9)
    assert camera.project(np.zeros((0, 3))).shape == camera.normalise(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("distortion", [(), PLUMB_BOB, RATIONAL])
@pytest.mark.parametrize(("rows", "columns"), [(12, 16), (9, 16), (48, 64), (1, 1)])
def test_a_coarse_grid_is_the_resized_camera(distortion: tuple[float, ...], rows: int, columns: int) -> None:
    camera = wide_camera(distortion)
    expected = camera.resized(columns, rows).bearings()
    assert expected.shape == (rows, columns, 3)
    np.testing.assert_allclose(camera.bearings(rows, columns), expected, atol=1e-9)


def test_a_coarse_ray_is_the_centre_of_its_cell() -> None:
    camera = PinholeCamera(64, 48, 50.0, 55.0, 31.5, 23.5)
    fine = (camera.bearings() / camera.bearings()[..., 2:])[..., :2]
    cells = fine.reshape(12, 4, 16, 4, 2).mean(axis=(1, 3))
    coarse = camera.bearings(12, 16)
    np.testing.assert_allclose((coarse / coarse[..., 2:])[..., :2], cells, atol=1e-12)


@steady
@given(cameras(), st.integers(1, 200), st.integers(1, 200), seeds)
def test_resizing_keeps_rays(camera: PinholeCamera, width: int, height: int, seed: int) -> None:
    small = camera.resized(width, height)
    assert (small.width, small.height) == (width, height)
    pixels = np.random.default_rng(seed).uniform(0, (camera.width, camera.height), (10, 2)) - 0.5
    # An area-preserving resampling keeps the image's outer edge, half a pixel outside the first and last centre.
    moved = (pixels + 0.5) * (width / camera.width, height / camera.height) - 0.5
    np.testing.assert_allclose(small.normalise(moved), camera.normalise(pixels), atol=1e-10)
    assert small.horizontal_fov_rad == pytest.approx(camera.horizontal_fov_rad, abs=1e-12)


@pytest.mark.parametrize("degrees", [25.0, 60.0, 110.0])
def test_field_of_view_is_between_the_outer_edges(degrees: float) -> None:
    focal = 160 / np.tan(np.radians(degrees) / 2)
    camera = PinholeCamera(320, 240, focal, focal, 159.5, 119.5)
    assert np.degrees(camera.horizontal_fov_rad) == pytest.approx(degrees, abs=1e-9)


@pytest.mark.parametrize(
    ("field", "value", "names"),
    [
        ("fx", np.nan, "fx = nan"),
        ("fy", np.inf, "fy = inf"),
        ("cx", np.nan, "cx = nan"),
        ("cy", -np.inf, "cy = -inf"),
        ("fx", 0.0, "fx = 0.0"),
        ("fy", -3.5, "fy = -3.5"),
        ("width", 0, "size 0x240"),
        ("height", -1, "size 320x-1"),
        ("distortion", (0.1, 0.2, 0.3), "distortion [0.1, 0.2, 0.3]"),
        ("distortion", (0.1,) * 13, "distortion [0.1, 0.1"),
        ("distortion", (0.0, 0.0, np.nan, 0.0), "distortion [0.0, 0.0, nan"),
    ],
)
def test_impossible_cameras_are_refused_by_name_and_value(field: str, value: object, names: str) -> None:
    good = {"width": 320, "height": 240, "fx": 250.0, "fy": 250.0, "cx": 159.5, "cy": 119.5, "distortion": ()}
    PinholeCamera(**good)
    with pytest.raises(GeometryError) as refused:
        PinholeCamera(**(good | {field: value}))
    assert names in str(refused.value)


def test_an_ordinary_camera_is_centred_and_its_focal_length_goes_by_the_longer_side() -> None:
    for width, height in ((640, 480), (480, 640)):
        camera = ordinary_camera(width, height, 0.75)
        assert (camera.fx, camera.fy) == (480.0, 480.0)
        assert not camera.is_distorted
        corners = camera.normalise([[-0.5, -0.5], [width - 0.5, height - 0.5]])
        np.testing.assert_allclose(corners[0], -corners[1], atol=1e-12)


def test_rays_through_the_plane_have_length_one() -> None:
    np.testing.assert_allclose(unit_bearings([[0.0, 0.75], [0.0, 0.0]]), [[0.0, 0.6, 0.8], [0.0, 0.0, 1.0]], atol=1e-15)
