"""Which of the stored keyframes shows the place that a frame shows: votes of its strongest keypoints."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.features import Keypoints

_STRONGEST = 150
_ALIKE = 0.92
"""Cosine between SIFT descriptors of the same point; unrelated ones rarely reach it."""


class PlaceIndex:
    """Descriptors of the strongest keypoints of each keyframe, by the keyframe's number."""

    def __init__(self) -> None:
        self._descriptors: dict[int, FloatArray] = {}

    def copy(self) -> PlaceIndex:
        """The same keyframes in an index of its own."""
        copied = PlaceIndex()
        copied._descriptors = dict(self._descriptors)
        return copied

    def __contains__(self, number: int) -> bool:
        return number in self._descriptors

    def add(self, number: int, keypoints: Keypoints) -> None:
        """Remember a keyframe."""
        self._descriptors[number] = _strongest(keypoints)

    def forget(self, number: int) -> None:
        """Remove a keyframe, if it is there."""
        self._descriptors.pop(number, None)

    def votes(self, keypoints: Keypoints) -> dict[int, int]:
        """How many keypoints of a frame look like one of each keyframe."""
        asked = _strongest(keypoints)
        if not len(asked):
            return {}
        # One by one: what all of them share with the frame does not fit any cache.
        return {n: int((asked @ known.T > _ALIKE).any(axis=1).sum()) for n, known in self._descriptors.items()}


def _strongest(keypoints: Keypoints) -> FloatArray:
    chosen = np.argsort(-keypoints.strength, kind="stable")[:_STRONGEST]
    found = keypoints.descriptors[chosen]
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6), np.float32)
