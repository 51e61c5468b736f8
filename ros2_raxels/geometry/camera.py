"""Cameras: from pixels to rays and back, through any lens; the pinhole with every distortion of OpenCV.

Other lenses have modules of their own, `fisheye` and `double_sphere`; `lens_names` knows all of them by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray, GeometryError

_DISTORTION_LENGTHS = (0, 4, 5, 8, 12, 14)
_SIDEWAYS = (3, 8, 9, 13)
"""Indices of p2, s1, s2 and tau_y."""

USUAL_FOCAL = 0.8
"""Focal length of an ordinary lens over the longer side of the image: 64 degrees of view."""

_FURTHEST = 60.0
"""On the plane z = 1, 89 degrees from the axis: no pinhole sees further."""

_TABLE = 512
_NEWTON_STEPS, _FOUND_PX = 10, 1e-8
"""Of the inversion of a distortion: steps, and when it has been found."""

AnyCamera = TypeVar("AnyCamera", bound="Camera")
"""A camera of one kind: what is resized or cropped stays of its kind."""


@dataclass(frozen=True)
class Camera(ABC):
    """A lens and its image: every pixel sees along one ray, and all rays meet in one point.

    Rays and points are in the optical frame: x right, y down, z forward.

    Attributes:
        width, height: image size, px.
        fx, fy, cx, cy: intrinsics, px; pixel (0, 0) is the centre of the top-left pixel.
        distortion: coefficients of the lens.

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

    is_flat: ClassVar[bool]
    """Whether depth is counted along z, and rays end on the plane z = 1; else along rays, which have length 1."""

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
        self._check_lens()

    @abstractmethod
    def _check_lens(self) -> None:
        """Raise GeometryError where the coefficients belong to no lens."""

    @property
    @abstractmethod
    def is_distorted(self) -> bool:
        """Whether it is anything but a pinhole without distortion."""

    @abstractmethod
    def rays(self, pixels: npt.ArrayLike) -> FloatArray:
        """Rays (N, 3) of depth 1 (see `is_flat`) through pixels (N, 2); NaN for those that the lens does not see."""

    @abstractmethod
    def depth(self, points: FloatArray) -> FloatArray:
        """Depth (...) of points (..., 3), counted as the rays of this camera do: a point is its ray times its depth."""

    @abstractmethod
    def project(self, points: npt.ArrayLike) -> FloatArray:
        """Pixels (N, 2) of points (N, 3) in the optical frame, also outside the image; NaN for what it cannot see."""

    @abstractmethod
    def jacobian(self, points: npt.ArrayLike) -> FloatArray:
        """(N, 2, 3) derivative of `project`, px per unit of the points (N, 3)."""

    @abstractmethod
    def scale_px(self, rays: npt.ArrayLike) -> FloatArray:
        """Pixels (N,) that a unit makes up beside a ray (N, 3): on the plane z = 1, or across a ray of length 1.

        It is the geometric mean over all directions.
        """

    @cached_property
    def matrix(self) -> FloatArray:
        """3x3 intrinsics K, px."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def pinhole(self) -> PinholeCamera:
        """The pinhole without distortion that agrees with this camera beside the axis, with an image of this size."""
        return PinholeCamera(self.width, self.height, self.fx, self.fy, self.cx, self.cy)

    @property
    def horizontal_fov_rad(self) -> float:
        """Angle between the outer edges of the first and last pixel column, or of what the lens sees there."""
        columns = np.linspace(-0.5, self.width - 0.5, 4 * self.width + 1)
        rays = self.rays(np.column_stack([columns, np.full(len(columns), self.cy)]))
        seen = rays[np.isfinite(rays[:, 0])]
        return float(np.ptp(np.arctan2(seen[:, 0], seen[:, 2]))) if len(seen) else 0.0

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

    def resized(self: AnyCamera, width: int, height: int) -> AnyCamera:
        """The camera of the same image resampled to another size, px; keeps pixel centres where they belong."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def zoomed(self: AnyCamera, factor: float) -> AnyCamera:
        """The same camera with a focal length that is `factor` times as long."""
        return replace(self, fx=self.fx * factor, fy=self.fy * factor)

    def cropped(self: AnyCamera, left: int, top: int, width: int, height: int) -> AnyCamera:
        """The camera of a part of the same image, px; the part may reach beyond it."""
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

    def mirrored(self: AnyCamera) -> AnyCamera:
        """The camera whose image is this one's with left and right exchanged."""
        return replace(self, cx=self.width - 1.0 - self.cx, distortion=self._mirrored_distortion())

    def _mirrored_distortion(self) -> tuple[float, ...]:
        """Coefficients of the lens in a mirror: the same where it is alike on all sides of its axis."""
        return self.distortion

    def bearings(self, rows: int | None = None, columns: int | None = None) -> FloatArray:
        """Unit ray directions (rows, columns, 3) in the optical frame, at the centres of a grid of equal cells.

        Without arguments one ray per pixel. A coarser grid samples the centre of each cell, which is also the
        pixel grid of the image resized to (columns, rows). NaN where the lens sees nothing.
        """
        rows, columns = rows or self.height, columns or self.width
        u = (np.arange(columns) + 0.5) * self.width / columns - 0.5
        v = (np.arange(rows) + 0.5) * self.height / rows - 0.5
        rays = self.rays(np.stack(np.meshgrid(u, v), axis=-1))
        return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(rows, columns, 3)

    def valid_mask(self) -> npt.NDArray[np.bool_]:
        """(height, width) whether a pixel has a ray: not beyond where the lens model folds back."""
        return np.asarray(np.isfinite(self.bearings()[..., 0]))

    @cached_property
    def sees_whole_image(self) -> bool:
        """Whether every pixel has a ray; the field of a lens has no holes, so that the edge of the image tells."""
        across, down = np.arange(self.width), np.arange(self.height)
        rows = [np.column_stack([across, np.full(self.width, v)]) for v in (0, self.height - 1)]
        columns = [np.column_stack([np.full(self.height, u), down]) for u in (0, self.width - 1)]
        return bool(np.isfinite(self.rays(np.concatenate([*rows, *columns]))).all())

    def local_focal_px(self, pixels: npt.ArrayLike) -> FloatArray:
        """Pixels per radian (N,) at pixels (N, 2), the geometric mean over all directions; NaN without a ray."""
        rays = self.rays(pixels)
        return mean_scale(self.jacobian(rays / np.linalg.norm(rays, axis=1, keepdims=True)))


