"""The figure of predicted views: each with its expected error and the share that the model made up."""

from __future__ import annotations

import matplotlib
import numpy as np

from ros2_raxels.factory import make_predictor
from ros2_raxels.figures.page import Page
from ros2_raxels.figures.walk import TrackedWalk
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.prediction import PredictionRequest
from ros2_raxels.visualization.drawing import FONT, without_frame

_AHEAD = (6, 16, 30)
_CONTEXT_STEP, _CONTEXT = 12, 4
_HOTTEST_ERROR = 0.25
_TILE_W, _TILE_H, _GAP, _MARGIN = 268, 201, 8, 20
_COLUMNS = (
    ("Predicted", ""),
    ("Expected error", f"white: {_HOTTEST_ERROR:.0%}"),
    ("Made up", "white: all of it"),
    ("Seen later", ""),
)


def draw_view_figure(walk: TrackedWalk) -> Page:
    """One row for each view, 1136 x 681 px."""
    newest = len(walk.estimate) - 1
    known, ahead = newest - _CONTEXT_STEP * np.arange(_CONTEXT)[::-1], newest + np.array(_AHEAD)
    images = [walk.images[k] for k in known]
    views = make_predictor("").predict(PredictionRequest(images, walk.camera, walk.estimate[known], walk.truth[ahead]))
    heat = matplotlib.colormaps["inferno"]
    page = Page(2 * _MARGIN + 4 * _TILE_W + 3 * _GAP, 42 + 3 * (_TILE_H + _GAP) + 12)
    with matplotlib.rc_context(FONT):
        for column, (name, words) in enumerate(_COLUMNS):
            page.heading(_MARGIN + column * (_TILE_W + _GAP), 22, name, words)
        for row, number in enumerate(ahead):
            error = heat(np.clip(views.expected_error[row] / _HOTTEST_ERROR, 0, 1))
            pictures = (views.images[row], error, heat(views.made_up[row]), walk.images[number])
            _draw_row(page, row, pictures)
    return page


def _draw_row(page: Page, row: int, pictures: tuple[ImageArray, ...]) -> None:
    for column, picture in enumerate(pictures):
        left, top = _MARGIN + column * (_TILE_W + _GAP), 42 + row * (_TILE_H + _GAP)
        axes = page.axes(left, top, _TILE_W, _TILE_H)
        axes.imshow(picture, aspect="auto", interpolation="antialiased")
        without_frame(axes)
