"""The schedule of faults: each comes once before any comes again, and none beside another."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import itertools

from ros2_raxels.soak.faults import AFTERMATH_S, FAULTS, Event, fault_at, schedule


def test_every_fault_occurs_once_before_any_repeats_and_no_two_overlap():
    events = schedule(900.0, 20.0, seed=4)
    assert {e.fault for e in events[: len(FAULTS)]} == set(FAULTS)
    assert len(events) > len(FAULTS)
    for before, after in itertools.pairwise(events):
        assert 10.0 <= after.begin_s - before.end_s <= 30.0
    assert events[-1].end_s + 2 * AFTERMATH_S <= 900.0
    assert schedule(900.0, 20.0, seed=4) == events
    assert schedule(900.0, 20.0, seed=5) != events


def test_the_aftermath_is_attributed_to_the_fault():
    events = [Event(FAULTS[0], 10.0)]
    end = events[0].end_s
    assert [fault_at(events, at) for at in (9.9, 10.0, end)] == ["none", "drop", "none"]
    assert fault_at(events, end + AFTERMATH_S - 0.1, AFTERMATH_S) == "drop"
    assert fault_at(events, end + AFTERMATH_S, AFTERMATH_S) == "none"
