"""One process at a time: a lock that is gone with the process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ros2_raxels.engine import Say

REPORT_EVERY_S = 5.0
"""Between two lines that say how far long work is."""

_POLL_S = 0.1


@contextlib.contextmanager
def one_process(path: Path, name: str, say: Say) -> Iterator[None]:
    """Hold the lock of a file, after waiting for the process that has it.

    Where the file cannot be opened for writing, this process could not spoil anything and does not wait. On file
    systems without locks it does not wait either, and says so.

    Args:
        path: of the file, which is created.
        name: of the plan that one process at a time may compile.
        say: told in a line every few seconds while this process waits, or that there are no locks.
    """
    try:
        file = path.open("w")
    except OSError:
        file = None
    if file is None:
        yield
        return
    with file:
        _wait_for(file, path.parent, name, say)
        yield


def _wait_for(file: IO[str], folder: Path, name: str, say: Say) -> None:
    begun = reported = time.monotonic()
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            now = time.monotonic()
            if now - reported >= REPORT_EVERY_S:
                reported = now
                say(f"waiting {now - begun:.0f} s for another process that compiles {name}")
            time.sleep(_POLL_S)
        except OSError as error:
            # Some network file systems have no locks; files are still replaced whole.
            say(f"{folder} has no locks ({error.strerror}): another process may compile {name} too")
            return
