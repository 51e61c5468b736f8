"""What a depth sensor of structured light or active stereo makes of true depth: noise, steps of disparity, holes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray

_NEAREST_M, _FURTHEST_M = 0.4, 8.0
_NOISE_PER_M = 0.0015
"""Standard deviation of an inverse depth, 1/m: .07 px of disparity where focal length times baseline is 43 px m."""

_STEP_PER_M = 0.0029
"""Of inverse depths, which come in eighths of such a pixel, 1/m."""

_EDGE = 0.05
"""Relative change of depth from one pixel to its neighbours at which the sensor sees no surface."""


def sensed_depth_mm(depth_m: FloatArray, generator: np.random.Generator) -> npt.NDArray[np.uint16]:
    """A depth image as a driver publishes it (H, W), mm; 0 where nothing is measured.

    Args:
        depth_m: (H, W) of the first surface, m; infinite where there is none.
        generator: of the noise.
    """
    inverse = 1.0 / np.asarray(depth_m, float)
    kernel = np.ones((3, 3), np.uint8)
    smooth = cv2.dilate(inverse, kernel) < cv2.erode(inverse, kernel) * (1.0 + _EDGE)
    noisy = inverse + generator.normal(0.0, _NOISE_PER_M, inverse.shape)
    stepped = np.round(noisy / _STEP_PER_M) * _STEP_PER_M
    measured = smooth & (stepped > 1.0 / _FURTHEST_M) & (stepped < 1.0 / _NEAREST_M)
    return np.where(measured, np.rint(1e3 / np.where(measured, stepped, 1.0)), 0.0).astype(np.uint16)
