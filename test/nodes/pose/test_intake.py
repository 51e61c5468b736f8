"""intake: what the worker is given, in which order, and what becomes of it when it ends."""

from __future__ import annotations

from ros2_raxels.nodes.pose.intake import Errand, NewestSlot


def errand(name: str, log: list[str]) -> Errand:
    """Notes down what becomes of it."""
    return Errand(lambda: log.append(name), lambda reason: log.append(f"{name}: {reason}"))


def test_the_newest_item_wins_and_errands_are_all_kept_in_order() -> None:
    slot: NewestSlot[int] = NewestSlot()
    done: list[str] = []
    assert not slot.put(1)
    assert slot.put(2)
    for name in "ab":
        assert slot.run_errand(errand(name, done))
    work = slot.take()
    assert work is not None
    assert work.item == 2
    for asked in work.errands:
        asked.carry_out()
    assert done == ["a", "b"]


def test_once_closed_it_hands_out_the_remaining_errands_and_takes_no_more() -> None:
    slot: NewestSlot[int] = NewestSlot()
    done: list[str] = []
    slot.put(1)
    assert slot.run_errand(errand("before", done))
    slot.close()
    assert not slot.run_errand(errand("after", done))
    work = slot.take()
    assert work is not None
    assert work.item is None
    for asked in work.errands:
        asked.carry_out()
    assert done == ["before"]
    assert slot.take() is None


def test_errands_left_by_the_worker_are_refused() -> None:
    slot: NewestSlot[int] = NewestSlot()
    told: list[str] = []
    for name in "ab":
        assert slot.run_errand(errand(name, told))
    slot.abandon("it has ended")
    assert told == ["a: it has ended", "b: it has ended"]
    assert not slot.run_errand(errand("c", told))
    assert slot.take() is None
