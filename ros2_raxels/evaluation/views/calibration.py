"""Calibration of the confidence of views: how signs of quality relate to views that turned out good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.evaluation.views.scores import compared, psnr_db
from ros2_raxels.evaluation.views.tasks import AHEAD, CONTEXT, ViewTask, read_tasks
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import read_image
from ros2_raxels.scenes.clips import augment, render_clip
from ros2_raxels.scenes.random_textures import texture_pool
from ros2_raxels.utils.files import FileError
from ros2_raxels.view_synthesis.confidence import ALONE, CHECKED, GOOD_DB, Signs
from ros2_raxels.view_synthesis.prediction import PredictionRequest
from ros2_raxels.view_synthesis.predictor import ViewPredictor
from ros2_raxels.view_synthesis.self_consistency import check_views

_SIZE = (320, 240)
"""Of rendered clips, px."""

_RIDGE = 1.0
"""Penalty on standardised weights, as many views as it counts for."""


@dataclass(frozen=True, eq=False)
class Known:
    """Frames that views are made from, and what was seen ahead.

    Attributes:
        name: of the clip.
        images, camera, camera_to_world, trajectory: as for `PredictionRequest`.
        truth: the image at each pose of the trajectory.
    """

    name: str
    images: list[ImageArray]
    camera: PinholeCamera
    camera_to_world: FloatArray
    trajectory: FloatArray
    truth: list[ImageArray]


@dataclass(frozen=True, eq=False)
class Seen:
    """How T views of one clip turned out: (T,) signs, and whether each view is good."""

    signs: Signs
    good: npt.NDArray[np.bool_]


def tasks_with_truth(path: Path) -> list[ViewTask]:
    """Tasks of a file, each with an image of truth for every view.

    Raises:
        FileError: the file cannot be read, or a task lacks truth.
    """
    tasks = read_tasks(path)
    for task in tasks:
        if len(task.truth) != len(task.trajectory):
            raise FileError(
                f"{path}: task {task.id} has {len(task.truth)} images of truth for {len(task.trajectory)} poses; give "
                "one for each"
            )
    return tasks


def recorded_clips(tasks: Sequence[ViewTask]) -> Iterator[Known]:
    """Clips of tasks with truth.

    Raises:
        FileError: an image cannot be read, or intrinsics belong to no camera.
    """
    for task in tasks:
        try:
            images, camera = task.read()
        except ValueError as error:
            raise FileError(f"task {task.id}: {error}") from error
        truth = [read_image(path) for path in task.truth]
        yield Known(f"task {task.id}", images, camera, task.context_to_world, task.trajectory, truth)


def rendered_clips(count: int, seed: int) -> Iterator[Known]:
    """Clips of random worlds, the same for the same seed."""
    pool = texture_pool(seed)
    for k in range(count):
        generator = np.random.default_rng([seed, k])
        clip = render_clip(generator, CONTEXT + AHEAD, *_SIZE, pool)
        images, poses = list(augment(generator, clip.images)), clip.camera_to_first
        name, known, ahead = f"rendered clip {k}", slice(None, CONTEXT), slice(CONTEXT, None)
        yield Known(name, images[known], clip.camera, poses[known], poses[ahead], images[ahead])


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


def fit(seen: Sequence[Seen]) -> dict[str, dict[str, float]]:
    """`ModelCard.confidence`: logistic regression of being good on `Signs.features`."""
    good = np.concatenate([one.good for one in seen]).astype(float)
    checked = [one.signs for one in seen]
    return {ALONE: _regression([signs.alone() for signs in checked], good), CHECKED: _regression(checked, good)}


def _regression(signs: Sequence[Signs], good: FloatArray) -> dict[str, float]:
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
