"""What long commands owe the terminal: an end when it is asked for, and a line that says where they are."""

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
    """SIGTERM ends the children as Ctrl-C does; the event is set from then on.

    The exception alone is not enough: where C++ calls back into Python it is printed and forgotten.
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
    """One line that is overwritten on a terminal, and now and then a new one elsewhere."""

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
        """Show this text for good; what is shown next goes below."""
        print(("\r\x1b[2K" if self._overwrite else "") + text, file=sys.stderr, flush=True)
