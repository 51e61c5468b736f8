"""scale: metres from odometry and from the height over the ground."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.tracking.metric_scale import (
    USUAL_DEPTH_M,
    MetricScale,
    Scale,
    ScaleSettings,
    ScaleSource,
    ground_height,
    length_ratio,
    upright,
)

PERIOD_NS = 33_000_000
ODOM = ScaleSettings(ScaleSource.ODOM)


class Drive:
    """A camera on a curve; odometry in m, in a frame of its own; the trajectory in units of `metres_per_unit`."""

    def __init__(self, metres_per_unit: float, noise_m: float = 0.0, speed_m: float = 0.03) -> None:
        rng = np.random.default_rng(0)
        k = np.arange(400)
        path = np.stack([k * speed_m, np.sin(k * 0.02), 0 * k], axis=1)
        elsewhere = make_pose(rotation_from_vector([0.0, 0.0, 2.0]), [100.0, -20.0, 3.0])
        noisy = path + rng.normal(0, noise_m, path.shape)
        self.odometry = [elsewhere @ make_pose(np.eye(3), p) for p in noisy]
        self.camera = [make_pose(np.eye(3), p / metres_per_unit) for p in path]

    def feed(self, metric: MetricScale, frames: range, late: int = 0, shrink: float = 1.0) -> float:
        """Product of the corrections; the world is taken to follow them. Odometry comes so many frames late."""
        origin, path = np.zeros(3), list[tuple[int, FloatArray]]()
        total, at, before = 1.0, self.camera[frames[0]][:3, 3], self.camera[frames[0]][:3, 3]
        for k in frames:
            # What has been corrected stays; the next step has the new unit.
            at, before = at + (self.camera[k][:3, 3] - before) * shrink * total, self.camera[k][:3, 3]
            path.append((k * PERIOD_NS, at))

            def odometry(stamp_ns: int, newest: int = k - late) -> FloatArray | None:
                index = stamp_ns // PERIOD_NS
                return self.odometry[index] if index <= newest else None

            metric.see_odometry(path, odometry, 1.0 * total)
            correction = metric.correction(at, origin)
            if correction is not None:
                factor, centre = correction
                total, at = total * factor, centre + factor * (at - centre)
                path = [(stamp_ns, centre + factor * (place - centre)) for stamp_ns, place in path]
        return total


@settings(max_examples=15, deadline=None)
@given(st.floats(0.05, 20.0))
def test_exact_odometry_gives_the_exact_scale(metres_per_unit: float) -> None:
    metric = MetricScale(ODOM)
    # The parallax that counts is a share of the scene's depth, which is one unit.
    drive = Drive(metres_per_unit, speed_m=0.05 * max(metres_per_unit, 1.0))
    assert drive.feed(metric, range(60)) == pytest.approx(metres_per_unit, rel=1e-6)
    scale = metric.scale
    assert scale.is_metric
    assert scale.metres_per_unit == pytest.approx(metres_per_unit, rel=1e-6)
    assert scale.sigma == pytest.approx(0.01, rel=1e-3)


def test_odometry_that_is_noisy_and_late() -> None:
    metric = MetricScale(ODOM)
    drive = Drive(2.0, noise_m=0.01)
    assert drive.feed(metric, range(200), late=3) == pytest.approx(2.0, rel=0.02)
    assert 0.01 < metric.scale.sigma < 0.05


def test_a_scale_that_drifts_is_followed() -> None:
    metric = MetricScale(ODOM)
    drive = Drive(1.0)
    drive.feed(metric, range(100))
    metric.forget_path()
    assert drive.feed(metric, range(100, 400), shrink=0.8) == pytest.approx(1 / 0.8, rel=0.02)


def test_lengths_that_a_loop_has_changed_are_no_news_about_metres() -> None:
    """Half as long by a loop: the ratios of before say at once how much too short they have become."""
    metric = MetricScale(ODOM)
    Drive(1.0).feed(metric, range(100))
    metric.see_growth(0.5)
    total = 1.0
    for _ in range(40):
        correction = metric.correction(np.ones(3), np.zeros(3))
        total *= correction[0] if correction else 1.0
    assert total == pytest.approx(2.0, rel=0.02)
    assert metric.scale.metres_per_unit == pytest.approx(2.0, rel=0.02)


def test_a_camera_that_stands_for_long_still_knows_from_where_it_came() -> None:
    """So slow that all that is kept would be of standing."""
    metric = MetricScale(ODOM)
    drive = Drive(1.0, speed_m=0.011)
    went = [*range(4), *[4] * 200, *range(5, 60)]
    path = [(k, drive.camera[place][:3, 3]) for k, place in enumerate(went)]
    for newest in range(1, len(path)):
        metric.see_odometry(path[: newest + 1], lambda k: drive.odometry[went[k]], 1.0)
        metric.correction(path[newest][1], np.zeros(3))
        assert metric.scale.is_metric == (newest >= 204)
    assert metric.scale.metres_per_unit == pytest.approx(1.0, rel=1e-3)


def test_a_turn_on_the_spot_and_standing_still_tell_nothing() -> None:
    metric = MetricScale(ODOM)
    rng = np.random.default_rng(0)
    # The camera's lever arm: odometry sees it go round by a few centimetres.
    seen = [make_pose(np.eye(3), 0.04 * np.array([np.sin(0.02 * k), np.cos(0.02 * k), 0.0])) for k in range(100)]
    path = [(k, rng.normal(0, 0.003, 3)) for k in range(100)]
    for k in range(1, 101):
        metric.see_odometry(path[:k], lambda stamp_ns: seen[stamp_ns], 1.0)
        assert metric.correction(np.ones(3), np.zeros(3)) is None
    assert not metric.scale.is_metric
    assert metric.scale.sigma == 9999.0


def test_the_first_cameras_are_in_metres_by_odometry_at_once() -> None:
    """A median depth of 3 m, and cameras that are 6 cm apart; of a base that has not moved nothing is known."""
    metric = MetricScale(ODOM)
    path = [(k, np.array([0.02 * k, 0.0, 0.0])) for k in range(4)]
    assert metric.begin(path, lambda k: make_pose(np.eye(3), [0.0, 0.06 * k, 0.0]), 1.0) == pytest.approx(3.0)
    assert metric.scale.metres_per_unit == pytest.approx(3.0)
    assert 0.01 < metric.scale.sigma < 0.1
    assert metric.begin(path, lambda k: np.eye(4), 1.0) == USUAL_DEPTH_M
    assert metric.begin(path, lambda k: None, 1.0) == USUAL_DEPTH_M
    assert not metric.scale.is_metric


def test_lengths_are_compared_after_the_paths_have_been_laid_over_each_other() -> None:
    rng = np.random.default_rng(1)
    there = rng.normal(0, 0.3, (12, 3))
    turned = there @ rotation_from_vector([0.3, -0.2, 2.0]).T + [4.0, 5.0, 6.0]
    stretch, sigma = length_ratio(turned / 2.5, there, 0.0)
    assert stretch == pytest.approx(np.log(2.5))
    assert sigma == pytest.approx(0.0, abs=1e-9)
    stretches = [length_ratio(turned / 2.5 + rng.normal(0, 0.01, there.shape), there, 0.0)[0] for _ in range(200)]
    _, sigma = length_ratio(turned / 2.5 + rng.normal(0, 0.01, there.shape), there, 0.0)
    assert np.std(stretches) == pytest.approx(sigma, rel=0.5)
    # Paths that have nothing to do with each other say nothing.
    assert length_ratio(rng.normal(0, 1, (5, 3)), there[:5] * 0.01, 0.0)[1] > 10 * sigma


def test_fixed_and_none() -> None:
    assert MetricScale(ScaleSettings()).begin() == USUAL_DEPTH_M
    fixed = MetricScale(ScaleSettings(ScaleSource.FIXED, scene_depth_m=3.5))
    assert fixed.begin() == 3.5
    assert fixed.scale.metres_per_unit == 3.5
    assert fixed.correction(np.ones(3), np.zeros(3)) is None


# -------------------------------------------------------------------------------------------------------- the ground

UP = np.array([0.0, -1.0, 0.0])


def floor(height: float, count: int = 120, noise: float = 0.0, seed: int = 0) -> FloatArray:
    """Points of a floor so far below the camera, ahead of it."""
    rng = np.random.default_rng(seed)
    points = np.stack([rng.uniform(-3, 3, count), np.full(count, 1.0), rng.uniform(1.5, 8, count)], axis=1)
    points[:, 1] += rng.normal(0, noise, count)
    return height * points


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 100.0))
def test_the_height_over_a_floor(height: float) -> None:
    assert ground_height(floor(height), UP) == pytest.approx(height, rel=1e-9)


def test_the_floor_is_found_among_furniture() -> None:
    rng = np.random.default_rng(3)
    clutter = rng.uniform([-3, -2, 1], [3, 0.9, 8], (200, 3))
    found = ground_height(np.concatenate([floor(1.2, noise=0.02), clutter]), UP)
    assert found == pytest.approx(1.2, rel=0.02)


def test_no_floor_no_height() -> None:
    rng = np.random.default_rng(4)
    wall = np.stack([rng.uniform(-2, 2, 400), rng.uniform(-2, 2, 400), np.full(400, 3.0)], axis=1)
    assert ground_height(wall, UP) is None
    assert ground_height(floor(-1.0), UP) is None
    assert ground_height(np.zeros((0, 3)), UP) is None
    assert ground_height(floor(1.0, count=10), UP) is None


def test_a_camera_that_drives_on_the_ground_tells_where_up_is() -> None:
    """Mounted three degrees wrong: forward motion shows it, a turn about the way of going cannot."""
    tilt = rotation_from_vector([np.radians(3.0), 0.0, 0.0])
    steps = np.tile(tilt @ [0.0, 0.0, 0.2], (10, 1))
    np.testing.assert_allclose(upright(UP, steps), tilt @ UP, atol=1e-3)
    np.testing.assert_allclose(upright(UP, np.tile([0.3, 0.0, 0.0], (10, 1))), UP, atol=1e-12)
    np.testing.assert_allclose(upright(UP, np.zeros((3, 3))), UP, atol=1e-12)


def test_metres_from_the_height() -> None:
    metric = MetricScale(ScaleSettings(ScaleSource.HEIGHT, camera_height_m=1.65))
    factors = []
    for k in range(8):
        metric.see_ground(floor(0.3, noise=0.02, seed=k), np.array([0.0, 0.0, 0.1]))
        factors.append(metric.correction(np.ones(3), np.zeros(3)))
    assert factors[:4] == [None] * 4
    factor, centre = factors[4] or (0.0, np.ones(3))
    assert factor == pytest.approx(1.65 / 0.3, rel=0.02)
    np.testing.assert_array_equal(centre, np.zeros(3))
    assert factors[5:] == [None] * 3
    assert metric.scale.is_metric


def test_a_trajectory_that_begins_with_measured_depths_is_in_metres_at_once() -> None:
    metric = MetricScale(ScaleSettings())
    assert metric.settings.takes_depths
    assert not ScaleSettings(ScaleSource.ODOM).takes_depths
    metric.begin_in_metres(ScaleSource.STEREO, 3.5, 0.003)
    scale = metric.scale
    assert scale == Scale(ScaleSource.STEREO, 3.5, 0.003)
    assert scale.is_of_depths
    metric.begin()
    assert metric.scale == Scale()
    metric.adopt(scale)
    assert metric.scale == scale
    metric.adopt(Scale(ScaleSource.ODOM, 2.0, 0.1))
    # Chosen by what is there, the source of what is gone on with is said.
    assert (metric.scale.source, metric.scale.is_of_depths) == (ScaleSource.ODOM, False)
    named = MetricScale(ScaleSettings(auto=False))
    named.adopt(Scale(ScaleSource.ODOM, 2.0, 0.1))
    assert (named.scale.source, named.scale.is_of_depths) == (ScaleSource.NONE, False)


def test_who_keeps_account_himself_is_believed_as_far_as_he_is_sure() -> None:
    metric, here, origin = MetricScale(ScaleSettings()), np.array([1.0, 0.0, 0.0]), np.zeros(3)
    assert metric.begin() == metric.depth_of_scene == 2.5
    # Better than the guess, and no metres yet.
    metric.be_told(float(np.log(1.4)), 0.2)
    factor, about = metric.correction(here, origin) or (0.0, here)
    assert factor == pytest.approx(1.4)
    np.testing.assert_array_equal(about, origin)
    assert not metric.scale.is_metric
    metric.be_told(0.05, 0.2)
    assert metric.correction(here, origin) is None
    # Sure enough: metres, and from then on about the camera.
    metric.be_told(0.05, 0.1)
    factor, about = metric.correction(here, origin) or (0.0, here)
    assert factor == pytest.approx(np.exp(0.05))
    np.testing.assert_array_equal(about, origin)
    assert metric.scale == Scale(ScaleSource.STEREO, pytest.approx(np.exp(0.05)), 0.1)
    metric.be_told(0.04, 0.03)
    factor, about = metric.correction(here, origin) or (0.0, origin)
    assert factor == pytest.approx(np.exp(0.04))
    np.testing.assert_array_equal(about, here)
    assert metric.scale.sigma == 0.03
    metric.be_told(0.001, 0.02)
    assert metric.correction(here, origin) is None
    assert metric.scale.sigma == 0.02


def test_depths_give_metres_to_a_trajectory_that_began_without() -> None:
    metric = MetricScale(ScaleSettings())
    metric.begin()
    metric.see_depths(ScaleSource.DEPTH, float(np.log(2.5)), 0.3)
    assert metric.correction(np.ones(3), np.zeros(3)) is None
    metric.see_depths(ScaleSource.DEPTH, float(np.log(2.5)), 0.005)
    factor, centre = metric.correction(np.ones(3), np.zeros(3)) or (0.0, np.ones(3))
    assert factor == pytest.approx(2.5)
    np.testing.assert_array_equal(centre, np.zeros(3))
    assert (metric.scale.source, metric.scale.metres_per_unit) == (ScaleSource.DEPTH, pytest.approx(2.5))
    metric.see_depths(ScaleSource.DEPTH, 0.2, 0.005)
    assert metric.correction(np.ones(3), np.zeros(3)) is None


def test_the_imu_is_believed_when_it_is_sure_and_its_repetitions_count_little() -> None:
    metric, here, origin = MetricScale(ScaleSettings()), np.array([1.0, 0.0, 0.0]), np.zeros(3)
    metric.begin()
    metric.see_inertial(1.0, 0.5)
    assert metric.correction(here, origin) is None
    metric.see_inertial(1.0, 0.15)
    factor, about = metric.correction(here, origin) or (0.0, here)
    assert factor == pytest.approx(np.exp(1.0))
    np.testing.assert_array_equal(about, origin)
    assert metric.scale == Scale(ScaleSource.IMU, factor, pytest.approx(0.15, rel=0.01))
    metric.see_inertial(0.1, 0.1)
    factor, about = metric.correction(here, origin) or (0.0, origin)
    assert 1.005 < factor < 1.02
    np.testing.assert_array_equal(about, here)
    assert metric.scale.sigma < 0.15
    for _ in range(100):
        metric.see_inertial(0.0, 0.05)
    assert metric.correction(here, origin) is None
    assert metric.scale.sigma < 0.05


def test_where_metres_come_soon_the_unit_is_near_to_them_and_does_not_claim_to_be_one() -> None:
    metric = MetricScale(ScaleSettings())
    assert metric.begin(guessed=True) == USUAL_DEPTH_M
    assert not metric.scale.is_metric
    # What the IMU is not sure of makes the guess better, once.
    for stretch, factor in ((0.4, np.exp(0.4)), (0.3, None)):
        metric.see_inertial(stretch, 0.5)
        found = metric.correction(np.ones(3), np.zeros(3))
        assert found is None if factor is None else found is not None and found[0] == pytest.approx(factor)
        assert not metric.scale.is_metric
    # Where it may not, the guess stays.
    metric.begin()
    metric.see_inertial(0.4, 0.5)
    assert metric.correction(np.ones(3), np.zeros(3)) is None


def test_odometry_outranks_the_imu_and_not_the_other_way_round() -> None:
    metric, path = MetricScale(ScaleSettings()), [(k, np.array([0.1 * k, 0.0, 0.0])) for k in range(4)]
    metric.begin()
    metric.see_inertial(1.0, 0.1)
    assert (metric.correction(path[-1][1], np.zeros(3)) or (0.0, None))[0] == pytest.approx(np.exp(1.0))
    metric.see_odometry(path, lambda k: make_pose(np.eye(3), [0.2 * k, 0.0, 0.0]), 1.0)
    assert (metric.correction(path[-1][1], np.zeros(3)) or (0.0, None))[0] == pytest.approx(2.0)
    assert metric.scale.source is ScaleSource.ODOM
    metric.see_inertial(1.0, 0.1)
    assert metric.correction(path[-1][1], np.zeros(3)) is None
    # Nobody is asked who is not named.
    assert not MetricScale(ScaleSettings(auto=False)).takes(ScaleSource.ODOM)
    assert not MetricScale(ScaleSettings(ScaleSource.HEIGHT)).takes(ScaleSource.IMU)
    assert MetricScale(ScaleSettings(ScaleSource.IMU)).takes(ScaleSource.IMU)


def test_what_somebody_else_follows_is_no_correction() -> None:
    metric, here = MetricScale(ScaleSettings()), np.zeros(3)
    metric.begin()
    metric.see_inertial(1.0, 0.1)
    # The first metres are nobody else's.
    metric.leave_as_it_is()
    assert metric.correction(here, here) is not None
    metric.see_inertial(0.5, 0.02)
    metric.leave_as_it_is()
    assert metric.correction(here, here) is None
    assert metric.scale.sigma < 0.1
