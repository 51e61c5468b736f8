"""Charts of a report, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator

_INK, _MUTED, _GRID = "#1d2330", "#667085", "#e4e7ec"
_OURS, _GOOD, _BAD = "#1f6fb2", "#146c3c", "#b3261e"
_OTHERS = ("#d98c1f", "#98a2b3", "#8a5fb0", "#3f9c8f", "#b5547a", "#6b7a3a")
_DPI = 150
_WIDTH_IN = 9.6
_ROW_IN = 0.27

Values = Sequence[float | None]
"""What is not known is None."""


def colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour for each method, ours first; a method keeps its colour in all charts of a report."""
    return {name: _OTHERS[(k - 1) % len(_OTHERS)] if k else _OURS for k, name in enumerate(methods)}


def side_by_side(
    names: Sequence[str],
    panels: Mapping[str, Mapping[str, Values]],
    colour: Mapping[str, str],
    *,
    higher_is_better: bool,
    logarithmic: bool = False,
) -> bytes:
    """A row for each name, a dot for each method; the line from the second method to the first says which is better.

    Args:
        names: of rows.
        panels: by what is measured: values by method, ours first, one for each name.
        colour: by method.
        higher_is_better: else lower is.
        logarithmic: the axis of values.
    """
    figure = Figure(figsize=(_WIDTH_IN, 1.3 + _ROW_IN * len(names)), layout="constrained")
    rows = np.arange(len(names))
    for axes, (title, methods) in zip(_panels(figure, len(panels)), panels.items(), strict=True):
        columns = {name: np.array(values, float) for name, values in methods.items()}
        ours, *others = columns.values()
        if others:
            better = ours > others[0] if higher_is_better else ours < others[0]
            axes.hlines(rows, others[0], ours, colors=list(np.where(better, _GOOD, _BAD)), linewidth=2.2, alpha=0.55)
        for k, (name, values) in enumerate(columns.items()):
            axes.plot(values, rows, "o", ms=5.5 if k else 7, color=colour[name], label=name, zorder=3 if k else 4)
        axes.set_ylim(len(names) - 0.5, -0.5)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter=FormatStrFormatter("%g"))
            axes.minorticks_off()
        axes.set_title(title, loc="left", fontsize=10.5)
        axes.set_yticks(rows, names)
        axes.grid(axis="y", visible=False)
    return _png(figure)


def over_steps(
    panels: Mapping[str, Mapping[str, Mapping[int, float]]], level: Mapping[str, float], colour: Mapping[str, str]
) -> bytes:
    """Lines over the number of denoising steps.

    Args:
        panels: by what is measured: by method, values by number of steps.
        level: by what is measured: of the default.
        colour: by method.
    """
    figure = Figure(figsize=(_WIDTH_IN, 3.4), layout="constrained")
    for axes, (title, methods) in zip(_panels(figure, len(panels)), panels.items(), strict=True):
        axes.axhline(level[title], color=_OURS, linewidth=1.6, linestyle=(0, (4, 2)), label="raxels, the default")
        for name, values in methods.items():
            axes.plot(list(values), list(values.values()), "o-", color=colour[name], linewidth=1.8, label=name)
        steps = sorted({number for values in methods.values() for number in values})
        axes.set(xlabel="denoising steps", ylim=(0, 1), xscale="log")
        axes.set_title(title, loc="left", fontsize=10.5)
        axes.set_xticks(steps, [str(number) for number in steps])
        axes.minorticks_off()
    return _png(figure)


def curves(panels: Mapping[str, tuple[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]]]) -> bytes:
    """Lines over a quantity of each panel.

    Args:
        panels: by title: what lies across, and by name of the line its places across and its values, ms.
    """
    figure = Figure(figsize=(_WIDTH_IN, 3.6), layout="constrained")
    names = list(dict.fromkeys(name for _, lines in panels.values() for name in lines))
    colour = colours(names)
    for axes, (title, (across, lines)) in zip(_panels(figure, len(panels)), panels.items(), strict=True):
        for name, (places, values) in lines.items():
            axes.plot(places, values, "o-", color=colour[name], ms=5, linewidth=1.8, label=name)
        axes.set(xlabel=across, ylabel="ms")
        axes.set_xlim(left=0)
        highest = max(max(values) for _, values in lines.values())
        axes.set_ylim(0, 1.12 * highest)
        axes.set_title(title, loc="left", fontsize=10.5)
    return _png(figure)


