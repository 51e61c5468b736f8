"""Parts of pages that are made by code."""

from __future__ import annotations

import pytest

from ros2_raxels.manual.made import MadeError, filled, names, table

PAGE = "# A\n\n<!-- made: one -->\nold\n\n<!-- end -->\n\nwords\n\n<!-- made: two words -->\n<!-- end -->\n"


def test_what_stands_between_the_marks_is_written_anew_and_nothing_else():
    text = filled(PAGE, {"one": lambda: "new\n", "two words": lambda: "more"})
    first, second = "<!-- made: one -->\n\nnew\n\n<!-- end -->", "<!-- made: two words -->\n\nmore\n\n<!-- end -->"
    assert text == f"# A\n\n{first}\n\nwords\n\n{second}\n"
    assert filled(text, {"one": lambda: "new", "two words": lambda: "more"}) == text
    assert names(PAGE) == ["one", "two words"]


def test_a_part_that_nobody_makes_is_named():
    with pytest.raises(MadeError, match="nobody makes 'two words'; name one of one"):
        filled(PAGE, {"one": lambda: ""})


@pytest.mark.parametrize(
    "text", ["<!-- made: one -->\n", "<!-- end -->\n", "<!-- made: a -->\n<!-- made: b -->\n<!-- end -->\n"]
)
def test_marks_that_do_not_pair_are_refused(text: str):
    with pytest.raises(MadeError, match="marks do not pair"):
        filled(text, {"one": lambda: "", "a": lambda: "", "b": lambda: ""})


def test_cells_are_safe_in_a_table():
    assert table(["a", "b"], [["x | y", "`<name>` of <name>"]], right=1).split("\n") == [
        "| a | b |",
        "| --- | ---: |",
        "| x \\| y | `<name>` of &lt;name> |",
    ]
