"""seen_space: points lie on the surfaces, and what lies behind them or beside every image was never seen."""

from __future__ import annotations

import numpy as np
from views_scene import shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.view_synthesis.seen_space import FrameDepths, SeenSpace

CAMERA = PinholeCamera(32, 24, 20.0, 20.0, 15.5, 11.5)
TURNED = shifted(1.0, turn_deg=(0, 90, 0))


def walls(*depths: float, error: float = 0.0) -> SeenSpace:
    """A wall before each of the cameras: one looks along z from the origin, one along x from x = 1."""
    poses = np.array([np.eye(4), TURNED])[: len(depths)]
    with np.errstate(divide="ignore"):
        inverse = np.array([np.full((24, 32), 1.0 / depth, np.float32) for depth in depths])
    return SeenSpace.of(FrameDepths(CAMERA, poses, inverse, np.full(inverse.shape, error, np.float32)))


def test_points_lie_on_the_walls() -> None:
    space = walls(2.0, 3.0)
    assert space.points.shape == (2 * 12 * 16, 3)
    np.testing.assert_allclose(space.points[:192, 2], 2.0, atol=1e-6)
    np.testing.assert_allclose(space.points[192:, 0], 4.0, atol=1e-6)
    np.testing.assert_allclose(space.distance[:192], np.linalg.norm(space.points[:192], axis=1), atol=1e-9)


def test_the_error_of_a_point_is_along_its_line_of_sight() -> None:
    space = walls(2.0, error=0.01)
    # Of z: 4 x .01; along the ray as much longer as the ray is.
    np.testing.assert_allclose(space.error, 0.04 * space.distance / 2.0, rtol=1e-5)


def test_what_is_infinitely_far_is_no_surface() -> None:
    assert len(walls(np.inf).points) == 0


def test_space_is_seen_up_to_the_surface_of_any_frame() -> None:
    asked = np.array([[0, 0, 1.9], [0, 0, 2.1], [0, 0, -1.0], [5.0, 0, 0.1], [3.9, 0.5, 0.0], [4.1, 0.5, 0.0]])
    np.testing.assert_array_equal(walls(2.0, 3.0).has_seen(asked), [True, False, False, False, True, False])
    # An uncertain surface may be a little further away.
    assert walls(2.0, error=0.05).has_seen(asked[1:2]).all()


def test_points_beside_the_image_were_not_seen() -> None:
    left = -16.0 / 20.0 * 1.0
    asked = np.array([[left + 0.02, 0.0, 1.0], [left - 0.03, 0.0, 1.0]])
    np.testing.assert_array_equal(walls(2.0).has_seen(asked), [True, False])


def test_depths_are_unsure_where_their_errors_are_as_large_as_they_can_be() -> None:
    """Of what is infinitely far there is no depth to be sure of."""
    assert walls(2.0, 3.0).unsure == 0.0
    assert walls(2.0, np.inf, error=0.05 / 2.0).unsure == 1.0
    # A twentieth of 1/3 is less than this error, a twentieth of 1/2 is more.
    assert walls(2.0, 3.0, error=0.02).unsure == 0.5
    assert walls(np.inf).unsure == 0.0