def stated_and_true(
    stated: Mapping[str, float], observed: Mapping[str, Mapping[str, float]], colour: Mapping[str, str]
) -> bytes:
    """A group of bars for each statement, a bar for each method, and a line where a calibrated one would end.

    Args:
        stated: share by statement, 0 to 1.
        observed: by method, share by statement.
        colour: by method.
    """
    figure = Figure(figsize=(_WIDTH_IN, 3.1), layout="constrained")
    (axes,) = _panels(figure, 1)
    thickness = 0.7 / len(observed)
    for k, (name, values) in enumerate(observed.items()):
        at = np.arange(len(stated)) + (k - (len(observed) - 1) / 2) * thickness
        shares = [100 * values[statement] for statement in stated]
        axes.bar(at, shares, 0.92 * thickness, color=colour[name], label=name)
        for x, share in zip(at, shares, strict=True):
            axes.text(x, 3, f"{share:.0f}", ha="center", fontsize=9.5, color="white")
    for k, share in enumerate(stated.values()):
        label = None if k else "as stated"
        axes.hlines(100 * share, k - 0.46, k + 0.46, colors=_INK, linestyles=(0, (3, 2)), linewidth=1.4, label=label)
    axes.set(ylim=(0, 104), ylabel="truth inside, %", yticks=range(0, 101, 25))
    axes.set_xticks(range(len(stated)), list(stated))
    axes.grid(axis="x", visible=False)
    return _png(figure)


def stated_and_seen(
    stated: Sequence[float], observed: Sequence[float], counts: Sequence[int], what: str, of: str = "view"
) -> bytes:
    """A dot for each group of statements, and the line on which calibrated ones lie.

    Args:
        stated: mean probability of each group, 0 to 1.
        observed: share of each group in which the event occurred.
        counts: number of statements in each group.
        what: the event whose probability was stated.
        of: what statements were made about, one of them.
    """
    figure = Figure(figsize=(_WIDTH_IN, 3.6), layout="constrained")
    (axes,) = _panels(figure, 1)
    x, y = 100 * np.array(stated), 100 * np.array(observed)
    axes.plot([0, 100], [0, 100], color=_INK, linestyle=(0, (3, 2)), linewidth=1.4, label="as stated")
    axes.plot(x, y, "o-", color=_OURS, ms=7, linewidth=1.8, label="raxels")
    for across, up, count in zip(x, y, counts, strict=True):
        axes.annotate(
            f"{count} {of}{'s' * (count > 1)}", (across, up), (8, -12), textcoords="offset points", fontsize=9.5
        )
    axes.set(xlim=(-2, 104), ylim=(-14, 104), xlabel="stated confidence, %", ylabel=f"{what}, %")
    axes.set(xticks=range(0, 101, 20), yticks=range(0, 101, 25))
    return _png(figure)


def regions(stated: Sequence[float], observed: Mapping[str, Sequence[float]]) -> bytes:
    """A line for each kind of region, and the one on which calibrated ones lie.

    Args:
        stated: probability of each region, 0 to 1.
        observed: by kind, share of the truths that lie in each.
    """
    figure = Figure(figsize=(_WIDTH_IN, 3.6), layout="constrained")
    (axes,) = _panels(figure, 1)
    axes.plot([0, 100], [0, 100], color=_INK, linestyle=(0, (3, 2)), linewidth=1.4, label="as stated")
    colour = colours(list(observed))
    for name, values in observed.items():
        axes.plot(100 * np.array(stated), 100 * np.array(values), "o-", color=colour[name], ms=5, label=name)
    axes.set(xlim=(-2, 104), ylim=(-2, 104), xlabel="stated probability, %", ylabel="truth inside, %")
    axes.set(xticks=range(0, 101, 20), yticks=range(0, 101, 25))
    return _png(figure)


def _panels(figure: Figure, count: int) -> list[Any]:
    panels = list(figure.subplots(1, count, sharey=True, squeeze=False)[0])
    for axes in panels:
        axes.grid(color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(colors=_MUTED, labelcolor=_INK, length=0)
    return panels


def _png(figure: Figure) -> bytes:
    """Draw one legend for all panels above them, and encode."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        # Makes room for the legend, which the layout does not see.
        figure.suptitle(" ", fontsize=15)
        figure.legend(handles, labels, loc="upper left", ncol=len(labels), frameon=False, fontsize=9.5)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()
