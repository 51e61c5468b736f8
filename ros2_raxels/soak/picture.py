"""The picture of a soak: latency, frames, memory and goals over time, with the faults behind all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.soak.faults import FAULTS
from ros2_raxels.soak.record import Record
from ros2_raxels.visualization.drawing import FONT, LINE, MUTED, NIGHT, PANEL, TEXT, TIME

_DPI = 150
_SIZE_IN = (16.0, 11.0)
_LEFT, _WIDTH, _CARDS = 0.055, 0.74, 0.825
_ROWS = {"latency": (0.625, 0.235), "frames": (0.425, 0.17), "memory": (0.25, 0.145), "goals": (0.075, 0.145)}
_BINS, _LEAST_BIN_S = 180, 2.0
_GOOD, _WEAK, _BAD = "#4fd1a5", "#ffb454", "#ff5f6d"
_NODES = ("#3ec6ff", "#c46bff")
_MOST_NAMED = 16
_MB = 1e-6


def draw(record: Record, report: Mapping[str, Any], path: Path) -> None:
    """Write the picture as PNG."""
    with matplotlib.rc_context(FONT):
        figure = Figure(figsize=_SIZE_IN, dpi=_DPI, facecolor=NIGHT)
        rows = {name: _row(figure, record, name, *place) for name, place in _ROWS.items()}
        _title(figure, record, report)
        _name_faults(rows["latency"], record)
        edges = _edges(record.seconds)
        _latency(rows["latency"], record, edges)
        _frames(rows["frames"], record, edges)
        _memory(rows["memory"], record)
        _goals(rows["goals"], record)
        _cards(figure, report)
        FigureCanvasAgg(figure)
        figure.savefig(path, format="png", facecolor=NIGHT, metadata={"Title": "ros2_raxels: soak"})


def _row(figure: Figure, record: Record, name: str, bottom: float, height: float) -> Any:
    axes = figure.add_axes((_LEFT, bottom, _WIDTH, height), facecolor=PANEL)
    axes.set_xlim(0.0, record.seconds / 60)
    axes.tick_params(colors=MUTED, labelsize=9, length=0, labelbottom=name == "goals")
    axes.grid(axis="y", color=LINE, lw=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for event in record.events:
        axes.axvspan(event.begin_s / 60, event.end_s / 60, color=_colour(event.fault.name), alpha=0.20, lw=0)
    return axes


def _colour(fault: str) -> Any:
    names = [known.name for known in FAULTS]
    return TIME(names.index(fault) / (len(names) - 1))


def _title(figure: Figure, record: Record, report: Mapping[str, Any]) -> None:
    figure.text(_LEFT, 0.951, "raxels soak", fontsize=28, fontweight="bold", va="center")
    words = f"{record.seconds / 60:.1f} minutes through real nodes, {len(record.events)} faults"
    figure.text(0.245, 0.949, words, fontsize=15, color=MUTED, va="center")
    verdict, colour = ("BROKEN", _BAD) if report["broken"] else ("ALL WELL", _GOOD)
    figure.text(0.975, 0.951, verdict, fontsize=20, fontweight="bold", color=colour, ha="right", va="center")
    gradient = figure.add_axes((_LEFT, 0.922, 0.975 - _LEFT, 0.0035))
    gradient.imshow(np.linspace(0, 1, 512)[None], aspect="auto", cmap=TIME)
    gradient.set_axis_off()


def _name_faults(axes: Any, record: Record) -> None:
    """Label each band where there is room, otherwise each kind once."""
    above = {"transform": axes.get_xaxis_transform(), "fontsize": 8.5, "va": "bottom", "clip_on": False}
    if len(record.events) <= _MOST_NAMED:
        for event in record.events:
            name, colour = event.fault.name, _colour(event.fault.name)
            axes.text(event.begin_s / 60, 1.02, name, color=colour, rotation=22, rotation_mode="anchor", **above)
        return
    names = [fault.name for fault in FAULTS if any(event.fault == fault for event in record.events)]
    for place, name in enumerate(names):
        x = axes.get_xlim()[1] * place / len(names)
        axes.text(x, 1.05, f"\N{BLACK SQUARE} {name}", color=_colour(name), **above)


def _edges(seconds: float) -> FloatArray:
    width = max(_LEAST_BIN_S, seconds / _BINS)
    return np.arange(0.0, seconds + width, width)


def _middles(edges: FloatArray) -> FloatArray:
    return np.asarray((edges[:-1] + edges[1:]) / 120)


def _latency(axes: Any, record: Record, edges: FloatArray) -> None:
    found = record.latencies()
    axes.set_ylabel("stamp to pose, ms")
    if not len(found):
        return
    at_s, latency_ms = found[:, 0], found[:, 1] * 1e3
    place = np.digitize(at_s, edges) - 1
    bins = [latency_ms[place == k] for k in range(len(edges) - 1)]
    p50, p95 = (np.array([np.percentile(b, q) if len(b) else np.nan for b in bins]) for q in (50, 95))
    top = 1.25 * float(np.percentile(latency_ms, 99))
    axes.scatter(at_s / 60, np.minimum(latency_ms, top), s=3, color=TEXT, alpha=0.10, linewidths=0)
    axes.fill_between(_middles(edges), p50, p95, color=_NODES[0], alpha=0.25, lw=0)
    axes.plot(_middles(edges), p95, color=_NODES[0], lw=1.0, alpha=0.8, label="p95")
    axes.plot(_middles(edges), p50, color=_NODES[0], lw=2.2, label="p50")
    axes.set_ylim(0.0, top)
    _legend(axes)


def _frames(axes: Any, record: Record, edges: FloatArray) -> None:
    """Frame rate, by the fate of the frames."""
    pairs = [(s, record.answer(s)) for s in record.sent]
    kinds = {
        "with a pose": [s.at_s for s, a in pairs if a and a.tracked],
        "answered without": [s.at_s for s, a in pairs if a and not a.tracked],
        "unanswered": [s.at_s for s, a in pairs if s.stamp_ns is not None and not a],
        "not sent": [s.at_s for s, _ in pairs if s.stamp_ns is None],
    }
    width = edges[1] - edges[0]
    rates = [np.histogram(at, edges)[0] / width for at in kinds.values()]
    # The last bin is rarely full.
    parts = axes.stackplot(
        _middles(edges)[:-1], [rate[:-1] for rate in rates], colors=(_GOOD, _WEAK, _BAD, LINE), step="mid", lw=0
    )
    for part, name in zip(parts, kinds, strict=True):
        part.set_label(name)
    axes.set_ylabel("frames a second")
    _legend(axes)


def _memory(axes: Any, record: Record) -> None:
    for colour, (name, samples) in zip(_NODES, record.memory.items(), strict=False):
        if samples:
            at_s, value = np.array(samples, float).T
            axes.plot(at_s / 60, value * _MB, color=colour, lw=1.8, label=name)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("memory, MB")
    _legend(axes)


def _goals(axes: Any, record: Record) -> None:
    axes.set_ylabel("goal to result, s")
    axes.set_xlabel("minutes")
    colours = {"NONE": _GOOD, "rejected": MUTED, "CANCELLED": _NODES[1]}
    for outcome in dict.fromkeys(goal.outcome for goal in record.goals):
        points = np.array([(g.at_s / 60, g.seconds) for g in record.goals if g.outcome == outcome])
        colour = colours.get(outcome, _WEAK)
        axes.vlines(points[:, 0], 0, points[:, 1], color=colour, lw=1.0, alpha=0.5)
        label = "served" if outcome == "NONE" else outcome.lower().replace("_", " ")
        axes.scatter(*points.T, s=16, color=colour, linewidths=0, label=label)
    axes.set_ylim(bottom=0.0)
    _legend(axes)


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[1]:
        legend = axes.legend(loc="upper right", ncols=5, fontsize=9, frameon=True, labelcolor=TEXT)
        legend.get_frame().set(facecolor=NIGHT, edgecolor="none", alpha=0.75)


def _cards(figure: Figure, report: Mapping[str, Any]) -> None:
    """The numbers beside the curves."""
    y = 0.885
    for name, value, small in _numbers(report):
        figure.text(_CARDS, y, name, fontsize=10, color=MUTED, va="top")
        figure.text(_CARDS, y - 0.020, value, fontsize=19, fontweight="bold", va="top")
        figure.text(_CARDS, y - 0.052, small, fontsize=9, color=MUTED, va="top", linespacing=1.5)
        y -= 0.052 + 0.019 * (small.count("\n") + 1) + 0.020


def _numbers(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    frames, goals = report["frames"], report["goals"]["outcomes"]
    served = sum(outcomes.get("NONE", 0) for outcomes in goals.values())
    sent = max(1, frames["sent"])
    numbers = [
        (
            "frames with a pose",
            f"{100 * frames['tracked'] / sent:.1f} %",
            f"of {frames['sent']} sent, {frames['unanswered']} unanswered\n{frames['bad_sent']} bad ones beside them",
        ),
        ("longest without a pose", f"{report['longest_without_pose_s']:.1f} s", "faults left out"),
        *_right_poses(report["poses"]),
        ("goals served", f"{served}", f"of {sum(sum(outcomes.values()) for outcomes in goals.values())} sent"),
    ]
    p50, p95 = report["latency_p50_s"], report["latency_p95_s"]
    if p50 is not None:
        numbers.insert(0, ("stamp to pose", f"{p50 * 1e3:.1f} ms", f"median; p95 {p95 * 1e3:.1f} ms"))
    for name, memory in report["memory"].items():
        slope, highest = memory["slope_mb_per_h"], memory.get("highest_mb")
        if highest is not None:
            trend = "too short for a slope" if slope is None else f"{slope:+.1f} MB an hour after the warm-up"
            numbers.append((f"memory of {name}", f"{memory['last_mb']:.0f} MB", f"{trend}\nat most {highest:.0f} MB"))
    words = f"{len(report['log']['alarms'])} errors in the logs"
    numbers.append(("warnings", f"{sum(report['log']['warnings'].values())}", words))
    return numbers


def _right_poses(poses: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    if not poses["compared"]:
        return []
    wrong = f"of the path's extent, median; p95 {poses['error_p95_percent']:.1f} %\n{poses['wrong']} poses are wrong"
    return [("poses are off by", f"{poses['error_p50_percent']:.1f} %", wrong)]
