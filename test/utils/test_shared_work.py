"""Work shared with a pool."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ros2_raxels.utils.shared_work import shared_out


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_results_are_in_the_order_of_the_items(pool: ThreadPoolExecutor) -> None:
    assert shared_out(pool, lambda number: number * number, range(50)) == [k * k for k in range(50)]
    assert shared_out(pool, str, []) == []


def test_what_a_busy_pool_does_not_begin_is_done_by_the_one_that_asks(pool: ThreadPoolExecutor) -> None:
    free, done_by = threading.Event(), list[int]()
    for _ in range(2):
        pool.submit(free.wait)

    def work(number: int) -> int:
        done_by.append(threading.get_ident())
        return -number

    try:
        assert shared_out(pool, work, [1, 2, 3]) == [-1, -2, -3]
    finally:
        free.set()
    assert done_by == [threading.get_ident()] * 3


def test_both_sides_work(pool: ThreadPoolExecutor) -> None:
    """Two items that wait for each other can only be done at once."""
    together = threading.Barrier(2, timeout=10.0)
    assert sorted(shared_out(pool, lambda _: together.wait(), [0, 1])) == [0, 1]


def test_an_error_reaches_the_one_that_asks(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(ZeroDivisionError):
        shared_out(pool, lambda number: 1 // number, [1, 0, 2])
