"""real_time: which frames a slow tracker gets, when its poses come out, and how that is told. Time is scripted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest

from ros2_raxels.evaluation.tracks import real_time
from ros2_raxels.evaluation.tracks.real_time import Pace, SteadyClock, follow_in_real_time
from ros2_raxels.evaluation.tracks.recorded_track import Track
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.source import Frame, FrameSource, SourceError
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackState


class Scripted:
    """A clock that only work moves, and the tracker that does it."""

    def __init__(
        self, track_s: Sequence[float], improve_s: float = 0.0, keyframes: Sequence[int] = (), lost: Sequence[int] = ()
    ) -> None:
        self.camera = PinholeCamera(8, 6, 7.0, 7.0, 3.5, 2.5)
        self.time_s = 100.0
        self.seen: list[int] = []
        self.slept: list[float] = []
        self.improved_after: list[int] = []
        self.after_each: Callable[[], None] = lambda: None
        self._track_s, self._improve_s = track_s, improve_s
        self._keyframes, self._lost = keyframes, lost

    def now_s(self) -> float:
        return self.time_s

    def sleep_until(self, at_s: float) -> None:
        self.slept.append(at_s)
        self.time_s = max(self.time_s, at_s)

    def track(self, image: Any, stamp_ns: int, camera: PinholeCamera | None, *_: Any, **more: Any) -> TrackedPose:
        self.time_s += self._track_s[len(self.seen) % len(self._track_s)]
        number = stamp_ns // 100_000_000
        self.seen.append(number)
        self.after_each()
        state = TrackState.LOST if number in self._lost else TrackState.TRACKING
        return TrackedPose(stamp_ns, np.eye(4), np.eye(6), state, SolveQuality(1.0), keyframe=number in self._keyframes)

    def tell_period(self, period_s: float) -> None:
        self.period_s = period_s

    def improve(self) -> None:
        """What is left to be done takes its time only where a tracker does it at once."""
        self.improved_after.append(self.seen[-1])
        self.time_s += self._improve_s if self.seen[-1] in self._keyframes else 0.0


class Made(FrameSource):
    """Black frames, 10 Hz; one of them may be unreadable, and decoding may wait for something."""

    name, kind, rate_hz, camera = "made", "posed set", 10.0, None

    def __init__(self, count: int, broken: int = -1, before: Callable[[int], None] = lambda number: None) -> None:
        self.length, self._broken, self._before = count, broken, before

    def __iter__(self) -> Iterator[Frame]:
        for k in range(self.length or 0):
            self._before(k)
            if k == self._broken:
                raise SourceError(f"frame {k} cannot be read")
            yield Frame(k, k * 100_000_000, np.zeros((6, 8, 3), np.uint8), None, None, f"frame {k}")


def played(source: FrameSource, tracker: Scripted, rate: float = 1.0) -> tuple[Track, Pace, list[int]]:
    """The track, how it kept up, and the numbers of the frames that were dropped."""
    track, pace, dropped = Track(), Pace(), []
    for frame, found in follow_in_real_time(track, source, cast(Tracker, tracker), rate=rate, pace=pace, clock=tracker):
        if found is None:
            dropped.append(frame.index)
    return track, pace, dropped


def test_a_tracker_that_is_in_time_gets_every_frame_when_it_is_due() -> None:
    tracker = Scripted([0.05])
    track, pace, dropped = played(Made(4), tracker)
    assert (tracker.seen, dropped) == ([0, 1, 2, 3], [])
    assert tracker.slept == pytest.approx([100.0, 100.1, 100.2, 100.3])
    assert pace.latency_s == pytest.approx([0.05] * 4)
    assert (pace.frames, pace.answered, pace.posed, pace.behind) == (4, 1.0, 1.0, 0)
    assert pace.longest_gap_s == pytest.approx(0.1)
    assert len(track.stamps_ns) == len(track.between_s) == 4


def test_frames_that_come_while_it_works_replace_each_other() -> None:
    # Free again at .25: of frames 1 and 2, due at .1 and .2, the newer one is there. The frame after it is waited for.
    tracker = Scripted([0.25, 0.05])
    track, pace, dropped = played(Made(6), tracker)
    assert tracker.seen == [0, 2, 3, 5]
    assert dropped == [1, 4]
    assert track.stamps_ns == [0, 200_000_000, 300_000_000, 500_000_000]
    assert pace.latency_s == pytest.approx([0.25, 0.1, 0.25, 0.1])
    assert pace.frames == 6
    assert pace.answered == pytest.approx(4 / 6)
    assert pace.posed_s == pytest.approx([0.25, 0.3, 0.55, 0.6])


def test_what_is_done_after_a_pose_costs_frames_and_no_latency() -> None:
    tracker = Scripted([0.01], improve_s=0.25, keyframes=[1])
    _, pace, dropped = played(Made(5), tracker)
    assert tracker.improved_after == [0, 1, 3, 4]
    assert (tracker.seen, dropped) == ([0, 1, 3, 4], [2])
    # Frame 3 is due at .3 and waits for the keyframe, which is ready at .36.
    assert pace.latency_s == pytest.approx([0.01, 0.01, 0.07, 0.01])


def test_at_another_rate_frames_come_closer() -> None:
    tracker = Scripted([0.07])
    _, pace, dropped = played(Made(5), tracker, rate=2.0)
    assert pace.due_s == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    assert tracker.period_s == pytest.approx(0.05)
    assert (tracker.seen, dropped) == ([0, 1, 2, 4], [3])


def test_the_longest_gap_is_between_poses_or_to_the_end() -> None:
    tracker = Scripted([0.0], lost=[2, 3])
    _, pace, _ = played(Made(5), tracker)
    assert (pace.answered, pace.posed) == (1.0, 0.6)
    assert pace.longest_gap_s == pytest.approx(0.3)
    _, pace, _ = played(Made(6), Scripted([0.0], lost=[2, 3, 4, 5]))
    assert pace.longest_gap_s == pytest.approx(0.4)
    _, pace, _ = played(Made(4), Scripted([0.0], lost=range(4)))
    assert pace.longest_gap_s == pytest.approx(0.3)
    assert Pace().longest_gap_s == 0.0


def test_a_frame_that_is_decoded_late_is_handed_over_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_time, "AHEAD_BYTES", 1)
    tracker, first_is_done = Scripted([0.0]), threading.Event()
    tracker.after_each = first_is_done.set

    def slow(number: int) -> None:
        if number == 1:
            assert first_is_done.wait(10.0)
            tracker.time_s += 0.4

    _, pace, _ = played(Made(2, before=slow), tracker)
    assert pace.due_s == pytest.approx([0.0, 0.4])
    assert pace.latency_s == pytest.approx([0.0, 0.0])
    assert pace.behind == 1
    assert pace.words()[-1] == "1 frames came late, because they take longer to decode than to play"


def test_no_more_images_wait_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_time, "AHEAD_BYTES", 3 * 6 * 8 * 3)
    decoded: list[int] = []
    tracker = Scripted([0.0])
    tracker.after_each = lambda: held.append(len(decoded) - len(tracker.seen))
    held: list[int] = []
    played(Made(12, before=decoded.append), tracker)
    # Three wait, one is in the reader's hand and the next is asked for.
    assert tracker.seen == list(range(12))
    assert max(held) <= 5


def test_what_cannot_be_read_ends_it_behind_what_came_before() -> None:
    tracker = Scripted([0.0])
    with pytest.raises(SourceError, match="frame 2 cannot be read"):
        played(Made(4, broken=2), tracker)
    assert tracker.seen == [0, 1]


def test_the_reader_ends_with_its_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_time, "AHEAD_BYTES", 1)
    tracker = Scripted([0.0])
    frames = follow_in_real_time(Track(), Made(9), cast(Tracker, tracker), pace=Pace(), clock=tracker)
    next(frames)
    assert [t.name for t in threading.enumerate()].count("reader") == 1
    frames.close()  # type: ignore[attr-defined]
    assert "reader" not in [t.name for t in threading.enumerate()]


def test_what_is_said_of_it() -> None:
    pace = Pace([0.0, 0.1, 0.2, 0.3], [0.012, 0.03], [0.012, 0.23])
    answered, latency = pace.words()
    assert answered.startswith("at its own pace: 2 of 4 frames answered (50.0 %), 2 with a pose (50.0 %); the others")
    assert latency == "frame to pose: 21.0 ms p50, 29.1 ms p95; longest without a new pose 218 ms"
    assert Pace([0.0]).words() == ["at its own pace: no frame was answered"]


def test_the_machine_s_clock_comes_back_when_it_is_time() -> None:
    clock = SteadyClock()
    at_s = clock.now_s() + 0.02
    clock.sleep_until(at_s)
    assert clock.now_s() >= at_s
    clock.sleep_until(at_s - 60.0)
    assert clock.now_s() < at_s + 30.0
