"""Sections about predicted views show the numbers of the record."""

from __future__ import annotations

from read_page import Read
from view_scores import METHODS, SCORES

from ros2_raxels.evaluation.report.page import page
from ros2_raxels.evaluation.views.report import view_sections
from ros2_raxels.evaluation.views.scores import (
    TaskScore,
    record_of_views,
)


def shown(scores: list[TaskScore], failures: dict[str, str] | None = None) -> Read:
    """The sections on a page."""
    record = {**record_of_views(scores), "failures": failures or {}}
    return Read(page("t", "l", view_sections(record, []), {}))


def test_sections_show_the_record() -> None:
    read = shown(SCORES)
    assert "failed" not in read.text
    methods = read.rows("Predicted views")
    assert list(methods) == ["method", *METHODS]
    assert [text for text, _ in methods["repeat"]] == ["11.75", "0.250", "+0.00", "-", "-", "2", "2"]
    ours = [text for text, _ in methods["raxels, 1 step"]]
    assert ours[:3] == ["17.25", "0.500", "+5.50"]
    assert ours[4:] == [f"{(0.01 + 0.25 + 0.01 + 0.49 * 3) / 6:.3f}", "200", "290"]
    sets = read.rows("Predicted views by set")
    assert [name for name, _ in sets["set"]] == ["views", *["raxels, 1 step", "repeat"] * 2]
    assert sets["a"] == [("4", ""), ("20.50", "first better"), ("11.50", ""), ("0.500", "first better"), ("0.250", "")]
    assert [text for text, _ in sets["mean over sets"]] == ["", "17.25", "11.75", "0.500", "0.250"]
    seen = read.rows("Predicted views by what was seen")
    assert [text for text, _ in seen["50 to 75 %"]] == ["1", "20.00", "12.00", "0.500"]
    stated = read.rows("Confidence of predicted views")
    assert [text for text, _ in stated["60 to 80 %"]] == ["2", "70 %", "0 %"]
    assert [text for text, _ in stated["0 to 20 %"]] == ["1", "10 %", "0 %"]
    (chart, caption) = read.pictures[0]
    assert chart.shape[1] == 1440
    assert caption.startswith("Below the dashed line")
    assert '<b>17.25</b><span class="sign">▲</span><i>repeat: 11.75</i>' in read.html
    assert "50 % of all views of raxels, 1 step reach that" in read.text


def test_a_range_without_views_is_not_known() -> None:
    read = shown(SCORES[:1])
    assert [text for text, _ in read.rows("Predicted views by what was seen")["75 to 90 %"]] == ["0", "-", "-", "-"]
    assert [text for text, _ in read.rows("Confidence of predicted views")["60 to 80 %"]] == ["0", "-", "-"]


def test_tasks_that_failed_are_counted() -> None:
    assert "1 task failed and did not count" in shown(SCORES, {"a/1": "why"}).text
    assert "2 tasks failed and did not count" in shown(SCORES, {"a/1": "why", "a/2": "why"}).text


def test_without_views_there_is_no_section() -> None:
    assert view_sections({}, []) == []
