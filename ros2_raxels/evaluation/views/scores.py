"""Quality of predicted views: against trivial baselines, by the share seen before, and against stated confidence.

Views are compared at 128 px width. PSNR is over all channels, SSIM over grey levels with a Gaussian window.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from ros2_raxels.evaluation.machine.timing import Spread
from ros2_raxels.evaluation.views.tasks import ViewTask, set_of
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.features import Features, to_grey
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import read_image
from ros2_raxels.view_synthesis.confidence import GOOD_DB
from ros2_raxels.view_synthesis.dense_points import checked_flow
from ros2_raxels.view_synthesis.model_clip import WIDTH_PX
from ros2_raxels.view_synthesis.prediction import PredictedViews, PredictionRequest
from ros2_raxels.view_synthesis.predictor import ViewPredictor

_Made = TypeVar("_Made")

REPEAT = "repeat"
STEPS = (1, 2, 4)
"""Numbers of denoising steps of ours, the default first."""

SEEN_EDGES = (0.0, 0.5, 0.75, 0.9, 1.0)
CONFIDENCE_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

_LEAST_SQUARE = 1e-3
"""Least mean square error, grey levels squared: identical views have a PSNR of 78 dB."""
_WINDOW_PX, _WINDOW_SIGMA_PX = (7, 7), 1.5
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True, eq=False)
class ViewScores:
    """T views of one method.

    Attributes:
        psnr_db, ssim: (T,).
        seconds: wall time for all of them, from images in memory.
        confidence: (T,) 0 to 1; None where the method states none.
    """

    psnr_db: FloatArray
    ssim: FloatArray
    seconds: float
    confidence: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class TaskScore:
    """One task, answered by all methods.

    Attributes:
        set_name: the set that it was drawn from.
        seen: (T,) share of each true view that a context frame shows, see `seen_share`.
        methods: by name.
    """

    set_name: str
    seen: FloatArray
    methods: Mapping[str, ViewScores]


def ours(steps: int) -> str:
    """Name of our method with so many steps."""
    return f"raxels, {steps} step{'s' * (steps > 1)}"


# ----------------------------------------------------------------------------------------------------------- measures


def compared(image: ImageArray) -> ImageArray:
    """An image (H, W, 3) at the width at which views are compared."""
    height = round(WIDTH_PX * image.shape[0] / image.shape[1])
    return _resized(image, (WIDTH_PX, height))


def psnr_db(view: ImageArray, truth: ImageArray) -> float:
    """Of two images (H, W, 3) uint8."""
    square = np.mean((view.astype(float) - truth) ** 2)
    return float(10.0 * np.log10(255.0**2 / np.maximum(square, _LEAST_SQUARE)))


def ssim(view: ImageArray, truth: ImageArray) -> float:
    """Of two images (H, W, 3) RGB uint8: structural similarity of their grey levels, at most 1."""
    a, b = (to_grey(image).astype(float) for image in (view, truth))
    mean_a, mean_b = _windowed(a), _windowed(b)
    variance_a, variance_b = _windowed(a * a) - mean_a**2, _windowed(b * b) - mean_b**2
    covariance = _windowed(a * b) - mean_a * mean_b
    alike = (2 * mean_a * mean_b + _SSIM_C1) * (2 * covariance + _SSIM_C2)
    whole = (mean_a**2 + mean_b**2 + _SSIM_C1) * (variance_a + variance_b + _SSIM_C2)
    return float((alike / whole).mean())


def seen_share(matcher: Matcher, known: Sequence[Features], truth: Features) -> float:
    """Share of a true view that context frames show, 0 to 1, independent of any model.

    A pixel is seen when dense flow takes it to one of them and from there back to where it came from. Flow also fails
    where there is no texture, and where things have moved by more than about 10 % of the image's width, so this is an
    underestimate.

    Args:
        matcher: computes the flow.
        known: one or more frames of the size of the truth; others show nothing.
        truth: the view.
    """
    flow = matcher.dense_flow([(truth, frame) for frame in known])
    ends = np.array([checked_flow(there, back)[1] for there, back in flow])
    return float(np.isfinite(ends[..., 0]).any(axis=0).mean())


def _windowed(image: FloatArray) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(image, _WINDOW_PX, _WINDOW_SIGMA_PX))


def _resized(image: ImageArray, size: tuple[int, int]) -> ImageArray:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


# -------------------------------------------------------------------------------------------------------------- tasks


def score_task(predictor: ViewPredictor, matcher: Matcher, task: ViewTask) -> tuple[TaskScore, PredictedViews]:
    """Scores of ours and of the baselines on a task, and our views with the default number of steps.

    Args:
        predictor: predicts the views.
        matcher: computes the flow that says what was seen.
        task: with its truth.

    Raises:
        SourceError: an image cannot be read.
        ValueError: the predictor refuses the task; see there.
    """
    images, camera = task.read()
    truth = [read_image(path) for path in task.truth]
    known = [matcher.look(image) for image in images]
    seen = np.array([seen_share(matcher, known, matcher.look(image)) for image in truth])
    small = [compared(image) for image in truth]
    methods = {}
    for name, peer in _PEERS.items():
        views, seconds = _timed(partial(peer, images, camera, task))
        methods[name] = _scored(views, small, seconds)
    answers = {}
    request = PredictionRequest(images, camera, task.context_to_world, task.trajectory)
    for steps in STEPS:
        answers[steps], seconds = _timed(partial(predictor.predict, replace(request, steps=steps)))
        methods[ours(steps)] = _scored(answers[steps].images, small, seconds, answers[steps].confidence)
    return TaskScore(set_of(task), seen, methods), answers[STEPS[0]]


def _timed(make: Callable[[], _Made]) -> tuple[_Made, float]:
    """The result, and wall time, s."""
    begin = time.perf_counter()
    made = make()
    return made, time.perf_counter() - begin


def _repeat(images: Sequence[ImageArray], camera: PinholeCamera, task: ViewTask) -> list[ImageArray]:
    """The newest frame for every pose."""
    return [images[-1]] * len(task.trajectory)


def _rotate(images: Sequence[ImageArray], camera: PinholeCamera, task: ViewTask) -> list[ImageArray]:
    """The newest frame, warped by the rotation: exact for a scene at infinity."""
    newest, size = task.context_to_world[-1][:3, :3], (camera.width, camera.height)
    views = []
    for pose in task.trajectory:
        homography = camera.matrix @ pose[:3, :3].T @ newest @ np.linalg.inv(camera.matrix)
        view = cv2.warpPerspective(images[-1], homography, size, borderMode=cv2.BORDER_REPLICATE)
        views.append(np.asarray(view, np.uint8))
    return views


_PEERS: dict[str, Callable[[Sequence[ImageArray], PinholeCamera, ViewTask], list[ImageArray]]] = {
    REPEAT: _repeat,
    "rotate": _rotate,
}


def _scored(
    views: Iterable[ImageArray], truth: Sequence[ImageArray], seconds: float, confidence: FloatArray | None = None
) -> ViewScores:
    """Scores of views of any size with the field of view of the truth."""
    pairs = [(_resized(view, (t.shape[1], t.shape[0])), t) for view, t in zip(views, truth, strict=True)]
    psnr, similarity = (np.array([measure(*pair) for pair in pairs]) for measure in (psnr_db, ssim))
    return ViewScores(psnr, similarity, seconds, confidence)


# ------------------------------------------------------------------------------------------------------------- record


def record_of_views(scores: Sequence[TaskScore]) -> dict[str, Any]:
    """As ``report.json`` holds it: means over sets by method, by share seen, and how reliable confidence is.

    Args:
        scores: one or more.
    """
    names = list(scores[0].methods)
    methods = {name: _method_record(scores, name) for name in names}
    for of in methods.values():
        of["mean"]["gain_db"] = of["mean"]["psnr_db"] - methods[REPEAT]["mean"]["psnr_db"]
    stating = [name for name in names if scores[0].methods[name].confidence is not None]
    return {
        "tasks": len(scores),
        "views": sum(len(score.seen) for score in scores),
        "methods": methods,
        "seen": _by_seen_share(scores),
        "confidence": {name: _confidence_record(scores, name) for name in stating},
    }


def _method_record(scores: Sequence[TaskScore], name: str) -> dict[str, Any]:
    sets = {}
    for set_name in dict.fromkeys(score.set_name for score in scores):
        of = [score.methods[name] for score in scores if score.set_name == set_name]
        psnr, similarity = np.concatenate([s.psnr_db for s in of]), np.concatenate([s.ssim for s in of])
        sets[set_name] = {"views": len(psnr), "psnr_db": float(psnr.mean()), "ssim": float(similarity.mean())}
    mean = {key: float(np.mean([of[key] for of in sets.values()])) for key in ("psnr_db", "ssim")}
    spread = Spread.of(score.methods[name].seconds for score in scores)
    return {"mean": mean, "sets": sets, "ms": {"median": spread.p50, "p95": spread.p95}}


def _by_seen_share(scores: Sequence[TaskScore]) -> list[dict[str, Any]]:
    """A record for each range of `SEEN_EDGES`, means over its views."""
    default = ours(STEPS[0])
    columns = {
        "seen": [score.seen for score in scores],
        "repeat_psnr_db": [score.methods[REPEAT].psnr_db for score in scores],
        "psnr_db": [score.methods[default].psnr_db for score in scores],
        "ssim": [score.methods[default].ssim for score in scores],
    }
    return binned(SEEN_EDGES, {name: np.concatenate(values) for name, values in columns.items()})


def _confidence_record(scores: Sequence[TaskScore], name: str) -> dict[str, Any]:
    of = [score.methods[name] for score in scores]
    stated = np.concatenate([s.confidence for s in of if s.confidence is not None])
    return reliability(stated, np.concatenate([s.psnr_db for s in of]))


def reliability(confidence: FloatArray, psnr: FloatArray) -> dict[str, Any]:
    """How well stated confidence (V,) predicts the PSNR (V,) of views, dB.

    Returns:
        ``rank_correlation`` (Spearman, -1 to 1; None where either is constant), ``brier`` (mean square of
        confidence minus outcome, 0 is best), ``good`` (share of views with `GOOD_DB` or more), and ``bins``: for each
        range of `CONFIDENCE_EDGES` the number of views, their mean ``stated`` confidence and the share ``good``.
    """
    good = (psnr >= GOOD_DB).astype(float)
    varied = np.ptp(confidence) > 0 and np.ptp(psnr) > 0
    return {
        "rank_correlation": float(spearmanr(confidence, psnr)[0]) if varied else None,
        "brier": float(((confidence - good) ** 2).mean()),
        "good": float(good.mean()),
        "bins": binned(CONFIDENCE_EDGES, {"stated": confidence, "good": good}),
    }


def binned(edges: Sequence[float], columns: Mapping[str, npt.ArrayLike]) -> list[dict[str, Any]]:
    """For each range between edges, ``from``, ``to``, number of ``views`` and means of the columns, None without views.

    Args:
        edges: growing; a range holds its lower edge, the last its upper one too.
        columns: (V,) each; the first one decides in which range a view is.
    """
    values = {name: np.asarray(column, float) for name, column in columns.items()}
    place = np.digitize(next(iter(values.values())), edges[1:-1])
    found = []
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = place == k
        means = {name: float(column[inside].mean()) if inside.any() else None for name, column in values.items()}
        found.append({"from": low, "to": high, "views": int(inside.sum()), **means})
    return found
