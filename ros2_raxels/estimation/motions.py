"""Motions of a clip, when more than the camera moves: which tracks follow which, and which of them is the world.

To the evidence alone a thing that moves is as good a world as the world. What tells them apart is where they are in the
picture (the world surrounds, and a thing is compact) and how long they are seen: the world is hidden by the thing and
comes out behind it, and the thing stays in view.
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

_LEAST_CLAIM, _FAIR_CLAIM = 0.05, 0.08
"""Of the picture: less than that, wrong matches may agree with a motion by chance; and what is less than fair has to be
`_CLEARLY` more like the world."""

_AT_ALL, _CLEARLY = 0.5, 4.0
"""Of the logarithm of odds: where they are lower, it stays with what explains most."""

_NOTHING = 0.01
"""Of the picture: what explains less alone has no traits, and its rival all that it has."""

_MARGIN = 0.15
_NARROW = 0.01
_TAILS = 0.03
"""Share of a claim, at either end, that does not count for how far it reaches."""

_PLANE_PX = 1.2
_LEAST_GROUP = 12
_MOST_DRAWS = 300


WORLD_ODDS = {
    "share": 0.4,
    "width": 0.36,
    "height": 0.66,
    "border": 4.15,
    "beside": 2.51,
    "above": 1.35,
    "seen": -19.1,
}
"""Logarithm of the odds that a motion is the world's and not its rival's, for each of `Picture.traits` of which it has
1 more. Fitted on rendered clips with slabs, boxes and walkers, as ``python -m ros2_raxels.cli.world_odds`` does, with
samples of the denoiser and a longer search among the candidates."""


class Picture:
    """Where the tracks of some evidence are in the picture, and how much of it each stands for.

    Attributes:
        place: (P, 2) in the anchor frame, 0 to 1 across what the evidence covers.
        area: (P,) share of the picture; where tracks are dense each stands for less.
        seen: (P,) share of the frames in which each is seen.
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
        self.seen: FloatArray = evidence.seen.mean(axis=1)

    def traits(self, own: FloatArray, rivals: FloatArray) -> FloatArray:
        """What tells the world from a thing, in the order of `WORLD_ODDS`.

        Args:
            own, rivals: (P,) what only the motion explains, and what only its rival, each 0 to 1.

        Returns:
            Of the tracks that it explains: logarithms of their share of the picture and of their standard deviations
            across and down, as shares of the picture's; the share of them near its border; which shares of the rival's
            tracks lie within their reach across and down; and the mean share of the frames in which they are seen.
        """
        weight, other = self.area * own, self.area * rivals
        total, others = weight.sum() + 1e-9, other.sum() + 1e-9
        off = self.place - (weight[:, None] * self.place).sum(axis=0) / total
        spread = np.sqrt((weight[:, None] * off**2).sum(axis=0) / total + _NARROW**2)
        outside = ((self.place < _MARGIN) | (self.place > 1 - _MARGIN)).any(axis=1)
        low, high = self._reach(weight)
        within = (other[:, None] * ((self.place > low) & (self.place < high))).sum(axis=0) / others
        border, seen = ((weight * values).sum() / total for values in (outside, self.seen))
        return np.array([np.log(total), *np.log(spread), border, *within, seen])

    def _reach(self, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(2,) and (2,) from where to where most of some weight (P,) lies."""
        ends = np.zeros((2, 2))
        for axis, place in enumerate(self.place.T):
            order = np.argsort(place)
            below = np.cumsum(weight[order])
            if len(below):
                ends[:, axis] = np.interp(np.array([_TAILS, 1 - _TAILS]) * below[-1], below, place[order])
        return ends[0], ends[1]


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
        claim = (rivals * picture.area).sum()
        if claim < _LEAST_CLAIM:
            continue
        if log_odds(picture, rivals, worlds) > (_AT_ALL if claim > _FAIR_CLAIM else _CLEARLY):
            world = int(rival)
    return world


def log_odds(picture: Picture, first: FloatArray, second: FloatArray) -> float:
    """Logarithm of the odds that the first of two motions is the world's, by what only each of them explains (P,)."""
    if (second * picture.area).sum() < _NOTHING:
        return np.inf
    more = picture.traits(first, second) - picture.traits(second, first)
    return float(more @ list(WORLD_ODDS.values()))


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
