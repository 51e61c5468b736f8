"""Runs nodes as a process: start, spin, and an exit within a second whatever their threads are doing."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import rclpy
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from ros2_raxels.nodes.common.ending import Signals
from ros2_raxels.nodes.common.parameters import ParameterError
from ros2_raxels.nodes.common.rclpy_compat import FOREVER_S, ExecutorError, make_executor
from ros2_raxels.recordings.source import SourceError

USAGE_ERROR = 2


class _Running(Protocol):
    """What a node must offer to be run."""

    finished: Future

    def start(self) -> None:
        """Configure and activate."""

    def stop(self) -> None:
        """Deactivate; wait for its threads for a short while only."""

    def destroy_node(self) -> None:
        """Of rclpy."""


def run(make_node: Callable[[], Node], arguments: Sequence[str] | None = None) -> int:
    """Exit status of a node that runs until it is finished or told to stop.

    Returns:
        0 after SIGINT, SIGTERM or an external shutdown; the result of the node's ``finished`` future when that comes
        first; 2, with one line on stderr, when a parameter, the source or the executor asked for cannot
        be used.
    """
    return run_together([make_node], arguments)


def run_together(make_nodes: Sequence[Callable[[], Node]], arguments: Sequence[str] | None = None) -> int:
    """The same of several nodes in one executor: until all are finished, or one is with a status that is not 0."""
    nodes: list[_Running] = []
    started = 0
    try:
        signals = Signals()
        given = None if arguments is None else list(arguments)
        rclpy.init(args=given, signal_handler_options=SignalHandlerOptions.NO)
        for make_node in make_nodes:
            nodes.append(make_node())
        for node in nodes:
            node.start()
            started += 1
            if node.finished.done() and node.finished.result():
                # It ends the process; the others need not load an engine before that.
                break
        # Kept until the process ends: a node's thread may still finish it after the spin, which calls the executor.
        executor = make_executor()
        code = _spin(nodes, executor, signals)
    except (KeyboardInterrupt, ExternalShutdownException):
        code = 0
    except (ParameterError, SourceError, ExecutorError) as error:
        print(error, file=sys.stderr)
        code = USAGE_ERROR
    _shut_down(nodes, started, code)
    return code


def _spin(nodes: Sequence[_Running], executor: Executor, signals: Signals) -> int:
    """Until they are finished, or a signal comes; the status."""
    ended: Future = Future()

    def end(code: int = 0) -> None:
        if not ended.done():
            ended.set_result(code)

    def look(_: Future) -> None:
        codes = [int(node.finished.result() or 0) for node in nodes if node.finished.done()]
        if any(codes) or len(codes) == len(nodes):
            end(max(codes))

    try:
        for node in nodes:
            executor.add_node(node)
            node.finished.add_done_callback(look)
        with signals.ending(end):
            executor.spin_until_future_complete(ended, FOREVER_S)
    finally:
        # Before the context goes: what listens for its end must not outlive that.
        executor.shutdown(timeout_sec=0)
    return int(ended.result()) if ended.done() else 0


def _shut_down(nodes: Sequence[_Running], started: int, code: int) -> None:
    """End the nodes, then the process itself."""
    # launch sends SIGINT to the whole group and again later: the second must not tear the clean-up apart.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A node that a signal caught half started has not all that `stop` ends, and perhaps a thread.
    for node in nodes[:started]:
        _stop(node)
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()
    for stream in (sys.stdout, sys.stderr):
        # Whoever read it may be gone.
        with suppress(OSError):
            stream.flush()
    # Not by the interpreter's own end. It waits for threads, and one deep in a solve would get the node killed by
    # launch; and it unwinds a thread that comes back from C++ meanwhile, which ends the process with SIGABRT.
    os._exit(code)


def _stop(node: _Running) -> None:
    """One that fails to stop must keep neither the others nor the process from their end."""
    try:
        node.stop()
    except Exception:
        traceback.print_exc()
