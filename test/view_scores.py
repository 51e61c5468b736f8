"""Scores of tasks worked out by hand."""

from __future__ import annotations

import cv2
import numpy as np

from ros2_raxels.evaluation.views.scores import (
    TaskScore,
    ViewScores,
)
from ros2_raxels.recordings.image_codec import ImageArray

METHODS = ["repeat", "rotate", "raxels, 1 step", "raxels, 2 steps", "raxels, 4 steps"]


def shrunk(image: ImageArray) -> ImageArray:
    """To the size at which views are compared, 128x96."""
    return np.asarray(cv2.resize(image, (128, 96), interpolation=cv2.INTER_AREA), np.uint8)


def scored(set_name: str, seen: list[float], gain: float, confidence: list[float]) -> TaskScore:
    """Views of ours that are better than repeating by so much, and worse with every step."""
    count = len(seen)
    repeat = np.linspace(10.0, 14.0, count)
    methods = {name: ViewScores(repeat, np.full(count, 0.25), 0.002) for name in METHODS[:2]}
    for worse, name in enumerate(METHODS[2:]):
        psnr, sure = repeat + gain - worse, np.array(confidence)
        methods[name] = ViewScores(psnr, np.full(count, 0.5 - worse / 8), 0.1 * (worse + 1) * count, sure)
    return TaskScore(set_name, np.array(seen), methods)


SCORES = [
    scored("a", [0.2, 0.6, 0.95], 8.0, [0.1, 0.5, 0.9]),
    scored("a", [0.3], 12.0, [0.3]),
    scored("b", [0.8, 1.0], 2.0, [0.7, 0.7]),
]
