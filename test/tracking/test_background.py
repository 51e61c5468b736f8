"""background: work in a thread of its own, whatever becomes of it."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from ros_testing import wait_until
from scripted_clock import Clock

from ros2_raxels.tracking.background import AtOnce, InBackground, StuckError
from ros2_raxels.utils.right_of_way import give_way


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What work waits for; no thread is left waiting."""
    event = threading.Event()
    yield event
    event.set()


def background(clock: Clock) -> InBackground[object]:
    return InBackground("test-mapping", 10.0, clock)


def threads() -> int:
    """Of all that has an owner; an error that was raised holds its own for a while."""
    gc.collect()
    return sum(thread.name == "test-mapping" for thread in threading.enumerate())


def test_the_caller_goes_on_while_work_is_done(clock: Clock, gate: threading.Event) -> None:
    work = background(clock)
    assert (work.is_busy, work.is_ready, work.outcome()) == (False, False, None)
    work.begin(lambda: (gate.wait(), threading.current_thread().name))
    clock.now_s = 3.0
    assert (work.is_busy, work.is_ready, work.outcome(), work.busy_s) == (True, False, None, 3.0)
    gate.set()
    work.wait()
    # However long nobody asks for it: the next image may be minutes away.
    clock.now_s = 60.0
    assert (work.is_ready, work.busy_s) == (True, 0.0)
    assert work.outcome() == (True, "test-mapping")
    assert (work.is_busy, work.outcome(), work.busy_s) == (False, None, 0.0)
    # Threads take turns often enough that none holds up a frame.
    assert sys.getswitchinterval() <= 0.0005


def test_what_goes_wrong_is_told_and_the_next_piece_is_done(clock: Clock) -> None:
    work = background(clock)
    work.begin(lambda: 1 / 0)
    work.wait()
    assert not work.is_ready
    with pytest.raises(ZeroDivisionError):
        work.outcome()
    work.begin(lambda: sys.exit("for good"))
    work.wait()
    with pytest.raises(RuntimeError, match=r"test-mapping was ended by SystemExit\('for good'\)"):
        work.outcome()
    work.begin(lambda: "well")
    work.wait()
    assert work.outcome() == "well"


def test_what_is_stuck_is_given_up_and_the_next_piece_is_done(clock: Clock, gate: threading.Event) -> None:
    work = background(clock)
    work.begin(gate.wait)
    clock.now_s = 10.0
    assert work.outcome() is None
    clock.now_s = 10.1
    with pytest.raises(StuckError, match=r"has not come to an end in 10 s, and is begun anew"):
        work.outcome()
    assert not work.is_busy
    work.begin(lambda: "well")
    work.wait()
    assert work.outcome() == "well"
    wait_until(lambda: threads() == 2, what="the threads of earlier tests end")
    gate.set()
    # Its thread goes with what was stuck.
    wait_until(lambda: threads() == 1, what="the thread that was stuck ends")


def test_where_all_is_stuck_no_thread_is_begun_any_more_until_one_is_free(clock: Clock, gate: threading.Event) -> None:
    work = background(clock)
    for _ in range(3):
        work.begin(gate.wait)
        clock.now_s += 11.0
        with pytest.raises(StuckError):
            work.outcome()
    with pytest.raises(StuckError, match="stuck in 3 threads, and no more are begun"):
        work.begin(gate.wait)
    gate.set()
    wait_until(lambda: threads() == 0, what="the threads that were stuck end")
    work.begin(lambda: "well")
    work.wait()
    assert work.outcome() == "well"


def test_what_is_dropped_is_not_told(clock: Clock, gate: threading.Event) -> None:
    work = background(clock)
    for piece in (lambda: gate.wait(), lambda: 1 / 0):
        work.begin(piece)
        work.drop()
        assert work.is_busy
        gate.set()
        work.wait()
        assert work.outcome() is None
        assert not work.is_busy


def test_what_is_dropped_ends_at_the_next_place_where_it_gives_way(clock: Clock, gate: threading.Event) -> None:
    work, came_past = background(clock), threading.Event()

    def piece() -> None:
        gate.wait()
        give_way()
        came_past.set()

    work.begin(piece)
    work.drop()
    gate.set()
    work.wait()
    assert work.outcome() is None
    assert not came_past.is_set()


def test_the_thread_ends_with_its_owner(clock: Clock) -> None:
    work = background(clock)
    work.begin(lambda: "well")
    work.wait()
    assert work.outcome() == "well"
    wait_until(lambda: threads() == 1, what="the threads of earlier tests end")
    del work
    wait_until(lambda: threads() == 0, what="the thread ends")


_EXITS = """
import threading, time, cv2, numpy as np
from ros2_raxels.tracking.background import InBackground
begun, image = threading.Event(), np.zeros((500, 500), np.uint8)
def blur():
    begun.set()
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        cv2.GaussianBlur(image, (31, 31), 5)
work = InBackground("test-mapping", 10.0)
work.begin({work})
begun.wait(0.2)
print("done")
"""


@pytest.mark.parametrize("work", ["blur", "threading.Event().wait"], ids=["in OpenCV", "stuck"])
def test_the_process_ends_well_whatever_the_thread_is_at(work: str) -> None:
    """A thread that comes back from C++ into an interpreter that is gone would abort it."""
    ended = subprocess.run(
        [sys.executable, "-c", _EXITS.replace("{work}", work)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_at_once_means_in_the_callers_thread() -> None:
    work: AtOnce[str] = AtOnce()
    assert (work.is_busy, work.outcome()) == (False, None)
    work.begin(lambda: threading.current_thread().name)
    assert (work.is_busy, work.is_ready) == (True, True)
    work.wait()
    assert work.outcome() == threading.current_thread().name
    assert work.outcome() is None
    work.begin(lambda: str(1 / 0))
    assert not work.is_ready
    with pytest.raises(ZeroDivisionError):
        work.outcome()
    work.begin(lambda: "not wanted")
    work.drop()
    assert (work.is_busy, work.outcome()) == (False, None)
