"""The report of ``raxels evaluate``: sections for terminal and page, from the record in ``report.json``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ros2_raxels.evaluation.clips import variants
from ros2_raxels.evaluation.clips.peers import TwoViewPeer
from ros2_raxels.evaluation.report import charts
from ros2_raxels.evaluation.report.page import Card, Grid, Mark, Picture, Section, page
from ros2_raxels.evaluation.report.tables import Table
from ros2_raxels.evaluation.tracks.track_scores import UNKNOWN, TrackScore, accuracy_table, time_table
from ros2_raxels.evaluation.views.report import view_sections
from ros2_raxels.utils.files import replacing, write_json

_MEAN = "mean over sets"
_SIDE_BY_SIDE = 3
"""Methods that share the cells of a table; further ones are in the table of means alone."""

_FEWEST_DRAWN = 2
"""Fewer rows are not worth a chart."""

Record = Mapping[str, Any]
"""As JSON holds it."""


@dataclass(frozen=True)
class _Number:
    """A number of a score: its displayed name, its key in the record, its format, and which way is better."""

    name: str
    key: str
    form: str
    higher_is_better: bool = True

    def of(self, score: Record) -> str:
        """As it is shown."""
        return format(score[self.key], self.form)

    def mark(self, own: Record, other: Record) -> Mark:
        """Whether it is better than another's."""
        return Mark.of(self.of(own), self.of(other), self.higher_is_better)


_AUC5, _AUC30 = _Number("AUC@5", "auc5", ".3f"), _Number("AUC@30", "auc30", ".3f")
_ROTATION = _Number("rotation deg", "rot_med_deg", ".2f", higher_is_better=False)
_DIRECTION = _Number("direction deg", "dir_med_deg", ".1f", higher_is_better=False)
_LISTED = (
    _AUC5,
    _AUC30,
    _Number("RRA@5", "rra5", ".2f"),
    _Number("RRA@15", "rra15", ".2f"),
    _Number("RTA@15", "rta15", ".2f"),
    _Number("RTA@30", "rta30", ".2f"),
    _Number("RTA@30 sign-blind", "rta30_blind", ".2f"),
    _ROTATION,
    _DIRECTION,
)
_COMPARED = (_AUC5, _AUC30, _ROTATION, _DIRECTION)

_STATED = {"rotation_68": 0.68, "rotation_95": 0.95, "direction_68": 0.68, "direction_95": 0.95}
"""The share that should lie inside, by key of the record."""


def sections_of(
    report: Record,
    tracks: Sequence[TrackScore],
    pictures: Sequence[Picture],
    sheets: Sequence[Picture],
    view_sheets: Sequence[Picture] = (),
) -> list[Section]:
    """All sections for which the record holds something.

    Args:
        report: as ``report.json`` holds it.
        tracks: the tracks of the record.
        pictures: of the tracks.
        sheets: of the views of the closed loop.
        view_sheets: of predicted views.
    """
    methods = report["methods"]
    found = [_summary(methods), _sets(methods)]
    if curve := variants.by_steps(methods):
        found.append(_curve(methods, curve))
    found += [_calibration(methods), _times(report)]
    if tracks:
        found += [_trajectories(tracks, pictures), _trajectory_times(tracks)]
    if report["closed_loop"]:
        found.append(_closed_loop(report["closed_loop"], sheets))
    return found + view_sections(report.get("views", {}), view_sheets)


def as_page(report: Record, sections: Sequence[Section]) -> str:
    """``report.html``."""
    data = report["data"]
    facts = facts_of(
        report, {"data": f"{data['root']}, at most {data['per_set']} clips of each set, seed {data['seed']}"}
    )
    sets = len(next(iter(report["methods"].values()))["sets"])
    when = report["time"].replace("T", " ").replace("+00:00", " UTC")
    machine = f"{report['machine']['cores']} cores of {report['machine']['cpu']}"
    lead = f"{data['clips']} clips of {sets} sets, {when}, {machine}"
    failed = _failed(report["methods"])
    return page("raxels evaluate", lead, [*sections, *failed], facts)