@dataclass(frozen=True)
class PinholeCamera(Camera):
    """A pinhole camera, with the distortion of OpenCV where it has any.

    Attributes:
        distortion: 0, 4, 5, 8, 12 or 14 coefficients in OpenCV's order: k1 k2 p1 p2 k3 (plumb_bob), k4 k5 k6
            (rational_polynomial), s1 s2 s3 s4 (thin prism), tau_x tau_y (tilted sensor). All zeros mean the same as
            none.
    """

    is_flat: ClassVar[bool] = True

    def _check_lens(self) -> None:
        if len(self.distortion) not in _DISTORTION_LENGTHS or not np.isfinite(self.distortion).all():
            raise GeometryError(
                f"distortion {list(self.distortion)} must be 0, 4, 5, 8, 12 or 14 finite numbers (plumb_bob, "
                "rational, thin prism or tilted)"
            )

    @property
    def is_distorted(self) -> bool:
        """Whether any distortion coefficient differs from zero."""
        return any(self.distortion)

    def _mirrored_distortion(self) -> tuple[float, ...]:
        """p2, s1, s2 and tau_y move points sideways, by the same to both sides; all others are symmetric."""
        return tuple(-k if index in _SIDEWAYS else k for index, k in enumerate(self.distortion))

    @property
    def horizontal_fov_rad(self) -> float:
        """Angle between the outer edges of the first and last pixel column, without distortion."""
        left = np.arctan((self.cx + 0.5) / self.fx)
        return float(left + np.arctan((self.width - 0.5 - self.cx) / self.fx))

    def rays(self, pixels: npt.ArrayLike) -> FloatArray:
        """Rays (N, 3) of z = 1 through pixels (N, 2); NaN beyond where the distortion folds back."""
        plane = self.normalise(pixels)
        return np.asarray(np.concatenate([plane, np.ones((len(plane), 1))], axis=1) + 0.0 * plane[:, :1])

    def depth(self, points: FloatArray) -> FloatArray:
        """The z (...) of points (..., 3)."""
        return np.asarray(points[..., 2])

    def normalise(self, pixels: npt.ArrayLike) -> FloatArray:
        """Undistorted image-plane coordinates (N, 2) at z = 1 from pixels (N, 2); NaN where there are none."""
        p = np.asarray(pixels, float).reshape(-1, 2)
        plain: FloatArray = (p - (self.cx, self.cy)) / (self.fx, self.fy)
        if not self.is_distorted or not len(p):
            return np.asarray(plain)
        return self._undistorted(p, plain)

    def project(self, points: npt.ArrayLike) -> FloatArray:
        """Pixels (N, 2) of points (N, 3); NaN for points not in front, or where the distortion folds back."""
        p = np.asarray(points, float).reshape(-1, 3)
        z = np.where(p[:, 2] > 1e-9, p[:, 2], np.nan)
        plane: FloatArray = p[:, :2] / z[:, None]
        if not self.is_distorted or not len(p):
            return np.asarray(plane * (self.fx, self.fy) + (self.cx, self.cy))
        return self._distorted(plane)[0]

    def jacobian(self, points: npt.ArrayLike) -> FloatArray:
        """(N, 2, 3) derivative of `project`, px per unit of the points (N, 3)."""
        p = np.asarray(points, float).reshape(-1, 3)
        z = np.where(p[:, 2] > 1e-9, p[:, 2], np.nan)
        plane: FloatArray = p[:, :2] / z[:, None]
        on_plane = self._on_plane(plane) / z[:, None, None]
        return np.concatenate([on_plane, -(on_plane @ plane[:, :, None])], axis=2)

    def scale_px(self, rays: npt.ArrayLike) -> FloatArray:
        """Pixels (N,) that a unit of the plane z = 1 makes up at rays (N, 3)."""
        r = np.asarray(rays, float).reshape(-1, 3)
        if not self.is_distorted:
            return np.full(len(r), np.sqrt(self.fx * self.fy))
        # By the radial distortion alone, which a tilt changes by parts in a hundred.
        (radius, distance), slope = self._radii, self._radial_slope
        along = np.hypot(r[:, 0], r[:, 1]) / r[:, 2]
        around = np.interp(along, radius, np.divide(distance, radius, out=np.ones(_TABLE), where=radius > 0))
        return np.asarray(np.sqrt(self.fx * self.fy * around * np.interp(along, radius, slope)))

    def _on_plane(self, plane: FloatArray) -> FloatArray:
        """(N, 2, 2) px per unit of points (N, 2) of the plane z = 1."""
        if not self.is_distorted or not len(plane):
            return np.asarray(np.tile(np.diag([self.fx, self.fy]), (len(plane), 1, 1)) + 0.0 * plane[:, :1, None])
        return self._distorted(plane)[1]

    @cached_property
    def _radii(self) -> FloatArray:
        """Radii on the plane without and with radial distortion (2, K), from the axis to where it folds back."""
        k = np.zeros(8)
        k[: min(len(self.distortion), 8)] = self.distortion[:8]
        # In the square of the radius, the highest power first; OpenCV's order is k1 k2 p1 p2 k3 k4 k5 k6.
        above, below = np.poly1d([k[4], k[1], k[0], 1.0]), np.poly1d([k[7], k[6], k[5], 1.0])
        squared = np.poly1d([1.0, 0.0])
        slope = (above + 2 * squared * above.deriv()) * below - 2 * squared * above * below.deriv()
        folds = min(first_root(slope), first_root(below))
        radius = np.linspace(0.0, min(np.sqrt(folds), _FURTHEST), _TABLE)
        return np.stack([radius, radius * above(radius**2) / below(radius**2)])

    @cached_property
    def _radial_slope(self) -> FloatArray:
        """(K,) derivative of the distorted radius by the undistorted one, at those of `_radii`; 0 where it folds."""
        return np.asarray(np.maximum(np.gradient(self._radii[1], self._radii[0]), 0.0))

    def _undistorted(self, pixels: FloatArray, plain: FloatArray) -> FloatArray:
        """OpenCV's iteration, which creeps or goes astray where distortion is strong; Newton's method there."""
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
        lens = np.array(self.distortion)
        found = cv2.undistortPointsIter(pixels.reshape(-1, 1, 2), self.matrix, lens, None, None, criteria)
        plane = np.asarray(found, float).reshape(-1, 2)
        astray = ~self._is_seen_at(plane, pixels)
        if astray.any():
            plane[astray] = self._by_newton(pixels[astray], plain[astray])
        return plane

    def _by_newton(self, pixels: FloatArray, plain: FloatArray) -> FloatArray:
        """Newton's method, from where radial distortion alone would be undone; NaN where that leads nowhere."""
        radii, distance = self._radii, np.linalg.norm(plain, axis=1)
        share = np.interp(distance, radii[1], radii[0]) / np.maximum(distance, 1e-12)
        plane: FloatArray = plain * share[:, None]
        for _ in range(_NEWTON_STEPS):
            found, slope = self._distorted(plane, beyond=True)
            a, b, c, d = slope[:, 0, 0], slope[:, 0, 1], slope[:, 1, 0], slope[:, 1, 1]
            (x, y), area = (pixels - found).T, a * d - b * c
            area = np.where(np.abs(area) > 1e-12, area, np.nan)
            plane = plane + np.stack([d * x - b * y, a * y - c * x], axis=1) / area[:, None]
        return np.where(self._is_seen_at(plane, pixels)[:, None], plane, np.nan)

    def _is_seen_at(self, plane: FloatArray, pixels: FloatArray) -> npt.NDArray[np.bool_]:
        """(N,) whether points (N, 2) of the plane z = 1 fall on these pixels (N, 2)."""
        return np.asarray((np.abs(self._distorted(plane)[0] - pixels) < _FOUND_PX).all(axis=1))

    def _distorted(self, plane: FloatArray, beyond: bool = False) -> tuple[FloatArray, FloatArray]:
        """Pixels (N, 2) of points (N, 2) of the plane z = 1, and their derivative (N, 2, 2); NaN where it folds back.

        Args:
            plane: the points.
            beyond: answer there as well.
        """
        seen = np.asarray(np.isfinite(plane).all(axis=1))
        if not beyond:
            seen &= (plane**2).sum(axis=1, where=seen[:, None]) <= self._radii[0, -1] ** 2
        homogeneous = np.concatenate([np.where(seen[:, None], plane, 0.0), np.ones((len(plane), 1))], axis=1)
        zero, lens = np.zeros(3), np.array(self.distortion)
        pixels, slope = cv2.projectPoints(homogeneous.reshape(-1, 1, 3), zero, zero, self.matrix, lens)
        # What OpenCV derives by the position of the camera is the derivative by that of the point.
        by_point = np.asarray(slope, float).reshape(-1, 2, slope.shape[1])[..., 3:5]
        found = np.where(seen[:, None], np.asarray(pixels, float).reshape(-1, 2), np.nan)
        return found, np.where(seen[:, None, None], by_point, np.nan)


