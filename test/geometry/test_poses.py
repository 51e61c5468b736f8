"""Poses and rotations against SciPy, and where digits are lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_geometry import assert_rotation, random_pose, seeds, steady
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.poses import (
    OPTICAL_TO_BODY,
    GeometryError,
    direction_angle_rad,
    interpolate_pose,
    inverse_pose,
    make_pose,
    nearest_rotation,
    quaternion_from_rotation,
    relative_pose,
    rotation_angle_rad,
    rotation_from_quaternion,
    rotation_from_vector,
    rotation_vector,
    skew,
)


@steady
@given(seeds)
def test_inverse_and_relative_poses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = random_pose(rng, 50), random_pose(rng, 50)
    np.testing.assert_allclose(inverse_pose(a), np.linalg.inv(a), atol=1e-12)
    point_in_b = np.append(rng.normal(size=3), 1.0)
    np.testing.assert_allclose(a @ (relative_pose(a, b) @ point_in_b), b @ point_in_b, atol=1e-11)
    many = np.array([[a, b], [b, a]])
    np.testing.assert_allclose(inverse_pose(many)[1, 0], np.linalg.inv(b), atol=1e-12)
    np.testing.assert_allclose(relative_pose(a, many)[0, 0], np.eye(4), atol=1e-12)


@steady
@given(seeds, st.one_of(st.floats(0, 1e-5), st.floats(1e-4, 1e-2), st.floats(0, 10)))
def test_rotation_vectors_agree_with_scipy(seed: int, angle: float) -> None:
    axis = np.random.default_rng(seed).normal(size=3)
    vector = axis / np.linalg.norm(axis) * angle
    expected = Rotation.from_rotvec(vector).as_matrix()
    np.testing.assert_allclose(rotation_from_vector(vector), expected, atol=1e-14)
    np.testing.assert_allclose(rotation_from_vector([[vector] * 2] * 3)[2, 1], expected, atol=1e-14)
    back = rotation_vector(expected)
    # Beyond half a turn the short way round; at half a turn either way.
    assert np.linalg.norm(back) <= np.pi + 1e-12
    np.testing.assert_allclose(rotation_from_vector(back), expected, atol=1e-12)
    if angle < 3:
        np.testing.assert_allclose(back, vector, rtol=1e-6, atol=1e-12)


@steady
@given(seeds, st.floats(-1, 2))
def test_interpolated_poses(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    start = random_pose(rng)
    turn, step = rng.normal(size=(2, 3))
    turn *= rng.uniform(0, 1.5) / np.linalg.norm(turn)
    end = make_pose(start[:3, :3] @ Rotation.from_rotvec(turn).as_matrix(), start[:3, 3] + step)
    expected = make_pose(start[:3, :3] @ Rotation.from_rotvec(share * turn).as_matrix(), start[:3, 3] + share * step)
    np.testing.assert_allclose(interpolate_pose(start, end, share), expected, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-6, 1e-3, 1.0, np.pi / 2, 3.0, np.pi - 1e-6, np.pi - 1e-9])
def test_rotation_angles_keep_their_digits(angle: float) -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 3))
    vectors *= angle / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = rotation_angle_rad(Rotation.from_rotvec(vectors).as_matrix())
    np.testing.assert_allclose(found, angle, rtol=1e-6 if angle < 1 else 0, atol=1e-15)


def test_half_a_turn_has_angle_pi() -> None:
    assert rotation_angle_rad(np.diag([1.0, -1.0, -1.0])) == pytest.approx(np.pi, abs=1e-15)


def test_angles_between_directions() -> None:
    assert direction_angle_rad([1, 0, 0], [1, 1e-9, 0]) == pytest.approx(1e-9, rel=1e-6)
    assert direction_angle_rad([0, 0, 2], [0, 0, -5]) == pytest.approx(np.pi)
    assert direction_angle_rad([3, 0, 0], [1, np.sqrt(3), 0]) == pytest.approx(np.pi / 3)
    assert direction_angle_rad([0, 0, 0], [1, 0, 0]) == np.pi / 2


@steady
@given(seeds)
def test_skew_is_the_cross_product(seed: int) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, 4, 3))
    np.testing.assert_allclose((skew(a) @ b[..., None])[..., 0], np.cross(a, b), atol=1e-14)


@steady
@given(seeds, st.floats(0, 0.3))
def test_nearest_rotation_is_the_polar_factor(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=rng).as_matrix()
    stretch = rng.normal(size=(3, 3))
    symmetric = np.eye(3) + noise * (stretch @ stretch.T)
    np.testing.assert_allclose(nearest_rotation(rotation @ symmetric), rotation, atol=1e-12)


def test_nearest_rotation_of_a_reflection_is_a_rotation() -> None:
    np.testing.assert_allclose(nearest_rotation(np.diag([1.0, 2.0, -0.5])), np.eye(3), atol=1e-15)
    assert_rotation(nearest_rotation(np.zeros((3, 3))))


@steady
@given(seeds, st.floats(0, np.pi))
def test_quaternions_agree_with_scipy(seed: int, angle: float) -> None:
    axis = np.random.default_rng(seed).normal(size=3)
    reference = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle)
    found = quaternion_from_rotation(reference.as_matrix())
    assert found[3] >= 0
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-14)
    expected = reference.as_quat()
    # At half a turn w is zero and both signs are the same rotation.
    sign = np.sign(expected[3]) if abs(expected[3]) > 1e-9 else np.sign(expected[:3] @ found[:3])
    np.testing.assert_allclose(found, sign * expected, atol=1e-12)
    np.testing.assert_allclose(rotation_from_quaternion(found), reference.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotation_from_quaternion(-1.004 * found), reference.as_matrix(), atol=1e-12)


@pytest.mark.parametrize(
    "quaternion", [[0, 0, 0, 0], [0, 0, 0, 1.02], [0.5, 0.5, 0.5, 0.4], [np.nan, 0, 0, 1], [np.inf, 0, 0, 1], [0, 0, 1]]
)
def test_bad_quaternions_are_refused_by_value(quaternion: list[float]) -> None:
    with pytest.raises(GeometryError, match="unit norm") as refused:
        rotation_from_quaternion(quaternion)
    assert str(np.asarray(quaternion, float).tolist()) in str(refused.value)


def test_optical_axes_become_body_axes() -> None:
    right, down, forward = np.eye(3)
    turn = OPTICAL_TO_BODY[:3, :3]
    np.testing.assert_array_equal([turn @ forward, turn @ -right, turn @ -down], np.eye(3))
