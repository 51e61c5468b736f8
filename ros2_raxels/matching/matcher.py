"""Correspondences between the frames of a clip: SIFT keypoints for wide baselines, checked dense flow for the rest.

They become *tracks*: a track is a point of one frame, its anchor, found again in some of the others. Keypoints give
exact tracks across large changes of view; flow gives many where texture is weak. Tracks carry no 3-D structure;
`estimation.bundle_adjustment` adds one inverse depth to each.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.alignment import align, local_warps
from ros2_raxels.matching.features import Features, FullImage, GreyImage, Keypoints, to_grey
from ros2_raxels.matching.lens_rays import see_through
from ros2_raxels.matching.tracks import (
    FLOW,
    KEYPOINT,
    Evidence,
    EvidenceSettings,
    IntArray,
    PairMatches,
    chain_matches,
    keypoint_scores,
    thin_tracks,
)
from ros2_raxels.utils.right_of_way import give_way
from ros2_raxels.utils.shared_work import shared_out

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Matcher:
    """Finds correspondences between frames.

    Args:
        settings: defaults if None.
        threads: of a pool that the frames and pairs of a call share; OpenCV releases the GIL. With one, that of the
            caller does the work, and gives way between frames and between pairs.
    """

    def __init__(self, settings: EvidenceSettings | None = None, threads: int = 2) -> None:
        self.settings = settings or EvidenceSettings()
        self._threads = threads
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="raxels-evidence")
        self._local = threading.local()

    def look(self, image: npt.NDArray[np.uint8], usable: npt.NDArray[np.bool_] | None = None) -> Features:
        """The working image of one frame.

        Args:
            image: (height, width) or (height, width, 3) RGB, uint8.
            usable: see `Features`, of the working image, as `working_mask` makes it.

        Raises:
            ValueError: another shape or dtype, or an empty image.
        """
        full = _halved(to_grey(image), self.settings.full_pixels)
        # Kept for long, and the caller may reuse its own memory.
        full = full.copy() if np.may_share_memory(full, image) else full
        return Features(_shrunk(full, self.settings.working_pixels), full, usable)

    def working_mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Pixels of the working image about which nothing beyond a mask (height, width) would be seen."""
        white = np.where(mask, 255, 0).astype(np.uint8)
        shrunk = _shrunk(_halved(white, self.settings.full_pixels), self.settings.working_pixels)
        # What Lucas-Kanade looks at around a point must lie inside as well.
        around = np.ones((self.settings.window_px, self.settings.window_px), np.uint8)
        return np.asarray(cv2.erode((shrunk == 255).astype(np.uint8), around) > 0)

    def look_all(self, images: Iterable[npt.NDArray[np.uint8]]) -> list[Features]:
        """`look` at several frames in parallel; finds their keypoints as well if those are always compared."""
        frames = self._map(self.look, images)
        if self.settings.keypoint_reach > 1.0:
            self._map(self.keypoints, frames)
        return frames

    def keypoints(self, frame: Features) -> Keypoints:
        """Keypoints of a frame, found on the first call."""
        keypoints = frame.keypoints
        if keypoints is None:
            usable = None if frame.usable is None else frame.usable.astype(np.uint8)
            found, descriptors = self._sift.detectAndCompute(frame.grey, usable)
            pixels = np.array([k.pt for k in found], float).reshape(-1, 2)
            strength = np.array([k.response for k in found], float)
            none = np.zeros((0, 128), np.float32)
            keypoints = Keypoints(pixels, none if descriptors is None else descriptors, strength)
            # Another thread may forget them meanwhile.
            frame.keypoints = keypoints
        return keypoints

    def match_all(
        self, pairs: Sequence[tuple[Features, Features]], known: Sequence[PairMatches | None], thorough: bool = True
    ) -> list[PairMatches]:
        """Match the frames of each pair, several pairs in parallel.

        Args:
            pairs: the frames.
            known: earlier matches of each pair, or None; returned as they are where they are thorough enough.
            thorough: fine flow, and keypoints where that does not reach far; otherwise coarse flow alone, in a fifth
                of the time.
        """
        unknown = [k for k, old in enumerate(known) if old is None or (thorough and not old.thorough)]
        flows = self._map(lambda k: self._flow_both(*pairs[k], thorough), unknown)
        fresh = {
            k: PairMatches(
                None, there, back, None, sure_there, sure_back, thorough, None, self._usable_share(pairs[k][0])
            )
            for k, ((there, sure_there), (back, sure_back)) in zip(unknown, flows, strict=True)
        }
        if thorough:
            fresh = self._with_keypoints(pairs, fresh)
        found = (fresh.get(k, old) for k, old in enumerate(known))
        return [matches for matches in found if matches is not None]

    def dense_flow(self, pairs: Sequence[tuple[Features, Features]]) -> list[tuple[FloatArray, FloatArray]]:
        """Unchecked flow from the first frame of each pair to the second, and back.

        Returns:
            (H, W, 2) px each; NaN between frames of different sizes, or too small for flow.
        """

        def both_ways(pair: tuple[Features, Features]) -> tuple[FloatArray, FloatArray]:
            if self._flows(*pair):
                return self._both_ways(self._fine, *pair)
            there, back = (np.full((*frame.grey.shape, 2), np.nan, np.float32) for frame in pair)
            return there, back

        return self._map(both_ways, pairs)

    def match_near(
        self,
        pairs: Sequence[tuple[Features, Features]],
        expected: Sequence[FloatArray],
        warps: Sequence[FloatArray | None] | None = None,
        asked: Sequence[npt.NDArray[np.bool_] | None] | None = None,
    ) -> list[PairMatches]:
        """Flow from the grid of the first frame of each pair to where it is expected to end.

        Args:
            pairs: the frames.
            expected: (G, 2) px in the second frame of each pair, right to some pixels; NaN where unknown.
            warps: (G, 2, 2) px there per px in the first frame, see `alignment.align`; None where that is not known.
            asked: (G,) which points to look for; None for all.
        """
        nothing = [None] * len(pairs)
        warps, asked = nothing if warps is None else warps, nothing if asked is None else asked
        ends = [
            e if wanted is None else np.where(wanted[:, None], e, np.nan)
            for e, wanted in zip(expected, asked, strict=True)
        ]
        found = self._map(lambda k: self._near(*pairs[k], ends[k], warps[k]), range(len(pairs)))
        nowhere = [self.grid(b.grey.shape) * np.nan for _, b in pairs]
        return [
            PairMatches(None, flow, back, None, score, np.zeros(len(back)), False, wanted, self._usable_share(a))
            for (flow, score), back, wanted, (a, _) in zip(found, nowhere, asked, pairs, strict=True)
        ]

    def match_back(
        self, pairs: Sequence[tuple[Features, Features]], known: Sequence[PairMatches], keypoints: bool = True
    ) -> list[PairMatches]:
        """Add flow from the grid of the second frame of each pair, started from the matches known, and keypoints."""

        def back(k: int) -> tuple[FloatArray, FloatArray]:
            a, b = pairs[k]
            start, end = self.grid(a.grey.shape), known[k].flow
            there = np.isfinite(end[:, 0])
            grid = self.grid(b.grey.shape)
            nearest = ((grid[:, None] - end[there]) ** 2).sum(axis=-1).argmin(axis=1)
            warp = local_warps(grid, end[there], start[there])
            return self._near(b, a, grid + (start - end)[there][nearest], warp)

        found = self._map(back, range(len(pairs)))
        fresh = {
            k: replace(matches, flow_back=flow, flow_back_score=score, thorough=True)
            for k, (matches, (flow, score)) in enumerate(zip(known, found, strict=True))
        }
        return list((self._with_keypoints(pairs, fresh) if keypoints else fresh).values())

    def nothing_shared(self, a: Features, b: Features) -> PairMatches:
        """Matches of two frames that hardly show anything in common: none, and no look for them is worth its time."""
        there, back = (np.full_like(self.grid(frame.grey.shape), np.nan) for frame in (a, b))
        return PairMatches(None, there, back, None, np.zeros(len(there)), np.zeros(len(back)), True)

    def common_keypoints(self, a: Features, b: Features) -> int:
        """Number of keypoints that match: a cheap measure of whether two frames show the same place."""
        return int((self._match_keypoints(self.keypoints(a), self.keypoints(b))[0] >= 0).sum())

    def collect(
        self,
        frames: Sequence[Features],
        cameras: Sequence[Camera],
        matches: Mapping[tuple[int, int], PairMatches] | None = None,
    ) -> Evidence:
        """Evidence between all pairs of frames, thinned to `EvidenceSettings.tracks`.

        Args:
            frames, cameras: N of each.
            matches: of all pairs by positions, i < j, where they are known; None to look for them.

        Raises:
            ValueError: fewer than two frames, or another number of cameras.
        """
        if len(frames) < 2 or len(frames) != len(cameras):
            raise ValueError(f"{len(frames)} frames and {len(cameras)} cameras: two or more frames, a camera each")
        matches = self.match_every_pair(frames) if matches is None else matches
        return self.assemble(frames, cameras, matches)

    def match_every_pair(self, frames: Sequence[Features]) -> dict[tuple[int, int], PairMatches]:
        """Matches between all pairs of frames, by their positions (i, j), i < j."""
        pairs = list(itertools.combinations(range(len(frames)), 2))
        found = self.match_all([(frames[i], frames[j]) for i, j in pairs], [None] * len(pairs))
        return dict(zip(pairs, found, strict=True))

    def assemble(
        self,
        frames: Sequence[Features],
        cameras: Sequence[Camera],
        matches: Mapping[tuple[int, int], PairMatches],
        must_see: int | None = None,
        starts_in: int | None = None,
        tracks: int | None = None,
    ) -> Evidence:
        """Tracks from the matches of pairs (i, j), i < j; pairs may be missing.

        Args:
            frames, cameras: N of each.
            matches: by positions in `frames`.
            must_see: keep only tracks that were found in this frame.
            starts_in: keep only tracks whose anchor is this frame.
            tracks: maximum number; None takes `EvidenceSettings.tracks`.
        """
        with_keypoints = matches
        if must_see is not None and all(m.keypoints is None for pair, m in matches.items() if must_see in pair):
            with_keypoints = {}
        parts = [self._keypoint_tracks(frames, with_keypoints), self._flow_tracks(frames, matches)]
        anchor, index, pixels, score = (np.concatenate([p[k] for p in parts]) for k in range(4))
        kind = np.repeat([KEYPOINT, FLOW], [len(p[0]) for p in parts])
        if must_see is not None or starts_in is not None:
            there = np.ones(len(anchor), bool) if must_see is None else np.isfinite(pixels[:, must_see, 0])
            there &= True if starts_in is None else anchor == starts_in
            anchor, index, pixels, score, kind = (a[there] for a in (anchor, index, pixels, score, kind))
        kept = thin_tracks(kind, self.settings.tracks if tracks is None else tracks)
        anchor, index, pixels, score, kind = (a[kept] for a in (anchor, index, pixels, score, kind))
        plane, focal, lens = see_through(pixels, cameras)
        return Evidence(anchor, index, pixels, plane, focal, np.ones(pixels.shape[:2]), kind, score, lens)

    # -- keypoints

    @property
    def _sift(self) -> Any:
        if not hasattr(self._local, "sift"):
            s = self.settings
            self._local.sift = cv2.SIFT_create(nfeatures=s.keypoints, contrastThreshold=s.contrast)
        return self._local.sift

    def _with_keypoints(
        self, pairs: Sequence[tuple[Features, Features]], found: Mapping[int, PairMatches]
    ) -> dict[int, PairMatches]:
        """Matches by position among the pairs, with keypoints added where flow does not reach far."""
        # For all pairs or none: a track has to get through all of them.
        sparse = any(matches.reach < self.settings.keypoint_reach for matches in found.values())
        needy = list(found) if sparse else []
        self._map(self.keypoints, {id(f): f for k in needy for f in pairs[k]}.values())
        keypoints = self._map(lambda k: self._match_keypoints(*(self.keypoints(f) for f in pairs[k])), needy)
        return dict(found) | {
            k: replace(found[k], keypoints=index, keypoint_score=score)
            for k, (index, score) in zip(needy, keypoints, strict=True)
        }

    def _match_keypoints(self, a: Keypoints, b: Keypoints) -> tuple[IntArray, FloatArray]:
        """For every keypoint of *a* its mutual best match in *b* that passes the ratio test, or -1; and its score."""
        result, score = np.full(len(a.descriptors), -1), np.zeros(len(a.descriptors))
        if len(a.descriptors) < 2 or len(b.descriptors) < 2:
            return result, score
        squared = -2.0 * (a.descriptors @ b.descriptors.T)
        squared += (a.descriptors**2).sum(axis=1)[:, None] + (b.descriptors**2).sum(axis=1)
        best = squared.argmin(axis=1)
        rows = np.arange(len(best))
        nearest = squared[rows, best]
        mutual = squared.argmin(axis=0)[best] == rows
        squared[rows, best] = np.inf
        limit = self.settings.ratio**2 * squared.min(axis=1)
        good = mutual & (nearest < limit)
        result[good] = best[good]
        score[good] = 1.0 - np.sqrt(np.maximum(nearest[good], 0.0) / limit[good])
        return result, score

    def _keypoint_tracks(
        self, frames: Sequence[Features], matches: Mapping[tuple[int, int], PairMatches]
    ) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        compared = {pair: found.keypoints for pair, found in matches.items() if found.keypoints is not None}
        needed = {k for pair in compared for k in pair}
        points = [self.keypoints(f).pixels if k in needed else np.zeros((0, 2)) for k, f in enumerate(frames)]
        chains = chain_matches(compared, [len(p) for p in points])
        pixels = np.full((len(chains), len(frames), 2), np.nan)
        for j, point in enumerate(points):
            has = chains[:, j] >= 0
            pixels[has, j] = point[chains[has, j]]
        anchor = np.argmax(chains >= 0, axis=1)
        index = chains[np.arange(len(chains)), anchor]
        return anchor, index, pixels, keypoint_scores(chains, anchor, index, matches)

    # -- flow

    @property
    def _fine(self) -> Any:
        if not hasattr(self._local, "fine"):
            self._local.fine = _dense_flow(self.settings.flow_scale)
        return self._local.fine

    @property
    def _coarse(self) -> Any:
        if not hasattr(self._local, "coarse"):
            self._local.coarse = _dense_flow(self.settings.flow_scale + 1)
        return self._local.coarse

    def _flow_tracks(
        self, frames: Sequence[Features], matches: Mapping[tuple[int, int], PairMatches]
    ) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        count = len(frames)
        parts = []
        for i, frame in enumerate(frames):
            start = self.grid(frame.grey.shape)
            track, score = np.full((len(start), count, 2), np.nan), np.zeros((len(start), count))
            track[:, i], score[:, i] = start, 1.0
            for j in range(count):
                if (i, j) in matches:
                    track[:, j], score[:, j] = matches[i, j].flow, matches[i, j].flow_score
                elif (j, i) in matches:
                    track[:, j], score[:, j] = matches[j, i].flow_back, matches[j, i].flow_back_score
            index = np.flatnonzero(np.isfinite(track[..., 0]).sum(axis=1) > 1)
            parts.append((np.full(len(index), i), index, track[index], score[index]))
        anchor, index, pixels, score = (np.concatenate([p[k] for p in parts]) for k in range(4))
        return anchor, index, pixels, score

    def _flow_both(
        self, a: Features, b: Features, thorough: bool
    ) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
        """Where the grids of *a* and of *b* lie in the other, with scores; see `_follow`."""
        grids = self.grid(a.grey.shape), self.grid(b.grey.shape)
        if not self._flows(a, b):
            nowhere_a, nowhere_b = ((np.full(g.shape, np.nan), np.zeros(len(g))) for g in grids)
            return nowhere_a, nowhere_b
        dense = self._fine if thorough else self._coarse
        there, back = self._both_ways(dense, a, b)
        return self._follow(a, b, grids[0], there, back), self._follow(b, a, grids[1], back, there)

    def _usable_share(self, frame: Features) -> float:
        """Share of the flow grid of a frame that may be used."""
        if frame.usable is None:
            return 1.0
        grid = self.grid(frame.grey.shape)
        return float(frame.may_use(grid).mean()) if len(grid) else 0.0

    def _flows(self, a: Features, b: Features) -> bool:
        """Whether flow is possible; on images smaller than a cell of the grid OpenCV fails or crashes."""
        return a.grey.shape == b.grey.shape and len(self.grid(a.grey.shape)) > 0

    @staticmethod
    def _both_ways(dense: Any, a: Features, b: Features) -> tuple[FloatArray, FloatArray]:
        return dense.calc(a.grey, b.grey, None), dense.calc(b.grey, a.grey, None)

    def grid(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Starting points (G, 2) px of the flow tracks of an image of this (height, width)."""
        return _grid(shape[0], shape[1], self.settings.grid_px)

    def _follow(
        self, a: Features, b: Features, start: npt.NDArray[np.float32], there: FloatArray, back: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Where the grid of *a* lies in *b* (G, 2), NaN where the flow does not come back; and scores (G,)."""
        s = self.settings
        column, row = start.astype(int).T
        step = there[row, column]
        end = start + step
        gap_px = np.linalg.norm(step + flow_at(back, end[:, None])[:, 0], axis=1)
        closed = (gap_px < s.check_px) & _between_usable(a, start, b, end)
        result = np.full(start.shape, np.nan)
        if closed.any():
            sharp, found = _sharpen(a.grey, b.grey, start[closed], end[closed], s.window_px)
            found &= np.linalg.norm(sharp - end[closed], axis=1) < s.drift_px
            result[np.flatnonzero(closed)[found]] = sharp[found]
            there = np.isfinite(result[:, 0])
            self._measure(a, b, result, local_warps(start, start[there], result[there]))
        return result, np.where(np.isfinite(result[:, 0]), 1.0 - gap_px / s.check_px, 0.0)

    def _near(
        self, a: Features, b: Features, expected: FloatArray, warp: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Where the grid of *a* lies in *b* (G, 2), NaN where it does not come back; and scores (G,)."""
        s, start = self.settings, self.grid(a.grey.shape)
        height, width = b.grey.shape
        there = (expected > 0).all(axis=1) & (expected < (width - 1, height - 1)).all(axis=1)
        inside = np.flatnonzero(there & _between_usable(a, start, b, expected))
        result, score = np.full(start.shape, np.nan), np.zeros(len(start))
        if not len(inside):
            return result, score
        end, found = _sharpen(a.grey, b.grey, start[inside], expected[inside], s.window_px, s.near_levels)
        # What went as most of the others is sure; what went elsewhere may have been caught by something alike.
        apart = end - expected[inside]
        apart -= np.median(apart[found], axis=0) if found.any() else 0.0
        far = np.flatnonzero(found & (np.linalg.norm(apart, axis=1) > s.near_sure_px))
        if len(far):
            # Not started from where it should return to: it would stay there.
            astray = start[inside[far]] + s.check_px * np.array([1.0, -1.0])
            returned, found_back = _sharpen(b.grey, a.grey, end[far], astray, s.window_px)
            found[far] = found_back & (np.linalg.norm(returned - start[inside[far]], axis=1) < s.near_check_px)
        result[inside[found]] = end[found]
        correlation = self._measure(a, b, result, warp)
        alike = correlation > s.correlation
        result[~alike] = np.nan
        score[alike] = (correlation[alike] - s.correlation) / (1.0 - s.correlation)
        return result, score

    def _measure(self, a: Features, b: Features, found: FloatArray, warp: FloatArray | None) -> FloatArray:
        """Make exact, in place and on the full images, where the grid of *a* lies in *b* (G, 2) px.

        Returns:
            (G,) correlations, see `alignment.align`; -1 where nothing was found.
        """
        correlation = np.full(len(found), -1.0)
        there = np.flatnonzero(np.isfinite(found[:, 0]))
        if not len(there):
            return correlation
        here, other = a.full, b.full
        if here.image.shape != other.image.shape:
            here, other = (FullImage(frame.grey, frame.grey.shape) for frame in (a, b))
        patches = here.patches(self.grid(a.grey.shape))[there]
        warps = None if warp is None else warp[there]
        end, correlation[there] = align(patches, other.image, other.to_full(found[there]), warps)
        exact = correlation[there] > self.settings.correlation
        found[there[exact]] = other.from_full(end[exact])
        return correlation

    def _map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        if self._threads == 1:
            return [_after_others(work, item) for item in items]
        return shared_out(self._pool, work, list(items))


def _after_others(work: Callable[[_Item], _Result], item: _Item) -> _Result:
    give_way()
    return work(item)


def _between_usable(a: Features, start: FloatArray, b: Features, end: FloatArray) -> npt.NDArray[np.bool_] | bool:
    """Whether points (N, 2) of *a* may be used, and where they end in *b*."""
    if a.usable is None and b.usable is None:
        return True
    return a.may_use(start) & b.may_use(end)


@lru_cache(maxsize=16)
def _grid(height: int, width: int, step: int) -> npt.NDArray[np.float32]:
    ys, xs = np.mgrid[step // 2 : height - step // 2 : step, step // 2 : width - step // 2 : step]
    grid = np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float32)
    grid.flags.writeable = False
    return grid


def _halved(grey: GreyImage, pixels: int) -> GreyImage:
    """An image of at most so many pixels, each the mean of 1, 4, 16, ... of them: exact, and in no time."""
    while grey.size > pixels:
        size = [max(1, side // 2) for side in (grey.shape[1], grey.shape[0])]
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    return grey


def _shrunk(grey: GreyImage, pixels: int) -> GreyImage:
    """An image of at most about so many pixels."""
    shrink = np.sqrt(pixels / grey.size)
    if shrink >= 1.0:
        return grey
    size = [max(1, round(side * shrink)) for side in (grey.shape[1], grey.shape[0])]
    # Means of four first, which costs little, so that what is left needs no filter.
    grey = _halved(grey, 4 * pixels)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _dense_flow(finest_scale: int) -> Any:
    # Without variational smoothing and not at full resolution it takes a fraction of the time of the MEDIUM preset;
    # Lucas-Kanade regains more accuracy than the smoothing gave.
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    dis.setFinestScale(finest_scale)
    dis.setGradientDescentIterations(12)
    dis.setVariationalRefinementIterations(0)
    return dis


def flow_at(flow: FloatArray, pixels: npt.NDArray[np.float32]) -> FloatArray:
    """Dense flow (H, W, 2) interpolated at (rows, columns, 2) px; absurdly large outside the image."""
    x, y = (np.ascontiguousarray(pixels[..., k]) for k in range(2))
    outside = (1e9, 1e9)
    return np.asarray(
        cv2.remap(flow, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=outside), float
    )


def _sharpen(
    a: GreyImage, b: GreyImage, start: FloatArray, end: FloatArray, window_px: int, levels: int = 0
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Lucas-Kanade from `end`, over `levels` further pyramid levels: (G, 2) px, and whether it converged (G,)."""
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.02)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        a,
        b,
        start.astype(np.float32),
        end.astype(np.float32),
        winSize=(window_px, window_px),
        maxLevel=levels,
        criteria=criteria,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=1e-4,
    )
    return np.asarray(moved, float), found.ravel() > 0
