"""Work that a pool of threads and the one that asks for it do together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def shared_out(pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results in the order of the items; the thread that asks takes what no thread of the pool has begun.

    On a busy machine those may not get a turn for many ms.

    Raises:
        Exception: what `work` raises.
    """
    asked = [pool.submit(work, item) for item in items]
    taken = {k: work(items[k]) for k in reversed(range(len(items))) if asked[k].cancel()}
    return [taken[k] if k in taken else asked[k].result() for k in range(len(items))]
