"""Problems said once in a while, counters, and what /diagnostics shows of them."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

_REPEAT_S = 5.0
_RECENT_S = 3.0
_LATENCIES = 300
_LONGEST = 400
_MOST_KINDS = 100
_REPEATED = " ({} more since last logged)"
# A text that was cut short may end inside its quote.
_VALUES = re.compile(r"""'(?:[^'\\]|\\.)*(?:'|$)|"(?:[^"\\]|\\.)*(?:"|$)|[\d.]+""")


class Health(NamedTuple):
    """How a part of a node is.

    Attributes:
        part: its name.
        level: OK, WARN or ERROR.
        message: why; empty for "ok".
        values: numbers and names, in words.
    """

    part: str
    level: bytes
    message: str
    values: Mapping[str, str] = {}


class _Logger(Protocol):
    def warning(self, message: str) -> Any: ...


def kind_of(text: str) -> str:
    """A text without numbers and without what it quotes, which may be anything that a topic sends."""
    return _VALUES.sub("#", text)


def kind_of_line(line: str) -> str:
    """The kind of the text that `Problems` wrote into a log."""
    return kind_of(line).removesuffix(_REPEATED.format("#"))


class Problems:
    """Warnings, each kind at most every 5 s, and the last one for the diagnostics. Any thread may report.

    Two texts are of one kind when `kind_of` says the same of both.
    """

    def __init__(self, logger: _Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()
        self._logged_at: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}
        self._last = ("", -math.inf)

    def report(self, text: str) -> None:
        """Say ``text`` in one line, unless something of its kind was said less than 5 s ago."""
        with self._lock:
            words = self._words(text[:_LONGEST], self._clock())
        if words:
            self._logger.warning(words)

    def _words(self, text: str, now: float) -> str:
        """What to say; empty when something of its kind was said not long ago."""
        self._last, kind = (text, now), kind_of(text)
        if now - self._logged_at.get(kind, -math.inf) < _REPEAT_S:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return ""
        if len(self._logged_at) >= _MOST_KINDS:
            # What a topic sends ends up in the text; a sender of ever new nonsense must not fill the memory.
            self._logged_at.clear()
            self._unsaid.clear()
        self._logged_at[kind] = now
        unsaid = self._unsaid.pop(kind, 0)
        return text + (_REPEATED.format(unsaid) if unsaid else "")

    @property
    def last(self) -> str:
        """Text of the last problem of any age; empty when there was none."""
        return self._last[0]

    @property
    def recent(self) -> bool:
        """Whether the last problem is less than 3 s old."""
        return self._clock() - self._last[1] < _RECENT_S


class Latencies:
    """Of the last 300 of something."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_LATENCIES)

    def add(self, seconds: float) -> None:
        """One more."""
        self._seconds.append(seconds)

    def values(self) -> dict[str, str]:
        """Percentiles; nan before the first."""
        p50, p95 = np.percentile(list(self._seconds) or [np.nan], (50, 95)) * 1e3
        return {"latency p50 (ms)": f"{p50:.1f}", "latency p95 (ms)": f"{p95:.1f}"}


class Traffic:
    """Counters of frames and times between two reports. Each counter is written by one thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.received = 0
        self.replaced = 0
        self.refused = 0
        """By the executor's thread, before the worker saw them."""
        self.rejected = 0
        self.processed = 0
        self.resets = 0
        self.latencies = Latencies()
        self._reported = (clock(), 0, 0)

    @property
    def dropped(self) -> int:
        """Frames that were received but not solved."""
        return self.replaced + self.refused + self.rejected

    def values(self) -> dict[str, str]:
        """Rates since the last call, latency from stamp to publication, and totals."""
        now = self._clock()
        then, received, processed = self._reported
        seconds = max(now - then, 1e-6)
        rate_in, rate_out = (self.received - received) / seconds, (self.processed - processed) / seconds
        self._reported = (now, self.received, self.processed)
        return {
            "rate in (Hz)": f"{rate_in:.1f}",
            "rate out (Hz)": f"{rate_out:.1f}",
            **self.latencies.values(),
            "frames received": str(self.received),
            "frames processed": str(self.processed),
            "frames replaced by a newer one": str(self.replaced),
            "frames rejected": str(self.refused + self.rejected),
        }


def pairs(values: Mapping[str, str]) -> list[KeyValue]:
    """Key values of a DiagnosticStatus."""
    return [KeyValue(key=key, value=value) for key, value in values.items()]


def status(name: str, level: bytes, message: str, values: Mapping[str, str] | None = None) -> DiagnosticStatus:
    """One DiagnosticStatus; an empty message reads "ok"."""
    return DiagnosticStatus(level=level, name=name, message=message or "ok", values=pairs(values or {}))


def worded(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
