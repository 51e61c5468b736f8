"""Writes the made parts of README and ``docs/`` anew: ``python -m ros2_raxels.manual``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ros2_raxels.manual import diagnostics_parts, interface_parts, measured_parts
from ros2_raxels.manual.made import MadeError, Part, filled, names
from ros2_raxels.nodes.parameter_yaml import TABLES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ros2_raxels"
MEANINGS = ROOT / "docs" / "meanings.yaml"


def parts() -> Mapping[str, Part]:
    """All that can be made, by the names that pages give in their marks."""
    made: dict[str, Part] = {
        f"parameters of {node}": partial(interface_parts.parameters, rows) for node, rows in TABLES.items()
    }
    made["interfaces"] = partial(interface_parts.interfaces, ROOT / "raxels_interfaces")
    made |= diagnostics_parts.parts(PACKAGE, MEANINGS)
    return made | measured_parts.parts(ROOT / "docs" / "measured")


def pages() -> list[Path]:
    """All that have parts to make."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [page for page in found if names(page.read_text(encoding="utf-8"))]


def written_anew(page: Path) -> str:
    """The text of a page with all its parts made anew.

    Raises:
        MadeError: one line that begins with the page.
    """
    try:
        return filled(page.read_text(encoding="utf-8"), parts())
    except MadeError as error:
        raise MadeError(f"{page.name}: {error}") from error


def main() -> int:
    """Write the pages; the exit status, 1 where words are missing in the page of diagnostics."""
    for page in pages():
        text = written_anew(page)
        if text != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            print(page.relative_to(ROOT))
    without, idle = diagnostics_parts.lacking(PACKAGE, MEANINGS)
    for text in without:
        print(f"no meaning or no remedy, add it to {MEANINGS.name}: {text}", file=sys.stderr)
    for text in idle:
        print(f"no node says this any more, remove it from {MEANINGS.name}: {text}", file=sys.stderr)
    return 1 if without or idle else 0


if __name__ == "__main__":
    sys.exit(main())
