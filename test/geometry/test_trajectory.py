"""Trajectory errors equal those of evo to 1e-9, and are right where evo has no opinion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.geometry.trajectory import (
    absolute_error,
    align_similarity,
    path_length,
    relative_error,
    rotation_error_deg,
    score_trajectory,
    unit_by_part,
    write_tum,
)


def wandering(count: int, seed: int) -> np.ndarray:
    """Poses (count, 4, 4) of a random walk."""
    generator = np.random.default_rng(seed)
    pose, poses = np.eye(4), []
    for _ in range(count):
        pose = pose @ make_pose(rotation_from_vector(generator.normal(0, 0.05, 3)), generator.normal(0, 0.1, 3))
        poses.append(pose)
    return np.array(poses)


def disturbed(truth: np.ndarray, seed: int, scale: float) -> np.ndarray:
    """The truth in another world frame and unit, with noise."""
    generator = np.random.default_rng(seed)
    world = make_pose(rotation_from_vector(generator.normal(0, 1, 3)), generator.normal(0, 5, 3))
    noise = np.array(
        [make_pose(rotation_from_vector(generator.normal(0, 0.02, 3)), generator.normal(0, 0.02, 3)) for _ in truth]
    )
    poses = world @ truth @ noise
    poses[:, :3, 3] *= scale
    return poses


@pytest.mark.parametrize("with_scale", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_evo(seed: int, with_scale: bool) -> None:
    pytest.importorskip("evo")
    from evo.core import metrics
    from evo.core.trajectory import PosePath3D

    truth = wandering(60, seed)
    estimated = disturbed(truth, seed + 100, 0.37)
    reference, aligned = PosePath3D(poses_se3=list(truth)), PosePath3D(poses_se3=list(estimated.copy()))
    r, t, s = aligned.align(reference, correct_scale=with_scale)
    scale, rotation, translation = align_similarity(estimated[:, :3, 3], truth[:, :3, 3], with_scale)
    assert scale == pytest.approx(s, abs=1e-9)
    np.testing.assert_allclose(rotation, r, atol=1e-9)
    np.testing.assert_allclose(translation, t, atol=1e-9)

    ours = absolute_error(estimated, truth, with_scale)
    step = relative_error(estimated, truth, 7, scale)
    np.testing.assert_allclose(ours.aligned, aligned.poses_se3, atol=1e-9)
    for relation, absolute, relative in (
        (metrics.PoseRelation.translation_part, ours.translation, step.translation),
        (metrics.PoseRelation.rotation_angle_deg, ours.rotation_deg, step.rotation_deg),
    ):
        ape = metrics.APE(relation)
        ape.process_data((reference, aligned))
        np.testing.assert_allclose(absolute, ape.error, atol=1e-9)
        rpe = metrics.RPE(relation, delta=7, delta_unit=metrics.Unit.frames, all_pairs=True)
        rpe.process_data((reference, aligned))
        np.testing.assert_allclose(relative, rpe.error, atol=1e-9)
    assert ours.translation_rmse == pytest.approx(np.sqrt(np.mean(ours.translation**2)), abs=1e-12)
    assert ours.path_length == pytest.approx(reference.path_length, abs=1e-9)


def test_a_perfect_trajectory_in_another_world_and_unit_has_no_error() -> None:
    truth = wandering(20, 3)
    estimated = make_pose(rotation_from_vector([0.3, -1.0, 2.0]), [4.0, 5.0, 6.0]) @ truth
    estimated[:, :3, 3] *= 0.01
    error = absolute_error(estimated, truth)
    assert error.scale == pytest.approx(100.0)
    assert error.translation_rmse < 1e-9
    assert error.rotation_rmse_deg < 1e-6
    assert error.translation_percent < 1e-6


def test_a_known_error_is_measured() -> None:
    truth = np.tile(np.eye(4), (4, 1, 1))
    truth[:, :3, 3] = [[0, 0, 0], [4, 0, 0], [4, 4, 0], [0, 4, 0]]
    estimated = truth.copy()
    estimated[:, 2, 3] = [0.1, -0.1, 0.1, -0.1]
    estimated[1, :3, :3] = rotation_from_vector([0, 0, np.radians(10)])
    error = absolute_error(estimated, truth, with_scale=False)
    assert error.translation_rmse == pytest.approx(0.1, rel=1e-3)
    assert error.translation_percent == pytest.approx(100 * 0.1 / 12, rel=1e-3)
    assert error.rotation_deg[1] == pytest.approx(10, abs=0.1)
    assert path_length(truth) == 12


def test_rotation_error_on_a_straight_path_does_not_depend_on_positions() -> None:
    truth = np.tile(np.eye(4), (10, 1, 1))
    truth[:, 0, 3] = np.arange(10)
    generator = np.random.default_rng(8)
    world = rotation_from_vector(generator.normal(0, 1, 3))
    noise = rotation_from_vector(np.radians(generator.normal(0, 0.5, (10, 3))))
    estimated = truth.copy()
    estimated[:, :3, :3] = world @ noise
    assert np.sqrt((rotation_error_deg(estimated, truth) ** 2).mean()) == pytest.approx(0.5 * np.sqrt(3), rel=0.3)
    assert absolute_error(estimated, truth).rotation_rmse_deg > 10


def test_a_mirrored_trajectory_is_not_aligned_by_a_reflection() -> None:
    truth = wandering(30, 4)[:, :3, 3]
    _, rotation, _ = align_similarity(truth * (1, 1, -1), truth)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_still_and_straight_trajectories_can_be_aligned() -> None:
    truth = wandering(10, 5)
    still = np.tile(np.eye(4), (10, 1, 1))
    error = absolute_error(still, truth)
    spread = truth[:, :3, 3] - truth[:, :3, 3].mean(axis=0)
    assert error.scale == 0
    assert error.translation_rmse == pytest.approx(np.sqrt((spread**2).sum(axis=1).mean()))
    assert absolute_error(truth, still).translation_percent == float("inf")
    line = still.copy()
    line[:, 0, 3] = np.arange(10)
    assert absolute_error(line, line).translation_rmse < 1e-9


@pytest.mark.parametrize(
    ("a", "b"),
    [(np.zeros((0, 3)), np.zeros((0, 3))), (np.zeros((2, 3)), np.zeros((3, 3))), (np.full((2, 3), np.nan),) * 2],
)
def test_points_that_cannot_be_aligned_are_refused(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(ValueError, match="estimated"):
        align_similarity(a, b)


def test_relative_error_needs_a_pair() -> None:
    with pytest.raises(ValueError, match="no pair 3 frames apart"):
        relative_error(np.tile(np.eye(4), (3, 1, 1)), np.tile(np.eye(4), (3, 1, 1)), 3)


def test_relative_error_skips_gaps() -> None:
    truth = wandering(12, 6)
    kept = [0, 1, 2, 5, 6, 9]
    estimated = truth.copy()
    estimated[6, 0, 3] += 1.0
    whole, gappy = relative_error(estimated, truth), relative_error(estimated[kept], truth[kept], 1, indices=kept)
    np.testing.assert_allclose(gappy.translation, whole.translation[[0, 1, 5]], atol=1e-12)
    np.testing.assert_allclose(gappy.translation, [0, 0, 1], atol=1e-9)
    assert len(relative_error(estimated[kept], truth[kept], 4, indices=kept).translation) == 3


def drifting(truth: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """A trajectory whose steps are longer than the true ones by a factor each."""
    estimated = truth.copy()
    steps = np.diff(truth[:, :3, 3], axis=0) * unit[:, None]
    estimated[1:, :3, 3] = truth[0, :3, 3] + np.cumsum(steps, axis=0)
    return estimated


def test_scale_drift_is_found_part_by_part() -> None:
    """A circle at constant speed, of which every fifth is drawn larger than the one before."""
    angle = 2 * np.pi * np.arange(501) / 500
    truth = np.tile(np.eye(4), (501, 1, 1))
    truth[:, :2, 3] = 3 * np.column_stack([np.cos(angle), np.sin(angle)])
    factor = np.repeat([1.0, 1.1, 1.3, 0.9, 2.0], 100)
    units = unit_by_part(7 * drifting(truth, factor), truth)
    np.testing.assert_allclose(units, [1.0, 1.1, 1.3, 0.9, 2.0], rtol=0.02)
    score = score_trajectory(drifting(truth, factor), truth, 10.0)
    assert score is not None
    assert (score.scale_drift, score.scale_range) == pytest.approx((2.0, 2.0 / 0.9), rel=0.03)
    steady = score_trajectory(5 * truth, truth, 10.0)
    assert steady is not None
    assert (steady.scale_drift, steady.scale_range, steady.ate) == pytest.approx((1, 1, 0), abs=1e-9)


def test_without_motion_there_is_no_scale_drift() -> None:
    truth = wandering(40, 2)
    still = np.tile(np.eye(4), (40, 1, 1))
    assert np.isnan(unit_by_part(still, truth)).all()
    assert np.isnan(unit_by_part(truth, still)[1:]).all()
    score = score_trajectory(still, truth, 10.0)
    assert score is not None
    assert (score.scale_drift, score.scale_range) == (None, None)


def test_a_score_is_put_together_from_its_parts() -> None:
    truth, noisy = wandering(60, 7), wandering(60, 7)
    noisy[:, :3, 3] += np.random.default_rng(0).normal(0, 0.02, (60, 3))
    kept = [*range(20), *range(30, 60)]
    score = score_trajectory(noisy[kept], truth, 10.0, kept)
    assert score is not None
    sim3, se3 = (absolute_error(noisy[kept], truth[kept], with_scale) for with_scale in (True, False))
    assert (score.poses, score.ate, score.ate_se3) == (50, sim3.translation_rmse, se3.translation_rmse)
    assert score.ate_percent == pytest.approx(100 * sim3.translation_rmse / path_length(truth))
    second = relative_error(noisy[kept], truth[kept], 10, sim3.scale, kept)
    assert (score.rpe_second, score.rpe_second_deg) == (second.translation_rmse, second.rotation_rmse_deg)
    sparse = score_trajectory(noisy[::7], truth, 10.0, list(range(0, 60, 7)))
    assert sparse is not None
    assert (sparse.rpe_frame, sparse.rpe_second) == (None, None)
    assert score_trajectory(noisy[:2], truth, 10.0, [0, 1]) is None


def test_tum_file_keeps_nanoseconds_and_is_what_evo_reads(tmp_path: Path) -> None:
    file_interface = pytest.importorskip("evo.tools.file_interface")
    poses, stamps_ns = wandering(5, 6), [1_700_000_000_123_456_789 + 33_333_333 * i for i in range(5)]
    path = tmp_path / "trajectory.tum"
    write_tum(path, stamps_ns, poses, ["", "a remark", *[""] * (len(stamps_ns) - 2)])
    assert path.read_text().splitlines()[1] == "# a remark"
    np.testing.assert_allclose(np.loadtxt(path)[:, 1:4], poses[:, :3, 3], atol=1e-8)
    write_tum(path, stamps_ns, poses)
    assert path.read_text().startswith("1700000000.123456789 ")
    read = file_interface.read_tum_trajectory_file(str(path))
    np.testing.assert_allclose(read.poses_se3, poses, atol=1e-8)
