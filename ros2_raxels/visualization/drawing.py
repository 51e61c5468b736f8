"""What all pictures of the project have in common: colours, a path without perspective, cameras, raxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, inverse_pose
from ros2_raxels.geometry.raxels import encode_raxels

NIGHT, PANEL, LINE = "#0e1420", "#151d2c", "#27324a"
TEXT, MUTED, TRUTH = "#eef2f8", "#8b98b0", "#f5f7fb"
TIME = LinearSegmentedColormap.from_list("time", ["#3ec6ff", "#6f8cff", "#c46bff", "#ff5f9e", "#ffb454"])
FONT: Any = {"font.family": "DejaVu Sans", "font.size": 11, "text.color": TEXT, "axes.labelcolor": MUTED}
DOTTED: Any = (0, (1.5, 2.5))

_RAXEL_HEIGHT_PX = 240

# Paths are drawn without perspective, seen from behind, above and a little to the right of the first camera.
_TURN_RAD, _TILT_RAD = np.radians(-62.0), np.radians(38.0)


def add_panel(figure: Any, left: float, bottom: float, width: float, height: float) -> Any:
    """Axes without ticks or frame, lengths in parts of the figure."""
    axes = figure.add_axes((left, bottom, width, height), facecolor=PANEL)
    without_frame(axes)
    return axes


def without_frame(axes: Any) -> None:
    """Neither ticks nor spines."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def show_image(axes: Any, image: Any, colour: Any) -> None:
    """An image that fills its axes, underlined with a colour."""
    axes.imshow(image, aspect="auto", interpolation="lanczos")
    without_frame(axes)
    axes.spines["bottom"].set(visible=True, color=colour, linewidth=3)


# ------------------------------------------------------------------------------------------------------------ path


def flat(points: FloatArray) -> FloatArray:
    """Points (..., 3) of a z-up world on the paper (..., 2)."""
    x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
    right = np.cos(_TURN_RAD) * x - np.sin(_TURN_RAD) * y
    away = np.sin(_TURN_RAD) * x + np.cos(_TURN_RAD) * y
    # Mirrored, because y points to the left of the first camera.
    return np.stack([-right, -away * np.sin(_TILT_RAD) + z * np.cos(_TILT_RAD)], axis=-1)


@dataclass(frozen=True, eq=False)
class DrawnPath:
    """What else may be drawn beside a path, or must find room.

    Attributes:
        extent: longest side of the box around it.
        shadow: (N, 3) on the floor.
        reach: (M, 2) on the paper, with cameras along it.
    """

    extent: float
    shadow: FloatArray
    reach: FloatArray


def draw_path(axes: Any, positions: FloatArray, colours: FloatArray, truth: FloatArray | None) -> DrawnPath:
    """Positions (N, 3) of a z-up world with their colours, over their shadow on a floor; the truth dotted."""
    every = positions if truth is None else np.concatenate([positions, truth])
    extent = float(np.ptp(every, axis=0).max()) or 1.0
    floor = float(every[:, 2].min()) - 0.22 * extent
    draw_floor(axes, every, floor, extent)
    shadow = positions * (1, 1, 0) + (0, 0, floor)
    axes.plot(*flat(shadow).T, color="black", alpha=0.35, lw=5, solid_capstyle="round", zorder=2)
    if truth is not None:
        axes.plot(*flat(truth).T, color=TRUTH, lw=1.3, ls=DOTTED, zorder=6)
    draw_coloured_line(axes, flat(positions), colours, lw=4, zorder=5)
    axes.scatter(*flat(positions).T, c=colours, s=9, zorder=5, linewidths=0)
    around = [flat(every + offset) for offset in (-0.1 * extent, 0.1 * extent)]
    return DrawnPath(extent, shadow, np.concatenate([*around, flat(shadow)]))


