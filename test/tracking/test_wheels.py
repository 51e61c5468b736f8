"""wheels: motion between stamps, also a little beyond the newest reading; slip, lies and silence by name."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.tracking.wheels import Wheels

PERIOD_NS = 100_000_000
STEP = make_pose(rotation_from_vector([0.0, 0.05, 0.0]), [0.0, 0.0, 0.04])
AWAY = make_pose(rotation_from_vector([1.0, 0.0, 0.0]), [5.0, 5.0, 0.0])


def power(step: FloatArray, count: float) -> FloatArray:
    """So many steps one after the other; a part of one as if it were straight."""
    pose: FloatArray = np.eye(4)
    for _ in range(int(count)):
        pose = pose @ step
    part = count - int(count)
    return pose @ make_pose(rotation_from_vector([0.0, 0.05 * part, 0.0]), part * step[:3, 3])


def rolling(newest_ns: int = 10**12, step: FloatArray = STEP) -> Wheels:
    return Wheels(lambda stamp_ns: AWAY @ power(step, stamp_ns / PERIOD_NS) if 0 <= stamp_ns <= newest_ns else None)


def shown(wheels: Wheels, frames: range, step: FloatArray = STEP, metric: bool = True) -> Wheels:
    for k in frames:
        wheels.see(k * PERIOD_NS, power(step, k), metric)
    return wheels


def test_the_motion_between_two_stamps_is_told_in_the_camera() -> None:
    moved = rolling().moved(2 * PERIOD_NS, 5 * PERIOD_NS)
    assert moved is not None
    np.testing.assert_allclose(moved, power(STEP, 3), atol=1e-9)
    assert rolling().moved(-PERIOD_NS, PERIOD_NS) is None
    assert rolling().moved(2 * PERIOD_NS, PERIOD_NS) is None
    np.testing.assert_allclose(rolling().moved(PERIOD_NS, PERIOD_NS), np.eye(4), atol=1e-12)


def test_the_motion_goes_on_for_a_tenth_of_a_second_after_the_newest_reading() -> None:
    late = rolling(newest_ns=5 * PERIOD_NS).moved(2 * PERIOD_NS, 6 * PERIOD_NS)
    assert late is not None
    np.testing.assert_allclose(late, power(STEP, 4), atol=2e-3)
    assert rolling(newest_ns=5 * PERIOD_NS).moved(2 * PERIOD_NS, 8 * PERIOD_NS) is None


@pytest.mark.parametrize(
    ("seen", "metric", "words"),
    [
        (make_pose(np.eye(3), [0.0, 0.0, 0.04]), True, "they say a turn of 14 deg where 0 deg are seen"),
        (make_pose(np.eye(3), [0.0, 0.0, 0.04]), False, "they say a turn of 14 deg where 0 deg are seen"),
        (make_pose(STEP[:3, :3], [0.0, 0.0, 0.0]), True, "they say 0.20 m where 0.00 m are seen"),
    ],
)
def test_wheels_that_the_eyes_contradict_are_left_out_by_name(seen: FloatArray, metric: bool, words: str) -> None:
    wheels = shown(rolling(), range(20), seen, metric)
    assert wheels.words.startswith("the wheels are left out: ")
    assert words in wheels.words
    assert wheels.moved(2 * PERIOD_NS, 5 * PERIOD_NS) is None


def test_lengths_are_not_compared_while_there_are_no_metres() -> None:
    assert shown(rolling(), range(20), make_pose(STEP[:3, :3], 10 * STEP[:3, 3]), metric=False).is_trusted
    assert shown(rolling(), range(20)).is_trusted


def test_wheels_are_believed_again_after_the_slip() -> None:
    wheels = shown(rolling(), range(20), make_pose(np.eye(3), [0.0, 0.0, 0.04]))
    wheels.jump()
    shown(wheels, range(30, 70))
    assert wheels.is_trusted
    assert wheels.good_since_ns > 30 * PERIOD_NS


def test_one_jump_is_left_out_of_comparisons_and_no_reason_to_distrust() -> None:
    def jumping(stamp_ns: int) -> FloatArray:
        shift = 1.0 if stamp_ns > 10 * PERIOD_NS else 0.0
        return make_pose(np.eye(3), [shift, 0.0, 0.0]) @ power(STEP, stamp_ns / PERIOD_NS)

    wheels = shown(Wheels(jumping), range(30))
    assert wheels.is_trusted
    assert 10 * PERIOD_NS < wheels.good_since_ns <= 15 * PERIOD_NS


def test_wheels_that_stop_talking_are_named_and_come_back() -> None:
    wheels = shown(rolling(newest_ns=10 * PERIOD_NS), range(60))
    assert wheels.words == "the wheels are left out: no odometry at the stamps of the images for 2 s"
    assert wheels.moved(10 * PERIOD_NS, 20 * PERIOD_NS) is None


def test_what_wheels_err_by_is_what_the_eyes_have_seen_them_err_by() -> None:
    """At first 3 % of a short way; it adds up as a random walk does."""
    wheels = rolling()
    assert wheels.sigma_m(0.1) == pytest.approx(np.hypot(0.002, 0.026 * np.sqrt(0.1)))
    assert wheels.sigma_m(0.0) == pytest.approx(0.002)
    shown(wheels, range(200))
    assert wheels.sigma_m(1.0) == pytest.approx(0.026 * np.sqrt(0.3 / 8.0), rel=0.3)
    # Half a centimetre from one comparison to the next, which is 20 cm of the way.
    astray, rng = rolling(), np.random.default_rng(0)
    for k in range(0, 1500, 5):
        pose = power(STEP, k)
        pose[:3, 3] += rng.normal(0.0, 0.005 / np.sqrt(2.0), 3)
        astray.see(k * PERIOD_NS, pose, True)
    assert astray.sigma_m(1.0) == pytest.approx(0.005 / np.sqrt(0.2), rel=0.2)
