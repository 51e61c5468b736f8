"""The runner: exit status and clean-up of a node that a signal catches at an awkward moment."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from ros2_raxels.nodes import runner


class HalfStarted:
    """A node whose `start` is interrupted; stopping it would touch what is not there yet."""

    destroyed = False

    def start(self) -> None:
        raise KeyboardInterrupt

    def stop(self) -> bool:
        raise AssertionError("stopped although it never started")

    def destroy_node(self) -> None:
        self.destroyed = True


def test_a_signal_during_the_start_ends_the_process_cleanly(monkeypatch: pytest.MonkeyPatch):
    exits: list[int] = []
    monkeypatch.setattr(runner.os, "_exit", exits.append)
    monkeypatch.setattr(runner.signal, "signal", lambda *_: None)
    monkeypatch.setattr(runner.rclpy, "init", lambda args: None)
    monkeypatch.setattr(runner.rclpy, "try_shutdown", lambda: None)
    node = HalfStarted()
    assert runner.run(lambda: node) == 0
    assert exits == [0]
    assert node.destroyed
