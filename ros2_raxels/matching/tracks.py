"""Tracks: points of one frame found again in others, and how matches between pairs of frames become tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.lens_rays import LensRays, see_through

IntArray = npt.NDArray[np.integer]


KEYPOINT, FLOW = 0, 1
"""Values of `Evidence.kind`."""


@dataclass(frozen=True)
class EvidenceSettings:
    """Settings of the matcher. Lengths in px of the working image.

    Attributes:
        working_pixels: larger images are shrunk to this number of pixels, in which points are looked for.
        full_pixels: images with more are halved until they have no more; in the result points are measured.
        keypoints: maximum per frame.
        contrast: SIFT contrast threshold; OpenCV's default (0.04) finds nothing on dim indoor walls.
        ratio: largest distance of a match over that of the second best.
        keypoint_reach: keypoints are compared where flow reaches less than this share of the grid; above 1 always.
        flow_scale: how often the image is halved before dense flow; once more for coarse flow.
        grid_px: spacing of the flow tracks.
        check_px: dense flow there and back must end this close to where it started.
        near_sure_px: flow that went as most of the others did, to within this from where it was expected, need not be
            followed back.
        near_check_px: other flow from where it is expected must end this close to where it started.
        window_px: Lucas-Kanade window that sharpens the flow.
        drift_px: how far a sharpened point may be from the dense flow.
        correlation: of the grey values around a point and where it was found; less is something else.
        near_levels: pyramid levels, beyond the image itself, in which flow is followed from where it is expected.
        tracks: maximum for a solve, half of them keypoints where there are enough.
    """

    working_pixels: int = 105_000
    full_pixels: int = 1_300_000
    keypoints: int = 2000
    contrast: float = 0.01
    ratio: float = 0.8
    keypoint_reach: float = 1.01
    flow_scale: int = 1
    grid_px: int = 16
    check_px: float = 1.5
    near_sure_px: float = 3.0
    near_check_px: float = 0.5
    window_px: int = 13
    drift_px: float = 3.0
    correlation: float = 0.7
    near_levels: int = 2
    tracks: int = 400


@dataclass(frozen=True)
class PairMatches:
    """Matches between two frames *a* and *b*.

    Attributes:
        keypoints: (Ka,) index in *b* of the match of each keypoint of *a*, or -1; None if they were not compared.
        flow, flow_back: (G, 2) px where the grid of *a* lies in *b*, and that of *b* in *a*; NaN where not found.
        keypoint_score: (Ka,) 0 to 1; None if they were not compared.
        flow_score, flow_back_score: (G,) 0 to 1, 0 where not found.
        thorough: whether fine flow, and keypoints where needed, were tried; not coarse flow alone.
        asked: (G,) which points of the grid of *a* were looked for; None for all of them.
        usable_share: of the flow grid of *a*, what `Features.usable` leaves.
    """

    keypoints: IntArray | None
    flow: FloatArray
    flow_back: FloatArray
    keypoint_score: FloatArray | None
    flow_score: FloatArray
    flow_back_score: FloatArray
    thorough: bool
    asked: npt.NDArray[np.bool_] | None = None
    usable_share: float = 1.0

    @property
    def reach(self) -> float:
        """Share of the flow grid of *a*, as far as it was looked for and may be used, that was found in *b*."""
        asked = (len(self.flow) if self.asked is None else int(self.asked.sum())) * self.usable_share
        return float(np.isfinite(self.flow[:, 0]).sum()) / asked if asked else 0.0


@dataclass(frozen=True)
class KnownDepths:
    """What a sensor says of the depths of P tracks in their anchors, counted as rays are (`Camera.is_flat`).

    Attributes:
        inverse_depth: (P,) per unit of the world; NaN where it says nothing.
        sigma: (P,) standard deviation of that, positive; NaN likewise.
    """

    inverse_depth: FloatArray
    sigma: FloatArray

    @property
    def there(self) -> npt.NDArray[np.bool_]:
        """(P,) where it says something."""
        return np.isfinite(self.inverse_depth)

    def per_sigma(self, noise_px: float) -> FloatArray:
        """(P,) px that an inverse depth off by 1 counts as, beside observations of this noise; 0 where not known."""
        return np.asarray(noise_px / np.where(self.there, self.sigma, np.inf))

    def of_tracks(self, index: IntArray) -> KnownDepths:
        """Of some of the tracks alone, by index."""
        return KnownDepths(self.inverse_depth[index], self.sigma[index])


@dataclass(frozen=True)
class Evidence:
    """P tracks over N frames.

    Attributes:
        anchor: (P,) frame in which the track starts.
        index: (P,) which keypoint, or which point of the flow grid, of the anchor frame it is.
        pixels: (P, N, 2) px, NaN where the track was not found.
        plane: (P, N, 2) the same on the undistorted image plane at z = 1; NaN also where that does not reach.
        focal_px: (N,) geometric mean of fx and fy, turns plane distances into px.
        weight: (P, N) prior weight of every observation, 0 to 1.
        kind: (P,) KEYPOINT or FLOW.
        score: (P, N) the matcher's score of every observation, 0 to 1; 1 at the anchor, 0 where a keypoint was reached
            only through other frames.
        lens: what `plane` and `focal_px` do not tell; None where all cameras are pinholes without distortion.
        known: depths that a sensor has measured; None without one.
    """

    anchor: IntArray
    index: IntArray
    pixels: FloatArray
    plane: FloatArray
    focal_px: FloatArray
    weight: FloatArray
    kind: IntArray
    score: FloatArray
    lens: LensRays | None = None
    known: KnownDepths | None = None

    @property
    def frames(self) -> int:
        """Number of frames N."""
        return int(self.pixels.shape[1])

    @cached_property
    def seen(self) -> npt.NDArray[np.bool_]:
        """(P, N) whether the track was found there, where its camera has a ray; true at the anchor.

        A track whose anchor lies beyond the field of the lens is seen nowhere.
        """
        found = np.isfinite(self.pixels[..., 0])
        if self.lens is None:
            return found
        has_ray = found & np.isfinite(self.lens.ray[..., 0])
        return np.asarray(has_ray & has_ray[np.arange(len(has_ray)), self.anchor][:, None])

    def with_cameras(self, cameras: Sequence[Camera]) -> Evidence:
        """The same pixels through N other cameras."""
        plane, focal_px, lens = see_through(self.pixels, cameras)
        return replace(self, plane=plane, focal_px=focal_px, lens=lens)

    def rays(self, tracks: IntArray | npt.NDArray[np.bool_], frames: IntArray | int) -> FloatArray:
        """Rays (K, 3) of depth 1 of observations, by the numbers of their tracks and frames."""
        if self.lens is not None:
            return np.asarray(self.lens.ray[tracks, frames])
        plane = self.plane[tracks, frames]
        return np.concatenate([plane, np.ones((*plane.shape[:-1], 1))], axis=-1)

    def of_tracks(self, index: IntArray) -> Evidence:
        """Some of the tracks alone, by index."""
        rows = {f: getattr(self, f)[index] for f in ("anchor", "index", "pixels", "plane", "weight", "kind", "score")}
        lens = self.lens and replace(self.lens, ray=self.lens.ray[index], scale_px=self.lens.scale_px[index])
        return replace(self, lens=lens, known=self.known and self.known.of_tracks(index), **rows)

    def pair(self, first: int, second: int) -> tuple[FloatArray, FloatArray]:
        """Matches of the tracks that start in either of two frames: (M, 2) and (M, 2) on their planes z = 1."""
        both = self.in_pair(first, second)
        return self.plane[both, first], self.plane[both, second]

    def in_pair(self, first: int, second: int) -> npt.NDArray[np.bool_]:
        """(P,) which tracks start in either of two frames and were found in both."""
        both = self.seen[:, first] & self.seen[:, second]
        return np.asarray(both & ((self.anchor == first) | (self.anchor == second)))


def chain_matches(matches: Mapping[tuple[int, int], IntArray], sizes: Sequence[int]) -> IntArray:
    """Chain the keypoint matches of pairs of frames into tracks.

    A track starts at the first frame that has it, takes direct matches first and fills gaps through the frames in
    between. A keypoint belongs to one track only.

    Args:
        matches: by frames (i, j), i < j: index in j of the match of each keypoint of i, or -1.
        sizes: (N,) number of keypoints in each frame.

    Returns:
        (P, N) indices of keypoints, -1 where absent.
    """
    count = len(sizes)
    taken = [np.zeros(size, bool) for size in sizes]
    chains = []
    for start in range(count):
        chain = np.full((sizes[start], count), -1)
        chain[:, start] = np.where(taken[start], -1, np.arange(sizes[start]))
        for j in range(start + 1, count):
            for via in range(start, j):
                if (via, j) not in matches:
                    continue
                open_ends = np.flatnonzero((chain[:, via] >= 0) & (chain[:, j] < 0))
                chain[open_ends, j] = matches[via, j][chain[open_ends, via]]
            _keep_first(chain[:, j], taken[j])
        chain = chain[(chain >= 0).sum(axis=1) > 1]
        for j in range(start + 1, count):
            taken[j][chain[chain[:, j] >= 0, j]] = True
        chains.append(chain)
    return np.concatenate(chains)


def keypoint_scores(
    chains: IntArray, anchor: IntArray, index: IntArray, matches: Mapping[tuple[int, int], PairMatches]
) -> FloatArray:
    """(P, N) scores of the direct matches between the anchor of a track and the other frames, 0 where there is none."""
    score = np.zeros(chains.shape)
    score[np.arange(len(chains)), anchor] = 1.0
    for (a, j), found in matches.items():
        if found.keypoints is None or found.keypoint_score is None:
            continue
        rows = np.flatnonzero((anchor == a) & (chains[:, j] >= 0))
        direct = rows[found.keypoints[index[rows]] == chains[rows, j]]
        score[direct, j] = found.keypoint_score[index[direct]]
    return score


def _keep_first(column: IntArray, taken: npt.NDArray[np.bool_]) -> None:
    """Clear, in place, keypoints that belong to an earlier track or an earlier row."""
    rows = np.flatnonzero(column >= 0)
    _, first = np.unique(column[rows], return_index=True)
    repeated = np.ones(len(rows), bool)
    repeated[first] = False
    column[rows[repeated | taken[column[rows]]]] = -1


def thin_tracks(kind: IntArray, limit: int) -> IntArray:
    """Indices of at most `limit` tracks, half of them keypoints where possible; deterministic."""
    rng = np.random.default_rng(0)
    keypoints, flow = (rng.permutation(np.flatnonzero(kind == k)) for k in (KEYPOINT, FLOW))
    keypoints = keypoints[: max(limit // 2, limit - len(flow))]
    return np.sort(np.concatenate([keypoints, flow[: limit - len(keypoints)]]))
