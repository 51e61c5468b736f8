"""Models for commands: of the card that an option names, or the shipped ones; what cannot be had is said in words."""

from __future__ import annotations

from pathlib import Path

from ros2_raxels.engine import EngineError
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.estimation.learned_prior import (
    SHIPPED,
    STREAM,
    DenoiseSettings,
    LearnedDenoiser,
    load_denoiser,
    named_card,
)
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackerSettings
from ros2_raxels.utils.files import FileError
from ros2_raxels.view_synthesis import predictor
from ros2_raxels.view_synthesis.predictor import PredictorSettings, ViewPredictor


def make_estimator(model: str) -> Estimator:
    """An estimator with the denoiser of a card; ``none`` leaves it out, empty takes the shipped one.

    Raises:
        FileError: the model is missing, damaged or cannot be run.
    """
    return Estimator(denoiser=make_denoiser(model))


def make_denoiser(model: str, settings: DenoiseSettings | None = None) -> LearnedDenoiser | None:
    """`load_denoiser` for commands.

    Raises:
        FileError: the model is missing, damaged or cannot be run.
    """
    try:
        return load_denoiser(model, settings)
    except EngineError as error:
        raise FileError(f"{error}; --model none does without") from error


def model_card(model: str, shipped: str = SHIPPED) -> Path:
    """`named_card` for commands.

    Raises:
        FileError: none is installed.
    """
    try:
        return named_card(model, shipped)
    except EngineError as error:
        raise FileError(f"{error}, or give --model") from error


def make_tracker(model: str) -> Tracker:
    """A tracker with the denoiser of a card; ``none`` leaves it out, empty takes the shipped one.

    Raises:
        FileError: the model is missing, damaged or cannot be run.
    """
    return Tracker(TrackerSettings(history=True), make_denoiser(model, STREAM))


def make_predictor(model: str, settings: PredictorSettings | None = None) -> ViewPredictor:
    """The predictor of a model card; empty takes the shipped one.

    Raises:
        FileError: the model is missing or damaged, or makes no views.
    """
    try:
        return ViewPredictor.load(model_card(model, predictor.SHIPPED), settings)
    except EngineError as error:
        raise FileError(str(error)) from error
