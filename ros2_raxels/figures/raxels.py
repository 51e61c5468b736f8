"""The figure that explains raxels: two cameras from above, and their raxels as pictures."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np

from ros2_raxels.figures.page import Page
from ros2_raxels.geometry.camera import ordinary_camera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.visualization.drawing import FONT, MUTED, TEXT, draw_raxels, without_frame

_CAMERA = ordinary_camera(320, 240, 0.6)
_MOVED = make_pose(rotation_from_vector([0.0, np.radians(-28.0), 0.0]), (0.9, 0.0, 0.15))
_CELL = 17
_FROM_ABOVE = (520, RAXEL_ROWS * _CELL)
_ACROSS, _NEAREST = (-1.2, 2.25), -0.17


def draw_raxel_figure() -> Page:
    """The whole picture, 1136 x 266 px."""
    page = Page(1136, 266)
    poses = [np.eye(4), _MOVED]
    pictures = draw_raxels(_CAMERA, poses, (RAXEL_ROWS, RAXEL_COLUMNS))
    with matplotlib.rc_context(FONT):
        page.heading(20, 22, "Two cameras from above", "dots at unit distance")
        axes = page.axes(20, 42, *_FROM_ABOVE)
        for pose, picture, name in zip(poses, pictures, ("source", "moved and turned"), strict=True):
            _draw_from_above(axes, pose, picture, name)
        axes.set(xlim=_ACROSS, ylim=(_NEAREST, _NEAREST + (_ACROSS[1] - _ACROSS[0]) * _FROM_ABOVE[1] / _FROM_ABOVE[0]))
        for column, (picture, name) in enumerate(zip(pictures, ("Raxels of the source", "Of the other"), strict=True)):
            left, tile = 560 + 292 * column, (RAXEL_COLUMNS * _CELL, RAXEL_ROWS * _CELL)
            page.heading(left, 22, name)
            below = page.axes(left, 42, *tile)
            below.imshow(picture, interpolation="nearest", aspect="auto")
            without_frame(below)
    return page


def _draw_from_above(axes: Any, pose: FloatArray, picture: FloatArray, name: str) -> None:
    bearings = _CAMERA.bearings(RAXEL_ROWS, RAXEL_COLUMNS)
    middle = RAXEL_ROWS // 2
    dots = encode_raxels(bearings, pose)[middle]
    centre = pose[:3, 3]
    for dot in dots:
        axes.plot([centre[0], dot[0]], [centre[2], dot[2]], color=MUTED, lw=0.6, alpha=0.6, zorder=1)
    axes.scatter(dots[:, 0], dots[:, 2], c=picture[middle], s=52, zorder=3, edgecolors=TEXT, linewidths=0.4)
    axes.plot(centre[0], centre[2], "o", color=TEXT, ms=5, zorder=4)
    axes.annotate(name, (centre[0], centre[2]), (0, -13), textcoords="offset points", ha="center", color=MUTED)
