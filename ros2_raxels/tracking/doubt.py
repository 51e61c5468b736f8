"""Parts of a keyframe that move on their own, or are no surface: what starts there is not to be solved with.

A thing that passes by is seen in few keyframes. In each new one its points start afresh, with depths of their own, and
for a while agree with the camera's motion as well as the world does. So what was found to move is remembered where it
is in the picture, from one keyframe to the next, until its points are found to stand.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray

BoolArray = npt.NDArray[np.bool_]

_OFF_PX = 3.0
"""A track that misses by more in one of the keyframes that see it is off."""

_REACH = 2.2
"""How far a track speaks for its neighbours, in steps of the grid."""

_FEWEST_OFF, _MOST_OFF = 2, 0.5
"""So many tracks around a point, and more than this share of them, must be off for it to be in doubt."""

_LEAST_SHARE = 0.08
"""Of the picture: fewer points in doubt are wrong matches, which the loss of the solve takes care of."""

_MOST_NEW = 0.2
"""Of the picture: what moves comes in bit by bit. Where more is off at once, the poses or the matches are."""

_RECOVERED = 0.5
"""What a track counts that was in doubt and agrees now: over a short way a thing that moves may agree as well."""

_HALF = 0.5
"""Of the picture: the world is what most of it shows. Where more is in doubt, what is solved with may be what moves."""


def odds(share: float) -> float:
    """0 to 1: how little it is known which motion is the world's, by the share of a picture that is in doubt."""
    return max(share - _HALF, 0.0) / (1.0 - _HALF)


def are_off(residual_px: FloatArray) -> BoolArray:
    """(P,) which tracks disagree with the poses of keyframes, by their residuals (P, N), NaN where not seen."""
    return np.asarray(np.nanmax(residual_px, axis=1) > _OFF_PX)


def in_doubt(
    grid: FloatArray, places: FloatArray, off: BoolArray, was_in_doubt: BoolArray, at_first: bool = False
) -> BoolArray:
    """(G,) which points of a keyframe are in doubt.

    Args:
        grid: (G, 2) px, evenly spaced.
        places: (P, 2) px of tracks in the keyframe.
        off: (P,) which of them disagree with the poses of the keyframes.
        was_in_doubt: (P,) which of them start in what was in doubt before.
        at_first: whether nothing has been judged before.
    """
    nothing = np.zeros(len(grid), bool)
    if off.sum() < _FEWEST_OFF:
        return nothing
    reach_px = _REACH * float(np.linalg.norm(grid[1] - grid[0]))
    near = ((grid[:, None] - places) ** 2).sum(axis=2) < reach_px**2
    against = near @ off.astype(float)
    agreeing = near @ np.where(off, 0.0, np.where(was_in_doubt, _RECOVERED, 1.0))
    found = (against >= _FEWEST_OFF) & (against > _MOST_OFF * (against + agreeing))
    known = near @ was_in_doubt.astype(float) > 0
    if not at_first and (found & ~known).mean() > _MOST_NEW:
        found &= known
    return np.asarray(found) if found.mean() >= _LEAST_SHARE else nothing


def nearest_of(grid: FloatArray, places: FloatArray) -> npt.NDArray[np.int_]:
    """(P,) index of the point of an even grid (G, 2) that is nearest to each place (P, 2); px."""
    columns = int((grid[:, 1] == grid[0, 1]).sum())
    rows, step = len(grid) // columns, grid[1, 0] - grid[0, 0]
    column = np.clip(np.round((places[:, 0] - grid[0, 0]) / step), 0, columns - 1)
    row = np.clip(np.round((places[:, 1] - grid[0, 1]) / step), 0, rows - 1)
    return np.asarray(row * columns + column, int)
