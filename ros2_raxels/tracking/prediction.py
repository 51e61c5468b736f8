"""Where the points of a keyframe should be in a frame, and how the patches around them should look there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray

_MOST_ZOOM = 1.3
_LEAST_Z = 1e-6
_STEP_PX = 1.0
_SAME_SURFACE = 0.15
"""Two neighbouring points whose inverse depths differ by less than this share lie on one surface."""


@dataclass(frozen=True)
class Predicted:
    """Points of a grid in another image.

    Attributes:
        pixels: (G, 2) px; NaN where a patch would look too different to be found.
        warp: (G, 2, 2) px there per px here.
    """

    pixels: FloatArray
    warp: FloatArray


def predict(
    grid: FloatArray,
    inverse_depth: FloatArray,
    there_from_here: FloatArray,
    here: Camera,
    there: Camera,
) -> Predicted:
    """Where the points of one image are in another.

    Args:
        grid: (G, 2) px, row by row, of equal spacing.
        inverse_depth: (G,); NaN where not known, and there nothing is predicted.
        there_from_here: 4x4, from the optical frame of the one to that of the other.
        here, there: the two cameras.
    """
    slope = _slopes(grid, inverse_depth)
    points, depths = [grid], [inverse_depth]
    for k in range(2):
        points.append(grid + np.eye(2)[k] * _STEP_PX)
        depths.append(inverse_depth + slope[:, k] * _STEP_PX)
    q = here.rays(np.concatenate(points)) @ there_from_here[:3, :3].T
    q += np.concatenate(depths)[:, None] * there_from_here[:3, 3]
    pixels, right, below = there.project(q).reshape(3, -1, 2)
    # Depth there over depth here; a window of pixels that has grown or shrunk does not fit any more.
    zoom = np.maximum(there.depth(q[: len(grid)]), _LEAST_Z)
    alike = np.abs(np.log(zoom)) < np.log(_MOST_ZOOM)
    warp = np.stack([right - pixels, below - pixels], axis=-1) / _STEP_PX
    return Predicted(np.where(alike[:, None], pixels, np.nan), warp)


def _slopes(grid: FloatArray, inverse_depth: FloatArray) -> FloatArray:
    """(G, 2) change of the inverse depth per px along the surface; 0 across edges. On a plane it is constant."""
    columns = int((grid[:, 1] == grid[0, 1]).sum())
    depth = inverse_depth.reshape(-1, columns)
    found = np.zeros((2, *depth.shape))
    for k, axis in enumerate((1, 0)):
        if depth.shape[axis] < 3:
            continue
        step_px = grid[1, 0] - grid[0, 0] if axis == 1 else grid[columns, 1] - grid[0, 1]
        change = np.diff(depth, axis=axis)
        first, last, inner = (
            (slice(None), cut) if axis == 1 else (cut, slice(None)) for cut in (slice(-1), slice(1, None), slice(1, -1))
        )
        before, after = change[first], change[last]
        smooth = np.maximum(np.abs(before), np.abs(after)) < _SAME_SURFACE * depth[inner]
        found[k][inner] = np.where(smooth, (before + after) / (2 * step_px), 0.0)
    return found.reshape(2, -1).T
