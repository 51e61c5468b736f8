"""Bundle adjustment of the newest keyframes where nothing but the images tells their unit and their place.

Cameras that are held pass both on from one bundle to the next, and the two oldest lie some px apart: by what the
distance between them is off by, all newer lengths are. So only the shape is solved for here. How large it is follows
from the depths of all points that were known before, and where it stands from all keyframes but the newest.
"""

from __future__ import annotations

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine
from ros2_raxels.estimation.inliers import INLIER_PX
from ros2_raxels.geometry.poses import FloatArray, nearest_rotation, relative_pose
from ros2_raxels.matching.tracks import Evidence, IntArray

_ENOUGH = 50
"""Depths that were known before: their median is then good to a thousandth."""

_SHARES = 0.1
"""Tracks that a keyframe sees, over what others see: fewer are matches by chance."""


def refine_shape(
    evidence: Evidence,
    camera_to_world: FloatArray,
    known: FloatArray,
    settings: RefineSettings,
    *,
    holds_first: bool = False,
) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Refine keyframes together; unit and place are handed on by what was known of them.

    Args:
        evidence: P tracks over N keyframes, without depths that a sensor has measured.
        camera_to_world: (N, 4, 4) as they are known, the newest last.
        known: (P,) inverse depths of the tracks as they are known, NaN where they are not.
        settings: of the refinement.
        holds_first: the first keyframe keeps its pose.

    A keyframe that shares next to nothing with the others, as one of a covered lens, keeps its pose and says nothing of
    theirs.

    Returns:
        Poses (N, 4, 4), inverse depths (P,) and residuals (P, N), px; None where few depths were known.
    """
    newest = len(camera_to_world) - 1
    told = (known > 0) & (evidence.anchor < newest)
    if newest < 2 or told.sum() < _ENOUGH:
        return None
    found = refine(evidence, relative_pose(camera_to_world[0], camera_to_world)[None], settings)
    shape, depth, residual_px = found.camera_to_first[0], found.inverse_depth[0], found.residual_px[0]
    told &= (np.nanmin(residual_px, axis=1) < INLIER_PX) & (depth > 0)
    if told.sum() < _ENOUGH:
        return None
    unit = _unit(depth[told], known[told])
    seen = evidence.seen.sum(axis=0)
    shares = seen > _SHARES * np.median(seen)
    settled = np.flatnonzero(shares[: 1 if holds_first and shares[0] else newest])
    if not len(settled):
        return None
    placed = _placed(shape, unit, settled, camera_to_world[settled])
    return np.where(shares[:, None, None], placed, camera_to_world), depth / unit, residual_px


def _unit(found: FloatArray, known: FloatArray) -> float:
    """Factor by which inverse depths (P,) have grown: the weighted median of what each of them says.

    What is further away than half of the points tells its distance the less exactly, and counts by the square of that.
    What is nearer counts no more for it: much nearer points are often wrong matches.
    """
    growth = np.log(found / known)
    weight = np.square(np.minimum(found, np.median(found)))
    order = np.argsort(growth)
    share = np.cumsum(weight[order])
    return float(np.exp(growth[order][np.searchsorted(share, share[-1] / 2.0)]))


def _placed(shape: FloatArray, unit: float, settled: IntArray, before: FloatArray) -> FloatArray:
    """Poses (N, 4, 4), `unit` times as large, turned and moved so that K of them are where they were (K, 4, 4)."""
    turn = nearest_rotation(np.einsum("nij,nkj->ik", before[:, :3, :3], shape[settled, :3, :3]))
    places = unit * shape[:, :3, 3] @ turn.T
    placed = shape.copy()
    placed[:, :3, :3] = turn @ shape[:, :3, :3]
    placed[:, :3, 3] = places + (before[:, :3, 3] - places[settled]).mean(axis=0)
    return placed
