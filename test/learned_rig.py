"""Stand-ins for the networks of the learned matcher: corners with the pixels around them, compared one with another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass
class CornersGraph:
    """In place of `model.aliked`: so many corners, described by the pixels around them.

    Attributes:
        count: of keypoints; those that are missing have strength 0.
        asked: images that were given.
    """

    count: int = 300
    asked: list[npt.NDArray[np.uint8]] = field(default_factory=list)

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name."""
        image, usable = arrays["image"], arrays["usable"]
        self.asked.append(image)
        found = cv2.goodFeaturesToTrack(image, self.count, 0.001, 3, mask=usable.astype(np.uint8))
        corners = np.zeros((0, 2)) if found is None else found.reshape(-1, 2)
        pixels = np.zeros((self.count, 2), np.float32)
        pixels[: len(corners)] = corners
        strength = (np.arange(self.count) < len(corners)).astype(np.float32)
        smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
        around = np.array([cv2.getRectSubPix(smooth, (11, 11), (float(x), float(y))).ravel() for x, y in pixels], float)
        around -= around.mean(axis=1, keepdims=True)
        around /= np.linalg.norm(around, axis=1, keepdims=True) + 1e-6
        return {"pixels": pixels, "strength": strength, "descriptors": around.astype(np.float32)}


@dataclass
class NearestGraph:
    """In place of a stage of `model.lightglue`: the nearest in the other image, sure or not.

    Attributes:
        unsure: share of all keypoints that are said to be.
        keep: every so many keypoints go on.
        amiss: every match is with another keypoint than that.
        error: raised when run.
        asked: numbers of keypoints that were given.
    """

    unsure: float = 0.0
    keep: int = 1
    amiss: bool = False
    error: Exception | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name."""
        if self.error is not None:
            raise self.error
        a, b = arrays["known_a"], arrays["known_b"]
        assert arrays["place_a"].shape == (len(a), 2)
        assert arrays["place_b"].shape == (len(b), 2)
        self.asked.append((len(a), len(b)))
        alike = a @ (np.roll(b, 7, axis=0) if self.amiss else b).T
        return {
            "state_a": a,
            "state_b": b,
            "keep_a": np.arange(len(a)) % self.keep == 0,
            "keep_b": np.ones(len(b), bool),
            "unsure": np.array(round(self.unsure * (len(a) + len(b)))),
            "best_a": alike.argmax(axis=1),
            "best_b": alike.argmax(axis=0),
            "score_a": np.clip(alike.max(axis=1), 0.0, 1.0),
        }


@dataclass
class FakeGraphs:
    """Both, as `matching.learned.MatchGraphs`."""

    keypoints: CornersGraph = field(default_factory=CornersGraph)
    stages: Sequence[NearestGraph] = field(default_factory=lambda: [NearestGraph()])
