"""Long commands on a terminal: how they are interrupted, and a line that shows their progress."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

_LINE_PERIOD_S = 2.0


@contextmanager
def interruptible() -> Iterator[Event]:
    """Within the block SIGINT and SIGTERM raise KeyboardInterrupt, and set the event.

    The exception alone is not enough: raised in a callback from C++ it is printed and lost.
    """
    interrupted = Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StatusLine:
    """A line of progress: overwritten in place on a terminal, printed anew every few seconds elsewhere."""

    def __init__(self) -> None:
        self._overwrite = sys.stderr.isatty()
        self._shown = time.monotonic()

    def show(self, text: str) -> None:
        """Replace the line by this text."""
        if self._overwrite:
            print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._shown > _LINE_PERIOD_S:
            print(text, file=sys.stderr, flush=True)
            self._shown = time.monotonic()

    def keep(self, text: str) -> None:
        """Print this text for good; the next one goes below it."""
        print(("\r\x1b[2K" if self._overwrite else "") + text, file=sys.stderr, flush=True)