def first_root(polynomial: np.poly1d) -> float:
    """Smallest positive root of a polynomial that is 1 at 0; infinite without any."""
    # Of the inverse: coefficients of high powers may be as good as zero, but that of the lowest is 1.
    inverse = np.roots(polynomial.coeffs[::-1])
    real = inverse.real[(np.abs(inverse.imag) < 1e-9 * np.abs(inverse)) & (inverse.real > 1e-12)]
    return float(1.0 / real.max()) if len(real) else np.inf


def ordinary_camera(width: int, height: int, focal_over_side: float = USUAL_FOCAL) -> PinholeCamera:
    """A camera with square pixels, a centred principal point and no distortion; focal length over the longer side."""
    focal = focal_over_side * max(width, height)
    return PinholeCamera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def unit_bearings(plane: npt.ArrayLike) -> FloatArray:
    """Unit directions (..., 3) through image-plane coordinates (..., 2) at z = 1."""
    p = np.asarray(plane, float)
    rays = np.concatenate([p, np.ones((*p.shape[:-1], 1))], axis=-1)
    bearings: FloatArray = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    return bearings


def mean_scale(jacobian: FloatArray) -> FloatArray:
    """Square root (N,) of the px^2 into which a unit of area is spread by derivatives (N, 2, 3) of pixels."""
    return np.asarray(np.sqrt(np.linalg.norm(np.cross(jacobian[:, 0], jacobian[:, 1]), axis=1)))
