"""Poses, pinhole cameras and raxels: encode, decode in closed form, focal lengths. NumPy, no state.

Conventions, everywhere in this package:

- A pose is a 4x4 float64 matrix named ``a_to_b``: it takes points given in frame *a* to frame *b*. A camera's pose is
  ``camera_to_world``. Camera frames are optical frames: x right, y down, z forward.
- Pixel (0, 0) is the *centre* of the top-left pixel, as in OpenCV and ``sensor_msgs/CameraInfo``.
- A raxel is the point at unit distance along a pixel's ray, ``R d + t`` with ``d`` the unit bearing in the pixel's own
  camera and ``(R, t)`` the camera's pose in a chosen source frame ("Rays as Pixels", arXiv 2604.09429, section 3).
- Quaternions are (x, y, z, w), as in ``geometry_msgs``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from transforms3d import quaternions

FloatArray = npt.NDArray[np.floating[Any]]

OPTICAL_TO_BODY: FloatArray = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""Optical axes (x right, y down, z forward) to REP-103 body axes (x forward, y left, z up), same origin."""

_DISTORTION_LENGTHS = (0, 4, 5, 8)
_MIN_SPREAD = 1e-9
USUAL_FOCAL = 0.8
"""Focal length of an ordinary lens over the longer side of the image: 64 degrees of view."""


class GeometryError(ValueError):
    """A camera or pose that cannot be used; the message names the field, its value and what to do."""


# ---------------------------------------------------------------------------------------------------------- poses


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
    """Angle between two vectors in [0, pi]; pi/2 when one of them is zero, because then nothing is known."""
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


# -------------------------------------------------------------------------------------------------------- cameras


@dataclass(frozen=True)
class PinholeCamera:
    """A pinhole camera with optional plumb_bob / rational distortion (OpenCV order k1 k2 p1 p2 k3 k4 k5 k6).

    Attributes:
        width, height: image size, px.
        fx, fy, cx, cy: intrinsics, px; pixel (0, 0) is the centre of the top-left pixel.
        distortion: 0, 4, 5 or 8 coefficients. All zeros mean the same as none.

    Raises:
        GeometryError: on construction, when a value cannot belong to a real camera.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise GeometryError(f"image size {self.width}x{self.height} px is empty; the camera must send a real size")
        for name in ("fx", "fy", "cx", "cy"):
            value = getattr(self, name)
            if not np.isfinite(value):
                raise GeometryError(f"{name} = {value} px is not finite; calibrate the camera")
        if self.fx <= 0 or self.fy <= 0:
            raise GeometryError(
                f"focal length fx = {self.fx}, fy = {self.fy} px must be positive; an uncalibrated camera sends 0: "
                "calibrate it or let the focal length be estimated"
            )
        if len(self.distortion) not in _DISTORTION_LENGTHS or not np.isfinite(self.distortion).all():
            raise GeometryError(
                f"distortion {list(self.distortion)} must be 0, 4, 5 or 8 finite numbers (plumb_bob or rational)"
            )

    @cached_property
    def matrix(self) -> FloatArray:
        """3x3 intrinsics K, px."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def is_distorted(self) -> bool:
        """Whether any distortion coefficient differs from zero."""
        return any(self.distortion)

    @property
    def horizontal_fov_rad(self) -> float:
        """Angle between the outer edges of the first and last pixel column, without distortion."""
        left = np.arctan((self.cx + 0.5) / self.fx)
        return float(left + np.arctan((self.width - 0.5 - self.cx) / self.fx))

    def resized(self, width: int, height: int) -> PinholeCamera:
        """The camera of the same image resampled to another size, px; keeps pixel centres where they belong."""
        sx, sy = width / self.width, height / self.height
        return PinholeCamera(
            width,
            height,
            self.fx * sx,
            self.fy * sy,
            (self.cx + 0.5) * sx - 0.5,
            (self.cy + 0.5) * sy - 0.5,
            self.distortion,
        )

    def normalise(self, pixels: npt.ArrayLike) -> FloatArray:
        """Undistorted image-plane coordinates (N, 2) at z = 1 from pixels (N, 2)."""
        p = np.asarray(pixels, float).reshape(-1, 2)
        if not self.is_distorted or not len(p):
            return (p - (self.cx, self.cy)) / (self.fx, self.fy)
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
        undistorted = cv2.undistortPointsIter(
            p.reshape(-1, 1, 2), self.matrix, np.array(self.distortion), None, None, criteria
        )
        return np.asarray(undistorted, float).reshape(-1, 2)

    def project(self, points: npt.ArrayLike) -> FloatArray:
        """Pixels (N, 2) of points (N, 3) in the camera's optical frame; NaN for points not in front of it."""
        p = np.asarray(points, float).reshape(-1, 3)
        z = np.where(p[:, 2] > 1e-9, p[:, 2], np.nan)
        plane: FloatArray = p[:, :2] / z[:, None]
        if self.is_distorted and len(p):
            plane = _distort(plane, self.distortion)
        return plane * (self.fx, self.fy) + (self.cx, self.cy)

    def bearings(self, rows: int | None = None, columns: int | None = None) -> FloatArray:
        """Unit ray directions (rows, columns, 3) in the optical frame, at the centres of a grid of equal cells.

        Without arguments one ray per pixel. A coarser grid samples the centre of each cell, which is also the
        pixel grid of the image resized to (columns, rows).
        """
        rows, columns = rows or self.height, columns or self.width
        u = (np.arange(columns) + 0.5) * self.width / columns - 0.5
        v = (np.arange(rows) + 0.5) * self.height / rows - 0.5
        plane = self.normalise(np.stack(np.meshgrid(u, v), axis=-1))
        return unit_bearings(plane).reshape(rows, columns, 3)


def ordinary_camera(width: int, height: int, focal_over_side: float = USUAL_FOCAL) -> PinholeCamera:
    """A camera whose focal length is so many times the longer side: square pixels, centred, without distortion."""
    focal = focal_over_side * max(width, height)
    return PinholeCamera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def _distort(plane: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    homogeneous = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
    seen = np.isfinite(plane).all(axis=1)
    homogeneous[~seen] = (0.0, 0.0, 1.0)
    zero = np.zeros(3)
    distorted, _ = cv2.projectPoints(homogeneous.reshape(-1, 1, 3), zero, zero, np.eye(3), np.array(coefficients))
    result = np.asarray(distorted, float).reshape(-1, 2)
    result[~seen] = np.nan
    return result


def unit_bearings(plane: npt.ArrayLike) -> FloatArray:
    """Unit directions (..., 3) through image-plane coordinates (..., 2) at z = 1."""
    p = np.asarray(plane, float)
    rays = np.concatenate([p, np.ones((*p.shape[:-1], 1))], axis=-1)
    bearings: FloatArray = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    return bearings


# --------------------------------------------------------------------------------------------------------- raxels


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
