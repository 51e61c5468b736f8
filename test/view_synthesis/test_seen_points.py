"""seen_points: the nearest depth that points are sure of, and votes that land on the right pixel and plane."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ros2_raxels.view_synthesis.seen_points import SeenPoints

PLANES = np.linspace(0.0, 1.0, 11)


def points(pixels: npt.ArrayLike, inverse_depth: npt.ArrayLike, error: float = 1e-6, weight: float = 1.0) -> SeenPoints:
    at = np.array(pixels, float).reshape(-1, 2)
    return SeenPoints(at, np.array(inverse_depth, float), np.full(len(at), error), np.full(len(at), weight))


def scattered(count: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).uniform(0, 39, (count, 2))


def test_the_nearest_is_what_all_but_a_hundredth_are_surely_behind() -> None:
    seen = points(scattered(1001), np.arange(1001) / 1000.0, error=0.1)
    assert seen.nearest() == pytest.approx((0.99 - 0.1) * 1.1, abs=1e-9)


def test_a_few_wrong_points_do_not_move_the_nearest() -> None:
    inverse_depth = np.full(1000, 0.5)
    inverse_depth[:5] = 80.0
    assert points(scattered(1000), inverse_depth).nearest() == pytest.approx(0.55, abs=1e-4)


def test_points_that_may_be_infinitely_far_away_have_a_nearest_of_zero() -> None:
    assert points(scattered(60), np.full(60, 0.1), error=0.5).nearest() == 0.0


def test_fewer_than_fifty_points_have_no_nearest() -> None:
    assert points(scattered(49), np.full(49, 0.5)).nearest() is None
    assert points(scattered(50), np.full(50, 0.5)).nearest() is not None


def test_a_vote_is_centred_on_its_pixel_and_plane_and_adds_up_to_its_weight() -> None:
    votes = points([[20.0, 11.0]], [0.4], weight=3.0).votes((24, 40), PLANES)
    assert votes.shape == (11, 24, 40)
    assert votes.dtype == np.float32
    assert np.unravel_index(votes.argmax(), votes.shape) == (4, 11, 20)
    assert votes.sum() == pytest.approx(3.0, rel=1e-4)
    # The same on either side.
    np.testing.assert_allclose(votes[3], votes[5], atol=1e-6)
    np.testing.assert_allclose(votes[4, 11, 17:24], votes[4, 11, 17:24][::-1], atol=1e-6)
    np.testing.assert_allclose(votes[4, 8:15, 20], votes[4, 11, 17:24], atol=1e-6)


def test_a_point_between_two_planes_votes_for_both_by_its_distance() -> None:
    quarter = points([[20.0, 11.0]], [0.425]).votes((24, 40), PLANES)
    below, above = (points([[20.0, 11.0]], [at]).votes((24, 40), PLANES) for at in (0.4, 0.5))
    np.testing.assert_allclose(quarter, 0.75 * below + 0.25 * above, atol=1e-6)


def test_points_beyond_the_nearest_plane_vote_for_it() -> None:
    beyond, nearest = (points([[20.0, 11.0]], [at]).votes((24, 40), PLANES) for at in (7.0, 1.0))
    np.testing.assert_allclose(beyond, nearest, atol=1e-6)


def test_a_vote_is_divided_by_the_planes_that_its_error_spans() -> None:
    sure, unsure = (points([[20.0, 11.0]], [0.4], error=error).votes((24, 40), PLANES) for error in (0.05, 0.4))
    assert sure.sum() == pytest.approx(1.0, rel=1e-4)
    np.testing.assert_allclose(unsure, sure / 4.0, atol=1e-6)


def test_no_points_cast_no_votes() -> None:
    np.testing.assert_array_equal(points([], []).votes((24, 40), PLANES), np.zeros((11, 24, 40)))
