"""nodes.stream: what the worker is given, in which order, and what becomes of it when it ends."""

from __future__ import annotations

from ros2_raxels.nodes.stream import Errand, NewestSlot


def test_the_newest_item_wins_and_errands_are_all_kept_in_order() -> None:
    slot: NewestSlot[int] = NewestSlot()
    done: list[str] = []
    assert not slot.put(1)
    assert slot.put(2)
    for name in "ab":
        assert slot.run_errand(Errand(lambda name=name: done.append(name), done.clear))
    slot.request_reset("anew")
    work = slot.take()
    assert work is not None
    assert (work.item, work.reset_reason) == (2, "anew")
    for errand in work.errands:
        errand.run()
    assert done == ["a", "b"]


def test_errands_that_were_not_taken_are_abandoned_once_and_later_ones_refused() -> None:
    slot: NewestSlot[int] = NewestSlot()
    done: list[str] = []
    assert slot.run_errand(Errand(lambda: done.append("run"), lambda: done.append("abandoned")))
    slot.close()
    slot.close()
    assert done == ["abandoned"]
    assert slot.take() is None
    assert not slot.run_errand(Errand(lambda: done.append("run"), lambda: done.append("abandoned")))
    assert done == ["abandoned"]
