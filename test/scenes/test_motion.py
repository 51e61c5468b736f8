"""scenes.motion: cameras that move as real ones do. Statistics over thousands of clips with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_raxels.geometry.poses import FloatArray, inverse_pose, rotation_angle_rad
from ros2_raxels.scenes.motion import KINDS, MAX_TURN_DEG, Motion, sample_motion


@pytest.fixture(scope="module")
def motion() -> Motion:
    return sample_motion(np.random.default_rng(7), 4000, 4)


def turn_deg(poses: FloatArray) -> FloatArray:
    """(B, N) from the first camera."""
    return np.degrees(rotation_angle_rad(np.swapaxes(poses[:, :1, :3, :3], -1, -2) @ poses[..., :3, :3]))


def step(poses: FloatArray) -> FloatArray:
    """(B, N - 1) distance between neighbours."""
    return np.linalg.norm(np.diff(poses[..., :3, 3], axis=1), axis=-1)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 9))
def test_poses_are_rigid_and_start_at_the_first_camera(seed: int, clips: int, frames: int) -> None:
    drawn = sample_motion(np.random.default_rng(seed), clips, frames)
    poses = drawn.camera_to_first
    assert poses.shape == (clips, frames, 4, 4)
    assert drawn.kind.shape == (clips,)
    assert ((drawn.kind >= 0) & (drawn.kind < len(KINDS))).all()
    np.testing.assert_allclose(poses[:, 0], np.tile(np.eye(4), (clips, 1, 1)), atol=1e-12)
    rotation = poses[..., :3, :3]
    np.testing.assert_allclose(
        rotation @ np.swapaxes(rotation, -1, -2), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-9)
    np.testing.assert_array_equal(poses[..., 3, :], np.broadcast_to([0.0, 0.0, 0.0, 1.0], (clips, frames, 4)))
    assert turn_deg(poses).max() <= MAX_TURN_DEG + 1e-6


def test_no_camera_turns_out_of_sight_and_some_reach_the_limit() -> None:
    furthest = turn_deg(sample_motion(np.random.default_rng(3), 4000, 8).camera_to_first).max(axis=1)
    assert furthest.max() <= MAX_TURN_DEG + 1e-6
    assert (furthest > 0.99 * MAX_TURN_DEG).mean() > 0.01


def test_all_kinds_appear_in_their_shares(motion: Motion) -> None:
    shares = np.bincount(motion.kind, minlength=len(KINDS)) / len(motion.kind)
    expected = {
        "handheld": 0.25,
        "forward": 0.1,
        "sideways": 0.08,
        "orbit": 0.4,
        "drone": 0.08,
        "rotation": 0.04,
        "stop_and_go": 0.05,
    }
    assert set(expected) == set(KINDS)
    np.testing.assert_allclose(shares, [expected[name] for name in KINDS], atol=0.025)


def test_baselines_and_turns_are_those_of_real_footage(motion: Motion) -> None:
    assert 0.05 < np.median(step(motion.camera_to_first)) < 0.15
    assert 7.0 < np.median(turn_deg(motion.camera_to_first).max(axis=1)) < 20.0


def test_a_rotation_hardly_moves(motion: Motion) -> None:
    poses = motion.camera_to_first[motion.kind == KINDS.index("rotation")]
    others = motion.camera_to_first[motion.kind != KINDS.index("rotation")]
    assert np.median(step(poses)) < 0.02 * np.median(step(others))
    assert step(poses).max() < 0.05
    assert np.median(turn_deg(poses).max(axis=1)) > 3.0


def test_an_orbit_keeps_its_target_in_the_middle(motion: Motion) -> None:
    """What the first camera sees ahead stays ahead, although the move alone would take it away."""
    poses = motion.camera_to_first[motion.kind == KINDS.index("orbit")]
    target = np.array([0.0, 0.0, 0.95])

    def off_centre_deg(camera_to_first: FloatArray) -> FloatArray:
        local = (inverse_pose(camera_to_first) @ np.append(target, 1.0))[..., :3]
        return np.degrees(np.arctan2(np.linalg.norm(local[..., :2], axis=-1), local[..., 2]))

    unturned = poses.copy()
    unturned[..., :3, :3] = np.eye(3)
    moved = off_centre_deg(unturned)[:, -1]
    far = moved > 8.0
    assert far.sum() > 300
    assert np.median((off_centre_deg(poses)[:, -1] / moved)[far]) < 0.25


@pytest.mark.parametrize(("kind", "axis"), [("forward", 2), ("sideways", 0)])
def test_what_has_a_direction_goes_there(motion: Motion, kind: str, axis: int) -> None:
    """Forwards or backwards, left or right: most of the way is along this axis of the first camera."""
    end = motion.camera_to_first[motion.kind == KINDS.index(kind), -1, :3, 3]
    along = end[:, axis] / np.linalg.norm(end, axis=1)
    assert np.median(np.abs(along)) > 0.9
    assert 0.3 < (along > 0).mean() < 0.7


def test_stop_and_go_stands_still_more_often() -> None:
    drawn = sample_motion(np.random.default_rng(5), 4000, 8)
    steps = step(drawn.camera_to_first)
    still = (steps < 0.3 * np.median(steps, axis=1, keepdims=True)).mean(axis=1)
    stops = drawn.kind == KINDS.index("stop_and_go")
    assert still[stops].mean() > 2 * still[~stops].mean()


def test_the_seed_decides() -> None:
    first, again, other = (sample_motion(np.random.default_rng(s), 6, 3) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.camera_to_first, again.camera_to_first)
    np.testing.assert_array_equal(first.kind, again.kind)
    assert not np.allclose(first.camera_to_first[:, 1], other.camera_to_first[:, 1])


@pytest.mark.parametrize(("clips", "frames"), [(0, 4), (-1, 4), (3, 1), (3, 0)])
def test_bad_sizes_are_refused_by_value(clips: int, frames: int) -> None:
    with pytest.raises(ValueError, match=f"{clips} clips of {frames} frames: at least one clip, and two frames"):
        sample_motion(np.random.default_rng(0), clips, frames)
