"""The sections of ``raxels evaluate --views``, from their part of the record in ``report.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ros2_raxels.evaluation.report import charts
from ros2_raxels.evaluation.report.page import Card, Grid, Mark, Picture, Section
from ros2_raxels.evaluation.views.scores import REPEAT, STEPS, ours
from ros2_raxels.evaluation.views.tasks import ViewTask
from ros2_raxels.recordings.source import read_image
from ros2_raxels.view_synthesis.confidence import GOOD_DB
from ros2_raxels.view_synthesis.prediction import PredictedViews
from ros2_raxels.visualization.views_sheet import draw_sheet

_OURS = ours(STEPS[0])
_MEASURES = {"PSNR dB": ("psnr_db", ".2f"), "SSIM": ("ssim", ".3f")}
"""Displayed names, keys of the record, and formats."""
_NONE = "-"


def view_sections(record: Mapping[str, Any], sheets: Sequence[Picture]) -> list[Section]:
    """Sections about predicted views; none of an empty record.

    Args:
        record: of `scores.record_of_views`, and under ``failures`` the reasons of failed tasks by id.
        sheets: of some of the tasks.
    """
    if not record:
        return []
    methods, confidence, failures = record["methods"], record["confidence"], record["failures"]
    return [
        _methods(methods, confidence, sheets, len(failures)),
        _sets(methods),
        _seen(record["seen"]),
        _confidence(confidence[_OURS]),
    ]


def sheet_of(task: ViewTask, views: PredictedViews) -> Picture:
    """Known frames, truth and views of a task beside each other.

    Raises:
        SourceError: an image cannot be read.
    """
    known, truth = ([read_image(path) for path in paths] for paths in (task.context, task.truth))
    caption = f"{task.id}: context frames, truth, predicted views, their errors, and the errors expected."
    return Picture.of(draw_sheet(known, truth, views), caption)


def _shown(value: float | None, form: str) -> str:
    return _NONE if value is None else format(value, form)


def _methods(
    methods: Mapping[str, Any], confidence: Mapping[str, Any], sheets: Sequence[Picture], failed: int
) -> Section:
    rows = [["method", *_MEASURES, "gain dB", "rank correlation", "Brier score", "ms", "ms p95"]]
    for name, of in methods.items():
        stated = confidence.get(name, {"rank_correlation": None, "brier": None})
        rows.append(
            [
                name,
                *(format(of["mean"][key], form) for key, form in _MEASURES.values()),
                format(of["mean"]["gain_db"], "+.2f"),
                _shown(stated["rank_correlation"], ".2f"),
                _shown(stated["brier"], ".3f"),
                f"{of['ms']['median']:.0f}",
                f"{of['ms']['p95']:.0f}",
            ]
        )
    note = (
        "What the camera sees next, predicted from the last 4 frames and the poses ahead; means over sets with equal "
        "weights. Repeat shows the newest frame again, rotate warps it by the rotation alone: a prediction must be "
        "better than both. Gain is over repeat. Rank correlation of confidence with PSNR: 1 when the more confident "
        "views are the better ones, 0 when confidence says nothing. Brier score: mean square of confidence minus "
        f"whether the view reaches {GOOD_DB:.0f} dB; 0 is best, and a constant 50 % gives .25. Time is for the 4 views "
        "of a task, including all work on the context frames."
    )
    if failed:
        note += f" {failed} task{'s' * (failed > 1)} failed and did not count; report.json says why."
    return Section("Predicted views", rows, note, _cards(methods), sheets)


def _cards(methods: Mapping[str, Any]) -> list[Card]:
    cards = []
    for name, (key, form) in _MEASURES.items():
        own, other = (format(methods[of]["mean"][key], form) for of in (_OURS, REPEAT))
        cards.append(Card(name, own, f"{REPEAT}: {other}", Mark.of(own, other, higher_is_better=True)))
    return cards


def _sets(methods: Mapping[str, Any]) -> Section:
    own, other = ({**methods[name]["sets"], "mean over sets": methods[name]["mean"]} for name in (_OURS, REPEAT))
    views = {name: str(of["views"]) for name, of in methods[_OURS]["sets"].items()}
    rows = [["set", "views", *(f"{measure} {name}" for measure in _MEASURES for name in (_OURS, REPEAT))]]
    marks = {}
    for line, name in enumerate(own, 1):
        row = [name, views.get(name, "")]
        for key, form in _MEASURES.values():
            text, beside = (format(score[name][key], form) for score in (own, other))
            marks[line, len(row)] = Mark.of(text, beside, higher_is_better=True)
            row += [text, beside]
        rows.append(row)
    grid = Grid(
        [("", 2), *((measure, 2) for measure in _MEASURES)],
        [["set", "views", *(_OURS, REPEAT) * len(_MEASURES)], *rows[1:]],
        marks,
    )
    return Section("Predicted views by set", rows, f"▲ raxels is better than {REPEAT}, ▼ worse.", grid=grid)


def _range(of: Mapping[str, Any]) -> str:
    return f"{100 * of['from']:.0f} to {100 * of['to']:.0f} %"


def _seen(bins: Sequence[Mapping[str, Any]]) -> Section:
    rows = [["share of the view seen before", "views", f"PSNR dB {_OURS}", f"PSNR dB {REPEAT}", f"SSIM {_OURS}"]]
    for of in bins:
        numbers = ((of["psnr_db"], ".2f"), (of["repeat_psnr_db"], ".2f"), (of["ssim"], ".3f"))
        rows.append([_range(of), str(of["views"]), *(_shown(value, form) for value, form in numbers)])
    note = (
        "How much of a view the context frames show, found by optical flow between the true view and them, without "
        "the model. What no frame shows cannot be known. Flow fails where there is no texture or where things have "
        "moved by more than about 10 % of the width, so the share is an underestimate. Here all views have equal "
        "weight, not all sets."
    )
    return Section("Predicted views by what was seen", rows, note)


def _confidence(of: Mapping[str, Any]) -> Section:
    good = f"{GOOD_DB:.0f} dB or more"
    rows = [["stated confidence", "views", "stated, mean", good]]
    for group in of["bins"]:
        shares = (_shown(group[key] and 100 * group[key], ".0f") for key in ("stated", "good"))
        rows.append([_range(group), str(group["views"]), *(f"{s} %" if s != _NONE else s for s in shares)])
    note = (
        f"Confidence of a view, read as the probability that its PSNR is {good}; {100 * of['good']:.0f} % of all views "
        f"of {_OURS} reach that."
    )
    some = [group for group in of["bins"] if group["views"]]
    stated, true, counts = ([group[key] for group in some] for key in ("stated", "good", "views"))
    caption = "Below the dashed line the model is overconfident, above it underconfident. Small groups may be chance."
    chart = Picture(charts.stated_and_seen(stated, true, counts, f"views of {good}"), caption)
    return Section("Confidence of predicted views", rows, note, pictures=[chart])
