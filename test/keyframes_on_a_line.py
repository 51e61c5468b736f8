"""Keyframes of a camera that moves along x, each of another place, for tests of the map."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import make_pose
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import Keyframe, StreamFrame
from ros2_raxels.tracking.keyframe_map import KeyframeMap

CAMERA = PinholeCamera(160, 120, 150.0, 150.0, 79.5, 59.5)
MATCHER = Matcher()


def picture(seed: int) -> np.ndarray:
    """Blobs of all sizes, a place of its own for each seed."""
    rng = np.random.default_rng(seed)
    noise = sum(
        cv2.resize(rng.normal(0, 1, (n, n)), (160, 120), interpolation=cv2.INTER_CUBIC) for n in (6, 12, 24, 48)
    )
    return cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def frame(number: int, seed: int | None = None) -> StreamFrame:
    return StreamFrame(number, number, Features(picture(number if seed is None else seed)), CAMERA)


def on_a_line(positions: Sequence[float], first: int = 0, variance: float = 0.0) -> list[Keyframe]:
    """Keyframes at these x, numbered from `first`, with two depths of which one is known."""
    return [
        Keyframe(
            StreamFrame(first + k, first + k, Features(picture(first + k)), CAMERA),
            make_pose(np.eye(3), [x, 0.0, 0.0]),
            variance * np.eye(7),
            np.array([0.5, np.nan]),
        )
        for k, x in enumerate(positions)
    ]


def map_of(*trajectories: Sequence[Keyframe], units: Sequence[float] = (), window: int = 3) -> KeyframeMap:
    """A map with these trajectories, one after the other; of unit 1 where nothing else is said."""
    keyframes = KeyframeMap()
    for k, begun in enumerate(trajectories):
        keyframes.end_trajectory()
        keyframes.begin(begun, units[k] if k < len(units) else 1.0, window)
    return keyframes


def numbers(keyframes: Sequence[Keyframe]) -> list[int]:
    return [k.number for k in keyframes]


def positions(keyframes: Sequence[Keyframe]) -> list[float]:
    """Their x."""
    return [float(k.camera_to_world[0, 3]) for k in keyframes]
