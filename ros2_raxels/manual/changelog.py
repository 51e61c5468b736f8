"""The changelog as Markdown. It is kept in reStructuredText, because that is what bloom reads."""

from __future__ import annotations

import re

_UNDERLINE = re.compile(r"^([-=~^])\1{3,}$")


def as_markdown(text: str) -> str:
    """Of a changelog in the form of REP-132: headings, lists, line blocks, literals.

    Raises:
        ValueError: an underline that belongs to no heading.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if _UNDERLINE.match(line):
            if line.startswith("^"):
                continue
            if not lines or not lines[-1].strip():
                raise ValueError(f"{line!r} underlines nothing; write the version above it")
            lines[-1] = f"## {lines[-1]}"
        else:
            lines.append(line)
    body = "\n".join(lines)
    body = re.sub(r"^(Changelog for package \S+)$", r"# \1", body, count=1, flags=re.MULTILINE)
    body = re.sub(r"^(\s*)\| (.*)$", r"\1\2<br>", body, flags=re.MULTILINE)
    body = re.sub(r"`([^`<\n]+) <([^>\n]+)>`_", r"[\1](\2)", body)
    return body.replace("``", "`")
