"""Work done by a thread of its own, one piece at a time, for a caller who never waits for it."""

from __future__ import annotations

import atexit
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import cv2

from ros2_raxels.utils.right_of_way import RightOfWay

_SWITCH_S = 0.0005
"""How long a thread of Python computes while another one waits. The default, 5 ms, is half of a frame's whole path."""

_MOST_STUCK = 3
"""Threads given up: Python cannot end one from outside, and each holds a copy of the map."""

_AT_EXIT_S = 0.5
"""How long the end of the process waits for work. A thread that comes back from C++ into an interpreter that is
gone takes the process down with SIGABRT."""

Result = TypeVar("Result")


class StuckError(RuntimeError):
    """Work has not come to an end in time; nothing is lost but what it would have brought."""


class _Piece(Generic[Result]):
    """One piece of work, and what became of it."""

    def __init__(self, work: Callable[[], Result], begun_s: float) -> None:
        self._work: Callable[[], Result] | None = work
        self.begun_s = begun_s
        self.wanted = True
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.done = threading.Event()

    def carry_out(self) -> None:
        """In whatever thread; nothing that is raised is lost, nor does it end the thread."""
        work, self._work = self._work, None
        try:
            self.result = None if work is None else work()
        except BaseException as error:
            self.error = error
        self.done.set()


class AtOnce(Generic[Result]):
    """The same for a caller who has time: work is done when it is begun."""

    def __init__(self) -> None:
        self._piece: _Piece[Result] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether nothing more can be begun now."""
        return self._piece is not None

    @property
    def is_ready(self) -> bool:
        """Whether `outcome` has a result."""
        return self._piece is not None and self._piece.error is None

    def begin(self, work: Callable[[], Result]) -> None:
        """Do it."""
        self._piece = _Piece(work, 0.0)
        self._piece.carry_out()

    def outcome(self) -> Result | None:
        """What the last piece has brought, once; None where nothing was begun. Raises what it raised."""
        piece, self._piece = self._piece, None
        return None if piece is None else _brought(piece)

    def drop(self) -> None:
        """The outcome of what was begun is not wanted any more."""
        self._piece = None

    def wait(self) -> None:
        """Until what was begun has ended."""


class InBackground(Generic[Result]):
    """Does one piece of work after the other in a thread of its own. For a caller of one thread.

    The thread is started with the first piece, and again after one that got stuck. It ends with its owner, and holds
    up an exit of the process for half a second at most.

    Args:
        name: of the thread.
        patience_s: after so long a piece counts as stuck, and is given up.
        clock: s.
        way: what goes before it; None for nothing.
    """

    def __init__(
        self,
        name: str,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
        way: RightOfWay | None = None,
    ) -> None:
        self._name, self._patience_s, self._clock = name, patience_s, clock
        self._way = way or RightOfWay()
        self._piece: _Piece[Result] | None = None
        self._work: queue.SimpleQueue[_Piece[Result] | None] | None = None
        self._stuck: list[_Piece[Result]] = []
        _owners.add(self)

    @property
    def is_busy(self) -> bool:
        """Whether nothing more can be begun now; also while something goes on whose outcome is not wanted."""
        return self._piece is not None

    @property
    def is_ready(self) -> bool:
        """Whether `outcome` has a result."""
        piece = self._piece
        return piece is not None and piece.done.is_set() and piece.error is None

    @property
    def busy_s(self) -> float:
        """For how long the present piece has been going on; 0 once it has ended. Any thread may ask."""
        piece = self._piece
        return 0.0 if piece is None or piece.done.is_set() else self._clock() - piece.begun_s

    def begin(self, work: Callable[[], Result]) -> None:
        """Leave a piece of work to the thread; only while that is not busy.

        Raises:
            StuckError: too many pieces are stuck.
        """
        self._stuck = [piece for piece in self._stuck if not piece.done.is_set()]
        if len(self._stuck) >= _MOST_STUCK:
            raise StuckError(f"{self._name} is stuck in {len(self._stuck)} threads, and no more are begun; restart it")
        if self._work is None:
            self._work = self._served()
        self._piece = _Piece(work, self._clock())
        self._work.put(self._piece)

    def outcome(self) -> Result | None:
        """What the last piece has brought, once; None while it goes on, and where nothing was begun.

        Raises:
            StuckError: it has gone on for too long, and is given up.
            Exception: what it raised.
        """
        piece = self._piece
        if piece is None:
            return None
        if piece.done.is_set():
            self._piece = None
            if piece.wanted and not isinstance(piece.error, Exception | None):
                # What ends a thread, as an exit does, is not to end that of the caller.
                raise RuntimeError(f"{self._name} was ended by {piece.error!r}") from piece.error
            return _brought(piece)
        if self.busy_s > self._patience_s:
            self._give_up(piece)
            raise StuckError(f"{self._name} has not come to an end in {self._patience_s:g} s, and is begun anew")
        return None

    def drop(self) -> None:
        """The outcome of what was begun is not wanted any more; it ends where it gives way next."""
        if self._piece is not None:
            self._piece.wanted = False

    def wait(self) -> None:
        """Until what was begun has ended or counts as stuck."""
        if self._piece is not None:
            self._piece.done.wait(max(0.0, self._patience_s - self.busy_s) + _SWITCH_S)

    def end(self, until_s: float) -> None:
        """Begin nothing more, and wait for what goes on until a time of the monotonic clock."""
        if self._work is not None:
            self._work.put(None)
            self._work = None
        for piece in [*self._stuck, *([] if self._piece is None else [self._piece])]:
            piece.done.wait(max(0.0, until_s - time.monotonic()))

    def _give_up(self, piece: _Piece[Result]) -> None:
        self._piece = None
        self._stuck.append(piece)
        if self._work is not None:
            # Should it come to an end after all, its thread ends with it.
            self._work.put(None)
            self._work = None

    def _served(self) -> queue.SimpleQueue[_Piece[Result] | None]:
        work: queue.SimpleQueue[_Piece[Result] | None] = queue.SimpleQueue()
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        # OpenCV would take all cores for one search of keypoints here, and frames would wait for theirs.
        cv2.setNumThreads(1)
        threading.Thread(target=_serve, args=(work, self._way), name=self._name, daemon=True).start()
        weakref.finalize(self, work.put, None)
        return work


_owners: weakref.WeakSet[InBackground[Any]] = weakref.WeakSet()


@atexit.register
def _let_them_end() -> None:
    until_s = time.monotonic() + _AT_EXIT_S
    for owner in list(_owners):
        owner.end(until_s)


def _serve(work: queue.SimpleQueue[_Piece[Result] | None], way: RightOfWay) -> None:
    # Knows nothing of the owner, which may go while this waits.
    while (piece := work.get()) is not None:
        _carry_out(piece, way)
        del piece


def _carry_out(piece: _Piece[Result], way: RightOfWay) -> None:
    with way.respected(lambda: piece.wanted):
        piece.carry_out()


def _brought(piece: _Piece[Result]) -> Result | None:
    if not piece.wanted:
        return None
    if piece.error is not None:
        raise piece.error
    return piece.result
