"""Fisheye lenses: the equidistant model of Kannala and Brandt, beyond 180 degrees of view."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera, first_root, mean_scale
from ros2_raxels.geometry.poses import FloatArray, GeometryError

MOST_FIELD_DEG = 220.0
"""Field of view: what calibrations say of pixels further out is extrapolated, into the black rim of the image."""

_TABLE = 256
_NEWTON_STEPS = 6
_ON_AXIS = 1e-9


class AngularCamera(Camera):
    """What lenses have in common whose field may be more than a half space: depth is the distance along the ray."""

    is_flat: ClassVar[bool] = False

    @property
    def is_distorted(self) -> bool:
        """True: it is no pinhole."""
        return True

    def depth(self, points: FloatArray) -> FloatArray:
        """The distance (...) of points (..., 3)."""
        return np.asarray(np.linalg.norm(points, axis=-1))

    def scale_px(self, rays: npt.ArrayLike) -> FloatArray:
        """Pixels per radian (N,) at unit rays (N, 3)."""
        return mean_scale(self.jacobian(rays))

    @abstractmethod
    def _check_lens(self) -> None: ...


@dataclass(frozen=True)
class FisheyeCamera(AngularCamera):
    """An equidistant lens: a ray at angle t from the axis falls ``t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8)`` from it.

    OpenCV's fisheye, and ROS's and Kalibr's equidistant, which end at 90 degrees from the axis; this one does not.

    Attributes:
        distortion: 0 or 4 coefficients k1 k2 k3 k4.
    """

    def _check_lens(self) -> None:
        if len(self.distortion) not in (0, 4) or not np.isfinite(self.distortion).all():
            raise GeometryError(
                f"distortion {list(self.distortion)} must be 0 or 4 finite numbers (equidistant: k1, k2, k3, k4)"
            )

    @cached_property
    def most_half_angle_rad(self) -> float:
        """How far from the axis it sees: to where the model folds back, at most 110 degrees."""
        k1, k2, k3, k4 = self._coefficients
        slope = np.poly1d([9 * k4, 7 * k3, 5 * k2, 3 * k1, 1.0])
        return float(min(np.sqrt(first_root(slope)), np.radians(MOST_FIELD_DEG / 2)))

    @property
    def _coefficients(self) -> tuple[float, ...]:
        return self.distortion or (0.0, 0.0, 0.0, 0.0)

    def _fall(self, angle: FloatArray) -> FloatArray:
        """Where rays at angles (...) from the axis fall, in focal lengths from the principal point."""
        (k1, k2, k3, k4), squared = self._coefficients, angle * angle
        return np.asarray(angle * (1.0 + squared * (k1 + squared * (k2 + squared * (k3 + squared * k4)))))

    def _slope(self, angle: FloatArray) -> FloatArray:
        """Derivative (...) of `_fall`."""
        (k1, k2, k3, k4), squared = self._coefficients, angle * angle
        return np.asarray(1.0 + squared * (3 * k1 + squared * (5 * k2 + squared * (7 * k3 + squared * 9 * k4))))

    @cached_property
    def _table(self) -> FloatArray:
        """Angles from the axis, rad, and where they fall (2, K)."""
        angle = np.linspace(0.0, self.most_half_angle_rad, _TABLE)
        return np.stack([angle, self._fall(angle)])

    def rays(self, pixels: npt.ArrayLike) -> FloatArray:
        """Unit rays (N, 3) through pixels (N, 2); NaN beyond the field of view."""
        p = np.asarray(pixels, float).reshape(-1, 2)
        plain = (p - (self.cx, self.cy)) / (self.fx, self.fy)
        distance = np.linalg.norm(plain, axis=1)
        angle = np.interp(distance, self._table[1], self._table[0])
        for _ in range(_NEWTON_STEPS if any(self.distortion) else 0):
            # The slope is zero where the model folds back.
            angle = angle - (self._fall(angle) - distance) / np.maximum(self._slope(angle), _ON_AXIS)
            angle = angle.clip(0.0, self.most_half_angle_rad)
        angle = np.where(distance <= self._table[1, -1], angle, np.nan)
        # Where the sine of the angle over the distance is wanted beside the axis, it is 1.
        across = np.where(distance > _ON_AXIS, np.sin(angle) / np.maximum(distance, _ON_AXIS), 1.0)
        return np.column_stack([plain * across[:, None], np.cos(angle)])

    def project(self, points: npt.ArrayLike) -> FloatArray:
        """Pixels (N, 2) of points (N, 3), also behind the camera; NaN beyond the field of view."""
        p = np.asarray(points, float).reshape(-1, 3)
        across, angle, beside = self._polar(p)
        share = np.where(beside, 1.0 / np.where(beside, p[:, 2], 1.0), self._fall(angle) / across)
        return np.asarray(p[:, :2] * share[:, None] * (self.fx, self.fy) + (self.cx, self.cy))

    def jacobian(self, points: npt.ArrayLike) -> FloatArray:
        """(N, 2, 3) derivative of `project`, px per unit of the points (N, 3)."""
        p = np.asarray(points, float).reshape(-1, 3)
        across, angle, beside = self._polar(p)
        direction, z = p[:, :2] / across[:, None], p[:, 2]
        squared, slope = across**2 + z**2, self._slope(angle)
        radial, around = slope * z / squared, self._fall(angle) / across
        radial, around = (np.where(beside, 1.0 / np.where(beside, z, 1.0), value) for value in (radial, around))
        outer = direction[:, :, None] * direction[:, None, :]
        on_plane = radial[:, None, None] * outer + around[:, None, None] * (np.eye(2) - outer)
        by_z = -(slope * across / squared)[:, None] * direction
        by_point = np.concatenate([on_plane, by_z[:, :, None]], axis=2)
        return np.asarray(by_point * np.array([self.fx, self.fy])[:, None])

    def _polar(self, points: FloatArray) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
        """Distance from the axis, angle from it (NaN where it is not seen), and whether a point is as good as on it."""
        across = np.hypot(points[:, 0], points[:, 1])
        angle = np.arctan2(across, points[:, 2])
        beside = (across < _ON_AXIS * points[:, 2]) & (points[:, 2] > 0)
        seen = (angle <= self.most_half_angle_rad) & (beside | (across > 0))
        return np.where(across > 0, across, 1.0) + np.where(seen, 0.0, np.nan), np.where(seen, angle, np.nan), beside


def wide_lens(width: int, height: int, field_deg: float) -> FisheyeCamera:
    """A centred equidistant lens without distortion, with this field of view from the left edge to the right."""
    focal_px = width / np.radians(field_deg)
    return FisheyeCamera(width, height, float(focal_px), float(focal_px), (width - 1) / 2, (height - 1) / 2)
