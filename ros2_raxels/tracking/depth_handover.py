"""Depths that a new keyframe has from older ones without a match between them.

After a gap, or where a camera turns fast, a keyframe shares few points of its flow grid with those before. Its points
would then get their depths from the next frames alone, over next to no baseline where the camera turns on the spot, and
the unit would be lost with them. But where the camera stands is known, by keypoints, and so is where the points of the
older keyframes lie in its image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ros2_raxels.estimation.inliers import FEWEST_MATCHES
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.tracking.depth_prior import PointDepths
from ros2_raxels.tracking.frame import Keyframe
from ros2_raxels.tracking.metric_scale import ScaleSource

_SIGMA = 0.2
"""Relative standard deviation: neighbours in the image may lie at another depth."""

_ALIKE = 10.0
"""So many neighbours are off together: the unit is handed on by as many times fewer points."""

_REACH = 0.6
"""How far from a point of the grid one may lie that tells its depth, in steps of the grid."""


def handed_on(others: Sequence[Keyframe], keyframe: Keyframe, grid: FloatArray) -> PointDepths | None:
    """Depths of points of a keyframe, from those of others that should be seen there; None where these are few.

    Args:
        others: the newest last, which counts most.
        keyframe: with its pose.
        grid: (G, 2) px, of its flow; that of the others where their images are of the same size.
    """
    found = np.full(len(grid), np.nan)
    reach_px = _REACH * float(np.linalg.norm(grid[1] - grid[0]))
    for other in others:
        known = other.inverse_depth > 0
        if other.features.grey.shape != keyframe.features.grey.shape or not known.any():
            continue
        to_keyframe = relative_pose(keyframe.camera_to_world, other.camera_to_world)
        points = other.camera.rays(grid[known]) / other.inverse_depth[known, None]
        there = points @ to_keyframe[:3, :3].T + to_keyframe[:3, 3]
        depth = keyframe.camera.depth(there)
        away = np.linalg.norm(grid[:, None] - keyframe.camera.project(there), axis=-1)
        away[:, ~(depth > 0)] = np.inf
        away = np.where(np.isfinite(away), away, np.inf)
        nearest = away.argmin(axis=1)
        near = away[np.arange(len(grid)), nearest] < reach_px
        found[near] = 1.0 / depth[nearest[near]]
    count = int(np.isfinite(found).sum())
    if count < FEWEST_MATCHES:
        return None
    return PointDepths(grid, found, _SIGMA * found, ScaleSource.NONE, _SIGMA * float(np.sqrt(_ALIKE / count)))