def fit(axes: Any, points: FloatArray, shape: float, aside: float = 0.0) -> None:
    """Show all of the points (N, 2) at one scale for both axes.

    Args:
        axes: to show them in.
        points: on the paper.
        shape: width over height of the axes.
        aside: how far to the right, in parts of the width; room for a legend.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    height = 1.12 * max(high[1] - low[1], (high[0] - low[0]) / ((0.96 - 2 * aside) * shape))
    centre = (low + high) / 2 - (aside * shape * height, 0)
    axes.set_xlim(centre[0] - shape * height / 2, centre[0] + shape * height / 2)
    axes.set_ylim(centre[1] - height / 2, centre[1] + height / 2)


def draw_coloured_line(axes: Any, points: FloatArray, colours: FloatArray, **style: Any) -> None:
    """A line through points (N, 2) that changes its colour along the way."""
    pieces: Any = np.stack([points[:-1], points[1:]], axis=1)
    axes.add_collection(LineCollection(pieces, colors=colours[:-1], capstyle="round", **style), autolim=False)


def draw_floor(axes: Any, points: FloatArray, height: float, extent: float) -> None:
    """A grid below points (N, 3) of a z-up world."""
    step = 10 ** np.floor(np.log10(extent)) / 4
    step *= 2 if extent / step > 10 else 1
    low = np.floor((points[:, :2].min(axis=0) - 0.7 * extent) / step) * step
    high = np.ceil((points[:, :2].max(axis=0) + 0.7 * extent) / step) * step
    for axis in (0, 1):
        for value in np.arange(low[axis], high[axis] + step / 2, step):
            ends = np.full((2, 3), height)
            ends[:, axis], ends[:, 1 - axis] = value, (low[1 - axis], high[1 - axis])
            axes.plot(*flat(ends).T, color=LINE, lw=0.8, zorder=1)


def draw_camera(axes: Any, camera: PinholeCamera, pose: FloatArray, size: float, colour: Any) -> None:
    """A pyramid with the camera's field of view at a pose (4x4) of a z-up world."""
    corners = np.array([[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]]) - 0.5
    rays = np.column_stack([camera.normalise(corners), np.ones(4)])
    rays *= size / np.abs(rays[:, 0]).max() * 0.7
    tip, base = flat(pose[:3, 3]), flat(rays @ pose[:3, :3].T + pose[:3, 3])
    sides = [np.array([tip, base[k], base[(k + 1) % 4]]) for k in range(4)]
    axes.add_collection(PolyCollection(sides, facecolors=(*colour[:3], 0.10), edgecolors=colour, lw=1.1, zorder=7))
    axes.add_collection(PolyCollection([base], facecolors=(*colour[:3], 0.22), edgecolors=colour, lw=1.5, zorder=7))


# ---------------------------------------------------------------------------------------------------------- raxels


def draw_raxels(
    camera: PinholeCamera, poses: Sequence[FloatArray], grid: tuple[int, int] | None = None
) -> list[FloatArray]:
    """RGB pictures (H, W, 3), 0 to 1, of the raxels of a camera at some poses (4x4), in the frame of the first.

    Red is forward x, green left y, blue up z. One scale for all, so that equal colours are equal points.

    Args:
        camera: of all poses.
        poses: camera_to_world.
        grid: rows and columns; None takes enough for a smooth picture.
    """
    rows = min(_RAXEL_HEIGHT_PX, camera.height)
    bearings = camera.bearings(*(grid or (rows, max(1, round(rows * camera.width / camera.height)))))
    to_first = inverse_pose(poses[0])
    raxels = [encode_raxels(bearings, to_first @ pose) @ OPTICAL_TO_BODY[:3, :3].T for pose in poses]
    everything = np.concatenate([r.reshape(-1, 3) for r in raxels])
    low, high = np.percentile(everything, (0.5, 99.5), axis=0)
    return [np.clip((r - low) / np.maximum(high - low, 1e-9), 0, 1) * 0.86 + 0.07 for r in raxels]


def draw_isolines(axes: Any, picture: FloatArray) -> None:
    """Thin lines of equal left and up, so that turning and moving can be seen and not only felt."""
    for channel in (1, 2):
        axes.contour(picture[..., channel], levels=np.linspace(0, 1, 13), colors="white", linewidths=0.55, alpha=0.5)
