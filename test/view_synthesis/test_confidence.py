"""confidence: log-odds against arithmetic by hand, and which weights are used where some are missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from views_scene import signs_of

from ros2_raxels.view_synthesis.confidence import ALONE, CHECKED, Signs, probability


def log_odds(share: np.ndarray) -> np.ndarray:
    return np.log(share / (1.0 - share))


def test_log_odds_are_linear_in_the_features() -> None:
    weights = {"one": 0.5, "expected_error": -1.0, "made_up": -2.0, "agreed": 3.0, "spread": 0.1}
    signs = Signs(np.array([0.09, 0.19]), np.array([0.0, 0.5]), np.array([1.0, 0.25]), np.array([0.008, 0.098]))
    expected = [
        0.5 - np.log(0.1) - 0.0 + 3.0 + 0.1 * np.log(0.01),
        0.5 - np.log(0.2) - 1.0 + 0.75 + 0.1 * np.log(0.1),
    ]
    np.testing.assert_allclose(log_odds(probability({ALONE: weights}, signs)), expected)


def test_poses_estimated_back_count_and_so_does_their_absence() -> None:
    weights = {"one": 1.0, "lost": -2.0, "turned": -0.5, "moved": -0.25}
    signs = signs_of(3).checked(np.array([0.007, 0.007, np.nan]), np.array([0.09, np.nan, 0.1]))
    expected = [1.0 - 0.5 * np.log(0.01) - 0.25 * np.log(0.1), -1.0, -1.0]
    np.testing.assert_allclose(log_odds(probability({ALONE: {"one": 9.0}, CHECKED: weights}, signs)), expected)


def test_without_weights_for_checked_views_those_of_views_alone_are_used() -> None:
    checked = signs_of(4).checked(np.full(4, 0.1), np.full(4, np.nan))
    calibration = {ALONE: {"one": -1.0, "made_up": 2.0}}
    np.testing.assert_array_equal(probability(calibration, checked), probability(calibration, signs_of(4)))


def test_without_calibration_an_expected_error_of_20_db_has_even_odds() -> None:
    signs = replace(signs_of(3), expected_error=np.array([0.02, 0.1, 0.5]))
    sure, even, doubtful = probability({}, signs)
    assert sure > 0.95
    assert even == pytest.approx(0.5, abs=0.05)
    assert doubtful < 0.05


def test_absurd_signs_still_have_a_probability() -> None:
    found = probability({ALONE: {"made_up": 1e9}}, replace(signs_of(2), made_up=np.array([1.0, -1.0])))
    np.testing.assert_allclose(found, [1.0, 0.0], atol=1e-12)


def test_signs_can_be_taken_as_if_poses_had_not_been_estimated() -> None:
    signs = signs_of(3)
    checked = signs.checked(np.full(3, 0.1), np.full(3, 0.2))
    assert checked.features().keys() - signs.features().keys() == {"lost", "turned", "moved"}
    for name, value in checked.alone().features().items():
        np.testing.assert_array_equal(value, signs.features()[name])
