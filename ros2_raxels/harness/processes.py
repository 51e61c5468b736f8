"""Child processes that end with their parent, and whose last output is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_PATIENCE_S = 3.0
_LAST_WORDS = 12


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Defers SIGINT and SIGTERM to the end of the block, where they reach the handlers in place before it.

    By handlers, not by the signal mask: a child would inherit the mask and could not be asked to end.
    """
    caught: list[int] = []
    before = {n: signal.signal(n, lambda number, _: caught.append(number)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])


class Family:
    """Children that end together. No interrupt can come between the start of a child and its registration here."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def start(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
        """Start one more; see `Child`."""
        with uninterrupted():
            child = Child(module, arguments, environment, log)
            self._children.append(child)
        return child

    def end(self) -> None:
        """End all, the youngest first. A second Ctrl-C does not leave one behind."""
        with uninterrupted():
            while self._children:
                self._children.pop().end()


class Child:
    """A Python module as a process; its output goes to a file.

    Args:
        module: run as ``python -m module``.
        arguments: after it.
        environment: all of it.
        log: file for stdout and stderr.
    """

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.module, self.log = module, log
        # In a session of its own: Ctrl-C in the terminal reaches the parent alone, which ends its children in order.
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll()

    @property
    def last_words(self) -> list[str]:
        """The last lines of its output that are not empty."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if line.strip()][-_LAST_WORDS:]

    def end(self) -> int:
        """Send SIGINT, then SIGKILL if it does not end; the exit status, also of a child that has ended already."""
        if self.code is None:
            self._signal(signal.SIGINT)
        try:
            return self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            return self._process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
