"""The picture at the top of the README: frames, their raxels, the trajectory, and views along the path ahead."""

from __future__ import annotations

from typing import Any

import cv2
import matplotlib
import numpy as np

from ros2_raxels.factory import make_predictor
from ros2_raxels.figures.page import Page
from ros2_raxels.figures.walk import TrackedWalk
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, inverse_pose, make_pose
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.prediction import PredictedViews, PredictionRequest
from ros2_raxels.visualization.drawing import (
    DOTTED,
    FONT,
    MUTED,
    TIME,
    TRUTH,
    draw_camera,
    draw_coloured_line,
    draw_path,
    draw_raxels,
    fit,
    flat,
    show_image,
)

_SHOTS = 6
_CONTEXT_STEP, _CONTEXT = 12, 4
_AHEAD = (8, 18, 30)
_PLANNED = "#5ef2b8"
_MARGIN, _GAP, _TILE_W, _TILE_H = 20, 8, 176, 132
_CELL = _TILE_W // RAXEL_COLUMNS
_ROWS_TOP = (42, 218, 394)


def draw_overview(walk: TrackedWalk) -> Page:
    """The whole picture, 1136 x 686 px."""
    count = len(walk.estimate)
    shots = np.linspace(0, count - 1, _SHOTS).round().astype(int)
    ahead = count - 1 + np.array(_AHEAD)
    page = Page(2 * _MARGIN + _SHOTS * _TILE_W + (_SHOTS - 1) * _GAP, 686)
    with matplotlib.rc_context(FONT):
        _film(page, walk, shots)
        _trajectory(page, walk, shots, ahead)
        _views(page, walk, ahead)
    return page


def _tile(page: Page, column: int, top: float) -> Any:
    return page.axes(_left(column), top, _TILE_W, _TILE_H)


def _left(column: int) -> float:
    return _MARGIN + column * (_TILE_W + _GAP)


def _colours(walk: TrackedWalk) -> FloatArray:
    """RGBA by time, (K, 4)."""
    return np.asarray(TIME(np.linspace(0.0, 1.0, len(walk.estimate))))


def _film(page: Page, walk: TrackedWalk, shots: FloatArray) -> None:
    """Frames above, the raxels of the same frames below."""
    frames_top, raxels_top, _ = _ROWS_TOP
    page.heading(_MARGIN, frames_top - 20, "1  Frames", "from one camera")
    words = "the cameras of these frames as the model sees them: points at unit distance along the rays"
    page.heading(_MARGIN, raxels_top - 20, "2  Raxels", words)
    raxels = draw_raxels(walk.camera, [walk.estimate[k] for k in shots], (RAXEL_ROWS, RAXEL_COLUMNS))
    for column, (shot, picture) in enumerate(zip(shots, raxels, strict=True)):
        colour = _colours(walk)[shot]
        frame = _tile(page, column, frames_top)
        show_image(frame, _small(walk.images[shot]), colour)
        _tag(frame, f"{shot / walk.rate_hz:.1f} s")
        show_image(_tile(page, column, raxels_top), np.kron(picture, np.ones((_CELL, _CELL, 1))), colour)


def _small(image: ImageArray) -> ImageArray:
    return np.asarray(cv2.resize(image, (_TILE_W, _TILE_H), interpolation=cv2.INTER_AREA), np.uint8)


def _tag(axes: Any, text: str) -> None:
    box = {"boxstyle": "round,pad=0.25", "facecolor": (0, 0, 0, 0.6), "edgecolor": "none"}
    axes.text(0.035, 0.93, text, transform=axes.transAxes, fontsize=9.5, va="top", bbox=box)


def _trajectory(page: Page, walk: TrackedWalk, shots: FloatArray, ahead: FloatArray) -> None:
    top, (width, height) = _ROWS_TOP[2], (3 * _TILE_W + 2 * _GAP, 2 * _TILE_H + _GAP)
    page.heading(_MARGIN, top - 20, "3  Trajectory", _error_words(walk))
    axes = page.axes(_MARGIN, top, width, height)
    to_first = make_pose(OPTICAL_TO_BODY[:3, :3], np.zeros(3)) @ inverse_pose(walk.truth[0])
    estimate, truth = to_first @ walk.estimate, to_first @ walk.truth[: ahead[-1] + 1]
    path = draw_path(axes, estimate[:, :3, 3], _colours(walk), truth[:, :3, 3])
    for shot in shots:
        draw_camera(axes, walk.camera, estimate[shot], 0.13 * path.extent, _colours(walk)[shot])
    for number in ahead:
        draw_camera(axes, walk.camera, truth[number], 0.09 * path.extent, matplotlib.colors.to_rgba(_PLANNED))
    planned = flat(truth[len(estimate) - 1 :, :3, 3])
    axes.plot(*planned.T, color=_PLANNED, lw=2.5, zorder=6)
    fit(axes, np.concatenate([path.reach, planned]), width / height, aside=0.1)
    _legend(axes)


def _error_words(walk: TrackedWalk) -> str:
    error = walk.error
    return f"{1e2 * error.translation_rmse:.1f} cm off on {error.path_length:.1f} m, after Sim(3)"


def _legend(axes: Any) -> None:
    place = {"transform": axes.transAxes, "zorder": 9}
    steps = np.linspace(0.02, 0.07, 30)
    draw_coloured_line(axes, np.column_stack([steps, np.full(30, 0.93)]), TIME(np.linspace(0, 1, 30)), lw=4, **place)
    ends: Any = {"scalex": False, "scaley": False, **place}
    axes.plot([0.02, 0.07], [0.85, 0.85], color=TRUTH, lw=1.3, ls=DOTTED, **ends)
    axes.plot([0.02, 0.07], [0.77, 0.77], color=_PLANNED, lw=2.5, **ends)
    for height, words in ((0.93, "estimate"), (0.85, "truth"), (0.77, "way ahead")):
        axes.text(0.085, height, words, color=MUTED, fontsize=10.5, va="center", **place)


def _views(page: Page, walk: TrackedWalk, ahead: FloatArray) -> None:
    """Views along the path ahead, above what the camera saw there later."""
    top = _ROWS_TOP[2]
    page.heading(_left(3), top - 20, "4  Views ahead", "predicted above, seen later below")
    views = _predicted(walk, ahead)
    for column, (number, image) in enumerate(zip(ahead, views.images, strict=True)):
        predicted, seen = _tile(page, 3 + column, top), _tile(page, 3 + column, top + _TILE_H + _GAP)
        show_image(predicted, image, _PLANNED)
        _tag(predicted, f"+{_AHEAD[column] / walk.rate_hz:.1f} s, confidence {views.confidence[column]:.2f}")
        show_image(seen, _small(walk.images[number]), TRUTH)


def _predicted(walk: TrackedWalk, ahead: FloatArray) -> PredictedViews:
    known = len(walk.estimate) - 1 - _CONTEXT_STEP * np.arange(_CONTEXT)[::-1]
    images = [walk.images[k] for k in known]
    request = PredictionRequest(images, walk.camera, walk.estimate[known], walk.truth[ahead])
    return make_predictor("").predict(request)
