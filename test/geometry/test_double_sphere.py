"""The double sphere against the formula of its paper, and against itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lens_checks import assert_derivative, assert_round_trip
from random_geometry import seeds, steady

from ros2_raxels.geometry.double_sphere import DoubleSphereCamera
from ros2_raxels.geometry.poses import GeometryError


def lens(xi: float = -0.27, alpha: float = 0.57) -> DoubleSphereCamera:
    return DoubleSphereCamera(512, 512, 190.9, 190.8, 254.9, 256.9, (xi, alpha))


def test_a_point_falls_where_the_two_spheres_send_it() -> None:
    # The lens of TUM-VI, as its calibration gives it.
    x, y, z = 0.9, -0.4, 0.3
    first = np.sqrt(x * x + y * y + z * z)
    shifted = -0.27 * first + z
    second = np.sqrt(x * x + y * y + shifted**2)
    divided = 0.57 * second + 0.43 * shifted
    np.testing.assert_allclose(
        lens().project([[x, y, z]]), [[190.9 * x / divided + 254.9, 190.8 * y / divided + 256.9]], atol=1e-9
    )


def test_without_spheres_it_is_a_pinhole() -> None:
    camera, points = lens(0.0, 0.0), np.random.default_rng(0).uniform((-1, -1, 0.5), (1, 1, 3), (50, 3))
    np.testing.assert_allclose(camera.project(points), camera.pinhole.project(points), atol=1e-9)


@steady
@given(st.floats(-0.3, 0.5), st.floats(0.3, 0.7), seeds)
def test_pixels_come_back_and_derivatives_hold(xi: float, alpha: float, seed: int) -> None:
    camera = lens(xi, alpha)
    assert_round_trip(camera, seed)
    assert_derivative(camera, seed)


def test_it_sees_behind_itself_but_not_straight_back() -> None:
    angle = np.radians(97.0)
    point = np.array([[np.sin(angle), 0.0, np.cos(angle)]])
    assert np.isfinite(lens().project(point)).all()
    assert np.isnan(lens().project([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0]])).all()


@pytest.mark.parametrize("distortion", [(), (0.1,), (0.1, 1.2), (np.nan, 0.5)])
def test_what_is_no_double_sphere_is_refused(distortion: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError, match="xi and alpha"):
        DoubleSphereCamera(512, 512, 190.9, 190.8, 254.9, 256.9, distortion)
