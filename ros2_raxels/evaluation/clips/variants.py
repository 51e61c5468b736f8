"""Ablations of our method, and the method over the number of denoising steps, for `raxels evaluate`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import RefineSettings
from ros2_raxels.estimation.estimator import Estimator, EstimatorSettings
from ros2_raxels.estimation.learned_prior import DenoiseSettings, LearnedDenoiser
from ros2_raxels.evaluation.clips.clip_sets import Clip, ClipAnswer
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.view_synthesis.predictor import ViewPredictor

STEPS = (1, 2, 4, 8)

_NAME = re.compile(r"(?P<method>.*), (?P<steps>\d+) steps")
"""As `_named` makes them."""

_DECODED = EstimatorSettings(refine=RefineSettings(iterations=0))
_ALWAYS = EstimatorSettings(sure=2.0)
"""Asks the denoiser where two-view geometry is sure as well."""


def without_denoiser() -> dict[str, Estimator]:
    """Evidence and joint refinement alone."""
    return {"geometry alone": Estimator()}


def over_steps(denoiser: LearnedDenoiser) -> dict[str, Estimator]:
    """The denoiser by itself, and with guidance, by number of steps; neither is given two-view hypotheses.

    Args:
        denoiser: its engines are shared by all of them.
    """
    found = {}
    for steps in STEPS:
        alone = DenoiseSettings(samples=1, steps=steps, guided=False, alone=True)
        guided = DenoiseSettings(samples=4, steps=steps, guided=True, alone=True)
        found[_named("denoiser alone", steps)] = Estimator(_DECODED, denoiser.used_as(alone))
        found[_named("denoiser and guidance", steps)] = Estimator(_ALWAYS, denoiser.used_as(guided))
    return found


def pixels_only(predictor: ViewPredictor) -> dict[str, Callable[[Clip], ClipAnswer]]:
    """The joint model without correspondences, as in the paper, by number of steps."""

    def answer(clip: Clip, steps: int) -> ClipAnswer:
        begin = time.perf_counter()
        images = clip.read_images()
        cameras = clip.cameras(images)
        poses: FloatArray = np.tile(np.eye(4), (len(images), 1, 1))
        if cameras is not None and len(set(cameras)) == 1:
            poses = predictor.trajectory(images, cameras[0], steps=steps)
        return ClipAnswer(clip.id, poses, seconds=time.perf_counter() - begin)

    return {_named("pixels only", steps): partial(answer, steps=steps) for steps in STEPS}


def by_steps(names: Iterable[str]) -> dict[str, dict[int, str]]:
    """The names that stand for a method with a number of steps, by method and number."""
    found: dict[str, dict[int, str]] = {}
    for name in names:
        if match := _NAME.fullmatch(name):
            found.setdefault(match["method"], {})[int(match["steps"])] = name
    return found


def _named(method: str, steps: int) -> str:
    return f"{method}, {steps} steps"
