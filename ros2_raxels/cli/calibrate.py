"""``raxels calibrate``: fit the confidence of a model's views to how close they are to what was seen."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from tqdm import tqdm

from ros2_raxels.engine import EngineError
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.evaluation.views.scores import compared, psnr_db
from ros2_raxels.evaluation.views.tasks import AHEAD, CONTEXT, ViewTask, read_tasks
from ros2_raxels.factory import make_predictor
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import read_image
from ros2_raxels.scenes.clips import augment, render_clip
from ros2_raxels.scenes.random_textures import texture_pool
from ros2_raxels.utils.argument_types import natural, positive
from ros2_raxels.utils.files import FileError, check_writable, write_json
from ros2_raxels.view_synthesis.confidence import ALONE, CHECKED, GOOD_DB, Signs, Weights, probability
from ros2_raxels.view_synthesis.prediction import PredictionRequest
from ros2_raxels.view_synthesis.predictor import ViewPredictor
from ros2_raxels.view_synthesis.self_consistency import check_views

_SIZE = (320, 240)
_HELD_OUT = 5
"""Every so-maniest clip is kept out of the fit, to see whether it holds."""

_RIDGE = 1.0
"""Weight of standardised features being small, in views."""


@dataclass(frozen=True, eq=False)
class Known:
    """Frames that views are made from, and what was seen ahead.

    Attributes:
        name: of the clip.
        images, camera, camera_to_world, trajectory: as for `PredictionRequest`.
        truth: of each pose of the trajectory.
    """

    name: str
    images: list[ImageArray]
    camera: PinholeCamera
    camera_to_world: FloatArray
    trajectory: FloatArray
    truth: list[ImageArray]


@dataclass(frozen=True, eq=False)
class Seen:
    """How T views of one clip turned out: (T,) signs, and whether each is good."""

    signs: Signs
    good: npt.NDArray[np.bool_]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("model", type=Path, metavar="CARD", help="model card (.json), which is given the confidence")
    parser.add_argument(
        "--tasks", type=Path, nargs="*", default=[], metavar="FILE", help="tasks.json with truth, as for raxels views"
    )
    parser.add_argument("--clips", type=positive, default=150, metavar="N", help="rendered besides (default: 150)")
    parser.add_argument("--seed", type=natural, default=0, help="of the rendered clips")


def run(args: argparse.Namespace) -> int:
    """Measure, fit, and write the card.

    Returns:
        0.

    Raises:
        FileError: tasks, images or the model cannot be read, tasks have no truth, or the card cannot be written.
    """
    try:
        card = ModelCard.read(args.model)
    except EngineError as error:
        raise FileError(str(error)) from error
    # Before minutes of work whose result could not be kept.
    check_writable(args.model)
    predictor, estimator = make_predictor(str(args.model)), Estimator()
    tasks = [task for path in args.tasks for task in _tasks_with_truth(path)]
    clips = tqdm(
        _all_clips(tasks, args.clips, args.seed),
        total=len(tasks) + args.clips,
        unit="clip",
        disable=not sys.stderr.isatty(),
    )
    seen = [see(predictor, estimator, clip) for clip in clips]
    fitted = [one for k, one in enumerate(seen) if k % _HELD_OUT]
    _print_check(fit(fitted), seen[::_HELD_OUT])
    write_json(args.model, replace(card, confidence=fit(seen)).record(), indent=1)
    print(f"-> {args.model}")
    return 0


def _tasks_with_truth(path: Path) -> list[ViewTask]:
    tasks = read_tasks(path)
    for task in tasks:
        if len(task.truth) != len(task.trajectory):
            raise FileError(
                f"{path}: task {task.id} has {len(task.truth)} images of truth for {len(task.trajectory)} poses; give "
                "one for each"
            )
    return tasks


def _all_clips(tasks: list[ViewTask], rendered: int, seed: int) -> Iterator[Known]:
    for task in tasks:
        images, camera = _read(task)
        yield Known(
            f"task {task.id}",
            images,
            camera,
            task.context_to_world,
            task.trajectory,
            [read_image(p) for p in task.truth],
        )
    pool = texture_pool(seed)
    for k in range(rendered):
        generator = np.random.default_rng([seed, k])
        clip = render_clip(generator, CONTEXT + AHEAD, *_SIZE, pool)
        images, poses = list(augment(generator, clip.images)), clip.camera_to_first
        yield Known(
            f"rendered clip {k}", images[:CONTEXT], clip.camera, poses[:CONTEXT], poses[CONTEXT:], images[CONTEXT:]
        )


def _read(task: ViewTask) -> tuple[list[ImageArray], PinholeCamera]:
    try:
        return task.read()
    except ValueError as error:
        raise FileError(f"task {task.id}: {error}") from error


def see(predictor: ViewPredictor, estimator: Estimator, clip: Known) -> Seen:
    """Make the views of a clip, look at them, and compare them with the truth.

    Raises:
        FileError: no views can be made of it.
    """
    try:
        views = predictor.predict(PredictionRequest(clip.images, clip.camera, clip.camera_to_world, clip.trajectory))
    except ValueError as error:
        raise FileError(f"{clip.name}: {error}") from error
    signs = check_views(predictor, estimator, clip.images, clip.camera_to_world, views).signs
    quality = [psnr_db(compared(view), compared(truth)) for view, truth in zip(views.images, clip.truth, strict=True)]
    return Seen(signs, np.array(quality) >= GOOD_DB)


def fit(seen: list[Seen]) -> dict[str, dict[str, float]]:
    """`ModelCard.confidence`: logistic regression of being good on `Signs.features`."""
    good = np.concatenate([one.good for one in seen]).astype(float)
    checked = [one.signs for one in seen]
    return {ALONE: _regression([signs.alone() for signs in checked], good), CHECKED: _regression(checked, good)}


def _regression(signs: list[Signs], good: FloatArray) -> dict[str, float]:
    each = [one.features() for one in signs]
    names = list(each[0])
    features = np.array([np.concatenate([one[name] for one in each]) for name in names]).T
    # The first is 1 everywhere: it is neither shifted nor kept small.
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    centre[0], spread[0] = 0.0, 1.0
    scaled = (features - centre) / spread

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        odds = scaled @ weights
        small = np.concatenate([[0.0], weights[1:]])
        value = np.logaddexp(0.0, odds).sum() - good @ odds + 0.5 * _RIDGE * small @ small
        return float(value), scaled.T @ (1.0 / (1.0 + np.exp(-odds)) - good) + _RIDGE * small

    found = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B").x / spread
    found[0] -= found[1:] @ centre[1:]
    return {name: round(float(weight), 4) for name, weight in zip(names, found, strict=True)}


def _print_check(calibration: Mapping[str, Weights], seen: list[Seen]) -> None:
    """How it holds on clips that it was not fitted to."""
    good = np.concatenate([one.good for one in seen])
    print(f"{len(good)} views held out, {100 * good.mean():.0f} % of them with {GOOD_DB:g} dB or more")
    for kind in (ALONE, CHECKED):
        signs = [one.signs if kind == CHECKED else one.signs.alone() for one in seen]
        stated = np.concatenate([probability(calibration, one) for one in signs])
        print(f"{kind}: mean {100 * stated.mean():.0f} %, Brier score {np.mean((stated - good) ** 2):.3f}")