def facts_of(report: Record, told: Mapping[str, str]) -> dict[str, str]:
    """How a report was made, for its page: command, time, what else is told, and the machine."""
    machine = {name: str(value) for name, value in report["machine"].items() if value is not None}
    return {"command": report["command"], "time": report["time"], **told, **machine}


def write_report(folder: Path, name: str, report: Record, sections: Sequence[Section], html: str) -> None:
    """Write a report as JSON, as Markdown and as a page.

    Args:
        folder: exists.
        name: of the files, without their endings.
        report: with what `machine.origin` says.
        sections: of the Markdown.
        html: the page.

    Raises:
        FileError: a file cannot be written.
    """
    write_json(folder / f"{name}.json", report, indent=1)
    for file, text in ((f"{name}.md", as_markdown(report, sections)), (f"{name}.html", html)):
        with replacing(folder / file) as temporary:
            temporary.write_text(text, encoding="utf-8")


def as_markdown(report: Record, sections: Sequence[Section]) -> str:
    """``report.md``."""
    machine = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    lines = ["# raxels evaluate", "", f"`{report['command']}`", "", f"{machine}; {report['time']}", ""]
    for section in sections:
        header, *rows = section.table
        lines += [f"## {section.title}", "", f"| {' | '.join(header)} |", f"|---|{'---:|' * (len(header) - 1)}"]
        lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join(lines)


# -------------------------------------------------------------------------------------------------------------- clips


def _peer_of(methods: Record) -> str | None:
    """The method that ours, the first, is compared with."""
    return TwoViewPeer.name if TwoViewPeer.name in methods else None


def _summary(methods: Record) -> Section:
    """One row for each method: a column for each would make the table too wide."""
    rows = [["method", *(number.name for number in _COMPARED), "ms"]]
    rows += [[name, *(number.of(of["mean"]) for number in _COMPARED), _median_ms(of)] for name, of in methods.items()]
    names, ours = rows[0][1:], rows[1][1:]
    marks, beside = [Mark.SAME] * len(names), [""] * len(names)
    peer = _peer_of(methods)
    if peer:
        texts = rows[1 + list(methods).index(peer)][1:]
        ways = [*(number.higher_is_better for number in _COMPARED), False]
        marks = [Mark.of(own, other, way) for own, other, way in zip(ours, texts, ways, strict=True)]
        beside = [f"{peer}: {text}" for text in texts]
    cards = [Card(*of) for of in zip(names, ours, beside, marks, strict=True)]
    note = (
        "Means over sets with equal weights. AUC@5 and AUC@30: area under the curve of the share of correct pairs of "
        "frames over the allowed error, up to 5 and 30 degrees. Errors are medians; ms is the median time per clip."
    )
    grid = Grid((), rows, {(1, column): mark for column, mark in enumerate(marks, 1)})
    return Section("Means over sets", rows, note, [*cards, *_sets_won(methods, peer)], grid=grid)


def _median_ms(method: Record) -> str:
    return f"{method['ms'].get('total', {}).get('median', float('nan')):.0f}"


def _sets_won(methods: Record, peer: str | None) -> list[Card]:
    if not peer:
        return []
    sets = next(iter(methods.values()))["sets"]
    marks = [_AUC30.mark(score, methods[peer]["sets"][name]) for name, score in sets.items()]
    better, worse = marks.count(Mark.BETTER), marks.count(Mark.WORSE)
    mark = Mark.of(str(better), str(worse), higher_is_better=True)
    return [Card("sets with a better AUC@30", f"{better} of {len(sets)}", f"worse than {peer} on {worse}", mark)]


