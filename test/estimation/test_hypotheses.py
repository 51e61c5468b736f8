"""Weights that inlier probabilities become."""

from __future__ import annotations

import numpy as np

from ros2_raxels.estimation.hypotheses import possible


def test_only_what_is_surely_wrong_is_ruled_out() -> None:
    np.testing.assert_array_equal(possible(np.array([[0.0, 0.02], [0.04, 1.0]])), [[0.0, 0.0], [1.0, 1.0]])
