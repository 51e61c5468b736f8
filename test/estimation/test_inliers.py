"""Confidence from inliers, by hand."""

from __future__ import annotations

import numpy as np

from ros2_raxels.estimation.inliers import inlier_confidence


def test_confidence_is_the_share_that_agrees_and_less_where_those_are_few() -> None:
    np.testing.assert_allclose(inlier_confidence([60, 30, 15, 0], [80, 30, 20, 40], 30.0), [0.75, 1.0, 0.375, 0.0])
    np.testing.assert_allclose(inlier_confidence(20, 20, 40.0), 0.5)


def test_nothing_observed_is_no_confidence() -> None:
    assert inlier_confidence(0, 0, 30.0) == 0.0
