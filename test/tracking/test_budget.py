"""budget: the rate of the frames, and what may be spent on one of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from ros2_raxels.tracking.budget import Budget, Pace


def paced(gaps_s: Iterable[float]) -> Pace:
    pace, stamp_ns = Pace(), 1_700_000_000_000_000_000
    pace.see(stamp_ns)
    for gap_s in gaps_s:
        stamp_ns += round(gap_s * 1e9)
        pace.see(stamp_ns)
    return pace


def test_before_two_frames_no_rate_is_known() -> None:
    assert Pace().period_s is None
    assert paced([]).period_s is None


def test_stamps_that_jitter_by_half_a_period_tell_the_rate() -> None:
    jitter = np.random.default_rng(0).uniform(-0.25, 0.25, 200) / 30
    gaps_s = 1 / 30 + np.diff(jitter)
    assert gaps_s.min() < 0.6 / 30
    assert paced(gaps_s).period_s == pytest.approx(1 / 30, rel=0.2)


def test_drops_pauses_and_stamps_that_go_back_do_not_hide_the_rate() -> None:
    gaps_s = [1 / 30, 1 / 30, 3 / 30, 1 / 30, 100.0, 1 / 30, -50.0, 1 / 30, 0.0, 2 / 30, 1 / 30]
    assert paced(gaps_s).period_s == pytest.approx(1 / 30, rel=1e-6)


def test_a_camera_that_speeds_up_from_15_to_90_hz_is_believed_within_eight_frames() -> None:
    assert paced([1 / 15] * 30 + [1 / 90] * 7).period_s == pytest.approx(1 / 15)
    assert paced([1 / 15] * 30 + [1 / 90] * 8).period_s == pytest.approx(1 / 90)


PERIOD_S = 0.03


class Stream:
    """Frames at a fixed rate, each with what its answer takes."""

    def __init__(self, limited: bool = True) -> None:
        self.budget = Budget(limited, lambda: self._now_s)
        self._stamp_ns, self._now_s = 0, 100.0

    def see(self, *spent_s: float) -> None:
        for each_s in spent_s:
            self._stamp_ns += round(PERIOD_S * 1e9)
            with self.budget.frame(self._stamp_ns):
                self._now_s += each_s

    def fail(self, spent_s: float) -> None:
        with self.budget.frame(self._stamp_ns):
            self._now_s += spent_s
            raise ValueError("of another size")

    def pay(self, cost_s: float) -> None:
        """For a thorough look."""
        with self.budget.paying_for("thorough"):
            self._now_s += cost_s

    @property
    def may_look(self) -> bool:
        return self.budget.has_time_for("thorough")


def test_a_look_that_costs_more_than_a_period_is_paid_from_what_frames_have_left() -> None:
    stream = Stream()
    stream.see(0.01, 0.01)
    stream.pay(0.07)
    stream.see(0.01)
    assert stream.may_look
    assert not stream.budget.refused
    # It was had in three frames, one after the other, and no frame in between has left anything.
    stream.see(0.08, 0.08, 0.08, 0.01)
    assert not stream.may_look
    assert stream.budget.refused
    stream.see(0.01, 0.01, 0.01)
    assert not stream.budget.refused
    assert stream.may_look


def test_frames_that_take_all_their_time_leave_none_for_more() -> None:
    stream = Stream()
    stream.see(*[0.04] * 12)
    assert stream.may_look
    stream.pay(0.07)
    assert not stream.may_look
    assert stream.budget.has_time_for("expected")


def test_one_look_may_cost_whatever_it_does_after_many_frames_that_needed_little() -> None:
    stream = Stream()
    stream.see(0.01, 0.01)
    stream.pay(0.3)
    stream.see(0.01)
    assert stream.may_look
    stream.see(0.3, 0.01)
    assert not stream.may_look
    stream.see(0.01, 0.01, 0.01)
    assert not stream.may_look
    stream.see(0.01, 0.01)
    assert stream.may_look


def test_a_look_that_can_be_left_is_had_only_from_what_frames_have_left() -> None:
    stream = Stream()
    assert stream.budget.can_spare("beside")
    stream.see(0.01, 0.01)
    with stream.budget.paying_for("beside"):
        stream.see(0.01)
    assert stream.budget.can_spare("beside")
    stream.see(*[0.04] * 12)
    assert not stream.budget.can_spare("beside")
    # A frame that ends early leaves enough for the next one, and nothing is refused for good.
    stream.see(0.01, 0.01)
    assert stream.budget.can_spare("beside")
    assert not stream.budget.refused
    assert Stream(limited=False).budget.can_spare("beside")


def test_costs_are_smoothed() -> None:
    stream = Stream()
    stream.see(0.01, 0.01)
    for _ in range(20):
        stream.pay(0.05)
    # Part of the savings is spent.
    stream.see(0.06, 0.01)
    stream.pay(0.2)
    assert stream.may_look
    stream.pay(0.2)
    assert not stream.may_look


def test_the_rate_that_is_told_counts_frames_that_never_get_here() -> None:
    stream = Stream()
    assert stream.budget.period_s is None
    stream.see(0.05, 0.05)
    assert stream.budget.period_s == pytest.approx(PERIOD_S)
    stream.budget.tell_period(PERIOD_S / 2)
    assert stream.budget.period_s == pytest.approx(PERIOD_S / 2)
    stream.budget.tell_period(None)
    assert stream.budget.period_s == pytest.approx(PERIOD_S)


@pytest.mark.parametrize(("limited", "periods"), [(True, [1, 1, 3, 10, 1]), (False, [1] * 5)])
def test_frames_that_never_got_here_are_counted_in_periods(limited: bool, periods: list[int]) -> None:
    budget, found = Budget(limited), []
    budget.tell_period(PERIOD_S)
    for stamp_s in (100.0, 100.0 + PERIOD_S, 100.0 + 4.2 * PERIOD_S, 160.0, 160.0 + PERIOD_S):
        with budget.frame(round(stamp_s * 1e9)):
            found.append(budget.periods)
    assert found == periods


def test_a_frame_that_fails_has_taken_its_time_all_the_same() -> None:
    stream = Stream()
    stream.see(0.01, 0.01)
    stream.pay(0.07)
    for _ in range(3):
        with pytest.raises(ValueError, match="of another size"):
            stream.fail(0.1)
    stream.see(0.01)
    assert not stream.may_look


def test_a_recording_has_all_the_time_that_it_needs() -> None:
    stream = Stream(limited=False)
    stream.see(*[1.0] * 20)
    stream.pay(100.0)
    assert stream.may_look
