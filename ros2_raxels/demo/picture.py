"""The picture: the estimated path and the true one, a film strip with raxels of the same frames, and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ros2_raxels.demo.summary import Shown, Summary
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.visualization.drawing import (
    DOTTED,
    FONT,
    LINE,
    MUTED,
    NIGHT,
    PANEL,
    TEXT,
    TIME,
    TRUTH,
    add_panel,
    draw_camera,
    draw_coloured_line,
    draw_isolines,
    draw_path,
    draw_raxels_of,
    draw_region,
    fit,
    flat,
    show_image,
    without_frame,
)

_SHOTS = (3, 10)
_SHOT_GAP, _SHOT_HEIGHT = 0.006, 0.172
_DPI = 150
_SIZE_IN = (16.0, 10.6)
_LEFT, _RIGHT = 0.03, 0.97


def draw(summary: Summary, path: Path) -> None:
    """Write the picture as PNG, 2400 x 1590 px.

    Raises:
        ValueError: there is no pose.
    """
    if not summary.indices:
        raise ValueError(f"none of the {summary.played} frames has a pose: there is no path to draw")
    with matplotlib.rc_context(FONT):
        figure = Figure(figsize=_SIZE_IN, dpi=_DPI, facecolor=NIGHT)
        shots = _choose_shots(summary)
        _title(figure, summary)
        _path_panel(figure, summary, shots)
        _cards(figure, summary)
        _curves(figure, summary)
        _strip(figure, summary, shots)
        FigureCanvasAgg(figure)
        figure.savefig(
            path, format="png", facecolor=NIGHT, metadata={"Title": f"ros2_raxels: {summary.recording.name}"}
        )


def _choose_shots(summary: Summary) -> list[int]:
    """Indices of poses: evenly spread, and of frames whose image was kept if there are enough."""
    kept = [k for k, index in enumerate(summary.indices) if index in summary.recording.images]
    count = _columns(summary.recording.shown)
    pool = kept if len(kept) >= min(count, len(summary.indices)) else list(range(len(summary.indices)))
    spread = np.linspace(0, len(pool) - 1, min(count, len(pool)))
    return [pool[round(float(k))] for k in spread]


def _aspect(shown: Sequence[Shown]) -> float:
    """Aspect ratio of the images of a moment, side by side, in figure coordinates."""
    wide = sum(one.camera.width / one.camera.height for one in shown)
    return wide * _SIZE_IN[1] / _SIZE_IN[0]


def _columns(shown: Sequence[Shown]) -> int:
    """Number of moments that fill the strip."""
    return int(np.clip(round((_RIGHT - _LEFT) / (_SHOT_HEIGHT * _aspect(shown) + _SHOT_GAP)), *_SHOTS))


def _colours(summary: Summary, places: list[int] | slice = slice(None)) -> FloatArray:
    """RGBA by time, (K, 4)."""
    at = np.array(summary.indices, float)[places] / max(1, summary.played - 1)
    return np.asarray(TIME(at))


def _title(figure: Figure, summary: Summary) -> None:
    figure.text(0.03, 0.938, "ros2_raxels", fontsize=30, fontweight="bold", va="center")
    count = len(summary.recording.shown)
    words = "camera poses from one camera" if count == 1 else f"poses of a robot from {count} cameras"
    figure.text(0.212, 0.9355, f"{words}, live over ROS 2", fontsize=15, color=MUTED, va="center")
    right = f"{summary.recording.name}   ·   {summary.played} frames"
    figure.text(0.97, 0.9355, right, fontsize=13, color=MUTED, ha="right", va="center")
    gradient = figure.add_axes((0.03, 0.898, 0.94, 0.0035))
    gradient.imshow(np.linspace(0, 1, 512)[None], aspect="auto", cmap=TIME)
    gradient.set_axis_off()


# ------------------------------------------------------------------------------------------------------------ path


def _path_panel(figure: Figure, summary: Summary, shots: list[int]) -> None:
    place = (_LEFT, 0.432, 0.60, 0.452)
    axes = add_panel(figure, *place)
    estimate, truth = summary.drawn()
    path = draw_path(axes, estimate[:, :3, 3], _colours(summary), None if truth is None else truth[:, :3, 3])
    covariance = summary.drawn_covariance()
    reach = [path.reach]
    for shot, colour in zip(shots, _colours(summary, shots), strict=True):
        if np.isfinite(covariance[shot]).all():
            draw_region(axes, estimate[shot, :3, 3], covariance[shot])
        size = 0.13 * path.extent
        for one in summary.recording.shown:
            pose = estimate[shot] @ one.mount
            draw_camera(axes, one.camera, pose, size, colour)
            axes.plot(*flat(np.array([estimate[shot, :3, 3], pose[:3, 3]])).T, color=colour, lw=0.8, alpha=0.55)
            reach.append(flat(pose[:3, 3] + size * np.concatenate([np.eye(3), -np.eye(3)])))
        plumb = np.array([estimate[shot, :3, 3], path.shadow[shot]])
        axes.plot(*flat(plumb).T, color=colour, lw=0.8, alpha=0.55, zorder=2)
    # A little to the right, clear of the legend.
    fit(axes, np.concatenate(reach), place[2] * _SIZE_IN[0] / (place[3] * _SIZE_IN[1]), aside=0.05)
    _path_legend(axes, summary, bool(np.isfinite(covariance[shots]).any()))


def _path_legend(axes: Any, summary: Summary, has_regions: bool) -> None:
    axes.text(0.022, 0.945, "Trajectory", transform=axes.transAxes, fontsize=14, fontweight="bold", va="center")
    place = {"transform": axes.transAxes, "zorder": 9}
    steps = np.linspace(0.024, 0.074, 30)
    draw_coloured_line(axes, np.column_stack([steps, np.full(30, 0.885)]), TIME(np.linspace(0, 1, 30)), lw=4, **place)
    axes.text(0.085, 0.885, "estimate, first to last frame", color=MUTED, fontsize=11, va="center", **place)
    if summary.drawn()[1] is not None:
        axes.plot(
            [0.024, 0.074],
            [0.835, 0.835],
            color=TRUTH,
            lw=1.3,
            ls=DOTTED,
            scalex=False,
            scaley=False,
            **place,
        )
        axes.text(0.085, 0.835, "truth", color=MUTED, fontsize=11, va="center", **place)
    if has_regions:
        what = "camera" if summary.recording.rig is None else "robot"
        words = f"rings: where the {what} is with 95 %, by the covariance of its pose"
        axes.text(0.024, 0.055, words, color=MUTED, fontsize=11, va="center", **place)


# --------------------------------------------------------------------------------------------------------- numbers


def _cards(figure: Figure, summary: Summary) -> None:
    for k, (title, value, unit, note) in enumerate(_card_texts(summary)):
        column, row = k % 2, k // 2
        left, bottom = 0.645 + column * 0.165, 0.769 - row * 0.128
        axes = add_panel(figure, left, bottom, 0.16, 0.115)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.text(0.08, 0.82, title, fontsize=11, color=MUTED, va="center")
        number = axes.text(0.08, 0.47, value, fontsize=27, fontweight="bold", va="center")
        axes.annotate(
            unit,
            (1, 0.5),
            xycoords=number,
            xytext=(6, -3),
            textcoords="offset points",
            fontsize=13,
            color=TEXT,
            va="center",
        )
        axes.text(0.08, 0.14, note, fontsize=10, color=MUTED, va="center")


def _card_texts(summary: Summary) -> list[tuple[str, str, str, str]]:
    """Title, number, unit and remark of each card."""
    cards: list[tuple[str, str, str, str]] = []
    error, latency = summary.error, summary.latency_percentiles_s
    if error:
        is_metric = summary.recording.unit == "m"
        value, unit = (
            (f"{error.translation_rmse * 100:.1f}", "cm") if is_metric else (f"{error.translation_rmse:.3g}", "units")
        )
        length = f"{error.path_length:.1f} m" if is_metric else f"{error.path_length:.3g} units"
        cards.append(
            ("Position error, ATE", value, unit, f"{error.translation_percent:.2f} % of {length}, after Sim(3)")
        )
        cards.append(("Rotation error", f"{summary.rotation_rmse_deg:.2f}", "deg", "RMSE over all poses"))
    if latency:
        cards.append(("Stamp to pose", f"{latency[0] * 1e3:.0f}", "ms", f"median; p95 {latency[1] * 1e3:.0f} ms"))
    cards.append(
        ("Frames with a pose", f"{100 * summary.coverage:.0f}", "%", f"{len(summary.indices)} of {summary.played}")
    )
    share = 100 * summary.delivered / summary.played
    cards.append(("Frames delivered", f"{share:.0f}", "%", f"{summary.delivered} of {summary.played}"))
    if np.isfinite(summary.confidence).any():
        sure = float(np.nanmedian(summary.confidence))
        cards.append(("Confidence", f"{sure:.2f}", "", "median; 0 is a guess, 1 is certain"))
    return cards[:4]


def _curves(figure: Figure, summary: Summary) -> None:
    """Curves over time, below the cards."""
    time_s = _times_s(summary)
    panels: list[tuple[str, FloatArray]] = []
    if summary.error is not None:
        is_metric = summary.recording.unit == "m"
        panels.append(
            (
                "position error, cm" if is_metric else "position error, units",
                summary.error.translation * (100 if is_metric else 1),
            )
        )
    if len(summary.latency_s):
        panels.append(("stamp to pose, ms", summary.latency_s * 1e3))
    if len(panels) < 2:
        panels.append(("confidence", summary.confidence))
    for k, (name, values) in enumerate(panels[:2]):
        axes = figure.add_axes((0.645 + 0.165 * k, 0.432, 0.16, 0.196), facecolor=PANEL)
        _curve(axes, name, time_s, values, _colours(summary))


def _times_s(summary: Summary) -> FloatArray:
    stamps = summary.recording.stamps_ns
    if not stamps:
        return np.array(summary.indices, float)
    return np.array([(stamps[i] - stamps[0]) * 1e-9 for i in summary.indices])


def _curve(axes: Any, name: str, x: FloatArray, y: FloatArray, colours: FloatArray) -> None:
    axes.fill_between(x, y, color="white", alpha=0.04, lw=0)
    draw_coloured_line(axes, np.column_stack([x, y]), colours, lw=1.8)
    top = float(np.nanmax(y, initial=0.0)) or 1.0
    span = max(float(x[-1] - x[0]), 1e-9)
    axes.set(xlim=(x[0] - 0.13 * span, x[-1] + 0.06 * span), ylim=(-0.08 * top, 1.45 * top))
    axes.text(0.08, 0.88, name, transform=axes.transAxes, fontsize=11, color=MUTED, va="center")
    for level in (0.0, _nice(top)):
        axes.axhline(level, xmin=0.13, xmax=0.95, color=LINE, lw=0.8, zorder=0)
        axes.text(x[0] - 0.02 * span, level, f"{level:g}", fontsize=9, color=MUTED, ha="right", va="center")
    without_frame(axes)


def _nice(value: float) -> float:
    """A round number not far below a value."""
    magnitude = 10 ** np.floor(np.log10(value))
    return float(max(step for step in (1, 2, 5) if step * magnitude <= value) * magnitude)


# ----------------------------------------------------------------------------------------------------------- strip


def _strip(figure: Figure, summary: Summary, shots: list[int]) -> None:
    """Frames above, the raxels of the same frames below; those of all cameras of a rig side by side."""
    shown = summary.recording.shown
    raxels = _raxels(summary, shots)
    colours = _colours(summary, shots)
    top, slot = 0.403, (_RIGHT - _LEFT + _SHOT_GAP) / _columns(shown)
    width = min(slot - _SHOT_GAP, _SHOT_HEIGHT * _aspect(shown))
    height = width / _aspect(shown)
    for k, (shot, colour) in enumerate(zip(shots, colours, strict=True)):
        x = _LEFT + k * slot + (slot - _SHOT_GAP - width) / 2
        index = summary.indices[shot]
        images = summary.recording.images.get(index) or [np.full((3, 4, 3), 30, np.uint8)] * len(shown)
        for one, image, picture in zip(shown, images, raxels[k], strict=True):
            wide = height * _aspect([one])
            frame = figure.add_axes((x, top - height, wide, height))
            below = figure.add_axes((x, top - 2 * height - 0.008, wide, height))
            show_image(frame, image, colour)
            show_image(below, picture, colour)
            draw_isolines(below, picture)
            _label(frame, f"{_moment(summary, index)}   {one.name}".rstrip() if one is shown[0] else one.name)
            x += wide
    figure.text(0.03, 0.022, _strip_words(shown), fontsize=10.5, color=MUTED, va="center")


def _raxels(summary: Summary, shots: list[int]) -> list[list[FloatArray]]:
    """Pictures of the raxels of all cameras for each shot, in the frame of the first camera at the first one."""
    shown, poses = summary.recording.shown, summary.drawn()[0]
    pictures = iter(draw_raxels_of([(one.camera, poses[shot] @ one.mount) for shot in shots for one in shown]))
    return [[next(pictures) for _ in shown] for _ in shots]


def _label(axes: Any, text: str) -> None:
    box = {"boxstyle": "round,pad=0.25", "facecolor": (0, 0, 0, 0.55), "edgecolor": "none"}
    axes.text(0.035, 0.93, text, transform=axes.transAxes, fontsize=9.5, va="top", bbox=box)


def _strip_words(shown: Sequence[Shown]) -> str:
    names = ", ".join(one.name for one in shown)
    saw = "what the camera saw" if len(shown) == 1 else f"what the cameras saw ({names})"
    whose = "its" if len(shown) == 1 else "their"
    return (
        f"Above: {saw}. Below: {whose} raxels — every pixel shows the point at unit distance along its ray, in the "
        "frame of the first camera (red forward x, green left y, blue up z)."
    )


def _moment(summary: Summary, index: int) -> str:
    stamps = summary.recording.stamps_ns
    return f"{(stamps[index] - stamps[0]) * 1e-9:.1f} s" if stamps else f"frame {index}"
