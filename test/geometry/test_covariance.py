"""Covariances of poses against draws: other axes, poses far away, another unit, and what is unknown."""

from __future__ import annotations

import numpy as np
import pytest
from random_geometry import random_pose
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.covariance import (
    UNKNOWN_VARIANCE,
    at_most_unknown,
    compounded,
    in_other_unit,
    in_world_axes,
    with_unit,
    with_unit_variance,
)
from ros2_raxels.geometry.poses import FloatArray, make_pose

DRAWS = 40_000


def random_covariance(rng: np.random.Generator, size: int, deviation: float) -> FloatArray:
    root = deviation * rng.normal(size=(size, size))
    return np.asarray(root @ root.T)


def assert_same(found: FloatArray, sample: FloatArray) -> None:
    """A covariance is that of the draws (DRAWS, n), to five deviations of what so many draws know it to."""
    drawn = np.cov(sample.T)
    scale = np.sqrt(np.diag(drawn))
    np.testing.assert_allclose(
        found / np.outer(scale, scale), drawn / np.outer(scale, scale), atol=5 / np.sqrt(DRAWS / 2)
    )


def test_updates_of_the_solver_in_the_axes_of_the_world() -> None:
    """A turn in the camera is the same turn about the world's axes after the camera's rotation."""
    rng = np.random.default_rng(0)
    pose, covariance = random_pose(rng), random_covariance(rng, 6, 1e-3)
    updates = rng.multivariate_normal(np.zeros(6), covariance, DRAWS)
    turned = pose[:3, :3] @ Rotation.from_rotvec(updates[:, :3]).as_matrix()
    about_world = Rotation.from_matrix(turned @ pose[:3, :3].T).as_rotvec()
    assert_same(in_world_axes(covariance, pose), np.concatenate([updates[:, 3:], about_world], axis=1))


def test_errors_of_turn_and_unit_move_what_is_far_away() -> None:
    rng = np.random.default_rng(1)
    start, end = random_pose(rng), random_pose(rng, 20)
    covariance = random_covariance(rng, 7, 1e-3)
    errors = rng.multivariate_normal(np.zeros(7), covariance, DRAWS)
    offset = end[:3, 3] - start[:3, 3]
    swung = Rotation.from_rotvec(errors[:, 3:6]).apply(offset) * np.exp(errors[:, 6:])
    moved = errors[:, :3] + swung - offset
    assert_same(compounded(covariance, start, end), np.concatenate([moved, errors[:, 3:]], axis=1))


def test_lengths_in_another_unit() -> None:
    rng = np.random.default_rng(2)
    covariance = random_covariance(rng, 7, 1.0)
    errors = rng.multivariate_normal(np.zeros(7), covariance, DRAWS)
    errors[:, :3] *= 5.0
    assert_same(in_other_unit(covariance, 5.0), errors)


def test_variance_is_bounded_in_every_direction_and_otherwise_kept() -> None:
    """Not entry by entry: a large one beside its diagonal would make the matrix indefinite."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    variance = np.array([1e-4, 1e-2, 1.0, 5e3, 1e6, 1e8])
    bounded = at_most_unknown((directions * variance) @ directions.T)
    assert np.linalg.eigvalsh(bounded).min() > 0.0
    found, along = np.linalg.eigh(bounded)
    np.testing.assert_allclose(found, [1e-4, 1e-2, 1.0, 5e3, UNKNOWN_VARIANCE, UNKNOWN_VARIANCE], rtol=1e-2)
    np.testing.assert_allclose(np.abs((along[:, 3] * directions[:, 3]).sum()), 1.0, atol=1e-6)


@pytest.mark.parametrize("variance", [1e-4, 0.5])
def test_a_unit_that_becomes_known_keeps_its_correlations(variance: float) -> None:
    start = np.diag([0.01] * 6 + [0.04])
    far = compounded(start, np.eye(4), make_pose(np.eye(3), [3.0, 0.0, 0.0]))
    known = with_unit_variance(far, variance)
    assert known[6, 6] == variance
    assert np.linalg.eigvalsh(known).min() > -1e-12
    np.testing.assert_allclose(known[0, 6] / np.sqrt(variance), far[0, 6] / np.sqrt(far[6, 6]))


def test_a_unit_that_was_exact_gets_a_variance_without_correlations() -> None:
    covariance = with_unit(np.diag([0.01] * 6), 0.0)
    np.testing.assert_array_equal(with_unit_variance(covariance, 0.25), np.diag([0.01] * 6 + [0.25]))
