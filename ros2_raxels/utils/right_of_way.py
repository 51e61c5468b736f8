"""Who computes when two threads of Python want to: what is waited for goes first, work beside it gives way.

Two such threads share the interpreter's lock and the cores, and each slows the other down by half. Work that nobody
waits for stops at places where it says `give_way`, for as long as somebody else has the way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LONGEST_S = 0.02
"""At one place. What takes longer, as a search of a whole image does, is in need of what the work beside it brings."""

_SHARE = 0.5
"""Of the time computed that may be waited: a frame takes a third of the time between two."""


class NotWantedError(Exception):
    """Raised where work gives way whose outcome nobody wants any more."""


class RightOfWay:
    """Taken by one thread while it has something urgent to do; respected by work that `gives_way` to it.

    That work waits for no longer altogether than half of what it has computed: where the urgent takes all of the time,
    work beside it would come to an end never.

    Args:
        clock: s.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._is_free = threading.Event()
        self._is_free.set()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the way."""
        self._is_free.clear()
        try:
            yield
        finally:
            self._is_free.set()

    @contextmanager
    def respected(self, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """In this thread `give_way` gives way to whoever has it, and ends what is not wanted any more."""
        begun_s, waited_s = self._clock(), 0.0

        def wait() -> None:
            nonlocal waited_s
            if not is_wanted():
                raise NotWantedError
            if self._is_free.is_set():
                return
            now_s = self._clock()
            left_s = _SHARE * (now_s - begun_s - waited_s) - waited_s
            if left_s > 0.0:
                self._is_free.wait(min(left_s, _LONGEST_S))
                waited_s += self._clock() - now_s

        _here.wait = wait
        try:
            yield
        finally:
            del _here.wait


_here = threading.local()


def give_way() -> None:
    """A place where work beside something urgent may be interrupted, some milliseconds from the next one.

    Raises:
        NotWantedError: nobody wants its outcome any more.
    """
    wait: Callable[[], None] | None = getattr(_here, "wait", None)
    if wait is not None:
        wait()
