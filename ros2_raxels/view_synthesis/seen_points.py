"""Points in a view: the inverse depth of the nearest, and their votes for the planes of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray

_NEAREST_PERCENT, _MARGIN = 99.0, 1.1
_LEAST_POINTS = 50
_VOTE_SPREAD_PX, _VOTE_SPREAD_PLANES = 0.8, 0.7


@dataclass(frozen=True, eq=False)
class SeenPoints:
    """P points in an image.

    Attributes:
        pixels: (P, 2) px.
        inverse_depth: (P,) 0 or more, in 1 / unit of the world.
        error: (P,) standard error of the inverse depth.
        weight: (P,) number of pixels of the image that a point stands for, times its reliability, 0 to 1.
    """

    pixels: FloatArray
    inverse_depth: FloatArray
    error: FloatArray
    weight: FloatArray

    def nearest(self) -> float | None:
        """Inverse depth that next to no point exceeds; None if there are fewer than 50 points."""
        if len(self.pixels) < _LEAST_POINTS:
            return None
        surely = np.maximum(self.inverse_depth - self.error, 0.0)
        return float(np.percentile(surely, _NEAREST_PERCENT)) * _MARGIN

    def votes(self, shape: tuple[int, int], inverse_depths: FloatArray) -> npt.NDArray[np.float32]:
        """(planes, height, width) number of frames that saw something on each plane at each pixel.

        Args:
            shape: (height, width) of the image.
            inverse_depths: (planes,) increasing.
        """
        planes = len(inverse_depths)
        place = np.interp(self.inverse_depth, inverse_depths, np.arange(planes))
        error_planes = self.error / np.interp(self.inverse_depth, inverse_depths, np.gradient(inverse_depths))
        weight = self.weight / np.maximum(error_planes, 1.0)
        below = np.minimum(place.astype(int), planes - 2)
        above_share = place - below
        column, row = np.rint(self.pixels).astype(int).T
        cell = (below * shape[0] + row) * shape[1] + column
        cells = planes * shape[0] * shape[1]
        count = np.bincount(cell, weight * (1.0 - above_share), cells)
        count += np.bincount(cell + shape[0] * shape[1], weight * above_share, cells)
        return _blurred(count.reshape(planes, *shape).astype(np.float32))


def _blurred(count: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Spread over neighbouring pixels and planes: what one point says is likely beside it, too."""
    planes = len(count)
    apart = np.subtract.outer(np.arange(planes), np.arange(planes)) / _VOTE_SPREAD_PLANES
    kernel = np.exp(-0.5 * apart**2)
    kernel /= kernel.sum(axis=0)
    mixed = (kernel.astype(np.float32) @ count.reshape(planes, -1)).reshape(count.shape)
    return np.array([cv2.GaussianBlur(plane, (0, 0), _VOTE_SPREAD_PX) for plane in mixed])
