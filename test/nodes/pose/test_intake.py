"""nodes.stream: what the worker is given, in which order, and what becomes of it when it ends."""

from __future__ import annotations

from ros2_raxels.nodes.pose.intake import NewestSlot


def test_the_newest_item_wins_and_errands_are_all_kept_in_order() -> None:
    slot: NewestSlot[int] = NewestSlot()
    done: list[str] = []
    assert not slot.put(1)
    assert slot.put(2)
    for name in "ab":
        assert slot.run_errand(lambda name=name: done.append(name))
    assert slot.request_reset("anew")
    work = slot.take()
    assert work is not None
    assert (work.item, work.reset_reason) == (2, "anew")
    for errand in work.errands:
        errand()
    assert done == ["a", "b"]


def test_once_closed_only_errands_are_left_and_no_more_are_taken() -> None:
    slot: NewestSlot[int] = NewestSlot()
    done: list[str] = []
    slot.put(1)
    assert slot.run_errand(lambda: done.append("before"))
    slot.close()
    assert not slot.run_errand(lambda: done.append("after"))
    assert not slot.request_reset("anew")
    work = slot.take()
    assert work is not None
    assert work.item is None
    for errand in work.errands:
        errand()
    assert done == ["before"]
    assert slot.take() is None
