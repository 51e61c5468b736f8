"""Load as a state: how often frames come, what is left of the time between two, and what may be spent of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

_GAPS = 15
"""Newest gaps between frames of which the median counts: jitter and single drops do not move it, a change of rate does
within half as many frames."""

_LONGEST_S = 2.0
"""A longer gap is a pause, and tells nothing about the rate."""

_MOST_SAVED = 3.0
"""Periods: time that was not needed seconds ago is no use now."""

_SMOOTHING = 0.2
_MOST_PERIODS = 10
"""Between two frames: a camera that was silent for longer says nothing by that."""


class Pace:
    """How often frames come, from their stamps."""

    def __init__(self) -> None:
        self._newest_ns: int | None = None
        self._gaps_s: deque[float] = deque(maxlen=_GAPS)

    def see(self, stamp_ns: int) -> float:
        """A frame has come; so many seconds after the one before, 0 for the first one."""
        gap_s = 0.0
        if self._newest_ns is not None:
            gap_s = (stamp_ns - self._newest_ns) * 1e-9
            if 0.0 < gap_s < _LONGEST_S:
                self._gaps_s.append(gap_s)
        self._newest_ns = stamp_ns
        return gap_s

    @property
    def period_s(self) -> float | None:
        """From one frame to the next; None before there were two."""
        return median(self._gaps_s) if self._gaps_s else None


class Budget:
    """What may be spent on a frame: its own period, and what the frames before it have left of theirs.

    A look that costs more than a period makes the next frames wait or drop; the more of them are dropped the further
    is the next one away, and the more it needs such a look. So one is paid from savings, and where there are none it
    is not had.

    Args:
        limited: whether frames have to be answered at their rate at all.
        clock: s.

    Attributes:
        refused: whether the present frame was not had time for something.
        periods: from the frame before to the present one; 1 where nothing is dropped.
    """

    def __init__(self, limited: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        self._limited, self._clock = limited, clock
        self._pace = Pace()
        self._told_s: float | None = None
        self._saved_s: float | None = None
        self._spent_s = 0.0
        self._costs_s: dict[str, float] = {}
        self.refused, self.periods = False, 1

    @property
    def period_s(self) -> float | None:
        """From one frame to the next; None while it is not known."""
        return self._told_s or self._pace.period_s

    def tell_period(self, period_s: float | None) -> None:
        """Frames come so often, those included that never get here; without it, what those that get here say."""
        self._told_s = period_s

    @contextmanager
    def frame(self, stamp_ns: int) -> Iterator[None]:
        """All that is done for a frame, from its image to its answer."""
        begun_s = self._clock()
        self.periods = self._periods(self._pace.see(stamp_ns))
        self._save()
        self.refused = False
        try:
            yield
        finally:
            self._spent_s = self._clock() - begun_s

    def _periods(self, gap_s: float) -> int:
        if not self._limited or not self.period_s:
            return 1
        return min(max(round(gap_s / self.period_s), 1), _MOST_PERIODS)

    def _save(self) -> None:
        period_s = self.period_s
        if period_s is not None:
            most_s = _MOST_SAVED * period_s
            saved_s = most_s if self._saved_s is None else self._saved_s + period_s - self._spent_s
            self._saved_s = min(max(saved_s, 0.0), most_s)

    @contextmanager
    def paying_for(self, look: str) -> Iterator[None]:
        """A look of this name, whose cost is to be known the next time."""
        begun_s = self._clock()
        yield
        cost_s = self._clock() - begun_s
        before_s = self._costs_s.get(look, cost_s)
        self._costs_s[look] = before_s + _SMOOTHING * (cost_s - before_s)

    def has_time_for(self, look: str) -> bool:
        """Whether this frame may have such a look; yes while it is not known what that costs.

        Where nothing more can be saved it may, whatever the cost: one late frame is better than a loss.
        """
        period_s, saved_s = self.period_s, self._saved_s
        if not self._limited or period_s is None or saved_s is None:
            return True
        is_full = saved_s >= _MOST_SAVED * period_s
        has_time = is_full or self._costs_s.get(look, 0.0) <= saved_s + period_s
        self.refused |= not has_time
        return has_time

    def can_spare(self, look: str) -> bool:
        """Whether frames before this one have left enough for a look that it can do without.

        Yes while it is not known what that costs.
        """
        if not self._limited or self._saved_s is None:
            return True
        return self._costs_s.get(look, 0.0) <= self._saved_s
