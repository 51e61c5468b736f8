"""right_of_way: work beside something urgent stops while that goes on, and yet comes to an end. Time is scripted."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from ros_testing import wait_until
from scripted_clock import Clock

from ros2_raxels.utils.right_of_way import NotWantedError, RightOfWay, give_way


class Beside:
    """A thread that computes for so long between two places, as often as it is let; and how far it has come."""

    def __init__(self, way: RightOfWay) -> None:
        self.places, self.steps = 0, threading.Semaphore(0)
        self._way, self._over = way, False
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        with self._way.respected():
            while True:
                self.steps.acquire()
                if self._over:
                    return
                give_way()
                self.places += 1

    def end(self) -> None:
        self._over = True
        self.steps.release()
        self._thread.join(60.0)
        assert not self._thread.is_alive()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def way(clock: Clock) -> RightOfWay:
    return RightOfWay(clock)


@pytest.fixture
def beside(way: RightOfWay) -> Iterator[Beside]:
    beside = Beside(way)
    yield beside
    beside.end()


def test_work_goes_on_while_nobody_has_the_way(beside: Beside, clock: Clock) -> None:
    clock.now_s = 1.0
    beside.steps.release(3)
    wait_until(lambda: beside.places == 3, what="three places passed")


def test_work_stops_while_somebody_has_the_way(way: RightOfWay, beside: Beside, clock: Clock) -> None:
    """It has computed for a second, so that it may wait as long."""
    clock.now_s = 1.0
    stopped = threading.Event()
    wait, way._is_free.wait = way._is_free.wait, lambda longest_s: (stopped.set(), wait(60.0))[1]  # type: ignore[method-assign]
    with way.taken():
        beside.steps.release()
        assert stopped.wait(60.0)
        assert beside.places == 0
    wait_until(lambda: beside.places == 1, what="the place passed")


def test_work_waits_for_no_longer_than_half_of_what_it_has_computed(
    way: RightOfWay, beside: Beside, clock: Clock
) -> None:
    asked: list[float] = []

    def wait(longest_s: float) -> bool:
        asked.append(longest_s)
        clock.now_s += longest_s
        return False

    way._is_free.wait = wait  # type: ignore[method-assign, assignment]
    with way.taken():
        for computed_s in (0.008, 0.0, 0.004, 0.5):
            clock.now_s += computed_s
            before = beside.places
            beside.steps.release()
            wait_until(lambda before=before: beside.places > before, what="the place passed")  # type: ignore[misc]
    # Nothing where it has computed nothing since; a fiftieth of a second at most.
    assert asked == pytest.approx([0.004, 0.002, 0.02])


def test_in_other_threads_it_is_nothing(way: RightOfWay) -> None:
    with way.taken():
        give_way()


def test_the_way_is_free_again_after_an_error(way: RightOfWay) -> None:
    with pytest.raises(ValueError, match="urgent"), way.taken():
        raise ValueError("urgent")
    assert way._is_free.is_set()


def test_what_nobody_wants_any_more_ends_at_the_next_place(way: RightOfWay) -> None:
    wanted = [True]
    with way.respected(lambda: wanted[0]):
        give_way()
        wanted[0] = False
        with pytest.raises(NotWantedError):
            give_way()
    give_way()