def _sets(methods: Record) -> Section:
    """Every set: all numbers in shared cells for a terminal, selected ones beside the peer for a page."""
    shown = dict(list(methods.items())[:_SIDE_BY_SIDE])
    scores = [{**of["sets"], _MEAN: of["mean"]} for of in shown.values()]
    rows = [["set", "pairs", "masked", *(number.name for number in _LISTED)]]
    for name, first in scores[0].items():
        cells = [" / ".join(number.of(score[name]) for score in scores) for number in _LISTED]
        rows.append([name, str(first["pairs"]), str(first["masked"]), *cells])
    peer = _peer_of(methods)
    note = _sign_words(peer) if peer else ""
    title = f"Poses of clips: {' / '.join(shown)}"
    return Section(title, rows, note, pictures=_sets_chart(shown), grid=_sets_grid(shown, scores))


def _sign_words(peer: str) -> str:
    return f"▲ raxels is better than {peer} in the digits shown, ▼ worse."


def _sets_grid(shown: Record, scores: Sequence[Record]) -> Grid:
    rows = [["set", "pairs", *(name for _ in _COMPARED for name in shown)]]
    marks, peer = {}, _peer_of(shown)
    for line, (name, first) in enumerate(scores[0].items(), 1):
        row = [name, str(first["pairs"])]
        for number in _COMPARED:
            if peer:
                marks[line, len(row)] = number.mark(first, scores[list(shown).index(peer)][name])
            row += [number.of(score[name]) for score in scores]
        rows.append(row)
    return Grid([("", 2), *((number.name, len(shown)) for number in _COMPARED)], rows, marks)


def _sets_chart(shown: Record) -> list[Picture]:
    names = list(next(iter(shown.values()))["sets"])
    if len(names) < _FEWEST_DRAWN:
        return []
    panels = {
        number.name: {name: [of["sets"][key][number.key] for key in names] for name, of in shown.items()}
        for number in (_AUC5, _AUC30)
    }
    caption = "Right is better. The line from the second method to the first is green where the first is better."
    return [Picture(charts.side_by_side(names, panels, charts.colours(list(shown)), higher_is_better=True), caption)]


def _curve(methods: Record, curve: Mapping[str, Mapping[int, str]]) -> Section:
    steps = sorted({number for of in curve.values() for number in of})
    rows = [["AUC@5 / AUC@30", *(f"{number} step{'s' * (number > 1)}" for number in steps)]]
    for method, names in curve.items():
        means = [methods[names[k]]["mean"] if k in names else None for k in steps]
        rows.append([method, *(f"{_AUC5.of(m)} / {_AUC30.of(m)}" if m else "" for m in means)])
    return Section("Over denoising steps", rows, pictures=[_curve_chart(methods, curve)])


def _curve_chart(methods: Record, curve: Mapping[str, Mapping[int, str]]) -> Picture:
    numbers = (_AUC5, _AUC30)
    panels = {
        n.name: {method: {k: methods[name]["mean"][n.key] for k, name in of.items()} for method, of in curve.items()}
        for n in numbers
    }
    level = {n.name: next(iter(methods.values()))["mean"][n.key] for n in numbers}
    # The colours of the methods side by side are taken.
    colour = charts.colours([*list(methods)[:_SIDE_BY_SIDE], *curve])
    caption = "Means over sets; the dashed line is the default, which has two-view hypotheses beside the samples."
    return Picture(charts.over_steps(panels, level, colour), caption)


def _calibration(methods: Record) -> Section:
    stated = {name: of["coverage"] for name, of in list(methods.items())[:_SIDE_BY_SIDE] if of["coverage"]}
    rows = [["truth inside the stated covariance", *_STATED]]
    rows += [[name, *(f"{100 * of[key]:.0f} %" for key in _STATED)] for name, of in stated.items()]
    pictures = []
    if stated:
        labels = {key.replace("_", ", ") + " %": key for key in _STATED}
        shares = {label: _STATED[key] for label, key in labels.items()}
        observed = {name: {label: of[key] for label, key in labels.items()} for name, of in stated.items()}
        caption = (
            "How often the truth lies inside the ellipsoid that should contain it with 68 or 95 % probability. Below "
            "the dashed line the covariance is overconfident, above it underconfident."
        )
        pictures = [Picture(charts.stated_and_true(shares, observed, charts.colours(list(methods))), caption)]
    return Section("Stated uncertainty", rows, pictures=pictures)


