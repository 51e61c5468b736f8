"""Learned correspondences: keypoints that a network finds, matched by another one, in place of SIFT's.

They hold over wider baselines, in weaker texture and other light, and take ten times as long. Flow is the matcher's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.features import Features, GreyImage, Keypoints
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import EvidenceSettings, IntArray, PairMatches

STRIDE_PX = 32
"""Sides of the image that the network takes are multiples of this."""

TRACKS = 700
"""For a solve, see `EvidenceSettings.tracks`: where evidence is weak more of it helps. Chosen on the training sets."""

_BORDER_PX = 2
_LEAST_SCORE = 0.1
"""Of a match; the authors'."""

_FEWEST = 8
_ENOUGH_SURE = 0.95
"""Share of the keypoints that are sure of their answer, from which on no further stage is asked; the authors'."""


class Graph(Protocol):
    """A network that is ready to run, also by several threads at once."""

    def run(self, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name."""
        ...


class MatchGraphs(Protocol):
    """The networks: see `model.aliked` and `model.lightglue` for what goes in and comes out."""

    @property
    def keypoints(self) -> Graph:
        """Finds and describes keypoints."""
        ...

    @property
    def stages(self) -> Sequence[Graph]:
        """Match them, each after the other."""
        ...


@dataclass(frozen=True)
class LearnedKeypoints(Keypoints):
    """Keypoints of the network.

    Attributes:
        place: (K, 2) float32, the middle of the image 0 and its longer side 2.
    """

    place: npt.NDArray[np.float32]


class LearnedMatcher(Matcher):
    """A matcher whose keypoints are learned.

    Args:
        graphs: the networks.
        settings: defaults if None, with `TRACKS`.
        threads: see `Matcher`.
    """

    def __init__(self, graphs: MatchGraphs, settings: EvidenceSettings | None = None, threads: int = 2) -> None:
        super().__init__(settings or EvidenceSettings(tracks=TRACKS), threads)
        self._graphs = graphs

    def keypoints(self, frame: Features) -> LearnedKeypoints:
        """Keypoints of a frame, found on the first call."""
        found = frame.learned
        if not isinstance(found, LearnedKeypoints):
            found = self._found(frame)
            # Another thread may forget them meanwhile.
            frame.learned = found
        return found

    def in_place_of(
        self, frames: Sequence[Features], matches: Mapping[tuple[int, int], PairMatches]
    ) -> dict[tuple[int, int], PairMatches]:
        """Matches of pairs (i, j) of frames with these keypoints in place of theirs; flow stays as it is."""
        pairs = list(matches)
        found = dict(enumerate(matches.values()))
        with_keypoints = self._with_keypoints([(frames[i], frames[j]) for i, j in pairs], found)
        return {pairs[k]: of_pair for k, of_pair in with_keypoints.items()}

    def _found(self, frame: Features) -> LearnedKeypoints:
        image, usable, offset = _padded(frame)
        found = self._graphs.keypoints.run({"image": image, "usable": usable})
        there = found["strength"] > 0
        pixels = found["pixels"][there].astype(float) - offset
        height, width = frame.grey.shape
        place = (pixels - (width / 2, height / 2)) / (max(width, height) / 2)
        descriptors, strength = found["descriptors"][there], found["strength"][there].astype(float)
        return LearnedKeypoints(pixels, descriptors, strength, place.astype(np.float32))

    def _match_keypoints(self, a: Keypoints, b: Keypoints) -> tuple[IntArray, FloatArray]:
        """For every keypoint of *a* its match in *b*, or -1; and its score."""
        result, score = np.full(len(a.pixels), -1), np.zeros(len(a.pixels))
        assert isinstance(a, LearnedKeypoints)
        assert isinstance(b, LearnedKeypoints)
        if min(len(a.pixels), len(b.pixels)) < _FEWEST:
            return result, score
        left = [np.arange(len(k.pixels)) for k in (a, b)]
        known = [a.descriptors, b.descriptors]
        found: dict[str, npt.NDArray[Any]] = {}
        for stage in self._graphs.stages:
            if found:
                keep = [np.flatnonzero(found[name]) for name in ("keep_a", "keep_b")]
                if min(map(len, keep)) < _FEWEST:
                    break
                known = [found[name][k] for name, k in zip(("state_a", "state_b"), keep, strict=True)]
                left = [rows[k] for rows, k in zip(left, keep, strict=True)]
            places = {"place_a": a.place[left[0]], "place_b": b.place[left[1]]}
            found = stage.run({**places, "known_a": known[0], "known_b": known[1]})
            if found["unsure"] <= (1 - _ENOUGH_SURE) * (len(a.pixels) + len(b.pixels)):
                break
        best, back = found["best_a"], found["best_b"]
        good = (back[best] == np.arange(len(best))) & (found["score_a"] > _LEAST_SCORE)
        result[left[0][good]] = left[1][best[good]]
        score[left[0][good]] = found["score_a"][good]
        return result, score


def _padded(frame: Features) -> tuple[GreyImage, npt.NDArray[np.bool_], tuple[int, int]]:
    """The working image as the network takes it, where keypoints may be, and the px of the image's corner in it."""
    height, width = frame.grey.shape
    more = [max(-(-side // STRIDE_PX), 2) * STRIDE_PX - side for side in (height, width)]
    top, left = more[0] // 2, more[1] // 2
    image = cv2.copyMakeBorder(frame.grey, top, more[0] - top, left, more[1] - left, cv2.BORDER_REPLICATE)
    usable = np.zeros(image.shape, bool)
    inner = slice(_BORDER_PX, -_BORDER_PX)
    within = np.ones(frame.grey.shape, bool) if frame.usable is None else frame.usable
    usable[top : top + height, left : left + width][inner, inner] = within[inner, inner]
    return np.asarray(image, np.uint8), usable, (left, top)
