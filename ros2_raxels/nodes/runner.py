"""Runs one node as a process: start, spin, and an exit within a second whatever its threads are doing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.task import Future

from ros2_raxels.nodes.parameters import ParameterError
from ros2_raxels.sources import SourceError

USAGE_ERROR = 2


class _Running(Protocol):
    """What a node must offer to be run."""

    finished: Future

    def start(self) -> None:
        """Configure and activate."""

    def stop(self) -> bool:
        """Deactivate; False when a thread is still busy after a short wait."""

    def destroy_node(self) -> None:
        """Of rclpy."""


def run(make_node: Callable[[], Node], arguments: Sequence[str] | None = None) -> int:
    """Exit status of a node that runs until it is finished or told to stop.

    Returns:
        0 after SIGINT, SIGTERM or an external shutdown; the result of the node's ``finished`` future when that comes
        first; 2, with one line on stderr, when a parameter or the source cannot be used.
    """
    node: _Running | None = None
    whole = False
    try:
        rclpy.init(args=None if arguments is None else list(arguments))
        node = make_node()
        node.start()
        whole = True
        rclpy.spin_until_future_complete(node, node.finished)
        code = int(node.finished.result() or 0) if node.finished.done() else 0
    except (KeyboardInterrupt, ExternalShutdownException):
        code = 0
    except (ParameterError, SourceError) as error:
        print(error, file=sys.stderr)
        code = USAGE_ERROR
    except Exception:
        # Executors of some distributions raise whatever they were doing when the context goes down under them.
        if node is None or rclpy.ok():
            raise
        code = 0
    _shut_down(node, code, whole)
    return code


def _shut_down(node: _Running | None, code: int, whole: bool) -> None:
    # launch sends SIGINT to the whole group and again later: the second must not tear the clean-up apart.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A node that a signal caught half started has not all that `stop` ends, and perhaps a thread.
    idle = node is None or (whole and node.stop())
    if node is not None:
        node.destroy_node()
    rclpy.try_shutdown()
    if not idle:
        # A thread deep in a solve cannot be interrupted, and waiting for it would get the node killed by launch.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
