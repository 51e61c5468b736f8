"""Messages of a bag in the order of their stamps: one for each, and those that overtook others put right."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from ros2_raxels.recordings.source import SourceError

Message = TypeVar("Message")

_AHEAD = 8
"""Messages that are looked ahead."""


@dataclass
class Disorder:
    """What was wrong with the stamps of a bag: how many repeated, and how often the clock jumped back."""

    repeated: int = 0
    jumps: int = 0

    def words(self) -> tuple[str, ...]:
        """For people; empty where nothing was wrong."""
        said = []
        if self.repeated:
            images = "image" if self.repeated == 1 else "images"
            said.append(f"{self.repeated} {images} with the stamp of another passed over")
        if self.jumps:
            said.append(f"the stamps jump back {self.jumps} time{'s' if self.jumps > 1 else ''}")
        return tuple(said)


def in_order(messages: Iterator[tuple[int, Message]], disorder: Disorder) -> Iterator[tuple[int, Message]]:
    """Stamped messages in ascending order, the first of each stamp alone.

    Messages that overtook each other by a few are sorted. A clock that jumps back further stays as it was recorded.

    Args:
        messages: stamp in ns and message. What they raise is raised when all before it is out.
        disorder: to which what is wrong is added.
    """
    waiting: list[tuple[int, int, Message]] = []
    last_ns: int | None = None
    failed: SourceError | None = None
    count = 0

    def out(left: int) -> Iterator[tuple[int, Message]]:
        nonlocal last_ns
        while len(waiting) > left:
            stamp_ns, _, message = heapq.heappop(waiting)
            if stamp_ns == last_ns:
                disorder.repeated += 1
                continue
            disorder.jumps += last_ns is not None and stamp_ns < last_ns
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
