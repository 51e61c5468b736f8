"""schedule: when frames are due at another pace, and how laps join."""

from __future__ import annotations

import pytest

from ros2_raxels.recordings.schedule import Schedule


def test_frames_are_due_as_far_apart_as_recorded_divided_by_the_rate() -> None:
    schedule = Schedule(2.0, 0.1)
    due_s = [schedule.due_s(stamp) for stamp in (5_000_000_000, 5_100_000_000, 5_500_000_000)]
    assert due_s == pytest.approx([0.0, 0.05, 0.25])


def test_the_next_lap_begins_a_typical_distance_after_the_last_frame() -> None:
    schedule = Schedule(2.0, 0.1)
    schedule.restart()
    assert [schedule.due_s(stamp) for stamp in (7, 1_000_000_007)] == pytest.approx([0.0, 0.5])
    schedule.restart()
    assert [schedule.due_s(stamp) for stamp in (7, 1_000_000_007)] == pytest.approx([0.55, 1.05])
