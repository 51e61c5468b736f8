"""Raxel images: the point at unit distance along every pixel's ray, and the poses that they hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray, GeometryError, make_pose, rotation_from_vector

_MIN_SPREAD, _MIN_RATIO = 1e-9, 1e-7
"""Of the singular values of a covariance of raxels and rays: below, its rays fix no rotation about their line."""


def encode_raxels(bearings: npt.ArrayLike, camera_to_source: npt.ArrayLike) -> FloatArray:
    """Raxels ``R d + t`` in the source frame, from unit bearings in the camera's own frame.

    Args:
        bearings: (..., rows, columns, 3).
        camera_to_source: (..., 4, 4); leading axes broadcast against those of the bearings.

    Returns:
        (..., rows, columns, 3), 1 = a unit ray.
    """
    pose = np.asarray(camera_to_source, float)
    turned = np.asarray(bearings, float) @ np.swapaxes(pose[..., None, :3, :3], -1, -2)
    return np.asarray(turned + pose[..., None, None, :3, 3])


def decode_raxels(raxels: npt.ArrayLike, bearings: npt.ArrayLike) -> FloatArray:
    """Rigid poses of cameras from their raxels, in closed form (Procrustes / Kabsch 1976).

    Args:
        raxels: (..., rows, columns, 3) points in the source frame.
        bearings: (..., rows, columns, 3) unit rays of the same pixels in the camera's own frame; leading axes
            broadcast.

    Returns:
        camera_to_source (..., 4, 4), each minimising ``sum |R d + t - raxel|^2``. Where the rays of a camera lie on one
        line or coincide, the rotation is the smallest that fits.

    Raises:
        GeometryError: the grids differ or are empty, or a value is not finite.
    """
    target, source = np.asarray(raxels, float), np.asarray(bearings, float)
    if target.shape[-3:] != source.shape[-3:] or not target.size:
        raise GeometryError(f"raxels {target.shape} and bearings {source.shape} must be on one grid (rows, columns, 3)")
    if not np.isfinite(target).all() or not np.isfinite(source).all():
        raise GeometryError("raxels and bearings must be finite")
    target, source = (points.reshape(*points.shape[:-3], -1, 3) for points in (target, source))
    centre_to, centre_from = (points.mean(axis=-2, keepdims=True) for points in (target, source))
    covariance = np.swapaxes(target - centre_to, -1, -2) @ (source - centre_from) / source.shape[-2]
    rotation = _procrustes_rotation(covariance)
    turned = centre_from @ np.swapaxes(rotation, -1, -2)
    return make_pose(rotation, (centre_to - turned)[..., 0, :])


def _procrustes_rotation(covariance: FloatArray) -> FloatArray:
    """(..., 3, 3) nearest rotations."""
    u, spread, vt = np.linalg.svd(covariance)
    vt[..., 2, :] *= np.sign(np.linalg.det(u @ vt))[..., None]
    rotation = np.asarray(u @ vt)
    first, second = spread[..., 0], spread[..., 1]
    on_a_line = (second < _MIN_SPREAD * np.maximum(1.0, first)) | (second < _MIN_RATIO * first)
    for index in map(tuple, np.argwhere(on_a_line)):
        in_a_point = first[index] < _MIN_SPREAD
        rotation[index] = np.eye(3) if in_a_point else _smallest_rotation(vt[index][0], u[index][:, 0])
    return rotation


def _smallest_rotation(a: FloatArray, b: FloatArray) -> FloatArray:
    """The rotation of least angle that takes unit vector a to unit vector b."""
    axis = np.cross(a, b)
    sine, cosine = float(np.linalg.norm(axis)), float(a @ b)
    if sine < 1e-12:
        if cosine > 0:
            return np.eye(3)
        axis, sine = np.cross(a, np.eye(3)[int(np.argmin(np.abs(a)))]), 0.0
    axis = axis / np.linalg.norm(axis)
    return rotation_from_vector(axis * np.arctan2(sine, cosine))
