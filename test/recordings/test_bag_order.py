"""bag_order: one message a stamp, ascending; a clock that jumps back stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ros2_raxels.recordings.bag_order import Disorder, in_order
from ros2_raxels.recordings.source import SourceError


def stamped(*stamps: int) -> Iterator[tuple[int, int]]:
    return iter([(stamp, place) for place, stamp in enumerate(stamps)])


def test_the_first_message_of_each_stamp_comes_in_ascending_order() -> None:
    disorder = Disorder()
    messages = list(in_order(stamped(1, 2, 2, 5, 4, 3, 6, 6), disorder))
    assert messages == [(1, 0), (2, 1), (3, 5), (4, 4), (5, 3), (6, 6)]
    assert disorder == Disorder(repeated=2)
    assert disorder.words() == ("2 images with the stamp of another passed over",)
    assert Disorder().words() == ()


def test_a_loop_is_as_recorded_and_not_woven_into_what_came_before() -> None:
    disorder = Disorder()
    messages = in_order(stamped(*range(10, 30), *range(10, 30)), disorder)
    assert [stamp for stamp, _ in messages] == [*range(10, 30)] * 2
    assert disorder == Disorder(jumps=1)
    assert disorder.words() == ("the stamps jump back 1 time",)


def test_what_breaks_off_gives_all_before_it() -> None:
    def breaking() -> Iterator[tuple[int, int]]:
        yield from stamped(1, 3, 2)
        raise SourceError("broken")

    messages = in_order(breaking(), Disorder())
    assert [next(messages)[0] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(SourceError, match="broken"):
        next(messages)
