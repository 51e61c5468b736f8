"""Cameras: from pixels to rays and back, with distortion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray, GeometryError

_DISTORTION_LENGTHS = (0, 4, 5, 8)

USUAL_FOCAL = 0.8
"""Focal length of an ordinary lens over the longer side of the image: 64 degrees of view."""


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

    def check_fits(self, image: npt.NDArray[Any], name: str) -> None:
        """See that an image is of the size of this camera's.

        Args:
            image: (H, W, ...).
            name: of the image, for the message.

        Raises:
            GeometryError: it is of another size.
        """
        height, width = image.shape[:2]
        if (width, height) != (self.width, self.height):
            raise GeometryError(
                f"{name} is {width}x{height} px but its camera is {self.width}x{self.height} px; "
                "give the intrinsics of this image size"
            )

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
    """A camera with square pixels, a centred principal point and no distortion; focal length over the longer side."""
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
