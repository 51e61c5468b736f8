"""inertial: preintegration against closed forms, and a gyro that learns its bias or is left out by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from turning_imu import BIAS, PERIOD_NS, RATE_HZ, Turning

from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad, rotation_vector
from ros2_raxels.recordings.imu import ImuReadings
from ros2_raxels.tracking.inertial import ImuNoise, preintegrate, turned

NOTHING: FloatArray = np.zeros(3)


def constant(rate: FloatArray, acceleration: FloatArray, count: int = 201) -> ImuReadings:
    stamps_ns = np.arange(count, dtype=np.int64) * PERIOD_NS
    return ImuReadings(stamps_ns, np.tile(rate, (count, 1)), np.tile(acceleration, (count, 1)))


def test_a_constant_turn_is_the_exponential_of_its_angle() -> None:
    rate = np.array([0.3, -0.8, 1.1])
    found = preintegrate(constant(rate, NOTHING), NOTHING, NOTHING)
    assert found.duration_s == pytest.approx(1.0)
    np.testing.assert_allclose(found.rotation, Rotation.from_rotvec(rate).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(turned(constant(rate, NOTHING), NOTHING), found.rotation, atol=1e-12)


def test_a_push_without_a_turn_is_half_its_time_squared() -> None:
    push = np.array([1.0, 2.0, -0.5])
    found = preintegrate(constant(NOTHING, push), NOTHING, NOTHING)
    np.testing.assert_allclose(found.velocity, push, atol=1e-12)
    np.testing.assert_allclose(found.position, push / 2, atol=1e-12)


def test_who_goes_round_in_a_circle_is_where_the_circle_says() -> None:
    """Pulled to the centre at 0.5 m/s: after a quarter of a circle the velocity has turned by 90 degrees."""
    turn, speed = np.pi / 2, 0.5
    radius = speed / turn
    found = preintegrate(constant(np.array([0.0, 0.0, turn]), np.array([0.0, speed * turn, 0.0])), NOTHING, NOTHING)
    np.testing.assert_allclose(found.velocity, [-speed, speed, 0.0], atol=1e-5)
    np.testing.assert_allclose(found.position, [radius - speed, radius, 0.0], atol=1e-5)


def noisy(seed: int, noise: ImuNoise) -> ImuReadings:
    rng = np.random.default_rng(seed)
    exact = constant(np.array([0.2, 0.5, -0.3]), np.array([1.0, 0.0, 9.8]), 101)
    scale = np.sqrt(RATE_HZ)
    # The mean of two neighbours has half of the variance of white readings, and shares its error with the next one.
    rate, push = (
        values + rng.normal(0, sigma * scale, values.shape)
        for values, sigma in ((exact.turn_rate, noise.turn_rate), (exact.acceleration, noise.acceleration))
    )
    return ImuReadings(exact.stamps_ns, rate, push)


def test_the_covariance_is_that_of_many_noisy_readings() -> None:
    noise = ImuNoise(turn_rate=2e-3, acceleration=2e-2)
    exact = preintegrate(constant(np.array([0.2, 0.5, -0.3]), np.array([1.0, 0.0, 9.8]), 101), NOTHING, NOTHING, noise)
    off = []
    for seed in range(200):
        found = preintegrate(noisy(seed, noise), NOTHING, NOTHING)
        turn = rotation_vector(exact.rotation.T @ found.rotation)
        off.append(np.concatenate([turn, found.velocity - exact.velocity, found.position - exact.position]))
    sigma, measured = np.sqrt(np.diag(exact.covariance)), np.std(off, axis=0)
    np.testing.assert_allclose(measured / sigma, 1.0, atol=0.25)


def test_the_change_with_the_biases_is_that_of_a_small_bias() -> None:
    readings = noisy(0, ImuNoise())
    base = preintegrate(readings, NOTHING, NOTHING)
    for k in range(3):
        small = 1e-5 * np.eye(3)[k]
        gyro, accelerometer = preintegrate(readings, small, NOTHING), preintegrate(readings, NOTHING, small)
        turn = rotation_vector(base.rotation.T @ gyro.rotation)
        change = np.concatenate([turn, gyro.velocity - base.velocity, gyro.position - base.position])
        np.testing.assert_allclose(base.by_gyro_bias[:, k], change / 1e-5, atol=2e-2, rtol=2e-2)
        push = np.concatenate([accelerometer.velocity - base.velocity, accelerometer.position - base.position])
        np.testing.assert_allclose(base.by_accelerometer_bias[3:, k], push / 1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------ the gyro


def test_the_bias_is_learned_from_what_is_seen_and_turns_are_right_then() -> None:
    drive = Turning()
    gyro = drive.shown(drive.gyro())
    np.testing.assert_allclose(gyro.bias, BIAS, atol=4e-3)
    assert gyro.is_trusted
    assert gyro.words == ""
    assert np.abs(gyro.bias - BIAS).max() < 3 * np.sqrt(np.diag(gyro.variance)).max()
    begin, end = 900, 1100
    found = gyro.rotation(int(drive.stamps_ns[begin]), int(drive.stamps_ns[end]))
    assert found is not None
    assert rotation_angle_rad(found.T @ drive.poses[begin].T @ drive.poses[end]) < 0.01
    rate = gyro.rate(int(drive.stamps_ns[1000]), 10 * PERIOD_NS)
    assert rate is not None
    np.testing.assert_allclose(rate, drive.rate[990:1001].mean(axis=0), atol=0.02)


def test_nothing_is_said_before_the_eyes_have_confirmed_it() -> None:
    drive = Turning()
    gyro = drive.gyro()
    assert gyro.rotation(0, 100_000_000) is None
    assert gyro.rate(100_000_000, 50_000_000) is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.degrees, "as if in deg/s; publish rad/s"),
        (lambda rate: -rate, "turns about other axes than what is seen"),
        (lambda rate: rate[:, [1, 2, 0]], "turns about other axes than what is seen"),
        (lambda rate: 0.0 * rate + 3.0, "look at its unit, its axes and its clock"),
    ],
)
def test_a_gyro_that_is_wrong_is_left_out_by_name(wrong: Callable[[FloatArray], FloatArray], words: str) -> None:
    drive = Turning()
    gyro = drive.shown(drive.gyro(wrong))
    assert not gyro.is_trusted
    assert gyro.words.startswith("the IMU is left out: ")
    assert words in gyro.words
    assert gyro.rotation(int(drive.stamps_ns[900]), int(drive.stamps_ns[1100])) is None


def test_a_gyro_of_another_clock_is_left_out_by_name() -> None:
    drive = Turning()
    assert "imu.csv covers 1000 to 1007.995 s" in drive.shown(drive.gyro(shift_ns=10**12)).words
    assert not drive.shown(drive.gyro(shift_ns=700_000_000)).is_trusted


def test_a_gyro_that_reads_a_turn_while_the_camera_stands_is_left_out_by_name() -> None:
    still = Turning(still_s=8.0)
    assert "while the camera does not turn; calibrate its bias" in still.shown(still.gyro(lambda r: r + 2.0)).words


def test_a_gyro_is_believed_again_after_the_eyes_have_agreed_with_it_for_long() -> None:
    drive = Turning(12.0)
    stamps_s = drive.stamps_ns * 1e-9
    gyro = drive.shown(drive.gyro(lambda rate: np.where(stamps_s[:, None] < 4.0, -3.0 * rate, rate)))
    assert gyro.is_trusted
    assert gyro.words == ""
