"""Messages of a bag in the order of their stamps: one for each, and those that overtook others put right."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TypeVar

from ros2_raxels.recordings.source import SourceError

Message = TypeVar("Message")

_AHEAD = 8
"""Messages that are looked ahead."""


def in_order(messages: Iterator[tuple[int, Message]]) -> Iterator[tuple[int, Message]]:
    """Stamped messages in ascending order, the first of each stamp alone.

    Messages that overtook each other by a few are sorted. A clock that jumps back further stays as it was recorded.

    Args:
        messages: stamp in ns and message. What they raise is raised when all before it is out.
    """
    waiting: list[tuple[int, int, Message]] = []
    last_ns: int | None = None
    failed: SourceError | None = None
    count = 0

    def out(left: int) -> Iterator[tuple[int, Message]]:
        nonlocal last_ns
        while len(waiting) > left:
            stamp_ns, _, message = heapq.heappop(waiting)
            if stamp_ns != last_ns:
                last_ns = stamp_ns
                yield stamp_ns, message

    try:
        for stamp_ns, message in messages:
            if last_ns is not None and stamp_ns < last_ns:
                yield from out(0)
            heapq.heappush(waiting, (stamp_ns, count, message))
            count += 1
            yield from out(_AHEAD)
    except SourceError as error:
        failed = error
    yield from out(0)
    if failed is not None:
        raise failed
