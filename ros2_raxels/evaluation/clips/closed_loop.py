"""Closed loop: poses of a clip, views predicted at these poses from its first frame, poses of the views, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, direction_angle_rad, relative_pose, rotation_angle_rad
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.scenes.clips import render_clip
from ros2_raxels.scenes.random_textures import texture_pool
from ros2_raxels.view_synthesis.prediction import PredictedViews, PredictionRequest
from ros2_raxels.view_synthesis.predictor import ViewPredictor
from ros2_raxels.view_synthesis.self_consistency import estimate_back


@dataclass(frozen=True, eq=False)
class Loop:
    """One clip, taken once round the loop.

    Attributes:
        asked: (N, 4, 4) poses estimated from the clip, in the camera of its first frame.
        found: (N, 4, 4) poses estimated from the views that were predicted for them.
    """

    asked: FloatArray
    found: FloatArray


def go_round(
    estimator: Estimator, predictor: ViewPredictor, images: Sequence[ImageArray], camera: PinholeCamera
) -> tuple[Loop, PredictedViews]:
    """Take a clip round the loop. The views, returned beside it, are predicted from the first image alone.

    Raises:
        ValueError: the estimator or the predictor refuses the images.
    """
    asked = estimator.estimate(images, [camera] * len(images)).camera_to_first
    views = predictor.predict(PredictionRequest(images[:1], camera, asked[:1], asked[1:]))
    return Loop(asked, estimate_back(estimator, images[:1], views.images, views.camera).camera_to_first), views


def agreement(loops: Sequence[Loop]) -> dict[str, Any]:
    """Median errors between asked and found poses, deg, over all cameras but the first.

    With a control: the same against the poses of another clip, where the errors must be large.
    """
    shuffled = [Loop(a.asked, b.found) for a, b in zip(loops, [*loops[1:], *loops[:1]], strict=True)]
    return {name: _errors(of) for name, of in (("loop", loops), ("shuffled", shuffled))} | {"clips": len(loops)}


def procedural_clips(count: int, frames: int, seed: int = 0) -> list[tuple[list[ImageArray], PinholeCamera]]:
    """Images and cameras of rendered clips, 320x240."""
    pool = texture_pool(seed)
    clips = [render_clip(np.random.default_rng([seed, k]), frames, 320, 240, pool) for k in range(count)]
    return [(list(clip.images), clip.camera) for clip in clips]


def _errors(loops: Sequence[Loop]) -> dict[str, float]:
    rotation: list[float] = []
    direction: list[float] = []
    for loop in loops:
        frames = min(len(loop.asked), len(loop.found))
        relative = relative_pose(loop.asked[1:frames], loop.found[1:frames])
        rotation.extend(np.degrees(rotation_angle_rad(relative[:, :3, :3])).tolist())
        pairs = zip(loop.asked[1:frames, :3, 3], loop.found[1:frames, :3, 3], strict=True)
        direction.extend(float(np.degrees(direction_angle_rad(a, b))) for a, b in pairs)
    return {"rotation_deg": float(np.median(rotation)), "direction_deg": float(np.median(direction))}
