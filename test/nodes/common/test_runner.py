"""The runner: exit status and clean-up of a node that a signal catches at an awkward moment."""

from __future__ import annotations

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
    monkeypatch.setattr(runner.rclpy, "init", lambda args, signal_handler_options: None)
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
