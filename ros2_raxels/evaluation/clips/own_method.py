"""Our own method on clips, as the commands time and score it."""

from __future__ import annotations

import os
import time
import traceback
from dataclasses import replace

import numpy as np

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.evaluation.clips.clip_sets import Clip, ClipAnswer

NAME = "raxels"
"""Of the method, in answer files and reports."""


def answer_clip(estimator: Estimator, clip: Clip, use_intrinsics: bool = True) -> tuple[ClipAnswer, str]:
    """Poses of a clip, timed from image paths to poses, and the reason of a failure (empty without one).

    A failure costs this clip alone: its answer is then the identity with confidence 0.
    """
    begin = time.perf_counter()
    try:
        return _solve(estimator, clip, use_intrinsics, begin), ""
    # One bad clip must not cost the others, whatever is wrong with it.
    except Exception as error:
        if os.environ.get("RAXELS_DEBUG"):
            traceback.print_exc()
        reason = " ".join(str(error).split()) or type(error).__name__
    count = len(clip.images)
    answer = ClipAnswer(
        clip.id,
        np.tile(np.eye(4), (count, 1, 1)),
        intrinsics=clip.intrinsics if use_intrinsics else None,
        confidence=np.zeros(count),
        seconds=time.perf_counter() - begin,
    )
    return answer, reason


def _solve(estimator: Estimator, clip: Clip, use_intrinsics: bool, begin: float) -> ClipAnswer:
    images = clip.read_images()
    read_s = time.perf_counter() - begin
    estimate = estimator.estimate(images, clip.cameras(images) if use_intrinsics else None)
    if not np.isfinite(estimate.camera_to_first).all():
        raise ArithmeticError("the solver's poses are not finite")
    answer = ClipAnswer(
        clip.id,
        estimate.camera_to_first,
        intrinsics=np.array([(c.fx, c.fy, c.cx, c.cy) for c in estimate.cameras]),
        confidence=np.nan_to_num(estimate.confidence),
        stage_s={"read": read_s, **estimate.stage_s},
        covariance=estimate.covariance,
    )
    return replace(answer, seconds=time.perf_counter() - begin)
