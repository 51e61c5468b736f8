"""Signals: they end a process of nodes before its spin and during it, without an exception in a callback."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from ros2_raxels.nodes.common import ending
from ros2_raxels.nodes.common.ending import Signals, asked_to_end

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    """Of this process, whose own handlers are put back."""
    monkeypatch.setattr(ending, "_asked", threading.Event())
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Signals()
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(number: int) -> None:
    """Let the first signal of a process raise."""
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


@BOTH
@pytest.mark.usefixtures("signals")
def test_a_signal_before_the_spin_interrupts_it_and_a_second_one_does_not_tear_the_end_apart(number: int):
    def twice() -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)

    assert not asked_to_end()
    with pytest.raises(KeyboardInterrupt) as raised:
        twice()
    assert raised.value.__context__ is None
    assert asked_to_end()


@BOTH
def test_a_signal_during_the_spin_ends_it_from_another_thread_and_raises_nothing(signals: Signals, number: int):
    """The main thread is in C++ then, and may never run a handler of Python."""
    ended, threads = threading.Event(), []

    def end() -> None:
        threads.append(threading.current_thread())
        ended.set()

    with signals.ending(end):
        signal.raise_signal(number)
        assert ended.wait(10.0)
        signal.raise_signal(number)
    assert asked_to_end()
    assert threading.main_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


def test_other_signals_end_nothing(signals: Signals):
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    calls: list[bool] = []
    with signals.ending(lambda: calls.append(True)):
        signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    assert calls == []
    assert not asked_to_end()


def test_a_signal_whose_exception_was_lost_before_the_spin_ends_it_at_once(signals: Signals):
    """One that comes up in a finaliser is printed and lost."""
    interrupt(signal.SIGINT)
    calls: list[bool] = []
    with signals.ending(lambda: calls.append(True)):
        assert calls == [True]
