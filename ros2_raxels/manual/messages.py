"""Every message that nodes and commands can say, read from the source of the package.

A message is a text of three words or more, or of two with a value, that is no docstring, no help, no key and no title.
What is put in is shown as ``…``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NO_MESSAGE_IN = {
    "Parameter",
    "add_argument",
    "add_parser",
    "add_argument_group",
    "ArgumentParser",
    "compile",
    "Section",
}
"""Calls whose texts are help, patterns or titles."""

_NO_MESSAGE_AS = {"help", "description", "epilog", "metavar", "prog", "title", "note", "label", "xlabel", "ylabel"}
"""Arguments that are never said as messages."""

_SAYS = {"report", "warning", "error", "info", "say", "_say", "warn", "fatal", "note", "print", "append"}
"""Calls that say something; in rooms that also write reports, a text counts only here and where an error is raised."""

_WORD = re.compile(r"[A-Za-z]{2,}")


@dataclass(frozen=True)
class Message:
    """A text that a module can say.

    Attributes:
        text: with … for what is put in.
        module: path of the file below the package.
        line: of the file.
    """

    text: str
    module: str
    line: int

    @property
    def remedy(self) -> str:
        """What it says is to be done: the part after the last semicolon; empty where it has no two such parts."""
        what, _, remedy = self.text.rpartition("; ")
        return remedy if _WORD.search(what) and _WORD.search(remedy) else ""


def messages(package: Path, folder: str, said_only: bool = False) -> list[Message]:
    """All of the modules below a folder, or of one module, in order.

    Args:
        package: folder of the package.
        folder: below it, or the path of a module.
        said_only: only those that are raised or handed to what says them; for rooms that write reports as well.
    """
    found = []
    below = package / folder
    for path in [below] if below.is_file() else sorted(below.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = _said(tree) if said_only else _texts(tree)
        module = path.relative_to(package).as_posix()
        found += [Message(text, module, line) for line, text in sorted(texts) if _is_message(text)]
    return list({message.text: message for message in found}.values())


def raised(package: Path, folder: str, errors: frozenset[str]) -> list[Message]:
    """Texts of the errors of these names that the modules below a folder, or one module, raise, in order."""
    found = []
    below = package / folder
    for path in [below] if below.is_file() else sorted(below.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc.func) in errors:
                module = path.relative_to(package).as_posix()
                texts = [text for text in map(text_of, node.exc.args) if text]
                found += [Message(" ".join(text.split()), module, node.lineno) for text in texts]
    return found


def text_of(node: ast.AST) -> str | None:
    """A text, with … for what is put in; None where it is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        if left is not None or right is not None:
            return ("…" if left is None else left) + ("…" if right is None else right)
    return None


def _is_message(text: str) -> bool:
    words = len(_WORD.findall(text))
    return (words >= 3 or (words == 2 and "…" in text)) and " " in text.strip() and "\n" not in text.strip()


def _said(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from _texts_of_all(node.exc.args)
        elif isinstance(node, ast.Call) and _name(node.func) in _SAYS:
            yield from _texts_of_all(node.args)


def _texts_of_all(nodes: list[ast.expr]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        yield from _texts_in(node)


def _texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Of what is inside a node."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Call) and _name(node.func) in _NO_MESSAGE_IN:
        return
    if isinstance(node, ast.keyword) and node.arg in _NO_MESSAGE_AS:
        return
    for field, value in ast.iter_fields(node):
        if isinstance(node, ast.Dict) and field == "keys":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _texts_in(child)


def _texts_in(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Of a node itself, or of what is inside it."""
    text = text_of(node)
    if text is None:
        yield from _texts(node)
        return
    yield getattr(node, "lineno", 0), " ".join(text.split())
    # What is put in may be a text of its own.
    for part in ast.walk(node):
        if isinstance(part, ast.FormattedValue):
            yield from _texts_in(part.value)


def _name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]
