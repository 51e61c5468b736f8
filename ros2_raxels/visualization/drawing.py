"""What the project's figures share: colours, panels, paths and cameras in a parallel projection, raxels as images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Ellipse

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, inverse_pose
from ros2_raxels.geometry.raxels import encode_raxels

NIGHT, PANEL, LINE = "#0e1420", "#151d2c", "#27324a"
TEXT, MUTED, TRUTH = "#eef2f8", "#8b98b0", "#f5f7fb"
TIME = LinearSegmentedColormap.from_list("time", ["#3ec6ff", "#6f8cff", "#c46bff", "#ff5f9e", "#ffb454"])
FONT: Any = {"font.family": "DejaVu Sans", "font.size": 11, "text.color": TEXT, "axes.labelcolor": MUTED}
DOTTED: Any = (0, (1.5, 2.5))

_RAXEL_HEIGHT_PX = 240
_CHI2_95 = 5.991
"""Of two degrees of freedom."""

_NEAREST = 1e-3
"""Depth below which none is told apart, in the unit of the depths."""

# Paths are drawn in a parallel projection, seen from behind, above and a little to the right of the first camera.
_TURN_RAD, _TILT_RAD = np.radians(-62.0), np.radians(38.0)


def add_panel(figure: Any, left: float, bottom: float, width: float, height: float) -> Any:
    """Axes without ticks or frame; position and size are shares of the figure's."""
    axes = figure.add_axes((left, bottom, width, height), facecolor=PANEL)
    without_frame(axes)
    return axes


def without_frame(axes: Any) -> None:
    """Remove ticks and spines."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def show_image(axes: Any, image: Any, colour: Any) -> None:
    """Show an image (H, W, 3) that fills its axes, underlined with a colour."""
    axes.imshow(image, aspect="auto", interpolation="lanczos")
    without_frame(axes)
    axes.spines["bottom"].set(visible=True, color=colour, linewidth=3)


# ------------------------------------------------------------------------------------------------------------ path


def flat(points: FloatArray) -> FloatArray:
    """Points (..., 3) of a z-up world projected onto the figure (..., 2), right and up."""
    x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
    right = np.cos(_TURN_RAD) * x - np.sin(_TURN_RAD) * y
    away = np.sin(_TURN_RAD) * x + np.cos(_TURN_RAD) * y
    # Mirrored, because y points to the left of the first camera.
    return np.stack([-right, -away * np.sin(_TILT_RAD) + z * np.cos(_TILT_RAD)], axis=-1)


@dataclass(frozen=True, eq=False)
class DrawnPath:
    """A drawn path: what is needed to draw cameras along it and to fit the axes.

    Attributes:
        extent: longest side of the box around path and truth.
        shadow: (N, 3) of the path on the floor.
        reach: (M, 2) points of the figure that must be visible, with room for cameras along the path.
    """

    extent: float
    shadow: FloatArray
    reach: FloatArray


def draw_path(axes: Any, positions: FloatArray, colours: FloatArray, truth: FloatArray | None) -> DrawnPath:
    """Draw positions (N, 3) of a z-up world in colours (N, 4) over their shadow on a floor; the truth (N, 3) dotted."""
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
    """Set the limits of axes so that all points are visible, at the same scale for both.

    Args:
        axes: whose limits are set.
        points: (N, 2) of the figure.
        shape: width over height of the axes.
        aside: how far to move the points to the right, as a share of the width; leaves room for a legend.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    height = 1.12 * max(high[1] - low[1], (high[0] - low[0]) / ((0.96 - 2 * aside) * shape))
    centre = (low + high) / 2 - (aside * shape * height, 0)
    axes.set_xlim(centre[0] - shape * height / 2, centre[0] + shape * height / 2)
    axes.set_ylim(centre[1] - height / 2, centre[1] + height / 2)


def draw_coloured_line(axes: Any, points: FloatArray, colours: FloatArray, **style: Any) -> None:
    """Draw a line through points (N, 2); each piece has the colour, one of (N, 4), of the point where it starts."""
    pieces: Any = np.stack([points[:-1], points[1:]], axis=1)
    axes.add_collection(LineCollection(pieces, colors=colours[:-1], capstyle="round", **style), autolim=False)


def draw_floor(axes: Any, points: FloatArray, height: float, extent: float) -> None:
    """Draw a grid at a height of a z-up world, around points (N, 3) of this extent."""
    step = 10 ** np.floor(np.log10(extent)) / 4
    step *= 2 if extent / step > 10 else 1
    low = np.floor((points[:, :2].min(axis=0) - 0.7 * extent) / step) * step
    high = np.ceil((points[:, :2].max(axis=0) + 0.7 * extent) / step) * step
    for axis in (0, 1):
        for value in np.arange(low[axis], high[axis] + step / 2, step):
            ends = np.full((2, 3), height)
            ends[:, axis], ends[:, 1 - axis] = value, (low[1 - axis], high[1 - axis])
            axes.plot(*flat(ends).T, color=LINE, lw=0.8, zorder=1)


