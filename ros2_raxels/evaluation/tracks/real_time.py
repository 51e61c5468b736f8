"""A recording played at its own pace, of which the tracker gets what the pose node would get.

The newest frame is looked at when the tracker is free; frames that are due while it works replace each other.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Protocol

import numpy as np

from ros2_raxels.evaluation.tracks.recorded_track import Track, answer, improve
from ros2_raxels.recordings.calibration import Calibration
from ros2_raxels.recordings.schedule import Schedule
from ros2_raxels.recordings.source import Frame, FrameSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose, TrackState

AHEAD_BYTES = 256 * 2**20
"""Decoded images that wait for their time take at most so much."""


class Clock(Protocol):
    """Time as the player sees it."""

    def now_s(self) -> float:
        """Seconds, from any beginning."""

    def sleep_until(self, at_s: float) -> None:
        """Come back at that time; at once when it is over."""


class SteadyClock:
    """The monotonic clock of the machine."""

    def now_s(self) -> float:
        """Seconds since the machine was started."""
        return time.monotonic()

    def sleep_until(self, at_s: float) -> None:
        """Come back at that time; at once when it is over."""
        time.sleep(max(0.0, at_s - self.now_s()))


@dataclass
class Pace:
    """How the tracker kept up.

    Attributes:
        due_s: when each frame was handed over, s after the first; all of them.
        latency_s: from there to the pose, of the frames that were answered.
        posed_s: when poses came out, of frames that were solved; on the clock of `due_s`.
        behind: number of frames that were decoded later than they were due.
    """

    due_s: list[float] = field(default_factory=list)
    latency_s: list[float] = field(default_factory=list)
    posed_s: list[float] = field(default_factory=list)
    behind: int = 0

    @property
    def frames(self) -> int:
        """Number of frames that were played."""
        return len(self.due_s)

    @property
    def answered(self) -> float:
        """Share of the frames that the tracker looked at, 0 to 1."""
        return len(self.latency_s) / max(1, self.frames)

    @property
    def posed(self) -> float:
        """Share of the frames with a pose of their own, 0 to 1."""
        return len(self.posed_s) / max(1, self.frames)

    @property
    def longest_gap_s(self) -> float:
        """Longest time without a new pose, from the first one to the end of the recording."""
        if not self.posed_s:
            return self.due_s[-1] - self.due_s[0] if self.due_s else 0.0
        return float(np.diff([*self.posed_s, max(self.posed_s[-1], self.due_s[-1])]).max())

    def words(self) -> list[str]:
        """Lines for people."""
        if not self.latency_s:
            return ["at its own pace: no frame was answered"]
        p50, p95 = np.percentile(np.array(self.latency_s) * 1e3, (50, 95))
        answered = f"{len(self.latency_s)} of {self.frames} frames answered ({100 * self.answered:.1f} %)"
        posed = f"{len(self.posed_s)} with a pose ({100 * self.posed:.1f} %)"
        gap = f"longest without a new pose {1e3 * self.longest_gap_s:.0f} ms"
        lines = [
            f"at its own pace: {answered}, {posed}; the others were replaced by newer ones",
            f"frame to pose: {p50:.1f} ms p50, {p95:.1f} ms p95; {gap}",
        ]
        if self.behind:
            lines.append(f"{self.behind} frames came late, because they take longer to decode than to play")
        return lines


def follow_in_real_time(
    track: Track,
    source: FrameSource,
    tracker: Tracker,
    calibration: Calibration | None = None,
    *,
    rate: float = 1.0,
    pace: Pace,
    clock: Clock | None = None,
) -> Iterator[tuple[Frame, TrackedPose | None]]:
    """Track what the tracker is in time for into ``track``; every frame is yielded, with None for one that was dropped.

    Args:
        track: filled with the frames that were answered.
        source: the recording.
        tracker: a fresh one, whose settings say real time.
        calibration: replaces that of the recording.
        rate: so many times as fast as it was recorded.
        pace: filled.
        clock: the machine's by default.

    Raises:
        SourceError: an image cannot be read, or does not fit its camera.
    """
    clock = clock or SteadyClock()
    schedule = Schedule(rate, 1.0 / source.rate_hz)
    # It only sees the frames that are not dropped, and would think that it has more time.
    tracker.tell_period(1.0 / (source.rate_hz * rate))
    with _Ahead(source, schedule, clock) as ahead:
        ahead.fill()
        begin_s = clock.now_s()
        while (newest := ahead.take()) is not None:
            clock.sleep_until(begin_s + newest.due_s)
            while (newer := ahead.take_if_due(clock.now_s() - begin_s)) is not None:
                pace.due_s.append(newest.due_s)
                yield newest.frame, None
                newest = newer
            handed_s = max(newest.due_s, newest.decoded_s - begin_s)
            pace.due_s.append(handed_s)
            pace.behind += handed_s > newest.due_s
            found = answer(track, newest.frame, tracker, calibration)
            now_s = clock.now_s() - begin_s
            pace.latency_s.append(now_s - handed_s)
            if found.state is TrackState.TRACKING:
                pace.posed_s.append(now_s)
            improve(track, tracker)
            yield newest.frame, found


class _Decoded(NamedTuple):
    """A frame; when it is due after the first one, s; and when it was ready, on the clock."""

    frame: Frame
    due_s: float
    decoded_s: float


class _Ahead:
    """Reads a recording in a thread of its own, so far ahead as memory allows."""

    def __init__(self, source: FrameSource, schedule: Schedule, clock: Clock) -> None:
        self._source, self._schedule, self._clock = source, schedule, clock
        self._changed = threading.Condition()
        self._frames: deque[_Decoded] = deque()
        self._bytes = 0
        self._error: BaseException | None = None
        self._full = self._ended = self._closed = False
        self._thread = threading.Thread(target=self._read, name="reader", daemon=True)

    def __enter__(self) -> _Ahead:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def fill(self) -> None:
        """Wait until all of it is read, or as much as may wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._full or self._ended)

    def take(self) -> _Decoded | None:
        """The next frame, waited for; None behind the last one.

        Raises:
            SourceError: it cannot be read.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._frames) or self._ended)
            if self._frames:
                return self._taken()
            if self._error is not None:
                raise self._error
            return None

    def take_if_due(self, now_s: float) -> _Decoded | None:
        """The next frame if it is decoded and due by now, s after the first one."""
        with self._changed:
            return self._taken() if self._frames and self._frames[0].due_s <= now_s else None

    def _taken(self) -> _Decoded:
        taken = self._frames.popleft()
        self._bytes -= taken.frame.image.nbytes
        self._changed.notify_all()
        return taken

    def _read(self) -> None:
        try:
            for frame in self._source:
                if not self._put(frame):
                    return
        except BaseException as error:
            # Whatever a decoder raises belongs to the one who takes frames, who would wait for ever.
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, frame: Frame) -> bool:
        """Wait for room; False when nobody takes frames any more."""
        with self._changed:
            if self._bytes + frame.image.nbytes > AHEAD_BYTES:
                self._full = True
                self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._closed or not self._frames or self._bytes + frame.image.nbytes <= AHEAD_BYTES
            )
            if self._closed:
                return False
            self._frames.append(_Decoded(frame, self._schedule.due_s(frame.stamp_ns), self._clock.now_s()))
            self._bytes += frame.image.nbytes
            self._changed.notify_all()
            return True
