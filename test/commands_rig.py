"""What tests of commands share: what was printed, and what was written."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from ros2_raxels.cli.main import main

CapSys = pytest.CaptureFixture[str]


def error_line(capsys: CapSys) -> str:
    """The one line on stderr."""
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1, captured
    assert captured.startswith("raxels: ")
    return captured


def files_of(folder: Path) -> list[str]:
    """All of a folder, hidden ones too: what is left of a temporary file would show."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Ran:
    """A command that was run once for several tests: its exit status, what it printed, and the folder it wrote to."""

    status: int
    out: str
    err: str
    folder: Path


def run_once(folder: Path, *arguments: str) -> Ran:
    """Run a command in this process, outside of the tests that capture what is printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    return Ran(status, out.getvalue(), err.getvalue(), folder)
