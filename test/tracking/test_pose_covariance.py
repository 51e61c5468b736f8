"""pose_covariance: each term by itself, and what leaves the tracker is never zero and never NaN."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.matching.features import Features
from ros2_raxels.tracking.frame import Keyframe, StreamFrame
from ros2_raxels.tracking.pose_covariance import accumulated, of_first_cameras, published, unit_of_another_trajectory
from ros2_raxels.tracking.types import SolveQuality

CAMERA = PinholeCamera(8, 6, 8.0, 8.0, 3.5, 2.5)
BLANK = StreamFrame(0, 0, Features(np.zeros((6, 8), np.uint8)), CAMERA)
MANY = SolveQuality(0.9, 0.1, 10**9, 10**9)
"""Sharp matches, so many that they tell the unit."""

SOLVE = np.diag([1e-4] * 3 + [1e-6] * 3)
THERE = make_pose(np.eye(3), [2.0, 0.0, 0.0])


def anchor(known: np.ndarray) -> Keyframe:
    return Keyframe(BLANK, np.eye(4), known, np.zeros(0))


def test_a_frame_is_as_uncertain_as_its_newest_keyframe_compounded_and_its_own_solve() -> None:
    """A turn of sigma .1 at the keyframe moves the frame two units further by .2, across; its unit moves it along."""
    known = np.diag([0.0] * 3 + [0.0, 0.0, 0.01] + [0.0025])
    noise = np.diag(accumulated([anchor(np.zeros((7, 7)))], THERE, SOLVE, MANY))
    np.testing.assert_allclose(noise[1:3], noise[0])
    np.testing.assert_allclose(noise[:6] / np.diag(SOLVE), noise[0] / 1e-4)
    found = accumulated([anchor(known)], THERE, SOLVE, MANY)
    np.testing.assert_allclose(np.diag(found)[:3] - noise[:3], [4 * 0.0025, 4 * 0.01, 0.0], atol=1e-12)
    np.testing.assert_allclose(np.diag(found)[3:6] - noise[3:6], [0.0, 0.0, 0.01], atol=1e-12)
    assert found[6, 6] == pytest.approx(0.0025, rel=1e-6)


def test_the_noise_is_what_inliers_miss_by_but_never_next_to_nothing() -> None:
    blank = anchor(np.zeros((7, 7)))
    sharp, usual, blurred = (
        accumulated([blank], THERE, SOLVE, SolveQuality(0.9, median, 10**9, 10**9))[0, 0] for median in (0.01, 0.5, 1.0)
    )
    assert blurred == pytest.approx(4 * usual)
    assert usual > 4 * sharp > 0
    unheard = accumulated([blank], THERE, SOLVE, SolveQuality(0.0, float("nan"), 0, 0))
    assert unheard[0, 0] == pytest.approx(sharp)


def test_the_unit_drifts_faster_with_few_points_and_in_turns() -> None:
    blank = anchor(np.zeros((7, 7)))
    turned = make_pose(rotation_from_vector([0.0, 0.5, 0.0]), [2.0, 0.0, 0.0])
    many, few = (accumulated([blank], THERE, SOLVE, SolveQuality(0.9, 0.1, n, n))[6, 6] for n in (400, 25))
    assert few == pytest.approx(16 * many)
    assert accumulated([blank], turned, SOLVE, MANY)[6, 6] > 1e-4
    assert unit_of_another_trajectory() > 100 * few


def test_first_cameras_are_as_uncertain_as_their_rivals_are_apart() -> None:
    sure, apart, opposite = (of_first_cameras(0.0, direction, 2.0)[0, 0] ** 0.5 for direction in (0.0, 0.15, 3.0))
    assert 0 < sure < apart == pytest.approx(0.03)
    assert apart < opposite == pytest.approx(0.06)
    assert of_first_cameras(0.1, 0.0, 1.0)[5, 5] == pytest.approx(0.01)


def test_where_other_sensors_hold_the_unit_it_does_not_drift() -> None:
    turned = make_pose(rotation_from_vector([0.0, 1.0, 0.0]), [1.0, 0.0, 0.0])
    held, free = (accumulated([anchor(np.zeros((7, 7)))], turned, SOLVE, MANY, unit) for unit in (True, False))
    assert held[6, 6] == 0.0
    np.testing.assert_allclose(held[3:6, 3:6], free[3:6, 3:6])


def test_what_is_published_holds_the_error_of_the_model() -> None:
    at_rest = published(np.zeros((6, 6)), np.eye(3), 2.0)
    assert (np.linalg.eigvalsh(at_rest) > 0).all()
    assert at_rest[0, 0] == pytest.approx(4 * published(np.zeros((6, 6)), np.eye(3), 1.0)[0, 0])
    turned = published(np.zeros((6, 6)), rotation_from_vector([0.0, 2.0, 0.0]), 2.0)
    assert turned[4, 4] > at_rest[4, 4] + 1e-5
    np.testing.assert_allclose(turned[:3, :3], at_rest[:3, :3])
    assert turned[3, 3] == pytest.approx(at_rest[3, 3])


def test_what_is_not_known_is_9999_and_never_nan() -> None:
    unknown = np.eye(6) * UNKNOWN_VARIANCE
    half = np.diag([1.0, np.nan, 1.0, 1.0, 1.0, 1.0])
    for given in (unknown, half, np.full((6, 6), np.inf), -half):
        np.testing.assert_array_equal(published(given, np.eye(3), 1.0), unknown)
    huge = published(np.diag([1.0, 1e9, 1.0, 1.0, 1.0, 1.0]), np.eye(3), 1.0)
    assert np.linalg.eigvalsh(huge).max() == pytest.approx(UNKNOWN_VARIANCE)