def draw_camera(axes: Any, camera: Camera, pose: FloatArray, size: float, colour: Any) -> None:
    """Draw the pyramid of a camera's field of view.

    Args:
        axes: to draw in.
        camera: whose field of view is shown.
        pose: 4x4, from the optical frame to a z-up world.
        size: of the pyramid, in the unit of the world: its base is 1.4 times as wide.
        colour: RGBA, 0 to 1.
    """
    flat_camera = camera if camera.is_flat else camera.pinhole
    corners = np.array([[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]]) - 0.5
    rays = flat_camera.rays(corners)
    rays *= size / np.abs(rays[:, 0]).max() * 0.7
    tip, base = flat(pose[:3, 3]), flat(rays @ pose[:3, :3].T + pose[:3, 3])
    sides = [np.array([tip, base[k], base[(k + 1) % 4]]) for k in range(4)]
    axes.add_collection(PolyCollection(sides, facecolors=(*colour[:3], 0.10), edgecolors=colour, lw=1.1, zorder=7))
    axes.add_collection(PolyCollection([base], facecolors=(*colour[:3], 0.22), edgecolors=colour, lw=1.5, zorder=7))


def draw_region(axes: Any, position: FloatArray, covariance: FloatArray) -> None:
    """Draw where a position is with 95 %, as far as the projection shows it.

    Args:
        axes: to draw in.
        position: (3,) in a z-up world.
        covariance: (3, 3) of it, in the axes of the world.
    """
    projection = np.stack([flat(axis) for axis in np.eye(3)], axis=1)
    variances, directions = np.linalg.eigh(projection @ covariance @ projection.T)
    small, large = 2.0 * np.sqrt(_CHI2_95 * np.maximum(variances, 0.0))
    angle_deg = float(np.degrees(np.arctan2(directions[1, 1], directions[0, 1])))
    style: Any = {"facecolor": (1.0, 1.0, 1.0, 0.18), "edgecolor": "white", "lw": 0.9, "zorder": 6}
    axes.add_patch(Ellipse(tuple(flat(position)), large, small, angle=angle_deg, **style))


def depth_picture(depth: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) RGB colours of depths (H, W): near is bright, far is dark; infinite depths are the darkest."""
    nearness = 1.0 / np.maximum(depth, _NEAREST)
    most = float(np.quantile(nearness, 0.98)) or 1.0
    return np.asarray(colormaps["magma"](np.clip(nearness / most, 0.0, 1.0))[..., :3] * 255, np.uint8)


# ---------------------------------------------------------------------------------------------------------- raxels


def draw_raxels(camera: Camera, poses: Sequence[FloatArray], grid: tuple[int, int] | None = None) -> list[FloatArray]:
    """Images of a camera's raxels at some poses, in the frame of the first: (H, W, 3) RGB, 0 to 1.

    Red is x, forward; green is y, left; blue is z, up. All images have one scale: equal colours are equal points.

    Args:
        camera: at all poses.
        poses: 4x4 camera_to_world, optical frames.
        grid: rows and columns; None takes enough for a smooth image.
    """
    return draw_raxels_of([(camera, pose) for pose in poses], grid)


def draw_raxels_of(posed: Sequence[tuple[Camera, FloatArray]], grid: tuple[int, int] | None = None) -> list[FloatArray]:
    """`draw_raxels` of several cameras, each with its camera_to_world (4x4), in the frame of the first."""
    bearings = {camera: _bearings(camera, grid) for camera, _ in posed}
    to_first = inverse_pose(posed[0][1])
    raxels = [encode_raxels(bearings[camera], to_first @ pose) @ OPTICAL_TO_BODY[:3, :3].T for camera, pose in posed]
    everything = np.concatenate([r.reshape(-1, 3) for r in raxels])
    low, high = np.nanpercentile(everything, (0.5, 99.5), axis=0)
    shades = [np.clip((r - low) / np.maximum(high - low, 1e-9), 0, 1) * 0.86 + 0.07 for r in raxels]
    # White, as the page, where the lens sees nothing.
    return [np.nan_to_num(shade, nan=1.0) for shade in shades]


def _bearings(camera: Camera, grid: tuple[int, int] | None) -> FloatArray:
    rows = min(_RAXEL_HEIGHT_PX, camera.height)
    return camera.bearings(*(grid or (rows, max(1, round(rows * camera.width / camera.height)))))


def draw_isolines(axes: Any, picture: FloatArray) -> None:
    """Draw contour lines of green and blue on an image of raxels, which make rotation and motion visible."""
    for channel in (1, 2):
        axes.contour(picture[..., channel], levels=np.linspace(0, 1, 13), colors="white", linewidths=0.55, alpha=0.5)
