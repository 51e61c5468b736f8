"""Depth images as depth priors: the noise of the sensor, holes, and no pixels at edges that lie on no surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.depth_picture import DepthPicture
from ros2_raxels.tracking.metric_scale import ScaleSource

_SAME_ASPECT = 0.02
"""By how much, as a share, a depth image without a camera of its own may differ in shape from the image."""

_PLAUSIBLE_M = (0.05, 100.0)
"""Median depths that are believed: sensors measure no nearer, and no further."""

_REACH = np.arange(-2, 3)
_OFFSETS = np.stack(np.meshgrid(_REACH, _REACH), axis=-1).reshape(-1, 2)
_LEAST_NEIGHBOURS = 15
"""Of the 25 px around a point that must be measured."""

_OFF_SURFACE = 4.0
"""Standard deviations by which a pixel may lie off the plane through its neighbours before it lies at an edge."""


class DepthImageError(ValueError):
    """A depth image that cannot be used with its image; the message is one line: what, the value and the remedy."""


@dataclass(frozen=True)
class DepthNoise:
    """What a depth sensor errs by.

    The defaults suit structured light and active stereo; time of flight is better far away.

    Attributes:
        per_metre: standard deviation over the square of the depth, 1/m: that of a disparity.
        floor_m: standard deviation however near, m.
        share: standard deviation as a share of the depth: what calibration leaves, different from place to place.
        registration_px: how far, in px of the depth image, depth and image may be apart.
        scale_sigma: relative standard deviation of an error that all depths share.
    """

    per_metre: float = 0.0015
    floor_m: float = 0.002
    share: float = 0.003
    registration_px: float = 0.5
    scale_sigma: float = 0.005

    def sigma(self, inverse_depth: FloatArray) -> FloatArray:
        """Standard deviations of inverse depths, 1/m."""
        near = self.floor_m * inverse_depth**2
        return np.sqrt(self.per_metre**2 + (self.share * inverse_depth) ** 2 + near**2)


class DepthImage:
    """A registered depth image as a depth prior.

    On a plane inverse depth is an affine function of the pixel. So it is fitted around each point, which takes out
    noise; where pixels lie off the fit there is an edge, or a pixel between two surfaces, and nothing is known.

    Args:
        picture: the depths.
        width, height: of the image that it belongs to, px.
        noise: of the sensor.

    Raises:
        DepthImageError: it cannot be what was measured for that image.
    """

    source = ScaleSource.DEPTH

    def __init__(self, picture: DepthPicture, width: int, height: int, noise: DepthNoise | None = None) -> None:
        self._depth_m, self._camera, self._noise = picture.depth_m, picture.camera, noise or DepthNoise()
        _check_shape(picture, width, height)
        _check_unit(picture.depth_m)

    @property
    def scale_sigma(self) -> float:
        """See `DepthPrior`."""
        return self._noise.scale_sigma

    def at(self, pixels: FloatArray, camera: Camera) -> tuple[FloatArray, FloatArray]:
        """See `DepthPrior.at`."""
        rays = camera.rays(pixels)
        along_z, slope, off = self._fitted(self._placed(np.asarray(pixels, float), rays, camera))
        sigma = self._noise.sigma(along_z)
        known = (along_z > 0) & (off < _OFF_SURFACE * sigma) & np.isfinite(rays[:, 0])
        sigma = np.hypot(sigma, self._noise.registration_px * slope)
        # A point is its ray times its depth, and z is what was measured.
        inverse, sigma = along_z * rays[:, 2], sigma * rays[:, 2]
        return np.where(known, inverse, np.nan), np.where(known, sigma, np.nan)

    def _placed(self, pixels: FloatArray, rays: FloatArray, camera: Camera) -> FloatArray:
        """Where pixels (K, 2) of the working image lie in the depth image."""
        if self._camera is not None:
            return np.asarray(self._camera.project(rays))
        height, width = self._depth_m.shape
        return np.asarray((pixels + 0.5) * (width / camera.width, height / camera.height) - 0.5)

    def _fitted(self, places: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Inverse depth along z (K,) at places (K, 2), its slope per px, and how far the worst neighbour is off it."""
        height, width = self._depth_m.shape
        inside = np.asarray(((places > -0.5) & (places < (width - 0.5, height - 0.5))).all(axis=1))
        centre = np.where(inside[:, None], np.round(np.where(inside[:, None], places, 0.0)), 0.0).astype(int)
        column, row = np.moveaxis(centre[:, None] + _OFFSETS, 2, 0)
        there = (column >= 0) & (row >= 0) & (column < width) & (row < height) & inside[:, None]
        depth = np.where(there, self._depth_m[row.clip(0, height - 1), column.clip(0, width - 1)], np.nan)
        there = np.isfinite(depth)
        inverse = 1.0 / np.where(there, depth, 1.0)
        basis = np.column_stack([np.ones(len(_OFFSETS)), _OFFSETS])
        weighted = there[:, :, None] * basis
        enough = there.sum(axis=1) >= _LEAST_NEIGHBOURS
        normal = np.where(enough[:, None, None], np.swapaxes(weighted, 1, 2) @ basis, np.eye(3))
        plane = np.linalg.solve(normal, np.swapaxes(weighted, 1, 2) @ inverse[:, :, None])
        off = np.where(there, np.abs(inverse - (basis @ plane)[..., 0]), 0.0).max(axis=1)
        beside = np.where(inside[:, None], places - centre, 0.0)
        value = plane[:, 0, 0] + (plane[:, 1:, 0] * beside).sum(axis=1)
        return np.where(enough, value, np.nan), np.linalg.norm(plane[:, 1:, 0], axis=1), off


def _check_shape(picture: DepthPicture, width: int, height: int) -> None:
    rows, columns = picture.depth_m.shape
    own = picture.camera
    if own is not None and (own.width, own.height) != (columns, rows):
        raise DepthImageError(
            f"depth image is {columns}x{rows} px but its camera_info is of {own.width}x{own.height} px; "
            "give the one of this depth image"
        )
    if own is None and abs(columns * height / (rows * width) - 1.0) > _SAME_ASPECT:
        raise DepthImageError(
            f"depth image of {columns}x{rows} px has another shape than the image of {width}x{height} px; "
            "register it to the image, or give its own camera_info"
        )


def _check_unit(depth_m: FloatArray) -> None:
    # Every eighth pixel of every eighth row tells as much.
    some = depth_m[::8, ::8]
    some = some[np.isfinite(some)]
    if not len(some):
        return
    median = float(np.median(some))
    low, high = _PLAUSIBLE_M
    if not low <= median <= high:
        found = "m where they should be mm" if median < low else "mm where they should be m"
        raise DepthImageError(
            f"depth image has a median of {median:.4g} m, which no sensor measures; its values seem to be {found}: "
            "16UC1 is in mm, 32FC1 in m"
        )