def _times(report: Record) -> Section:
    rows = [["method", "stage", "median", "p95"]]
    for name, of in list(report["methods"].items())[:_SIDE_BY_SIDE]:
        rows += [[name, stage, f"{ms['median']:.1f}", f"{ms['p95']:.1f}"] for stage, ms in of["ms"].items()]
    if (ratio := report["speed_ratio"]) is not None:
        rows.append(["ratio of medians", "total", f"{ratio:.2f}", ""])
    return Section("Time per clip, ms", rows)


def _failed(methods: Record) -> list[Section]:
    """The section about clips without an answer, if there are any."""
    rows = [[name, clip, why] for name, of in methods.items() for clip, why in of["failures"].items()]
    note = "These count as wrong."
    return [Section("Clips without an answer", [["method", "clip", "why"], *rows], note)] if rows else []


# ------------------------------------------------------------------------------------------- trajectories, closed loop


def _trajectories(tracks: Sequence[TrackScore], pictures: Sequence[Picture]) -> Section:
    table, peers = accuracy_table(tracks), list(tracks[0].peers)
    marks = _track_marks(tracks, table) if peers else {}
    note = _sign_words(peers[0]) if peers else ""
    drawn = [*_trajectory_chart(tracks), *pictures]
    return Section("Trajectories", table, note, pictures=drawn, grid=Grid((), table, marks))


def _track_marks(tracks: Sequence[TrackScore], table: Table) -> dict[tuple[int, int], Mark]:
    """Both rows of ours, compared with that of the first peer, which follows them."""
    columns = [table[0].index(name) for name in ("ATE Sim(3)", "% of path")]
    marks, line = {}, 1
    for track in tracks:
        for row, column in itertools.product((line, line + 1), columns):
            own, other = table[row][column], table[line + 2][column]
            if UNKNOWN not in (own, other):
                marks[row, column] = Mark.of(own, other, higher_is_better=False)
        line += 2 + len(track.peers)
    return marks


def _trajectory_chart(tracks: Sequence[TrackScore]) -> list[Picture]:
    if len(tracks) < _FEWEST_DRAWN:
        return []
    found = {"raxels": [t.live for t in tracks]}
    found |= {name: [t.peers[name].error for t in tracks] for name in tracks[0].peers}
    found["raxels, at the end"] = [t.error for t in tracks]
    values = {name: [error.ate_percent if error else None for error in errors] for name, errors in found.items()}
    panels = {"ATE after Sim(3), % of the path": values}
    names, colour = [t.name for t in tracks], charts.colours(list(found))
    drawn = charts.side_by_side(names, panels, colour, higher_is_better=False, logarithmic=True)
    return [Picture(drawn, "Left is better. raxels live, frame by frame, and as known at the end.")]


def _trajectory_times(tracks: Sequence[TrackScore]) -> Section:
    note = "From image to pose; whole: including the keyframes that are made after the pose was published."
    return Section("Trajectories, ms per frame", time_table(tracks), note)


def _closed_loop(loops: Record, sheets: Sequence[Picture]) -> Section:
    rows = [["clips", "number", "rotation deg", "direction deg", "shuffled rotation", "shuffled direction"]]
    for name, of in loops.items():
        errors = [of[k][error] for k in ("loop", "shuffled") for error in ("rotation_deg", "direction_deg")]
        rows.append([name, str(of["clips"]), *(f"{error:.1f}" for error in errors)])
    note = (
        "Poses estimated from a clip, against poses estimated from the views that were predicted for them from its "
        "first frame alone. Shuffled: against the poses of another clip, where the errors must be large."
    )
    return Section("Closed loop, median error", rows, note, pictures=sheets)
