"""Tables for a terminal: columns are aligned, words to the left and numbers to the right."""

from __future__ import annotations

from ros2_raxels.evaluation.report.tables import as_text


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    table = [["set", "AUC", "ms"], ["a_long_name", "0.5", "120"], ["b", "0.25", "7"]]
    assert as_text({"First": table, "Second": [["x"]]}).splitlines() == [
        "First",
        "set           AUC   ms",
        "a_long_name   0.5  120",
        "b            0.25    7",
        "",
        "Second",
        "x",
    ]
