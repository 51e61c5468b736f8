"""turns: rotations of directions, beside what is no turn."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad, rotation_from_vector
from ros2_raxels.geometry.turns import Turn, fitted_turn


def directions(points: FloatArray) -> FloatArray:
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


@pytest.fixture
def scene() -> FloatArray:
    """(200, 3) points around the depth 4."""
    rng = np.random.default_rng(5)
    return np.column_stack([rng.uniform(-2, 2, (200, 2)), rng.uniform(2, 6, 200)])


ROTATION = rotation_from_vector([0.02, -0.1, 0.03])
"""From the later camera to the earlier one."""


def test_a_turn_is_found_exactly(scene: FloatArray) -> None:
    found = fitted_turn(directions(scene), directions(scene @ ROTATION))
    np.testing.assert_allclose(found.rotation, ROTATION, atol=1e-12)
    assert found.left_rad < 1e-12
    assert found.moved_rad == pytest.approx(rotation_angle_rad(ROTATION), rel=0.1)
    assert found.confidence == 1.0


def test_a_third_of_wrong_directions_does_no_harm(scene: FloatArray) -> None:
    after = scene @ ROTATION
    after[::3] += np.random.default_rng(0).normal(0, 1, after[::3].shape)
    found = fitted_turn(directions(scene), directions(after))
    assert np.degrees(rotation_angle_rad(found.rotation.T @ ROTATION)) < 0.02


def test_a_camera_that_has_moved_is_within_what_is_said_of_it(scene: FloatArray) -> None:
    step = np.array([0.12, 0.03, 0.2])
    found = fitted_turn(directions(scene), directions(scene - step))
    sigma = np.sqrt(np.diag(found.covariance(scene_depth=4.0)))
    assert (np.abs(step) < 2.5 * sigma[:3]).all()
    assert rotation_angle_rad(found.rotation) < 2.5 * sigma[3]
    assert found.confidence < 0.8


def test_a_camera_at_rest_is_sure_to_a_thousandth() -> None:
    rest = Turn(np.eye(3), 0.0, 0.0)
    np.testing.assert_allclose(np.sqrt(np.diag(rest.covariance(3.0))), [0.003] * 3 + [0.001] * 3)
    assert rest.confidence == 1.0
