"""A page of a report: tables, pictures and cards; it is complete in one file."""

from __future__ import annotations

import numpy as np
from read_page import Read, flat_png

from ros2_raxels.evaluation.report.page import Card, Grid, Mark, Picture, Section, page


def test_a_picture_keeps_its_colours() -> None:
    (image, caption), *others = Read(
        page("t", "l", [Section("s", [], pictures=[Picture(flat_png(), "c")])], {})
    ).pictures
    assert others == []
    assert caption == "c"
    np.testing.assert_array_equal(image, np.full((4, 5, 3), (200, 100, 50), np.uint8))


def test_the_digits_decide_what_is_better() -> None:
    assert Mark.of("0.50", "0.40", higher_is_better=True) is Mark.BETTER
    assert Mark.of("0.50", "0.40", higher_is_better=False) is Mark.WORSE
    assert Mark.of("0.50", "0.50", higher_is_better=True) is Mark.SAME
    assert Mark.of("nan", "0.50", higher_is_better=True) is Mark.SAME


def test_a_section_needs_no_more_than_a_table() -> None:
    table = [["set", "how", "n"], ["a", "frame by frame", "-3.5"]]
    html = page("t", "l", [Section("s", table)], {})
    assert Read(html).tables["s"] == [
        [("set", ""), ("how", "words"), ("n", "")],
        [("a", ""), ("frame by frame", "words"), ("-3.5", "")],
    ]


def test_groups_of_columns_span_them_and_the_last_row_sums_up() -> None:
    grid = Grid([("", 1), ("g", 2)], [["a", "b", "c"], ["x", "1", "2"], ["y", "3", "4"]], {(2, 1): Mark.WORSE})
    html = page("t", "l", [Section("s", [["unseen"]], cards=[Card("n", "v", "p", Mark.WORSE)], grid=grid)], {})
    assert '<th colspan="2" class="group">g</th>' in html
    assert '<tr class="total"><th scope="row">y</th><td class="first worse">3' in html
    assert "unseen" not in html
    assert '<div class="card worse"><span>n</span><b>v</b>' in html
