"""Parameters and interfaces, as the nodes declare them and as their definitions explain them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ros2_raxels.manual.made import table
from ros2_raxels.nodes.common.parameters import Parameter, ParameterValue, Table

_KINDS = ("msg", "srv", "action")
_SECTION = re.compile(r"^# -{3,}.*$")


def parameters(rows: Table) -> str:
    """The table of a node's parameters."""
    return table(
        ["parameter", "default", "type, unit, range", "may be set", "meaning"], [_row(parameter) for parameter in rows]
    )


def _row(parameter: Parameter) -> list[str]:
    facts = [parameter.type_name, parameter.unit, parameter.constraint.replace("'", "`")]
    when = "at start" if parameter.read_only else "unconfigured" if parameter.at_configure else "at run time"
    return [
        f"`{parameter.name}`",
        f"`{_value(parameter.default)}`",
        ", ".join(filter(None, facts)),
        when,
        parameter.meaning,
    ]


def _value(value: ParameterValue) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)


def definitions(folder: Path) -> dict[str, Path]:
    """Files of the interfaces of a package, by name such as ``msg/PoseStatus``."""
    return {f"{kind}/{path.stem}": path for kind in _KINDS for path in sorted((folder / kind).glob("*"))}


def interfaces(folder: Path) -> str:
    """All interfaces of a package, each with a heading, its first words, and a table of its fields."""
    return "\n\n".join(_interface(name, path.read_text(encoding="utf-8")) for name, path in definitions(folder).items())


def _interface(name: str, text: str) -> str:
    kind = name.partition("/")[0]
    titles = {"msg": [""], "srv": ["Request", "Response"], "action": ["Goal", "Result", "Feedback"]}[kind]
    parts = re.split(r"^---$", text, flags=re.MULTILINE)
    words, body = _introduction(parts[0])
    blocks = [f"### `{name}`", words]
    for title, part in zip(titles, [body, *parts[1:]], strict=True):
        blocks += [f"**{title}**"] if title else []
        blocks.append(table(["field", "meaning"], [[f"`{what}`", meaning] for what, meaning in _fields(part)]))
    return "\n\n".join(blocks)


def _introduction(text: str) -> tuple[str, str]:
    """The comment that a definition begins with, and the rest."""
    lines = text.split("\n")
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    words = [line.lstrip("# ") for line in lines[:end]]
    paragraphs = "\n".join(words).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs), "\n".join(lines[end:])


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Declarations with what is said of them: in the comment above, and for constants beside or below them.

    Fields that follow each other without a line between them share the comment.
    """
    comment: list[str] = []
    after_declaration = False
    last: list[str] | None = None
    rows: list[tuple[str, list[str]]] = []
    for line in text.split("\n"):
        bare = line.strip()
        if not bare or _SECTION.match(bare):
            comment, after_declaration, last = [], False, None
        elif line.startswith("#"):
            if after_declaration:
                comment, after_declaration = [], False
            comment.append(bare.lstrip("# "))
        elif bare.startswith("#") and last is not None:
            # The words beside a constant go on below it.
            last.append(bare.lstrip("# "))
        else:
            what, _, beside = bare.partition("#")
            words = [beside.strip()] if beside else list(comment)
            rows.append((" ".join(what.split()), words))
            last, after_declaration = words, True
    yield from ((what, " ".join(" ".join(words).split())) for what, words in rows)
