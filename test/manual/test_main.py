"""Made parts of README and docs/ are what the code makes now."""

from __future__ import annotations

from pathlib import Path

import pytest
from ros_testing import ROOT

from ros2_raxels.manual import __main__ as manual


def test_pages_with_parts_are_found():
    names = [page.name for page in manual.pages()]
    assert names[0] == "README.md"
    assert {"parameters.md", "interface.md", "measured.md"} <= set(names)


@pytest.mark.parametrize("page", manual.pages(), ids=lambda page: page.name)
def test_made_parts_are_current(page: Path):
    assert manual.written_anew(page) == page.read_text(encoding="utf-8"), "run python -m ros2_raxels.manual"


def test_a_page_that_asks_for_what_nobody_makes_is_named(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("<!-- made: nothing -->\n<!-- end -->\n")
    with pytest.raises(manual.MadeError, match=r"page\.md: nobody makes 'nothing'"):
        manual.written_anew(page)


def test_every_report_of_what_was_measured_is_shown_or_linked():
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    reports = sorted(path.name for path in (ROOT / "docs" / "measured").glob("*.json"))
    assert [name for name in reports if f"measured/{name}" not in pages] == []
