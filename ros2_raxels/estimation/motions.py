"""Motions of a clip, when more than the camera moves: which tracks follow which, and which of them is the world.

To the evidence alone a thing that moves is as good a world as the world. What tells them apart is where they are in the
picture: the world surrounds, and a thing is compact.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.inliers import FEWEST_MATCHES
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence

BoolArray = npt.NDArray[np.bool_]

FOLLOWS = 0.4
"""Agreement above which a track follows a motion."""

_CELLS = np.array([8, 6])
_FEW = 3.0
"""Tracks in a cell of the picture from which on more count for no more together."""

_UNDECIDED = 0.2
"""Of agreement: less does not tell for one of two motions."""

_LEAST_CLAIM = 0.08
"""Of the picture: less than that, wrong matches may agree with a motion by chance."""

_SPREAD, _BORDER = 3.0, 5.0
"""How a claim grows: by what power of its extent, and e times so often from all inside to all at the border. These two
were chosen on rendered clips with slabs, boxes and walkers."""

_MARGIN = 0.15
_NARROW = 0.01
_PLANE_PX = 1.2
_LEAST_GROUP = 12
_MOST_DRAWS = 300


class Picture:
    """Where the tracks of some evidence are in the picture, and how much of it each stands for.

    Attributes:
        place: (P, 2) in the anchor frame, 0 to 1 across what the evidence covers.
        area: (P,) share of the picture; where tracks are dense each stands for less.
    """

    def __init__(self, evidence: Evidence) -> None:
        pixels = evidence.pixels[np.arange(len(evidence.anchor)), evidence.anchor]
        if len(pixels):
            low, high = np.nanmin(evidence.pixels, axis=(0, 1)), np.nanmax(evidence.pixels, axis=(0, 1))
            self.place: FloatArray = (pixels - low) / np.maximum(high - low, 1.0)
        else:
            self.place = np.zeros((0, 2))
        column, row = np.minimum(self.place * _CELLS, _CELLS - 1).astype(int).T
        cell = row * _CELLS[0] + column
        crowd = np.bincount(cell, minlength=int(_CELLS.prod()))[cell]
        self.area: FloatArray = 1.0 / np.maximum(crowd, _FEW) / _CELLS.prod()

    def claim(self, support: FloatArray) -> float:
        """Logarithm of how much a motion that has some support (P,) of its own looks like the world."""
        weight = self.area * support
        total = weight.sum() + 1e-9
        off = self.place - (weight[:, None] * self.place).sum(axis=0) / total
        extent = (off.T * weight) @ off / total + _NARROW**2 * np.eye(2)
        outside = ((self.place < _MARGIN) | (self.place > 1 - _MARGIN)).any(axis=1)
        border = float(weight[outside].sum() / total)
        return float(np.log(total) + 0.25 * _SPREAD * np.log(np.linalg.det(extent)) + _BORDER * border)


def agreement(residual_px: FloatArray, width_px: float) -> FloatArray:
    """(..., P) how well tracks agree with cameras, 0 to 1, from their residuals (..., P, N), NaN where not seen."""
    seen = np.isfinite(residual_px)
    squared = np.where(seen, residual_px, 0.0) ** 2
    close = np.where(seen, width_px**2 / (squared + width_px**2), 0.0)
    return np.asarray(close.sum(axis=-1) / np.maximum(seen.sum(axis=-1), 1))


def most_like_the_world(picture: Picture, follows: FloatArray, presumed: int, belief: FloatArray | None = None) -> int:
    """Index of the hypothesis that is taken for the motion of the world.

    Two are compared by what only one of them explains. The presumed one is challenged by all others, those that explain
    most first.

    Args:
        picture: of P tracks.
        follows: (H, P) agreement of each hypothesis.
        presumed: index of the one that is the world unless another looks more like it.
        belief: (P,) how far tracks are believed to be of the world, 0 to 1.
    """
    if belief is not None:
        follows = follows * belief
    world = presumed
    for rival in np.argsort(-(follows * picture.area).sum(axis=1), kind="stable"):
        rivals, worlds = only_one_explains(follows[rival], follows[world])
        if (rivals * picture.area).sum() < _LEAST_CLAIM:
            continue
        if picture.claim(rivals) > picture.claim(worlds):
            world = int(rival)
    return world


def only_one_explains(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(P,) and (P,) what only the first, and only the second of two motions explains, from their agreement (P,)."""
    gain = (first - second) / (1.0 - _UNDECIDED)
    undecided = _UNDECIDED / (1.0 - _UNDECIDED)
    return np.maximum(gain - undecided, 0.0), np.maximum(-gain - undecided, 0.0)


def moving_as_a_plane(evidence: Evidence, among: BoolArray) -> BoolArray | None:
    """(P,) the largest group of tracks that moves like one plane through all frames; None where there is none.

    That is how a thing moves that is small, far away or flat, and how the largest wall of a static world moves as well.

    Args:
        evidence: P tracks over N frames.
        among: (P,) those that are looked at.
    """
    # Of a wide lens the middle, as far as a plane holds it.
    on_plane = evidence.seen & np.isfinite(evidence.plane[..., 0])
    pixels = np.where(on_plane[..., None], evidence.plane, 0.0) * evidence.focal_px[:, None]
    core = np.zeros(0, int)
    for i, j in itertools.combinations(range(evidence.frames), 2):
        seen = np.flatnonzero(among & on_plane[:, i] & on_plane[:, j])
        inside = _plane_motion(pixels[seen, i], pixels[seen, j])[1]
        if inside.sum() > len(core):
            core = seen[inside]
    if len(core) < _LEAST_GROUP:
        return None
    chosen = np.zeros(len(among), bool)
    chosen[core] = True
    votes, agreed = np.zeros((2, len(among)))
    for i, j in itertools.combinations(range(evidence.frames), 2):
        both = on_plane[:, i] & on_plane[:, j]
        homography = _plane_motion(pixels[chosen & both, i], pixels[chosen & both, j])[0]
        if homography is None:
            continue
        rows = np.flatnonzero(both & among)
        there = np.column_stack([pixels[rows, i], np.ones(len(rows))]) @ homography.T
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.linalg.norm(there[:, :2] / there[:, 2:] - pixels[rows, j], axis=1)
        votes[rows] += 1
        agreed[rows] += off < 1.5 * _PLANE_PX
    return np.asarray(among & (votes > 0) & (agreed >= 2 * votes / 3))


def _plane_motion(first: FloatArray, second: FloatArray) -> tuple[FloatArray | None, BoolArray]:
    """Homography of most matches (M, 2) px, and which agree; None where there are too few."""
    none = np.zeros(len(first), bool)
    if len(first) < FEWEST_MATCHES:
        return None, none
    homography, inside = cv2.findHomography(first, second, cv2.RANSAC, _PLANE_PX, maxIters=_MOST_DRAWS)
    if homography is None or not np.isfinite(homography).all():
        return None, none
    return np.asarray(homography, float), inside.ravel() > 0
