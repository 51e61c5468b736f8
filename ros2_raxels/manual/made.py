"""Parts of pages that are made by code: what stands between two marks of a page is written anew.

``<!-- made: NAME -->`` and ``<!-- end -->`` stand on lines of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Part = Callable[[], str]
"""Makes the Markdown of a part, without the marks."""

_MADE = re.compile(r"^<!-- made: ([^\n]+?) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"^<!-- (?:made: .+|end) -->$", re.MULTILINE)


class MadeError(ValueError):
    """A page asks for a part that nobody makes, or its marks do not pair; one line."""


def names(text: str) -> list[str]:
    """Of the parts of a page, in order."""
    return [match[1] for match in _MADE.finditer(text)]


def filled(text: str, parts: Mapping[str, Part]) -> str:
    """A page with all of its parts written anew.

    Raises:
        MadeError: a name that is not in ``parts``, or marks that do not pair.
    """
    found = names(text)
    if 2 * len(found) != len(_MARK.findall(text)):
        raise MadeError("marks do not pair; write `<!-- made: NAME -->` and, below it, `<!-- end -->`")
    if unknown := [name for name in found if name not in parts]:
        raise MadeError(f"nobody makes {unknown[0]!r}; name one of {', '.join(sorted(parts))}")
    return _MADE.sub(lambda match: f"<!-- made: {match[1]} -->\n\n{parts[match[1]]().strip()}\n\n<!-- end -->", text)


def table(head: list[str], rows: list[list[str]], right: int | None = None) -> str:
    """A table of Markdown.

    Args:
        head: titles of the columns.
        rows: cells; bars in them are escaped, and what would be taken for a tag.
        right: the columns from this one on are aligned to the right.
    """
    rule = ["---:" if right is not None and column >= right else "---" for column in range(len(head))]
    lines = [head, rule, *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(text: str) -> str:
    pieces = re.split(r"(`[^`]*`)", text)
    plain = (piece if piece.startswith("`") else piece.replace("<", "&lt;") for piece in pieces)
    return "".join(plain).replace("|", "\\|")
