"""motion_model: extrapolation, growth of uncertainty, what the camera is doing; against analytic cases."""

from __future__ import annotations

import numpy as np
import pytest
from walk import CAMERA, FIRST_NS, STEP_NS, TRACKING, Walk, solved_from, states

from ros2_raxels.geometry.poses import FloatArray, make_pose, relative_pose, rotation_angle_rad, rotation_from_vector
from ros2_raxels.geometry.turns import Turn
from ros2_raxels.tracking.motion_model import MotionModel
from ros2_raxels.tracking.motion_sensors import Moved
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import Motion

STEP = make_pose(rotation_from_vector([0.0, 0.02, 0.0]), [0.1, 0.0, 0.05])
COVARIANCE = np.diag([0.01] * 3 + [0.001] * 3)


def moving(steps: int = 3, step: FloatArray = STEP) -> MotionModel:
    """A camera that has taken the same step so many times, 100 ns each."""
    model, pose = MotionModel(np.eye(4), COVARIANCE, 1000), np.eye(4)
    for k in range(1, steps + 1):
        pose = pose @ step
        model.solved(pose, COVARIANCE, 1000 + 100 * k, after_gap=False)
    return model


def test_constant_velocity_leads_one_step_further_in_one_period_and_three_over_a_gap_of_three() -> None:
    model = moving()
    np.testing.assert_allclose(model.expected_pose(1400), model.camera_to_world @ STEP, atol=1e-12)
    over_gap = relative_pose(model.camera_to_world, model.expected_pose(1600))
    assert rotation_angle_rad(over_gap[:3, :3]) == pytest.approx(0.06)
    # No further than five steps, however long the gap.
    long_gap = relative_pose(model.camera_to_world, model.expected_pose(10**9))
    assert rotation_angle_rad(long_gap[:3, :3]) == pytest.approx(0.10)
    # A stamp that does not advance counts as one period.
    np.testing.assert_allclose(model.expected_pose(1300), model.camera_to_world @ STEP, atol=1e-12)


def test_after_a_gap_nothing_is_known_of_the_motion() -> None:
    model = moving()
    there = make_pose(np.eye(3), [5.0, 0.0, 0.0])
    model.solved(there, COVARIANCE, 2000, after_gap=True)
    np.testing.assert_allclose(model.expected_pose(2100), there, atol=1e-12)


def test_the_velocity_is_that_of_the_last_step_about_the_camera_s_own_axes() -> None:
    turned = make_pose(rotation_from_vector([0.0, np.pi / 2, 0.0]), [0.0, 0.0, 0.0])
    model = MotionModel(turned, COVARIANCE, 10**9)
    # A camera that looks along the world's x goes that way, which is its own z, and turns about its own y.
    step = make_pose(rotation_from_vector([0.0, 0.02, 0.0]), [0.1, 0.0, 0.0])
    model.solved(make_pose(step[:3, :3] @ turned[:3, :3], [0.1, 0.0, 0.0]), COVARIANCE, 1_100_000_000, after_gap=False)
    assert model.velocity is not None
    ahead = [np.sin(-0.02), 0.0, np.cos(0.02)]
    np.testing.assert_allclose(model.velocity, [0.0, 0.2, 0.0, *ahead], atol=1e-9)
    model.solved(np.eye(4), COVARIANCE, 1_200_000_000, after_gap=True)
    assert model.velocity is None


def test_the_expected_distance_is_at_least_a_thousandth_of_the_unit() -> None:
    model = MotionModel(np.eye(4), COVARIANCE)
    assert model.expected_distance(np.eye(4), 100, unit=3.0) == pytest.approx(3e-3)
    assert model.expected_distance(make_pose(np.eye(3), [0.0, 2.0, 0.0]), 100, unit=3.0) == pytest.approx(2.0)


def test_while_frames_are_missed_the_standard_deviation_grows_with_the_time() -> None:
    """As far as the camera has gone in a step of late, over so many steps."""
    model = moving()
    for stamp_ns in (1400, 1500, 1700):
        model.missed(stamp_ns, unit=1.0)
    length = np.linalg.norm(STEP[:3, 3])
    np.testing.assert_allclose(np.diag(model.covariance)[:3], 0.01 + (4 * length) ** 2)
    np.testing.assert_allclose(np.diag(model.covariance)[3:], 0.001 + (4 * 0.02) ** 2)
    # Nor does a pause make a camera slow that has just been fast.
    paused = moving()
    paused.solved(paused.camera_to_world, COVARIANCE, 1400, after_gap=True)
    paused.missed(1600, unit=1.0)
    np.testing.assert_allclose(np.diag(paused.covariance)[:3], 0.01 + (2 * length) ** 2)


