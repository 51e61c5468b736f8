"""Fisheye lenses by the double sphere model (Usenko, Demmel and Cremers 2018), as Kalibr and Basalt calibrate them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.fisheye import AngularCamera
from ros2_raxels.geometry.poses import FloatArray, GeometryError


@dataclass(frozen=True)
class DoubleSphereCamera(AngularCamera):
    """A point falls on one unit sphere, from there on a second one, shifted by xi, and from there on the image.

    Attributes:
        distortion: xi and alpha.
    """

    distortion: tuple[float, ...] = (0.0, 0.5)

    def _check_lens(self) -> None:
        if len(self.distortion) != 2 or not np.isfinite(self.distortion).all() or not 0.0 <= self.distortion[1] <= 1.0:
            raise GeometryError(
                f"distortion {list(self.distortion)} must be xi and alpha of a double sphere, alpha from 0 to 1"
            )

    def rays(self, pixels: npt.ArrayLike) -> FloatArray:
        """Unit rays (N, 3) through pixels (N, 2); NaN beyond the field of view."""
        xi, alpha = self.distortion
        p = np.asarray(pixels, float).reshape(-1, 2)
        plane = (p - (self.cx, self.cy)) / (self.fx, self.fy)
        squared = (plane**2).sum(axis=1)
        with np.errstate(invalid="ignore"):
            z = (1.0 - alpha**2 * squared) / (alpha * np.sqrt(1.0 - (2 * alpha - 1) * squared) + 1.0 - alpha)
            share = (z * xi + np.sqrt(z**2 + (1.0 - xi**2) * squared)) / (z**2 + squared)
        return np.column_stack([share[:, None] * plane, share * z - xi])

    def project(self, points: npt.ArrayLike) -> FloatArray:
        """Pixels (N, 2) of points (N, 3), also behind the camera; NaN beyond the field of view."""
        p = np.asarray(points, float).reshape(-1, 3)
        denominator = self._denominator(p)[0]
        return np.asarray(p[:, :2] / denominator[:, None] * (self.fx, self.fy) + (self.cx, self.cy))

    def jacobian(self, points: npt.ArrayLike) -> FloatArray:
        """(N, 2, 3) derivative of `project`, px per unit of the points (N, 3)."""
        p = np.asarray(points, float).reshape(-1, 3)
        denominator, slope = self._denominator(p)
        plane = p[:, :2] / denominator[:, None]
        by_point = (np.eye(2, 3) - plane[:, :, None] * slope[:, None, :]) / denominator[:, None, None]
        return np.asarray(by_point * np.array([self.fx, self.fy])[:, None])

    def _denominator(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What x and y are divided by (N,), NaN beyond the field of view, and its derivative (N, 3)."""
        xi, alpha = self.distortion
        first = np.linalg.norm(points, axis=1)
        first = np.where(first > 0, first, np.nan)
        shifted = xi * first + points[:, 2]
        second = np.sqrt(points[:, 0] ** 2 + points[:, 1] ** 2 + shifted**2)
        ratio = alpha / (1.0 - alpha) if alpha <= 0.5 else (1.0 - alpha) / alpha
        limit = (ratio + xi) / np.sqrt(2 * ratio * xi + xi**2 + 1.0)
        seen = points[:, 2] > -limit * first
        by_shift = xi * points / first[:, None] + (0.0, 0.0, 1.0)
        by_second = (points * (1.0, 1.0, 0.0) + shifted[:, None] * by_shift) / second[:, None]
        denominator = np.where(seen, alpha * second + (1.0 - alpha) * shifted, np.nan)
        return denominator, alpha * by_second + (1.0 - alpha) * by_shift
