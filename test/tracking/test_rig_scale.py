"""rig_scale: what refinements say of the unit adds up, and is forgotten slowly."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.tracking.rig_scale import RigScale


def test_images_that_tell_nothing_change_nothing() -> None:
    scale = RigScale(1.0, 50.0)
    after = scale.after(3.0, 0.0, 8)
    assert after.units == 1.0
    assert 49.0 < after.information < 50.0


def test_the_unit_goes_where_many_refinements_agree() -> None:
    scale, true = RigScale(), 0.7
    assert not scale.tells
    for _ in range(24):
        # A refinement finds the mean of what it is given and what its images say.
        share = 100.0 / (100.0 + scale.prior)
        scale = scale.after(float(scale.units * (true / scale.units) ** share), 100.0, 8)
    assert scale.units == pytest.approx(true, rel=0.02)
    assert scale.tells
    # Eight refinements see the same images: they count once.
    assert scale.information == pytest.approx(1.0 + 24 * 100.0 / 8, rel=0.05)


def test_what_is_known_fades_with_the_way() -> None:
    sure = RigScale(1.0, 1e6)
    for _ in range(100):
        sure = sure.after(1.0, 0.0, 8)
    assert sure.sigma == pytest.approx(1.3 * np.sqrt(1e-6 + 100 * 0.002**2), rel=1e-6)


def test_a_world_that_grows_has_more_units_to_the_metre() -> None:
    assert RigScale(0.5, 9.0).grown(2.0) == RigScale(1.0, 9.0)
    given = RigScale(is_given=True)
    assert given.grown(2.0) == given.after(3.0, 100.0, 8) == given
    assert not RigScale(1.0, 1e6, is_given=True).tells