def test_a_camera_that_stood_still_is_taken_to_move_a_little_while_it_is_not_seen() -> None:
    model = MotionModel(np.eye(4), np.zeros((6, 6)))
    model.missed(1, unit=2.0)
    np.testing.assert_allclose(np.diag(model.covariance), [(2e-3) ** 2] * 3 + [0.02**2] * 3)


def test_a_turn_is_followed_while_frames_are_missed() -> None:
    """Ten sure turns, each of which may hide a fifth; what is expected next goes on with them."""
    quarter = rotation_from_vector([0.0, 0.1, 0.0])
    for sure, turned_rad in ((Turn(quarter, 0.1, 0.0), 1.0), (Turn(quarter, 0.1, 0.1), 0.0), (None, 0.0)):
        model = moving(step=np.eye(4))
        for k in range(10):
            model.missed(1400 + 100 * k, 1.0, sure)
        assert rotation_angle_rad(model.camera_to_world[:3, :3]) == pytest.approx(turned_rad)
        sigma_rad = np.sqrt(model.covariance[4, 4] - COVARIANCE[4, 4])
        assert sigma_rad == pytest.approx(10 * 0.021 if turned_rad else 10 * 0.02)
        ahead = relative_pose(model.camera_to_world, model.expected_pose(2400))
        assert rotation_angle_rad(ahead[:3, :3]) == pytest.approx(0.1 if turned_rad else 0.0)


def test_over_a_gap_a_camera_has_stopped_or_gone_on() -> None:
    """Half a second of 30 Hz; what has turned on unseen is known to half of that."""
    period_ns, turn = 33_000_000, make_pose(rotation_from_vector([0.0, 0.03, 0.0]), np.zeros(3))
    model, pose = MotionModel(np.eye(4), np.zeros((6, 6)), 1), np.eye(4)
    for k in range(1, 4):
        pose = pose @ turn
        model.solved(pose, np.zeros((6, 6)), k * period_ns, after_gap=False)
    assert len(model.expected_poses(5 * period_ns)) == 1
    assert len(model.expected_poses(3 * period_ns + 2 * 10**9)) == 1
    gone_on, stopped = (relative_pose(pose, found) for found in model.expected_poses(18 * period_ns))
    assert rotation_angle_rad(gone_on[:3, :3]) == pytest.approx(15 * 0.03)
    assert rotation_angle_rad(stopped[:3, :3]) == pytest.approx(5 * 0.03)
    model.missed(18 * period_ns, 1.0)
    assert rotation_angle_rad(relative_pose(pose, model.camera_to_world)[:3, :3]) == pytest.approx(15 * 0.03)
    assert np.sqrt(model.covariance[4, 4]) == pytest.approx(0.5 * 15 * 0.03)


def test_wheels_carry_a_camera_that_is_not_seen() -> None:
    moved = Moved(rotation_from_vector([0.0, 0.1, 0.0]), np.array([0.0, 0.0, 0.2]), 0.01, 0.02)
    model = MotionModel(np.eye(4), np.zeros((6, 6)), 1000, lambda begin_ns, end_ns: moved)
    for stamp_ns in (1100, 1200):
        model.missed(stamp_ns, 1.0)
    step = make_pose(moved.rotation, moved.translation)
    np.testing.assert_allclose(model.camera_to_world, step @ step, atol=1e-12)
    np.testing.assert_allclose(np.diag(model.covariance), [0.04**2] * 3 + [0.02**2] * 3)


def test_a_world_that_becomes_larger_takes_pose_step_and_covariance_along() -> None:
    model = moving(1)
    centre = np.array([1.0, 1.0, 1.0])
    model.rescale(2.0, centre)
    np.testing.assert_allclose(model.camera_to_world[:3, 3], centre + 2.0 * (STEP[:3, 3] - centre))
    np.testing.assert_allclose(model.step[:3, 3], 2.0 * STEP[:3, 3])
    np.testing.assert_allclose(np.diag(model.covariance), [0.04] * 3 + [0.001] * 3)
    assert model.recent_motion(1.0) is Motion.UNKNOWN


