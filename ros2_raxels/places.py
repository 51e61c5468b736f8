"""Which of the stored keyframes shows the place that a frame shows: votes of its strongest keypoints."""

from __future__ import annotations

import numpy as np

from ros2_raxels.evidence import Keypoints
from ros2_raxels.geometry import FloatArray

_STRONGEST = 150
_ALIKE = 0.92
"""Cosine between SIFT descriptors of the same point; unrelated ones rarely reach it."""


class PlaceIndex:
    """Descriptors of the strongest keypoints of each keyframe, by the keyframe's number."""

    def __init__(self) -> None:
        self._descriptors: dict[int, FloatArray] = {}
        self._stacked: FloatArray | None = None

    def __contains__(self, number: int) -> bool:
        return number in self._descriptors

    def add(self, number: int, keypoints: Keypoints) -> None:
        """Remember a keyframe."""
        self._descriptors[number] = _strongest(keypoints)
        self._stacked = None

    def forget(self, number: int) -> None:
        """Remove a keyframe, if it is there."""
        if self._descriptors.pop(number, None) is not None:
            self._stacked = None

    def votes(self, keypoints: Keypoints) -> dict[int, int]:
        """How many keypoints of a frame look like one of each keyframe."""
        asked = _strongest(keypoints)
        if not self._descriptors or not len(asked):
            return {}
        if self._stacked is None:
            self._stacked = np.concatenate(list(self._descriptors.values()))
        alike = asked @ self._stacked.T > _ALIKE
        counts = [len(d) for d in self._descriptors.values()]
        edges = np.concatenate([[0], np.cumsum(counts)])
        return {
            number: int(alike[:, begin:end].any(axis=1).sum())
            for number, begin, end in zip(self._descriptors, edges[:-1], edges[1:], strict=True)
        }


def _strongest(keypoints: Keypoints) -> FloatArray:
    chosen = np.argsort(-keypoints.strength, kind="stable")[:_STRONGEST]
    found = keypoints.descriptors[chosen]
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6), np.float32)
