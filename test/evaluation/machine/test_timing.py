"""Spreads of durations."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.evaluation.machine.timing import Spread


def test_a_spread_has_the_percentiles() -> None:
    spread = Spread.of(np.arange(101) / 1e3)
    assert (spread.p50, spread.p95, spread.max, spread.mean) == pytest.approx((50, 95, 100, 50))
