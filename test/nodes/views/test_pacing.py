"""nodes.views.pacing: a few answers go at once, more one after the other, and none waits once the node ends."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ros_testing import Probe, wait_until

pytest.importorskip("rclpy")

from rclpy.clock import Clock, ClockType

from ros2_raxels.nodes.views.pacing import AT_ONCE, PERIOD_S, Pace

pytestmark = pytest.mark.ros


@pytest.fixture
def pace(module_probe: Probe) -> Iterator[Pace]:
    made = Pace(module_probe.node, Clock(clock_type=ClockType.STEADY_TIME))
    yield made
    made.destroy()


def ask(probe: Probe, pace: Pace, count: int) -> list[tuple[int, float]]:
    """A list to which each of so many answers that are ready now is added when it goes: its number, and when, s."""
    gone: list[tuple[int, float]] = []

    async def answer(number: int) -> None:
        await pace.turn()
        gone.append((number, time.monotonic()))

    for number in range(count):
        probe.node.executor.create_task(answer, number)
    probe.node.executor.wake()
    return gone


def test_a_burst_goes_in_order_and_no_faster_than_short_queues_take_it(module_probe: Probe, pace: Pace) -> None:
    gone = ask(module_probe, pace, AT_ONCE + 4)
    wait_until(lambda: len(gone) == AT_ONCE + 4, what="all turns")
    assert [number for number, _ in gone] == list(range(AT_ONCE + 4))
    # A timer that was late catches up by one period at most.
    assert gone[-1][1] - gone[AT_ONCE - 1][1] >= 2.5 * PERIOD_S


def test_none_waits_any_more_once_the_pace_is_open(module_probe: Probe, pace: Pace) -> None:
    gone = ask(module_probe, pace, AT_ONCE + 100)
    wait_until(lambda: len(gone) >= AT_ONCE, what="first turns")
    module_probe.node.executor.create_task(pace.open)
    module_probe.node.executor.wake()
    wait_until(lambda: len(gone) == AT_ONCE + 100, 3.0, what="all turns")
