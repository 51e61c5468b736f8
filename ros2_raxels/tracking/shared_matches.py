"""Matches between frames of the stream, looked for where they are expected, and kept by pair."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.inliers import FEWEST_MATCHES
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.geometry.turns import Turn, fitted_turn
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import FLOW, KEYPOINT, Evidence, IntArray, PairMatches
from ros2_raxels.tracking.depth_prior import DepthPrior, with_known_depths
from ros2_raxels.tracking.doubt import BoolArray, in_doubt, nearest_of
from ros2_raxels.tracking.frame import Keyframe, Seen
from ros2_raxels.tracking.prediction import Predicted, predict

_ENOUGH_DEPTHS = 0.15
_SHARED = 0.25
_ENOUGH_TOLD = 0.25
_ASKED = 1.4
"""Points looked for in a frame, over the tracks that are wanted of it."""

_LEAST_REACH = 0.35
_LEAST_NEAR = 0.2
"""Of what is looked for near where it is expected: some forty points solve a frame as long as they agree. Where a
keyframe is being made while the camera moves on, no more of the last one is left."""


class SharedMatches:
    """Matches between the frames of a stream, by pair.

    Args:
        matcher: finds them.
    """

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._matches: dict[tuple[int, int], PairMatches] = {}
        self._doubt: dict[int, BoolArray] = {}

    def __len__(self) -> int:
        return len(self._matches)

    def copy(self, matcher: Matcher) -> SharedMatches:
        """The same matches in a store of its own, which goes on with another matcher."""
        copied = SharedMatches(matcher)
        copied._matches, copied._doubt = dict(self._matches), dict(self._doubt)
        return copied

    def afresh(self, matcher: Matcher) -> SharedMatches:
        """A store that knows no matches yet, for a matcher with other keypoints; what is in doubt stays so."""
        fresh = SharedMatches(matcher)
        fresh._doubt = dict(self._doubt)
        return fresh

    def take_over(self, grown_copy: SharedMatches) -> None:
        """Add what a copy has found."""
        self._matches = {**self._matches, **grown_copy._matches}
        self._doubt = {**self._doubt, **grown_copy._doubt}

    def forget_all_but(self, frames: Iterable[int]) -> None:
        """Keep only what these frames, given by number, have in common."""
        kept = set(frames)
        self._matches = {pair: found for pair, found in self._matches.items() if kept.issuperset(pair)}
        self._doubt = {number: points for number, points in self._doubt.items() if number in kept}

    def doubt(self, frame: Seen, places: FloatArray, off: BoolArray, was_in_doubt: BoolArray, at_first: bool) -> None:
        """Tracks at some places (P, 2) px of a frame were found to agree or to be off; see `in_doubt`."""
        found = in_doubt(self._matcher.grid(frame.features.grey.shape), places, off, was_in_doubt, at_first)
        self._doubt.pop(frame.number, None)
        if found.any():
            self._doubt[frame.number] = found

    @contextmanager
    def trusting(self) -> Iterator[None]:
        """For a while nothing is in doubt."""
        doubt, self._doubt = self._doubt, {}
        try:
            yield
        finally:
            self._doubt = {**doubt, **self._doubt}

    def any_doubt(self, frames: Iterable[Seen]) -> bool:
        """Whether something moves on its own in one of these."""
        return any(frame.number in self._doubt for frame in frames)

    def doubted(self, frame: Seen) -> float:
        """Share of a frame that is in doubt."""
        points = self._doubt.get(frame.number)
        return 0.0 if points is None else float(points.mean())

    def starts_in_doubt(self, frames: Sequence[Seen], evidence: Evidence) -> BoolArray:
        """(P,) which tracks of some evidence start where their frame is in doubt."""
        found = np.zeros(len(evidence.anchor), bool)
        for position, frame in enumerate(frames):
            points = self._doubt.get(frame.number)
            if points is not None:
                mine = np.flatnonzero(evidence.anchor == position)
                grid = self._matcher.grid(frame.features.grey.shape)
                found[mine] = points[nearest_of(grid, evidence.pixels[mine, position])]
        return found

    def expected(
        self, anchors: Sequence[Keyframe], frame: Seen, camera_to_world: FloatArray, share: float = 1.0
    ) -> Evidence | None:
        """Evidence of a frame with keyframes, looked for where known depths say that it is if the camera is there.

        A tenth of the time of a thorough look, and as exact where the expectation is right to some pixels. A `share` of
        the usual tracks costs about as much less.

        Returns:
            None where too few depths are known, or next to nothing was found.
        """
        self.connect(anchors)
        if not self._has_depth(anchors):
            return None
        self._look_near(anchors, frame, camera_to_world, round(share * self._matcher.settings.tracks))
        if not self._known(anchors[-1], frame):
            return None
        return self._assemble([*anchors, frame], must_see=len(anchors))

    def nothing(self, anchors: Sequence[Keyframe], frame: Seen) -> Evidence:
        """No evidence of a frame with keyframes: where other cameras have some."""
        frames = [*anchors, frame]
        return self._matcher.assemble([f.features for f in frames], [f.camera for f in frames], {}, len(anchors))

    def glance(self, anchors: Sequence[Keyframe], frame: Seen) -> tuple[Evidence, float]:
        """Evidence from coarse flow alone, and how much of the newest keyframe it reaches; 0 if that has no depth."""
        self.connect(anchors)
        self._find([(anchor, frame) for anchor in anchors], thorough=False)
        reach = self._matches[anchors[-1].number, frame.number].reach if self._has_depth(anchors) else 0.0
        return self._assemble([*anchors, frame], must_see=len(anchors)), reach

    def between(self, anchors: Sequence[Keyframe], frame: Seen, newest: int | None = None) -> Evidence:
        """Evidence of a frame with keyframes, looked for thoroughly in all of them or in so many of the newest."""
        self.connect(anchors)
        self._find([(anchor, frame) for anchor in anchors[-(newest or len(anchors)) :]], thorough=True)
        return self._assemble([*anchors, frame], must_see=len(anchors))

    def connect(self, frames: Sequence[Seen]) -> None:
        """Look thoroughly where a look near the expected found too little."""
        self._find(_all_pairs(frames), thorough=True)

    def by_position(self, frames: Sequence[Seen]) -> dict[tuple[int, int], PairMatches]:
        """Matches of all pairs of frames of which any are known, by position among the frames."""
        position = {f.number: k for k, f in enumerate(frames)}
        pairs = [(a, b) for a, b in _all_pairs(frames) if self._known(a, b)]
        return {(position[a.number], position[b.number]): self._matches[a.number, b.number] for a, b in pairs}

    def among(self, frames: Sequence[Seen], tracks: int) -> Evidence:
        """At most so many tracks, from what is known of all pairs of frames."""
        return self._assemble(frames, tracks=tracks)

    def flow_among(self, frames: Sequence[Seen], tracks: int) -> Evidence:
        """The same of flow alone where that has so many: keypoints miss by more."""
        evidence = self._assemble(frames, tracks=2 * tracks)
        flow, keypoints = (np.flatnonzero(evidence.kind == kind) for kind in (FLOW, KEYPOINT))
        return evidence.of_tracks(
            np.sort(np.concatenate([_spread(flow, tracks), _spread(keypoints, tracks - len(flow))]))
        )

    def seen_in_last(self, frames: Sequence[Seen]) -> Evidence:
        """Tracks that the last of the frames sees, with those that start in doubt."""
        return self._assemble(frames, must_see=len(frames) - 1, doubtful=True)

    def starting_in_last(self, frames: Sequence[Seen]) -> Evidence:
        """Tracks that start in the last of the frames."""
        return self._assemble(frames, starts_in=len(frames) - 1)

    def both_ways(
        self, anchors: Sequence[Keyframe], frame: Seen, camera_to_world: FloatArray, keypoints: bool = True
    ) -> None:
        """A frame whose pose (4x4) is known becomes a keyframe: look for it in others, and in it for their points."""
        pairs = self._looked_near(anchors, frame, camera_to_world)
        near = [
            (a, b) for a, b in pairs if self._known(a, b) and self._matches[a.number, b.number].reach > _LEAST_REACH
        ]
        self._match_back(near, keypoints)

    def sketch(self, anchors: Sequence[Keyframe], frame: Seen, camera_to_world: FloatArray) -> None:
        """The same without keypoints, in a third of the time; `put_back` what was known before to do it thoroughly.

        What two of the frames hardly share is not looked for, as long as the newest one shares something.
        """
        pairs = self._looked_near(anchors, frame, camera_to_world)
        near = [(a, b) for a, b in pairs if self._known(a, b) and self._matches[a.number, b.number].reach > 0.0]
        self._match_back(near, keypoints=False)
        if self._known(anchors[-1], frame, thorough=True):
            for a, b in pairs:
                if not self._known(a, b):
                    self._matches[a.number, b.number] = self._matcher.nothing_shared(a.features, b.features)

    def _looked_near(
        self, anchors: Sequence[Keyframe], frame: Seen, camera_to_world: FloatArray
    ) -> list[tuple[Keyframe, Seen]]:
        """Follow all points of keyframes into a frame with this pose; says of which it is not known thoroughly."""
        self._look_near([a for a in anchors if not self._all_asked(a, frame)], frame, camera_to_world)
        return [(a, frame) for a in anchors if not self._known(a, frame, thorough=True)]

    def _match_back(self, pairs: Sequence[tuple[Seen, Seen]], keypoints: bool) -> None:
        known = [self._matches[a.number, b.number] for a, b in pairs]
        found = self._matcher.match_back([(a.features, b.features) for a, b in pairs], known, keypoints)
        for (a, b), matches in zip(pairs, found, strict=True):
            self._matches[a.number, b.number] = matches

    def known_of(self, frame: int) -> dict[tuple[int, int], PairMatches]:
        """What is known of the pairs of a frame, given by number."""
        return {pair: found for pair, found in self._matches.items() if frame in pair}

    def keep_better(self, sketched: dict[tuple[int, int], PairMatches]) -> None:
        """Of pairs that have been looked at thoroughly since, keep the flow that reached further."""
        for pair, before in sketched.items():
            now = self._matches.get(pair)
            if now is not None and before.thorough and now.reach < before.reach:
                keypoints = replace(before, keypoints=now.keypoints, keypoint_score=now.keypoint_score)
                self._matches = {**self._matches, pair: keypoints}

    def put_back(self, frame: int, known: dict[tuple[int, int], PairMatches]) -> None:
        """Of the pairs of a frame, given by number, nothing is known but this."""
        others = {pair: found for pair, found in self._matches.items() if frame not in pair}
        self._matches = {**others, **known}

    def forget_pairs(self, frame: Seen) -> None:
        """Nothing that was found in this frame holds."""
        self._matches = {pair: found for pair, found in self._matches.items() if frame.number not in pair}

    def image_motion(self, a: Seen, b: Seen) -> tuple[float, float]:
        """Median flow as a share of the image width, and the share of the flow grid (or keypoints) found again."""
        self._find([(a, b)], thorough=False)
        matches = self._matches[a.number, b.number]
        width = a.features.grey.shape[1]
        followed = np.isfinite(matches.flow[:, 0])
        if followed.sum() >= FEWEST_MATCHES:
            start = self._matcher.grid(a.features.grey.shape)
            moved = np.linalg.norm(matches.flow[followed] - start[followed], axis=1)
            return float(np.median(moved)) / width, matches.reach
        self._find([(a, b)], thorough=True)
        index = self._matches[a.number, b.number].keypoints
        found = np.flatnonzero(index >= 0) if index is not None else np.zeros(0, int)
        if index is None or len(found) < FEWEST_MATCHES:
            return 0.0, 0.0
        start, end = (self._matcher.keypoints(f.features).pixels for f in (a, b))
        moved = np.linalg.norm(end[index[found]] - start[found], axis=1)
        return float(np.median(moved)) / width, len(found) / len(index)

    def image_motion_by_way_of(self, anchors: Sequence[Seen], a: Seen, b: Seen) -> tuple[float, float]:
        """`image_motion` from what is known of both frames in one of the anchors, the newest one; else by a look.

        The overlap is the share of what is seen of the anchor in the first frame that the second one sees, too.
        """
        for anchor in reversed(anchors):
            if self._known(anchor, a) and self._known(anchor, b):
                of_b = self._matches[anchor.number, b.number]
                in_a, in_b = self._matches[anchor.number, a.number].flow, of_b.flow
                there = np.isfinite(in_a[:, 0])
                there &= True if of_b.asked is None else of_b.asked
                both = there & np.isfinite(in_b[:, 0])
                if both.sum() >= FEWEST_MATCHES:
                    moved = np.linalg.norm(in_b[both] - in_a[both], axis=1)
                    return float(np.median(moved)) / b.features.grey.shape[1], float(both.sum() / there.sum())
        return self.image_motion(a, b)

    def turn(self, a: Seen, b: Seen) -> Turn | None:
        """The turn on the spot that explains coarse flow from `a` to `b` best; None where that reaches little."""
        self._find([(a, b)], thorough=False)
        start, matches = self._matcher.grid(a.features.grey.shape), self._matches[a.number, b.number]
        before, after = a.camera.rays(start), b.camera.rays(matches.flow)
        followed = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
        if followed.sum() < FEWEST_MATCHES or matches.reach < _LEAST_REACH:
            return None
        return fitted_turn(_unit(before[followed]), _unit(after[followed]))

    def hands_on(self, anchors: Sequence[Seen], frame: Seen) -> bool:
        """Whether flow from one of the keyframes reaches so much of a frame that it hands on depths."""
        found = (self._matches.get((anchor.number, frame.number)) for anchor in anchors)
        return max((matches.reach for matches in found if matches is not None), default=1.0) >= _SHARED

    def _has_depth(self, anchors: Sequence[Keyframe]) -> bool:
        """Whether flow from the newest keyframe has depth.

        Not where it shares none with the others, as the first after a recovery or of another image size: the scale
        would be lost there, unless a sensor knows it, or frames of the same size have told of its depths since.
        """
        newest = anchors[-1]
        alike = all(anchor.features.grey.shape == newest.features.grey.shape for anchor in anchors)
        if newest.depth is not None or (alike and np.isfinite(newest.inverse_depth).mean() > _ENOUGH_TOLD):
            return True
        last = newest.number
        return max((self._matches[anchor.number, last].reach for anchor in anchors[:-1]), default=1.0) >= _SHARED

    def _all_asked(self, a: Seen, b: Seen) -> bool:
        """Whether all points of one frame have been looked for in the other."""
        found = self._matches.get((a.number, b.number))
        return found is not None and found.asked is None

    def _look_near(
        self, anchors: Sequence[Keyframe], frame: Seen, camera_to_world: FloatArray, tracks: int | None = None
    ) -> None:
        """Follow the points of keyframes to where they should be in a frame with this pose; keep what reaches far.

        Args:
            anchors: the keyframes.
            frame: in which they are looked for.
            camera_to_world: 4x4, of the frame.
            tracks: about how many to look for in all; None for all there are.
        """
        each = np.inf if tracks is None else _ASKED * tracks / max(len(anchors), 1)
        wanted = [_some(len(anchor.inverse_depth), each) for anchor in anchors]
        guesses = [
            self._predicted(anchor, frame, camera_to_world, some) for anchor, some in zip(anchors, wanted, strict=True)
        ]
        near = [
            (anchor, guess, some)
            for anchor, guess, some in zip(anchors, guesses, wanted, strict=True)
            if guess is not None
        ]
        found = self._matcher.match_near(
            [(a.features, frame.features) for a, _, _ in near],
            [guess.pixels for _, guess, _ in near],
            [guess.warp for _, guess, _ in near],
            [some for _, _, some in near],
        )
        for (anchor, _, _), matches in zip(near, found, strict=True):
            if matches.reach > _LEAST_NEAR:
                self._matches[anchor.number, frame.number] = matches

    def _known(self, a: Seen, b: Seen, thorough: bool = False) -> bool:
        found = self._matches.get((a.number, b.number))
        return found is not None and (found.thorough or not thorough)

    def _find(self, pairs: Sequence[tuple[Seen, Seen]], thorough: bool) -> None:
        known = [self._matches.get((a.number, b.number)) for a, b in pairs]
        found = self._matcher.match_all([(a.features, b.features) for a, b in pairs], known, thorough)
        for (a, b), matches in zip(pairs, found, strict=True):
            self._matches[a.number, b.number] = matches

    def _assemble(
        self,
        frames: Sequence[Seen],
        must_see: int | None = None,
        starts_in: int | None = None,
        tracks: int | None = None,
        doubtful: bool = False,
    ) -> Evidence:
        features, cameras = [f.features for f in frames], [f.camera for f in frames]
        evidence = self._matcher.assemble(features, cameras, self.by_position(frames), must_see, starts_in, tracks)
        if not doubtful and any(frame.number in self._doubt for frame in frames):
            evidence = evidence.of_tracks(np.flatnonzero(~self.starts_in_doubt(frames, evidence)))
        return with_known_depths(evidence, [(_known_depths(f), f.camera) for f in frames])

    def _predicted(
        self,
        anchor: Keyframe,
        frame: Seen,
        camera_to_world: FloatArray,
        wanted: npt.NDArray[np.bool_] | None = None,
    ) -> Predicted | None:
        """Where the flow grid of a keyframe, or the wanted ones of its points, lie in the frame.

        None where few depths are known.
        """
        if anchor.features.grey.shape != frame.features.grey.shape or not _enough(anchor.inverse_depth):
            return None
        grid = self._matcher.grid(anchor.features.grey.shape)
        depths = _filled(grid, anchor.inverse_depth, wanted)
        moved = relative_pose(camera_to_world, anchor.camera_to_world)
        return predict(grid, depths, moved, anchor.camera, frame.camera)


def _known_depths(frame: Seen) -> DepthPrior | None:
    """By a sensor, else by older keyframes."""
    return frame.depth or (frame.handed_on if isinstance(frame, Keyframe) else None)


def _enough(inverse_depth: FloatArray) -> bool:
    """Whether so many depths are known that the others can be guessed."""
    known = np.isfinite(inverse_depth)
    return bool(known.sum() >= FEWEST_MATCHES and known.mean() >= _ENOUGH_DEPTHS)


def _filled(grid: FloatArray, inverse_depth: FloatArray, wanted: npt.NDArray[np.bool_] | None) -> FloatArray:
    """Unknown depths, of all or of the wanted points, from the nearest point whose depth is known."""
    known = np.isfinite(inverse_depth)
    unknown = ~known if wanted is None else ~known & wanted
    apart = ((grid[unknown, None] - grid[known]) ** 2).sum(axis=-1)
    filled = inverse_depth.copy()
    filled[unknown] = inverse_depth[known][apart.argmin(axis=1)]
    return filled


def _unit(rays: FloatArray) -> FloatArray:
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def _some(points: int, count: float) -> npt.NDArray[np.bool_] | None:
    """About so many of the points of a grid, evenly over the image, always the same; None for all."""
    if count >= points:
        return None
    # Multiples of the golden ratio lie evenly in every stretch of the grid, however long.
    return np.asarray(np.arange(points) * 0.6180339887 % 1.0 < count / points)


def _spread(index: IntArray, count: int) -> IntArray:
    """At most so many of them, evenly."""
    if len(index) <= count:
        return index
    return np.asarray(index[np.arange(max(count, 0)) * len(index) // max(count, 1)])


def _all_pairs(frames: Sequence[Seen]) -> list[tuple[Seen, Seen]]:
    return list(itertools.combinations(frames, 2))
