"""rig_scale: what refinements say of the unit adds up, each keyframe once, and is forgotten slowly."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.tracking.rig_scale import RigScale


def refined(scale: RigScale, true: float, information: float) -> RigScale:
    """After a refinement, which finds the mean of what it is given and what its images say."""
    share = information / (information + scale.prior.information)
    return scale.after(scale.prior.units * (true / scale.prior.units) ** share, information, 8)


def believed(information: float) -> float:
    """Of what a window says: it may be off by 2 %, however well it is seen."""
    return 1.0 / (1.0 / information + 0.02**2)


def test_images_that_tell_nothing_change_nothing() -> None:
    scale = RigScale(1.0, 50.0)
    after = scale.after(3.0, 0.0, 8)
    assert after.units == 1.0
    assert 49.0 < after.information < 50.0


def test_what_the_first_window_says_counts_at_once() -> None:
    scale = RigScale()
    assert not scale.tells
    after = refined(scale, 0.7, 400.0)
    assert after.tells
    assert after.units == pytest.approx(0.7, rel=0.002)
    assert after.information == pytest.approx(1.0 + believed(400.0), rel=1e-3)


def test_the_same_keyframes_count_once_however_often_they_are_refined() -> None:
    scale, known = RigScale(), []
    for _ in range(24):
        scale = refined(scale, 0.7, 100.0)
        known.append(scale.information)
    # Eight windows hear the same images.
    np.testing.assert_allclose(known[:8], 1.0 + believed(100.0), rtol=0.01)
    assert known[-1] == pytest.approx(1.0 + 24 * believed(100.0) / 8, rel=0.05)
    assert scale.units == pytest.approx(0.7, rel=0.005)


def test_behind_a_turn_what_it_has_told_stays() -> None:
    turning = RigScale()
    for _ in range(8):
        turning = refined(turning, 0.7, 1000.0)
    ahead = turning
    for _ in range(12):
        ahead = ahead.after(ahead.prior.units, 0.0, 8)
    assert ahead.units == pytest.approx(turning.units, rel=0.005)
    assert ahead.information == pytest.approx(turning.information, rel=0.1)


def test_what_was_said_wrong_before_is_outweighed_by_a_turn() -> None:
    scale = refined(RigScale(), 0.5, 20.0)
    for _ in range(3):
        scale = refined(scale, 0.7, 4000.0)
    assert scale.units == pytest.approx(0.7, rel=0.01)


def test_what_is_known_fades_with_the_way() -> None:
    sure = RigScale(1.0, 1e6)
    for _ in range(100):
        sure = sure.after(1.0, 0.0, 8)
    assert sure.sigma == pytest.approx(1.3 * np.sqrt(1e-6 + 100 * 0.004**2), rel=1e-6)


def test_a_world_that_grows_has_more_units_to_the_metre() -> None:
    assert RigScale(0.5, 9.0).grown(2.0) == RigScale(1.0, 9.0)
    learned, larger = refined(RigScale(), 0.7, 100.0), refined(RigScale(), 0.7, 100.0).grown(3.0)
    assert refined(larger, 2.1, 50.0).units == pytest.approx(3.0 * refined(learned, 0.7, 50.0).units, rel=1e-9)
    given = RigScale(is_given=True)
    assert given.grown(2.0) == given.after(3.0, 100.0, 8) == given
    assert not RigScale(1.0, 1e6, is_given=True).tells
