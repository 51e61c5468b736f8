"""A node in a context of its own that is spun by its owner, so that Ctrl-C reaches Python and not ROS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import rclpy
from rclpy.signals import SignalHandlerOptions

from ros2_raxels.harness.processes import uninterrupted
from ros2_raxels.nodes.common.rclpy_compat import make_executor

_SLICE_S = 0.1
"""How long an interrupt waits at most, if no message comes."""


class SpunNode:
    """A node that its owner spins.

    Args:
        name: of the node.
        interrupted: set once the user wants it to end.
        options: of ``rclpy.create_node``.

    Attributes:
        node: to subscribe with.
    """

    def __init__(self, name: str, interrupted: Event, **options: Any) -> None:
        self._interrupted = interrupted
        self._context = rclpy.Context()
        # The KeyboardInterrupt of the process ends its children.
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node(name, context=self._context, **options)
        self._executor = make_executor(self._context)
        self._executor.add_node(self.node)

    def spin(self, seconds: float) -> None:
        """Receive messages for so long.

        Raises:
            KeyboardInterrupt: ``interrupted`` is set, or was before.
        """
        for _ in self._received(seconds):
            if self._interrupted.is_set():
                raise KeyboardInterrupt

    def drain(self, seconds: float) -> None:
        """Receive messages that are still in transit, interrupted or not."""
        for _ in self._received(seconds):
            pass

    def _received(self, seconds: float) -> Iterator[None]:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            # Not by an exception in a callback; see `make_executor`.
            with uninterrupted():
                self._executor.spin_once(timeout_sec=min(left, _SLICE_S))
            yield

    def close(self) -> None:
        """Leave the network."""
        self._executor.shutdown(timeout_sec=0.5)
        self.node.destroy_node()
        self._context.try_shutdown()
