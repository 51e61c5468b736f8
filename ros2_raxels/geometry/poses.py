"""Poses and rotations as NumPy arrays, and the conventions of all geometry here.

Conventions, everywhere in this package:

- A pose is a 4x4 float64 matrix named ``a_to_b``: it takes points given in frame *a* to frame *b*. A camera's pose is
  ``camera_to_world``. Camera frames are optical frames: x right, y down, z forward.
- Pixel (0, 0) is the *centre* of the top-left pixel, as in OpenCV and ``sensor_msgs/CameraInfo``.
- A raxel is the point at unit distance along a pixel's ray, ``R d + t`` with ``d`` the unit bearing in the pixel's own
  camera and ``(R, t)`` the camera's pose in a chosen source frame ("Rays as Pixels", arXiv 2604.09429, section 3).
- Quaternions are (x, y, z, w), as in ``geometry_msgs``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from transforms3d import quaternions

FloatArray = npt.NDArray[np.floating[Any]]

OPTICAL_TO_BODY: FloatArray = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""Optical axes (x right, y down, z forward) to REP-103 body axes (x forward, y left, z up), same origin."""


class GeometryError(ValueError):
    """A camera or pose that cannot be used; the message names the field, its value and what to do."""


def make_pose(rotation: npt.ArrayLike, translation: npt.ArrayLike) -> FloatArray:
    """Poses (..., 4, 4) from rotations (..., 3, 3) and translations (..., 3)."""
    rotation = np.asarray(rotation, float)
    pose = np.zeros((*rotation.shape[:-2], 4, 4))
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = translation
    pose[..., 3, 3] = 1.0
    return pose


def inverse_pose(pose: npt.ArrayLike) -> FloatArray:
    """``b_to_a`` from ``a_to_b``; (..., 4, 4). Uses the transpose, so the rotation must be orthonormal."""
    pose = np.asarray(pose, float)
    rotation = np.swapaxes(pose[..., :3, :3], -1, -2)
    inverse = np.zeros_like(pose)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, pose[..., :3, 3])
    inverse[..., 3, 3] = 1.0
    return inverse


def relative_pose(a_to_world: npt.ArrayLike, b_to_world: npt.ArrayLike) -> FloatArray:
    """Pose of *b* in *a*, ``b_to_a``; broadcasts over leading axes."""
    relative: FloatArray = inverse_pose(a_to_world) @ np.asarray(b_to_world, float)
    return relative


def rotation_angle_rad(rotation: npt.ArrayLike) -> FloatArray:
    """Geodesic angle of (..., 3, 3) rotations, in [0, pi].

    From the norm of the skew part and the trace together: ``arccos`` of the trace alone loses half the digits near 0.
    """
    r = np.asarray(rotation, float)
    skew = np.stack([r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]], axis=-1)
    sine = np.linalg.norm(skew, axis=-1)
    cosine = np.trace(r, axis1=-2, axis2=-1) - 1.0
    return np.asarray(np.arctan2(sine, cosine))


def direction_angle_rad(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Angle between two vectors in [0, pi]; pi/2 if one of them is zero, where the direction is unknown."""
    u, v = np.asarray(a, float), np.asarray(b, float)
    norms = np.linalg.norm(u) * np.linalg.norm(v)
    if norms < 1e-12:
        return float(np.pi / 2)
    return float(np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v))


def skew(vectors: npt.ArrayLike) -> FloatArray:
    """Cross-product matrices (..., 3, 3) of vectors (..., 3)."""
    v = np.asarray(vectors, float)
    zero = np.zeros(v.shape[:-1])
    rows = [zero, -v[..., 2], v[..., 1], v[..., 2], zero, -v[..., 0], -v[..., 1], v[..., 0], zero]
    return np.stack(rows, axis=-1).reshape(*v.shape[:-1], 3, 3)


def rotation_from_vector(vectors: npt.ArrayLike) -> FloatArray:
    """Rodrigues: rotation matrices (..., 3, 3) from rotation vectors (..., 3) in radians, exact at zero."""
    v = np.asarray(vectors, float)
    squared = (v * v).sum(axis=-1)[..., None, None]
    angle = np.sqrt(squared)
    small = squared < 1e-12
    safe = np.where(small, 1.0, angle)
    sine = np.where(small, 1.0 - squared / 6.0, np.sin(safe) / safe)
    cosine = np.where(small, 0.5 - squared / 24.0, (1.0 - np.cos(safe)) / (safe * safe))
    k = skew(v)
    rotation: FloatArray = np.eye(3) + sine * k + cosine * (k @ k)
    return rotation


def rotation_vector(rotation: npt.ArrayLike) -> FloatArray:
    """Rotation vector (3,) in radians of a 3x3 rotation, angle in [0, pi].

    By the quaternion: OpenCV's Rodrigues returns zero for turns below some 1e-6 rad.
    """
    x, y, z, cosine = quaternion_from_rotation(rotation)
    axis = np.array([x, y, z])
    sine = float(np.linalg.norm(axis))
    return axis * (2.0 * float(np.arctan2(sine, cosine)) / sine if sine > 0 else 0.0)


def interpolate_pose(start: npt.ArrayLike, end: npt.ArrayLike, share: float) -> FloatArray:
    """The pose at `share` of the way (0 = start, 1 = end): constant velocity and constant turn."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    turn = rotation_from_vector(share * rotation_vector(a[:3, :3].T @ b[:3, :3]))
    return make_pose(a[:3, :3] @ turn, (1.0 - share) * a[:3, 3] + share * b[:3, 3])


def nearest_rotation(matrix: npt.ArrayLike) -> FloatArray:
    """The rotation closest to a 3x3 matrix in the Frobenius norm (SVD with the determinant fixed to +1)."""
    u, _, vt = np.linalg.svd(np.asarray(matrix, float))
    sign = np.sign(np.linalg.det(u @ vt)) or 1.0
    rotation: FloatArray = u @ np.diag([1.0, 1.0, sign]) @ vt
    return rotation


def orthogonal(pose: FloatArray) -> FloatArray:
    """The same pose (4x4) without what rounding did to its rotation: extrapolated from frame to frame it would grow."""
    return make_pose(nearest_rotation(pose[:3, :3]), pose[:3, 3])


def quaternion_from_rotation(rotation: npt.ArrayLike) -> FloatArray:
    """(x, y, z, w), unit norm, w >= 0, from a 3x3 rotation (transforms3d)."""
    w, x, y, z = quaternions.mat2quat(np.asarray(rotation, float))
    return np.array([x, y, z, w])


def rotation_from_quaternion(quaternion: npt.ArrayLike) -> FloatArray:
    """3x3 rotation from (x, y, z, w).

    Raises:
        GeometryError: the quaternion is not finite or its norm is further than 1e-2 from one. Messages carry floats,
            so a small departure is normalised away; a large one means an uninitialised or corrupt field.
    """
    q = np.asarray(quaternion, float)
    norm = float(np.linalg.norm(q))
    if q.shape != (4,) or not np.isfinite(norm) or abs(norm - 1.0) > 1e-2:
        raise GeometryError(f"quaternion (x, y, z, w) = {q.tolist()} is not of unit norm; send a normalised quaternion")
    x, y, z, w = q / norm
    return np.asarray(quaternions.quat2mat([w, x, y, z]))
