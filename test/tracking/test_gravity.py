"""gravity: which way is up, of a camera that stands, is pushed about, and turns."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import DATA
from pushed_camera import BIAS, IMU_TO_CAMERA, UP, Drive

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.recordings.imu import ImuReadings, RecordedImu
from ros2_raxels.recordings.open import open_source
from ros2_raxels.tracking.frame import KeyframePose
from ros2_raxels.tracking.gravity import Gravity, Seen
from ros2_raxels.tracking.metric_scale import ScaleSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackState
from ros2_raxels.tracking.visual_inertial import GRAVITY

RATE_HZ = 200
MOUNT = make_pose(rotation_from_vector([0.3, -0.5, 0.2]), [0.0, 0.1, 0.0])
STEP = 20
"""Readings from one frame of a drive to the next."""


def standing(seconds: float, bias: FloatArray, unit: float = 1.0) -> RecordedImu:
    """An IMU that stands in a world in which y of the camera points down."""
    stamps_ns = (np.arange(round(seconds * RATE_HZ)) * 1e9 / RATE_HZ).astype(np.int64)
    rng = np.random.default_rng(0)
    force = (MOUNT[:3, :3].T @ [0.0, -GRAVITY, 0.0] + bias) * unit + rng.normal(0, 0.05, (len(stamps_ns), 3))
    return RecordedImu(ImuReadings(stamps_ns, np.zeros_like(force), force), MOUNT, "imu.csv")


def stand(gravity: Gravity, seconds: float, pose: FloatArray, begin_s: float = 0.0) -> None:
    for k in range(round(seconds * 30)):
        seen = Seen(round((begin_s + k / 30) * 1e9), pose, None, None, True)
        gravity.see(seen, lambda told: told.pose, None, 1.0)


def off_deg(gravity: Gravity, up: FloatArray) -> float:
    assert gravity.up is not None
    return float(np.degrees(np.arccos(min(gravity.up.direction @ up, 1.0))))


def drive(gravity: Gravity, along: Drive, sigma: float | None = 0.01, turned: FloatArray | None = None) -> None:
    """Frames of a drive, told beside a keyframe that is found to be turned by a rotation when half of them are seen."""
    path, is_half = along.path(1.0, STEP), False
    world = np.eye(4)

    def place(told: KeyframePose) -> FloatArray:
        return world @ told.pose

    for k, (stamp_ns, pose) in enumerate(path):
        if turned is not None and not is_half and k > len(path) // 2:
            world, is_half = make_pose(turned, np.zeros(3)), True
        gravity.see(Seen(stamp_ns, world @ pose, KeyframePose(0, pose, 0.0), sigma, False), place, np.zeros(3), 3.0)


def test_a_camera_that_stands_knows_at_once_how_it_leans() -> None:
    gravity = Gravity(standing(2.0, np.zeros(3)))
    leaning = make_pose(rotation_from_vector([0.2, 0.0, -0.3]), np.zeros(3))
    stand(gravity, 0.3, leaning)
    up = leaning[:3, :3] @ [0.0, -1.0, 0.0]
    assert off_deg(gravity, up) < 0.2
    stand(gravity, 1.5, leaning, 0.3)
    assert off_deg(gravity, up) < 0.05


def test_a_bias_is_within_its_sigma() -> None:
    """Standing, it cannot be told apart from a lean."""
    gravity = Gravity(standing(2.0, np.array([0.05, 0.03, 0.05])))
    stand(gravity, 1.8, np.eye(4))
    assert gravity.up is not None
    off = off_deg(gravity, np.array([0.0, -1.0, 0.0]))
    assert 0.2 < off < 2.0 * np.degrees(gravity.up.sigma_rad)


def test_pushes_are_told_from_weight_by_what_is_seen() -> None:
    """By 2 m/s2; and turns tell the bias, which alone would be off by 0.4 deg."""
    along = Drive(0.3, turn=1.0, seconds=6.0)
    gravity = Gravity(along.imu)
    drive(gravity, along)
    assert off_deg(gravity, UP) < 0.1
    assert gravity.up is not None
    assert gravity.up.sigma_rad < 0.01
    bias = IMU_TO_CAMERA[:3, :3] @ BIAS
    np.testing.assert_allclose(gravity.bias, bias, atol=0.03)


def test_without_metres_pushes_are_part_of_the_sigma() -> None:
    along = Drive(0.3)
    gravity = Gravity(along.imu)
    drive(gravity, along, sigma=None)
    assert gravity.up is not None
    assert off_deg(gravity, UP) < 2.0 * np.degrees(gravity.up.sigma_rad)
    assert 0.005 < gravity.up.sigma_rad < 0.08


def test_where_the_map_is_turned_gravity_turns_with_it() -> None:
    along, turned = Drive(0.3), rotation_from_vector([0.1, 0.3, -0.2])
    gravity = Gravity(along.imu)
    drive(gravity, along, turned=turned)
    assert off_deg(gravity, turned @ UP) < 0.4


def test_after_a_loss_it_is_learned_anew_and_the_bias_is_not() -> None:
    along = Drive(0.3, turn=1.0)
    gravity = Gravity(along.imu)
    drive(gravity, along)
    known = gravity.bias
    gravity.jump()
    assert gravity.up is None
    np.testing.assert_array_equal(gravity.bias, known)


@pytest.mark.parametrize(("gap_s", "is_known"), [(2.0, True), (3.0, False)])
def test_gravity_is_kept_over_a_gap_for_as_long_as_sensors_carry_a_camera(gap_s: float, is_known: bool) -> None:
    gravity = Gravity(standing(10.0, np.zeros(3)))
    stand(gravity, 2.0, np.eye(4))
    before = gravity.up
    assert before is not None
    seen = Seen(round((2.0 + gap_s) * 1e9), np.eye(4), None, None, True)
    gravity.see(seen, lambda told: told.pose, None, 1.0)
    assert (gravity.up is not None) == is_known
    if gravity.up is not None:
        assert gravity.up.sigma_rad >= before.sigma_rad


@pytest.mark.parametrize(
    ("unit", "words"),
    [(1.0 / GRAVITY, "as if in g"), (0.01, "it reads 0.1"), (2.0, "it reads 20 m/s2")],
)
def test_readings_in_another_unit_tell_nothing_but_that(unit: float, words: str) -> None:
    gravity = Gravity(standing(2.0, np.zeros(3), unit))
    stand(gravity, 1.8, np.eye(4))
    assert gravity.up is None
    assert gravity.words.startswith("the accelerometer is left out")
    assert words in gravity.words


def test_an_accelerometer_with_other_axes_than_the_gyro_is_named_in_a_turn() -> None:
    along = Drive(0.05, turn=1.5, seconds=8.0)
    readings = along.imu.between(0, 8 * 10**9)
    assert readings is not None
    wrong = ImuReadings(readings.stamps_ns, readings.turn_rate, np.roll(readings.acceleration, 1, axis=1))
    gravity = Gravity(RecordedImu(wrong, make_pose(np.eye(3), IMU_TO_CAMERA[:3, 3]), "imu.csv"))
    drive(gravity, along)
    assert gravity.words.startswith("the accelerometer is left out: while the camera turns")
    assert gravity.up is None


def test_readings_that_come_late_are_waited_for() -> None:
    imu = standing(2.0, np.zeros(3))

    class Late:
        place = imu.place
        reaches_ns = 0

        def between(self, begin_ns: int, end_ns: int) -> ImuReadings | None:
            return imu.between(begin_ns, end_ns) if end_ns <= self.reaches_ns else None

        def why_silent(self, stamp_ns: int) -> str:
            return ""

    late = Late()
    gravity = Gravity(late)
    stand(gravity, 0.5, np.eye(4))
    assert gravity.up is None
    late.reaches_ns = 10**9
    stand(gravity, 0.1, np.eye(4), 0.5)
    assert off_deg(gravity, np.array([0.0, -1.0, 0.0])) < 0.2


def test_a_recorded_sensor_that_stands_knows_up_as_the_mean_of_its_readings_and_stays_where_it_is() -> None:
    folder = DATA / "robot" / "euroc_still"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    source = open_source(str(folder))
    imu = source.imu()
    tracker = Tracker(imu=imu, rig=source.rig)
    found = [tracker.track(frame.image, frame.stamp_ns, frame.camera, None, frame.others) for frame in source]
    readings = imu.between(found[0].stamp_ns, found[-1].stamp_ns)
    assert readings is not None
    mean = readings.acceleration.mean(axis=0)
    known = [answer for answer in found if answer.up is not None]
    assert known[0].stamp_ns - found[0].stamp_ns < 10**9
    for answer in known:
        assert answer.up is not None
        up = answer.camera_to_world[:3, :3].T @ answer.up.direction
        off_rad = np.arccos(min(up @ mean / np.linalg.norm(mean), 1.0))
        assert off_rad < 3.0 * answer.up.sigma_rad
        assert np.degrees(off_rad) < 0.5 or answer.stamp_ns - found[0].stamp_ns < 10**9
    assert {(answer.state, answer.scale.source) for answer in found} == {(TrackState.TRACKING, ScaleSource.STEREO)}
    # The sensor itself moves by some millimetres.
    assert max(np.linalg.norm(answer.camera_to_world[:3, 3]) for answer in found) < 0.005
