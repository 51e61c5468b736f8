"""sensor_prior: the mean of two normal distributions, and what is known less well gives way more."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.poses import make_pose, rotation_from_vector, rotation_vector
from ros2_raxels.tracking.sensor_prior import drawn_to

POSE = make_pose(rotation_from_vector([0.4, -0.3, 0.2]), [1.0, 2.0, 3.0])
TURN = np.array([0.0, 0.01, 0.0])
TURNED = make_pose(rotation_from_vector(TURN) @ POSE[:3, :3], POSE[:3, 3])
NOTHING = np.full(6, np.inf)
ROTATION = np.array([np.inf] * 3 + [0.01] * 3)


def test_nothing_expected_changes_nothing() -> None:
    pose, covariance = drawn_to(POSE, np.eye(6), TURNED, NOTHING)
    np.testing.assert_array_equal(pose, POSE)
    np.testing.assert_array_equal(covariance, np.eye(6))


def test_two_that_are_equally_sure_meet_halfway() -> None:
    pose, covariance = drawn_to(POSE, np.eye(6) * 1e-4, TURNED, ROTATION)
    np.testing.assert_allclose(rotation_vector(pose[:3, :3] @ POSE[:3, :3].T), TURN / 2, atol=1e-9)
    np.testing.assert_allclose(pose[:3, 3], POSE[:3, 3], atol=1e-12)
    np.testing.assert_allclose(np.diag(covariance), [1e-4] * 3 + [0.5e-4] * 3, rtol=1e-9)


def test_a_step_that_goes_with_the_turn_is_taken_back_with_it() -> None:
    """The image tells the sum of turn and step alone: 2 m a radian."""
    covariance = np.eye(6) * 1e-8
    direction = np.array([2.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    covariance += 0.01 * np.outer(direction, direction)
    pose, left = drawn_to(POSE, covariance, TURNED, np.array([np.inf] * 3 + [1e-4] * 3))
    np.testing.assert_allclose(rotation_vector(pose[:3, :3] @ POSE[:3, :3].T), TURN, atol=1e-4)
    np.testing.assert_allclose(pose[:3, 3] - POSE[:3, 3], [2.0 * TURN[1], 0.0, 0.0], atol=3e-4)
    assert left[0, 0] < 1e-6


def test_an_image_that_was_too_sure_of_itself_gives_way() -> None:
    """Ten sigmas away: its own sigma was too small, and that of the answer is larger than it."""
    expected = make_pose(rotation_from_vector(10 * TURN) @ POSE[:3, :3], POSE[:3, 3])
    sure = np.diag([1e-4] * 3 + [1e-6] * 3)
    pose, left = drawn_to(POSE, sure, expected, np.array([np.inf] * 3 + [1e-3] * 3))
    turned = rotation_vector(pose[:3, :3] @ POSE[:3, :3].T)[1]
    assert turned == pytest.approx(10 * TURN[1], rel=0.1)
    assert left[0, 0] > 1e-4
    np.testing.assert_array_less(0.0, np.linalg.eigvalsh(left))
