"""The runner: exit status and clean-up of a node that a signal catches at an awkward moment."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

from rclpy.task import Future

from ros2_raxels.nodes.common import runner


class HalfStarted:
    """A node whose `start` is interrupted; stopping it would touch what is not there yet."""

    destroyed = False

    def start(self) -> None:
        raise KeyboardInterrupt

    def stop(self) -> None:
        raise AssertionError("stopped although it never started")

    def destroy_node(self) -> None:
        self.destroyed = True


class Failing:
    """A node that cannot be stopped."""

    destroyed = False

    def start(self) -> None:
        pass

    def stop(self) -> None:
        raise RuntimeError("not now")

    def destroy_node(self) -> None:
        self.destroyed = True


class Interrupted(Failing):
    """Started last; then the signal comes."""

    stopped = False

    @property
    def finished(self) -> Future:
        raise KeyboardInterrupt

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Statuses with which the process was ended at once, by a runner without ROS."""
    found: list[int] = []
    monkeypatch.setattr(runner.os, "_exit", found.append)
    monkeypatch.setattr(runner.signal, "signal", lambda *_: None)
    monkeypatch.setattr(runner.rclpy, "init", lambda args: None)
    monkeypatch.setattr(runner.rclpy, "get_global_executor", Executor)
    monkeypatch.setattr(runner.rclpy, "try_shutdown", lambda: None)
    return found


class Executor:
    """Takes any node."""

    def add_node(self, node: object) -> None:
        pass


def test_a_node_that_cannot_be_stopped_keeps_neither_the_other_nor_the_process(
    exits: list[int], capsys: pytest.CaptureFixture[str]
):
    first, last = Failing(), Interrupted()
    first.finished = Future()
    assert runner.run_together([lambda: first, lambda: last]) == 0
    assert last.stopped
    assert exits == [0]
    assert first.destroyed
    assert last.destroyed
    assert "RuntimeError: not now" in capsys.readouterr().err


def test_a_signal_during_the_start_ends_the_process_cleanly(exits: list[int]):
    node = HalfStarted()
    assert runner.run(lambda: node) == 0
    assert exits == [0]
    assert node.destroyed


def test_a_process_whose_nodes_have_stopped_is_not_left_to_the_interpreter(exits: list[int]):
    """Whose own end unwinds threads that come back from C++, which is SIGABRT."""
    node = Interrupted()
    assert runner.run(lambda: node) == 0
    assert node.stopped
    assert exits == [0]


@pytest.mark.parametrize("is_up", [False, True])
def test_a_node_that_cannot_be_made_is_no_error_once_a_signal_has_taken_the_context_down(
    exits: list[int], monkeypatch: pytest.MonkeyPatch, is_up: bool
):
    monkeypatch.setattr(runner.rclpy, "ok", lambda: is_up)

    def make() -> Failing:
        raise RuntimeError("the given context is not valid")

    if is_up:
        with pytest.raises(RuntimeError, match="not valid"):
            runner.run(make)
    else:
        assert runner.run(make) == 0
    assert exits == [0] * (not is_up)


@pytest.fixture
def handler() -> Iterator[None]:
    """Of SIGINT, put back."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handler")
def test_a_second_signal_during_the_start_does_not_tear_the_end_apart():
    def twice() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as raised, runner._interruptible():
        twice()
    assert raised.value.__context__ is None


@pytest.mark.usefixtures("handler")
def test_a_signal_after_the_start_raises_nothing_in_a_callback():
    """The handler of rclpy ends the spin; an exception would go through the C++ of the events executor."""
    with runner._interruptible():
        pass
    signal.raise_signal(signal.SIGINT)
