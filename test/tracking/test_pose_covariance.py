"""pose_covariance: each term by itself, and what leaves the tracker is never zero and never NaN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.matching.features import Features
from ros2_raxels.tracking.depth_prior import PointDepths
from ros2_raxels.tracking.frame import Keyframe, StreamFrame
from ros2_raxels.tracking.metric_scale import ScaleSource
from ros2_raxels.tracking.pose_covariance import (
    ModelError,
    accumulated,
    by_focal,
    credibility,
    miss_rad,
    of_first_cameras,
    of_focal,
    published,
    unit_of_another_trajectory,
)
from ros2_raxels.tracking.types import STATED_PLACE, STATED_RAD, SolveQuality

CAMERA = PinholeCamera(8, 6, 8.0, 8.0, 3.5, 2.5)
BLANK = StreamFrame(0, 0, Features(np.zeros((6, 8), np.uint8)), CAMERA)
NOTHING = np.zeros((6, 6))
SOLVE = np.diag([1e-4] * 3 + [1e-6] * 3)
THERE = make_pose(np.eye(3), [2.0, 0.0, 0.0])


def anchor(known: np.ndarray) -> Keyframe:
    return Keyframe(BLANK, np.eye(4), known, np.zeros(0))


def quality(residual_px: float, inliers: int = 10**9) -> SolveQuality:
    """So many matches hand on a pose without loss."""
    return SolveQuality(0.9, residual_px, inliers, inliers)


def test_a_frame_is_as_uncertain_as_its_newest_keyframe_compounded_and_its_own_solve() -> None:
    """A turn of sigma .1 at the keyframe moves the frame two units further by .2, across; its unit moves it along."""
    known = np.diag([0.0] * 3 + [0.0, 0.0, 0.01] + [0.0025])
    own = accumulated([anchor(np.zeros((7, 7)))], THERE, SOLVE, quality(0.1), 1.0)
    found = np.diag(accumulated([anchor(known)], THERE, SOLVE, quality(0.1), 1.0) - own)
    np.testing.assert_allclose(found, [4 * 0.0025, 4 * 0.01, 0.0, 0.0, 0.0, 0.01, 0.0025], atol=1e-12)


def test_the_noise_is_what_a_solve_leaves_open_by_what_its_inliers_miss_by() -> None:
    blank = anchor(np.zeros((7, 7)))

    def noise(median: float) -> np.ndarray:
        with_noise, without = (accumulated([blank], THERE, c, quality(median), 1.0) for c in (SOLVE, NOTHING))
        return with_noise[:6, :6] - without[:6, :6]

    np.testing.assert_allclose(noise(0.5), noise(0.5)[0, 0] / 1e-4 * SOLVE, atol=1e-15)
    assert noise(1.0)[0, 0] == pytest.approx(4 * noise(0.5)[0, 0])
    assert noise(float("nan"))[0, 0] == 0.0


def test_drift_grows_with_what_inliers_miss_by_and_where_few_points_are_handed_on() -> None:
    blank = anchor(np.zeros((7, 7)))

    def drift(residual_px: float, inliers: int, unit: float = 1.0) -> np.ndarray:
        return np.diag(accumulated([blank], THERE, NOTHING, quality(residual_px, inliers), unit))

    usual = drift(0.4, 100)
    assert (usual > 0).all()
    np.testing.assert_allclose(drift(0.8, 100), 4 * usual)
    np.testing.assert_allclose(drift(0.4, 50)[:6], 4 * usual[:6])
    np.testing.assert_allclose(drift(0.4, 1), drift(0.4, 10))
    np.testing.assert_allclose(drift(0.4, 100, 3.0)[:3], 9 * usual[:3])
    turned = make_pose(rotation_from_vector([0.0, 0.5, 0.0]), [2.0, 0.0, 0.0])
    in_turn = accumulated([blank], turned, NOTHING, quality(0.4, 100), 1.0)
    assert in_turn[6, 6] > usual[6] + 1e-5
    assert unit_of_another_trajectory() > usual[6]
    told = replace(blank, handed_on=PointDepths(np.zeros((1, 2)), *np.ones((2, 1)), ScaleSource.NONE, 0.07))
    without_match = np.diag(accumulated([told], THERE, NOTHING, quality(0.4, 100), 2.0)) - drift(0.4, 100, 2.0)
    np.testing.assert_allclose(without_match, [0.03**2] * 3 + [0.015**2] * 3 + [0.07**2], atol=1e-12)


def test_a_pose_is_believed_by_how_much_of_its_covariance_lies_within_the_stated_error() -> None:
    """Against draws of errors; the depth of the scene is two units."""
    generator, unit = np.random.default_rng(4), 2.0
    for place, turn_rad in ((0.01, 0.001), (0.1, 0.02), (0.2, 0.001), (9999.0, 0.001)):
        errors = generator.normal(size=(20000, 6)) * np.repeat([place, turn_rad], 3)
        within = np.linalg.norm(errors[:, :3], axis=1) < STATED_PLACE * unit
        within &= np.linalg.norm(errors[:, 3:], axis=1) < STATED_RAD
        found = credibility(np.diag(np.repeat([place**2, turn_rad**2], 3)), unit)
        assert found == pytest.approx(within.mean(), abs=0.015)


def test_first_cameras_are_as_uncertain_as_their_rivals_are_apart() -> None:
    sure, apart, opposite = (of_first_cameras(0.0, direction, 2.0)[0, 0] ** 0.5 for direction in (0.0, 0.15, 3.0))
    assert 0 < sure < apart == pytest.approx(0.03)
    assert apart < opposite == pytest.approx(0.06)
    assert of_first_cameras(0.1, 0.0, 1.0)[5, 5] == pytest.approx(0.01)


def test_where_other_sensors_hold_the_unit_it_does_not_drift() -> None:
    turned = make_pose(rotation_from_vector([0.0, 1.0, 0.0]), [1.0, 0.0, 0.0])
    held, free = (
        accumulated([anchor(np.zeros((7, 7)))], turned, SOLVE, quality(0.4), 1.0, is_held) for is_held in (True, False)
    )
    assert held[6, 6] == 0.0
    np.testing.assert_allclose(held[3:6, 3:6], free[3:6, 3:6])


def test_where_another_sensor_tells_depths_or_unit_a_fifth_of_the_drift_is_left() -> None:
    blank = anchor(np.zeros((7, 7)))
    depths = PointDepths(np.zeros((1, 2)), *np.ones((2, 1)), ScaleSource.DEPTH, 0.0)
    measured = replace(blank, frame=replace(BLANK, depth=depths))
    free, held, seen = (
        np.diag(accumulated([last], THERE, NOTHING, quality(0.4, 100), 1.0, is_held))
        for last, is_held in ((blank, False), (blank, True), (measured, False))
    )
    np.testing.assert_allclose(held, [*(0.04 * free[:6]), 0.0])
    np.testing.assert_allclose(seen, held)


def test_a_miss_is_an_angle_and_never_nothing() -> None:
    assert miss_rad(anchor(np.zeros((7, 7))), quality(0.4)) == pytest.approx(0.05)
    least = miss_rad(anchor(np.zeros((7, 7))), quality(0.0))
    assert 0 < least == miss_rad(anchor(np.zeros((7, 7))), SolveQuality(0.0, float("nan"), 0, 0)) < 1e-3


def test_the_error_of_the_model_is_learned_from_what_inliers_miss_by() -> None:
    before, first = ModelError(), ModelError().seen(0.004)
    assert first.miss_rad == pytest.approx(0.004)
    late = first
    for _ in range(200):
        late = late.seen(0.001)
    assert late.miss_rad == pytest.approx(0.001, rel=1e-3)
    sizes = [np.diag(error.covariance(1.0, [])) for error in (before, first, late)]
    np.testing.assert_allclose(sizes[1], 16 * sizes[2], rtol=1e-2)
    np.testing.assert_allclose(first.covariance(3.0, [])[:3, :3], 9 * first.covariance(1.0, [])[:3, :3])
    assert (sizes[0] > 0).all()


def test_loops_that_find_the_camera_off_show_an_error_that_inliers_do_not() -> None:
    """Two and a half degrees at the first loop are two and a half degrees from then on, whatever the residuals are."""
    error = ModelError().seen(0.0005)
    off = np.radians(2.5)
    unaware, aware, wary = (error.covariance(2.0, seen) for seen in ([], [(0.06, off)], [(0.06, off)] * 20))
    assert np.sqrt(np.trace(unaware[3:, 3:])) < 0.1 * off
    assert 0.8 * off < np.sqrt(np.trace(aware[3:, 3:])) < np.sqrt(np.trace(wary[3:, 3:])) < 1.3 * off
    assert 0.8 * 0.12 < np.sqrt(np.trace(aware[:3, :3])) < 1.3 * 0.12
    # Loops that find it where it was thought to be speak for it.
    sure = error.covariance(2.0, [(0.0, 0.0)] * 4)
    np.testing.assert_array_less(np.diag(sure), 0.2 * np.diag(unaware))
    assert (np.diag(sure) > 0).all()


def test_what_is_published_holds_the_error_of_the_model() -> None:
    model = ModelError().covariance(2.0, [])
    at_rest = published(NOTHING, NOTHING, model)
    np.testing.assert_allclose(at_rest, model, atol=1e-15)
    assert (np.linalg.eigvalsh(at_rest) > 0).all()


def test_beside_what_moves_all_of_the_motion_and_the_unit_may_be_wrong() -> None:
    """By how little it is known whether the world was solved with."""
    turned = THERE @ make_pose(rotation_from_vector([0.0, 0.0, 0.3]), np.zeros(3))
    last = anchor(np.zeros((7, 7)))
    known, half, nothing = (
        np.diag(accumulated([last], turned, NOTHING, quality(0.4, 100), 1.0, doubted=share))
        for share in (0.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(np.sqrt((nothing - known)[[0, 4, 6]]), [2.0, 0.3, np.sqrt(unit_of_another_trajectory())])
    np.testing.assert_allclose(half - known, (nothing - known) / 4.0, atol=1e-12)


def turns_and_goes(too_much: float) -> FloatArray:
    """(N, 4, 4): a turn of 2 rad on the spot, 3 ahead, and a turn of -1 rad, with another focal length."""
    poses = [np.eye(4)]
    for turn, ahead in [(0.4, 0.0)] * 5 + [(0.0, 1.0)] * 3 + [(-0.2, 0.0)] * 5:
        moved = np.eye(4)
        moved[:3, :3] = rotation_from_vector([0.0, turn * (1.0 + too_much), 0.0])
        moved[2, 3] = ahead * (1.0 - too_much)
        poses.append(poses[-1] @ moved)
    return np.array(poses)


def test_a_wrong_focal_length_bends_turns_and_the_way_that_follows() -> None:
    off = 1e-4
    right, wrong = turns_and_goes(0.0), turns_and_goes(off)
    made = by_focal(right)
    np.testing.assert_allclose(made[:3], (wrong[-1] - right[-1])[:3, 3] / off, atol=1e-3)
    np.testing.assert_allclose(made[3:], [0.0, 1.0, 0.0], atol=1e-9)
    # A turn all around and back is no turn.
    np.testing.assert_allclose(by_focal(np.concatenate([right, right[::-1]])), 0.0, atol=1e-9)
    # A way in two parts is the same way.
    np.testing.assert_allclose(by_focal(right[6:], by_focal(right[:7])), made, atol=1e-12)
    np.testing.assert_array_equal(by_focal(right[:1]), np.zeros(6))
    spread = of_focal(made, 0.02**2)
    assert np.sqrt(spread[4, 4]) == pytest.approx(0.02, rel=0.02)
    assert 0.0 < np.sqrt(spread[3, 3]) < 0.005
    along = made[:3] / np.linalg.norm(made[:3])
    assert np.sqrt(along @ spread[:3, :3] @ along) == pytest.approx(0.02 * np.linalg.norm(made[:3]), rel=0.02)


def test_what_is_not_known_is_9999_and_never_nan() -> None:
    unknown, model = np.eye(6) * UNKNOWN_VARIANCE, ModelError().covariance(1.0, [])
    half = np.diag([1.0, np.nan, 1.0, 1.0, 1.0, 1.0])
    for given in (unknown, half, np.full((6, 6), np.inf), -half):
        np.testing.assert_array_equal(published(given, NOTHING, model), unknown)
    huge = published(np.diag([1.0, 1e9, 1.0, 1.0, 1.0, 1.0]), NOTHING, model)
    assert np.linalg.eigvalsh(huge).max() == pytest.approx(UNKNOWN_VARIANCE)