@pytest.mark.parametrize(
    ("step", "motion"),
    [
        (np.eye(4), Motion.STILL),
        (make_pose(rotation_from_vector([0.0, 0.02, 0.0]), [1e-4, 0.0, 0.0]), Motion.TURNING),
        (make_pose(rotation_from_vector([0.0, 0.02, 0.0]), [0.02, 0.0, 0.0]), Motion.MOVING),
        (make_pose(np.eye(3), [0.002, 0.0, 0.0]), Motion.MOVING),
    ],
)
def test_what_the_camera_is_doing(step: FloatArray, motion: Motion) -> None:
    assert moving(4, step).recent_motion(unit=1.0) is motion
    assert moving(1, step).recent_motion(unit=1.0) is Motion.UNKNOWN
    halted = moving(4, step)
    halted.stop()
    assert halted.recent_motion(1.0) is Motion.UNKNOWN
    np.testing.assert_array_equal(halted.step, np.eye(4))


def test_a_gap_between_frames_of_a_walk_is_extrapolated_by_its_length(walk: Walk) -> None:
    """Frames that were dropped on the way are no change of speed."""
    tracker = Tracker()
    frames = [*range(14), 17, 18, 23, 24, 27]
    found = [tracker.track(walk.images[k], FIRST_NS + k * STEP_NS, CAMERA) for k in frames]
    begun = solved_from(found)
    assert states(found[begun:]) == [TRACKING] * (len(frames) - begun)
    model = tracker._live.motion
    # The last step went over three periods, and this one does.
    expected = model.expected_pose(FIRST_NS + 30 * STEP_NS)
    np.testing.assert_allclose(expected, found[-1].camera_to_world @ model.step, atol=1e-9)
    half = relative_pose(found[-1].camera_to_world, model.expected_pose(FIRST_NS + 27 * STEP_NS + 3 * STEP_NS // 2))
    np.testing.assert_allclose(half[:3, 3], model.step[:3, 3] / 2, atol=1e-9)


def test_a_jump_is_unlikely_and_a_slower_or_faster_camera_is_not() -> None:
    """At 30 Hz, .02 units a frame; what is likely grows with the time since the last solve."""
    motion = MotionModel(np.eye(4), np.zeros((6, 6)))
    assert motion.is_likely(make_pose(np.eye(3), [5.0, 0.0, 0.0]), 1, 1.0)
    period_ns = 33_000_000
    for k in range(4):
        motion.solved(make_pose(np.eye(3), [0.02 * k, 0.0, 0.0]), np.zeros((6, 6)), (k + 1) * period_ns, False)

    def is_likely(x: float, turn_rad: float = 0.0, frames: int = 1, unit: float = 1.0) -> bool:
        pose = make_pose(rotation_from_vector([0.0, turn_rad, 0.0]), [0.06 + x, 0.0, 0.0])
        return motion.is_likely(pose, (4 + frames) * period_ns, unit)

    assert is_likely(0.02)
    assert is_likely(0.0)
    assert is_likely(0.08)
    assert not is_likely(0.5)
    assert is_likely(0.5, unit=10.0)
    assert is_likely(0.5, frames=8)
    assert is_likely(0.02, turn_rad=0.05)
    assert not is_likely(0.02, turn_rad=0.2)


def test_gyro_and_wheels_lead_further_than_constant_velocity_over_a_gap() -> None:
    """A camera that has stood, and has gone round a corner while nothing was seen."""
    corner = make_pose(rotation_from_vector([0.0, 0.8, 0.0]), [0.3, 0.0, 0.2])
    for translation, sigma_m in ((corner[:3, 3], 0.01), (None, np.inf)):
        moved = Moved(corner[:3, :3], translation, 0.01, sigma_m)
        model = MotionModel(np.eye(4), COVARIANCE, 1000, lambda begin_ns, end_ns, moved=moved: moved)
        expected = model.expected_pose(10**9)
        np.testing.assert_allclose(expected[:3, :3], corner[:3, :3], atol=1e-12)
        np.testing.assert_allclose(expected[:3, 3], np.zeros(3) if translation is None else translation, atol=1e-12)
        # A frame that is told badly is drawn to it.
        seen = make_pose(np.eye(3), corner[:3, 3])
        pose, covariance = model.steadied(seen, np.eye(6), 10**9)
        assert rotation_angle_rad(pose[:3, :3].T @ corner[:3, :3]) < 1e-3
        assert covariance[4, 4] < 1e-3


def test_a_step_goes_on_in_a_camera_that_turns_faster() -> None:
    """The way ahead turns with the camera."""
    model = MotionModel(np.eye(4), COVARIANCE, 1000, lambda begin_ns, end_ns: Moved(rotation_from_vector([0, 0.1, 0])))
    model.solved(make_pose(np.eye(3), [0.0, 0.0, 0.1]), COVARIANCE, 1100, after_gap=False)
    step = relative_pose(model.camera_to_world, model.expected_pose(1300))
    np.testing.assert_allclose(step[:3, :3], rotation_from_vector([0, 0.1, 0]), atol=1e-12)
    np.testing.assert_allclose(step[:3, 3], 0.2 * np.array([np.sin(0.05), 0.0, np.cos(0.05)]), atol=1e-12)


def test_sensors_carry_a_camera_that_sees_nothing_as_long_as_they_know_where_it_is() -> None:
    """What wheels err by over the whole way is told, and not the sum of what they err by from frame to frame."""
    turned, way = rotation_from_vector([0.0, 0.1, 0.0]), np.array([0.2, 0.0, 0.1])

    def wheels(begin_ns: int, end_ns: int) -> Moved:
        return Moved(turned, way, 0.02, 0.03 * np.sqrt((end_ns - begin_ns) / 1e8))

    model, solved_ns = MotionModel(np.eye(4), COVARIANCE, 10**9, wheels), 2 * 10**9
    model.solved(STEP, COVARIANCE, solved_ns, after_gap=False)
    for k in (1, 2, 3):
        model.missed(solved_ns + k * 10**8, unit=1.0)
        assert model.covariance[0, 0] - COVARIANCE[0, 0] == pytest.approx(k * 0.03**2)
        assert model.covariance[5, 5] - COVARIANCE[5, 5] == pytest.approx(0.02**2)
    step = make_pose(turned, way)
    np.testing.assert_allclose(model.camera_to_world, STEP @ step @ step @ step, atol=1e-12)
    assert model.is_carried(solved_ns + 3 * 10**8, unit=1.0)
    assert not model.is_carried(solved_ns + 3 * 10**8, unit=0.5)
    assert not model.is_carried(5 * 10**9, unit=1.0)


def test_a_gyro_carries_a_camera_for_as_long_as_it_cannot_have_gone_far() -> None:
    """On the spot for two seconds; while it drives, at the speed of before, until that is too far for a guess."""
    turned = rotation_from_vector([0.0, 0.1, 0.0])
    for ahead, frames in ((0.0, 19), (0.02, 4)):
        model, solved_ns = MotionModel(np.eye(4), COVARIANCE, 10**9, lambda *_: Moved(turned, None, 0.02)), 2 * 10**9
        for k in range(3):
            model.solved(make_pose(np.eye(3), [0.0, 0.0, k * ahead]), COVARIANCE, solved_ns + k * 10**8, False)
        solved_ns += 2 * 10**8
        carried = 0
        for k in range(1, 30):
            model.missed(solved_ns + k * 10**8, unit=1.0)
            carried += model.is_carried(solved_ns + k * 10**8, unit=1.0)
            angle = rotation_angle_rad(model.camera_to_world[:3, :3])
            assert angle == pytest.approx(min(0.1 * k, 2 * np.pi - 0.1 * k))
        assert carried == frames


def test_a_camera_goes_on_for_a_second_the_way_that_a_gyro_turns_it() -> None:
    model = MotionModel(np.eye(4), COVARIANCE, 1, lambda *_: Moved(np.eye(3), None, 0.01))
    for k in range(1, 4):
        model.solved(make_pose(np.eye(3), [0.0, 0.0, 0.01 * k]), COVARIANCE, k * 10**8, after_gap=False)
    for k in range(4, 30):
        model.missed(k * 10**8, unit=1.0)
    np.testing.assert_allclose(model.camera_to_world[:3, 3], [0.0, 0.0, 0.03 + 0.09], atol=1e-9)
