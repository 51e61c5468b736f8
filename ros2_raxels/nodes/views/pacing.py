"""Answers of a service one after the other, so that clients with a short queue lose none of their own."""

from __future__ import annotations

from collections import deque

from rclpy.clock import Clock
from rclpy.node import Node

from ros2_raxels.nodes.common.rclpy_compat import Answer

AT_ONCE = 3
"""Answers that go without a wait, after a while of silence."""

PERIOD_S = 0.05
"""From then on, between two of them."""


class Pace:
    """When answers may go.

    Every client of a service receives the answers to all of them, and throws away those that are not its own. It has
    room for ten, as a rule: of a burst of fifteen, a client that is busy for a moment finds its own overwritten. With
    these numbers it may be busy for .4 s. A few clients never wait.

    All of it belongs to the executor's thread.

    Args:
        node: whose executor awaits the turns.
        clock: that does not jump.
    """

    def __init__(self, node: Node, clock: Clock) -> None:
        self._node = node
        self._free, self._is_open = AT_ONCE, False
        self._waiting: deque[Answer[None]] = deque()
        self._timer = node.create_timer(PERIOD_S, self._next, clock=clock)
        self._timer.cancel()

    async def turn(self) -> None:
        """Wait until the next answer may go, in the order in which it was asked."""
        if self._is_open:
            return
        if self._timer.is_canceled():
            self._timer.reset()
        if self._free and not self._waiting:
            self._free -= 1
            return
        mine: Answer[None] = Answer(self._node.executor)
        self._waiting.append(mine)
        await mine

    def _next(self) -> None:
        if self._waiting:
            self._waiting.popleft().give(None)
        elif self._free < AT_ONCE:
            self._free += 1
        else:
            self._timer.cancel()

    def close(self) -> None:
        """Answers wait for their turn from now on."""
        self._is_open = False

    def open(self) -> None:
        """Let all go that wait, and those that come, because the node is about to end."""
        self._is_open = True
        while self._waiting:
            self._waiting.popleft().give(None)

    def destroy(self) -> None:
        """Let all go that wait, and leave the node."""
        self.open()
        self._node.destroy_timer(self._timer)
