"""When the frames of a recording are due that is played at its own pace."""

from __future__ import annotations


class Schedule:
    """When each frame is due after the first one, s; laps follow each other at the typical frame distance.

    Args:
        rate: how many times as fast as it was recorded.
        period_s: typical distance of two frames as recorded, s.
    """

    def __init__(self, rate: float, period_s: float) -> None:
        self._rate, self._period_s = rate, period_s
        self._first_ns: int | None = None
        self._begin_s = self._last_s = 0.0

    def restart(self) -> None:
        """The next frame is again the first of the recording."""
        if self._first_ns is not None:
            self._begin_s, self._first_ns = self._last_s + self._period_s / self._rate, None

    def due_s(self, stamp_ns: int) -> float:
        """For a frame with this recorded stamp."""
        if self._first_ns is None:
            self._first_ns = stamp_ns
        self._last_s = self._begin_s + (stamp_ns - self._first_ns) * 1e-9 / self._rate
        return self._last_s
