"""The changelog as Markdown."""

from __future__ import annotations

import pytest

from ros2_raxels.manual.changelog import as_markdown

TEXT = """^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
Changelog for package ros2_raxels
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

Forthcoming
-----------
* ``raxels track`` reads `bags <https://ros.org/bags>`_, and
  more.

  | ``a`` -> ``b``;

0.1.0 (2026-12-01)
------------------
* First.
"""


def test_headings_literals_links_and_line_blocks_become_markdown():
    lines = as_markdown(TEXT).split("\n")
    assert [line for line in lines if line.startswith("#")] == [
        "# Changelog for package ros2_raxels",
        "## Forthcoming",
        "## 0.1.0 (2026-12-01)",
    ]
    assert "* `raxels track` reads [bags](https://ros.org/bags), and" in lines
    assert "  `a` -> `b`;<br>" in lines
    assert not [line for line in lines if line.startswith(("^^", "--"))]


def test_an_underline_without_a_heading_is_refused():
    with pytest.raises(ValueError, match="underlines nothing; write the version above it"):
        as_markdown("\n-----\n* x\n")
