"""Raxel images: the point at unit distance along every pixel's ray, and the poses that they hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import (
    FloatArray,
    GeometryError,
    inverse_pose,
    make_pose,
    relative_pose,
    rotation_from_vector,
)

_MIN_SPREAD = 1e-9


def encode_raxels(bearings: npt.ArrayLike, camera_to_source: npt.ArrayLike) -> FloatArray:
    """Raxels ``R d + t`` (..., 3) in the source frame, from unit bearings (..., 3) in the camera's own frame."""
    pose = np.asarray(camera_to_source, float)
    raxels: FloatArray = np.asarray(bearings, float) @ pose[:3, :3].T + pose[:3, 3]
    return raxels


def change_source(camera_to_old: npt.ArrayLike, new_source_to_old: npt.ArrayLike) -> FloatArray:
    """Poses (N, 4, 4) of a clip expressed in another source frame: ``camera_to_new``."""
    return relative_pose(new_source_to_old, camera_to_old)


@dataclass(frozen=True)
class DecodedPose:
    """A pose read from raxels.

    Attributes:
        camera_to_source: 4x4.
        residual: weighted RMS distance between the raxels and the rigid fit, in raxel units (1 = unit ray).
        degenerate: the weighted bearings do not span a plane, so that the rotation about them is a guess.
    """

    camera_to_source: FloatArray
    residual: float
    degenerate: bool


def decode_raxels(raxels: npt.ArrayLike, bearings: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> DecodedPose:
    """Rigid pose of one camera from its raxels, in closed form (weighted Procrustes / Kabsch 1976).

    Args:
        raxels: (..., 3) points in the source frame.
        bearings: (..., 3) unit rays of the same pixels in the camera's own frame.
        weights: (...) non-negative, any scale; None weighs all alike.

    Returns:
        The pose that minimises ``sum w |R d + t - raxel|^2``. With fewer than three rays, or rays on one line, the
        rotation is the smallest one that fits and ``degenerate`` is set; with no weight at all, the identity.

    Raises:
        GeometryError: shapes differ, or a weighted raxel is not finite, or a weight is negative.
    """
    target, source = np.asarray(raxels, float).reshape(-1, 3), np.asarray(bearings, float).reshape(-1, 3)
    w = np.ones(len(source)) if weights is None else np.asarray(weights, float).ravel()
    if len(target) != len(source) or len(w) != len(source):
        raise GeometryError(f"{len(target)} raxels, {len(source)} bearings and {len(w)} weights must be as many")
    if not np.isfinite(w).all() or (w < 0).any():
        raise GeometryError("raxel weights must be finite and not negative")
    used = w > 0
    target, source, w = target[used], source[used], w[used]
    if not np.isfinite(target).all() or not np.isfinite(source).all():
        raise GeometryError("raxels with weight must be finite; give weight 0 to those that are not known")
    if not len(w):
        return DecodedPose(np.eye(4), 0.0, True)
    w = w / w.sum()
    centre_from, centre_to = w @ source, w @ target
    covariance = (target - centre_to).T @ ((source - centre_from) * w[:, None])
    rotation, degenerate = _procrustes_rotation(covariance)
    translation = centre_to - rotation @ centre_from
    misfit = source @ rotation.T + translation - target
    residual = float(np.sqrt(w @ (misfit * misfit).sum(axis=1)))
    return DecodedPose(make_pose(rotation, translation), residual, degenerate)


def _procrustes_rotation(covariance: FloatArray) -> tuple[FloatArray, bool]:
    u, spread, vt = np.linalg.svd(covariance)
    if spread[0] < _MIN_SPREAD:
        return np.eye(3), True
    degenerate = bool(spread[1] < _MIN_SPREAD * max(1.0, spread[0]) or spread[1] < 1e-7 * spread[0])
    if degenerate:
        return _smallest_rotation(vt[0], u[:, 0]), True
    sign = np.sign(np.linalg.det(u @ vt))
    return np.asarray(u @ np.diag([1.0, 1.0, sign]) @ vt), False


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


def focal_from_raxels(raxels: npt.ArrayLike, offsets_px: npt.ArrayLike) -> tuple[float, float]:
    """Focal lengths (fx, fy) in px by the median of ratios ``u z / x`` and ``v z / y``.

    Args:
        raxels: (..., 3) in the camera's *own* frame (for the source frame of a clip, its raxels as they are; for
            another, first take its pose off).
        offsets_px: (..., 2) pixel minus principal point.

    Raises:
        GeometryError: no raxel lies in front of the camera and off its axes, so no ratio exists.
    """
    points, offsets = np.asarray(raxels, float).reshape(-1, 3), np.asarray(offsets_px, float).reshape(-1, 2)
    focal = []
    for axis in (0, 1):
        # Close to the axis both numerator and denominator vanish and the ratio is noise.
        far = np.abs(offsets[:, axis]) > 0.1 * np.abs(offsets[:, axis]).max(initial=0.0)
        ok = far & (points[:, 2] > 0) & (np.abs(points[:, axis]) > 1e-9)
        ratios = offsets[ok, axis] * points[ok, 2] / points[ok, axis]
        ratios = ratios[np.isfinite(ratios) & (ratios > 0)]
        if not len(ratios):
            raise GeometryError("no raxel in front of the camera and off its axes: the focal length cannot be read")
        focal.append(float(np.median(ratios)))
    return focal[0], focal[1]


def raxels_in_own_frame(raxels: npt.ArrayLike, camera_to_source: npt.ArrayLike) -> FloatArray:
    """Raxels (..., 3) taken from the source frame back into the frame of their own camera."""
    return encode_raxels(raxels, inverse_pose(camera_to_source))
