"""Estimator, tracker and view predictor of the commands, from the model card of an option or from the shipped one.

A model that cannot be loaded is a `FileError` whose message says what the command offers instead.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import EngineError
from ros2_raxels.estimation.estimator import ALWAYS_LEARNED, Estimator, EstimatorSettings
from ros2_raxels.estimation.learned_matcher import CLASSIC, LEARNED, load_matcher
from ros2_raxels.estimation.learned_prior import (
    SHIPPED,
    STREAM,
    DenoiseSettings,
    LearnedDenoiser,
    load_denoiser,
    named_card,
)
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.tracking.inertial import Imu
from ros2_raxels.tracking.learned_look import LearnedLook
from ros2_raxels.tracking.metric_scale import Odometry, ScaleSettings, ScaleSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackerSettings
from ros2_raxels.utils.files import FileError
from ros2_raxels.view_synthesis import predictor
from ros2_raxels.view_synthesis.predictor import PredictorSettings, ViewPredictor


def make_estimator(model: str, matcher: str = CLASSIC) -> Estimator:
    """An estimator with the denoiser of a card; ``none`` leaves the denoiser out, empty takes the shipped one.

    Args:
        model: the card.
        matcher: one of `MATCHERS`.

    Raises:
        FileError: the model is missing, damaged or cannot be run, or so is the learned matcher where it must be used.
    """
    settings = EstimatorSettings(weak=ALWAYS_LEARNED) if matcher == LEARNED else EstimatorSettings()
    return Estimator(settings, make_denoiser(model), learned=make_learned_matcher(matcher), warn=_warn)


def make_learned_matcher(matcher: str) -> LearnedMatcher | None:
    """The matcher for weak evidence; None where there is to be none, or for `AUTO` can be none.

    Raises:
        FileError: it must be used, but was not imported, is damaged or cannot be run.
    """
    try:
        return load_matcher(matcher, _warn)
    except EngineError as error:
        raise FileError(f"{error}; --matcher {CLASSIC} does without") from error


def _warn(line: str) -> None:
    print(f"raxels: {line}", file=sys.stderr, flush=True)


def make_denoiser(model: str, settings: DenoiseSettings | None = None) -> LearnedDenoiser | None:
    """The denoiser of a card; None for ``none``, the shipped one for empty.

    Raises:
        FileError: the model is missing, damaged or cannot be run.
    """
    try:
        return load_denoiser(model, settings)
    except EngineError as error:
        raise FileError(f"{error}; --model none does without") from error


def model_card(model: str, shipped: str = SHIPPED) -> Path:
    """The card that an option names; empty is the shipped one.

    Raises:
        FileError: none is installed.
    """
    try:
        return named_card(model, shipped)
    except EngineError as error:
        raise FileError(f"{error}, or give --model") from error


def make_tracker(
    model: str,
    odometry: Odometry | None = None,
    real_time: bool = False,
    mask: npt.NDArray[np.bool_] | None = None,
    imu: Imu | None = None,
    rig: Rig | None = None,
    matcher: str = CLASSIC,
) -> Tracker:
    """A tracker that keeps the whole trajectory, with the denoiser of a card as in `make_estimator`.

    Args:
        model: see there.
        odometry: see `Tracker`; metres come from it, or from the IMU, and without both they stay unknown.
        real_time: see `TrackerSettings`.
        mask, imu, rig: see `Tracker`.
        matcher: one of `MATCHERS`: by learned keypoints is looked for what is not found otherwise, unless `CLASSIC`.

    Raises:
        FileError: the model is missing, damaged or cannot be run, or so is the learned matcher where it must be used.
    """
    scale = ScaleSettings(ScaleSource.ODOM if odometry is not None and imu is None else ScaleSource.NONE)
    settings = TrackerSettings(history=True, scale=scale, real_time=real_time)
    learned = make_learned_matcher(matcher)
    look = None if learned is None else LearnedLook(learned, _warn)
    return Tracker(settings, make_denoiser(model, STREAM), odometry, mask, imu, rig, look)


def make_predictor(model: str, settings: PredictorSettings | None = None) -> ViewPredictor:
    """The predictor of a model card; empty takes the shipped one.

    Raises:
        FileError: the model is missing or damaged, or makes no views.
    """
    try:
        return ViewPredictor.load(model_card(model, predictor.SHIPPED), settings)
    except EngineError as error:
        raise FileError(str(error)) from error
