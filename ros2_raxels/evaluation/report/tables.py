"""Tables of words and numbers for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

Table = list[list[str]]
"""Rows of cells, the header first."""


def as_text(sections: Mapping[str, Table]) -> str:
    """Tables under their titles."""
    return "\n\n".join("\n".join([title, *_aligned(table)]) for title, table in sections.items())


def _aligned(table: Table) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in table]
