"""Bundle adjustment of exact made-up tracks over four cameras, then noise, mismatches and all that must not move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_tracks import FOCAL_PX, FRAMES, cameras, direction_error_rad, moved, picked, rotation_error_rad, tracks_of
from scipy.spatial.transform import Rotation

from ros2_raxels.estimation.bundle_adjustment import (
    BundleProblem,
    PlacePrior,
    Refined,
    RefineSettings,
    _cost,
    _evaluate,
    _jacobian,
    _normal_equations,
    _pose_map,
    parallax_px,
    refine,
    triangulate,
)
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.matching.tracks import Evidence, KnownDepths

PATIENT = RefineSettings(iterations=40)


def perturbed(rng: np.random.Generator, poses: FloatArray, degrees: float, distance: float) -> FloatArray:
    """All but the first turned by this angle and moved by this distance, in random directions."""
    poses = poses.copy()
    for pose in poses[1:]:
        turn, step = rng.normal(size=(2, 3))
        turn *= np.radians(degrees) / np.linalg.norm(turn)
        pose[:3, :3] = pose[:3, :3] @ Rotation.from_rotvec(turn).as_matrix()
        pose[:3, 3] += distance * step / np.linalg.norm(step)
    return poses


# --------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("seed", range(6))
def test_exact_tracks_give_exact_cameras(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth)
    start = perturbed(rng, truth, 2.0, 0.1)
    assert rotation_error_rad(start, truth) > 0.03
    found = refine(evidence, start[None], PATIENT)
    poses = found.camera_to_first[0]
    assert rotation_error_rad(poses, truth) < 1e-6
    assert direction_error_rad(poses, truth) < 1e-6
    np.testing.assert_allclose(poses[:, :3, 3], truth[:, :3, 3], atol=1e-6)
    seen = evidence.seen.sum(axis=1) > 1
    np.testing.assert_allclose(found.inverse_depth[0, seen], rho[seen], atol=1e-5)
    assert np.nanmax(found.residual_px) < 1e-3
    assert found.cost[0] < 1e-6


def test_a_wrong_observation_has_its_residual_and_no_other() -> None:
    rng = np.random.default_rng(0)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth)
    row = int(np.flatnonzero(evidence.seen.all(axis=1) & (evidence.anchor == 1))[0])
    wrong = np.zeros(evidence.plane.shape)
    wrong[row, 3] = (-30.0, 40.0)
    found = refine(moved(evidence, wrong), truth[None], PATIENT).residual_px[0]
    expected = np.where(evidence.seen, 0.0, np.nan)
    expected[np.arange(len(expected)), evidence.anchor] = np.nan
    expected[row, 3] = 50.0
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_noise_is_as_the_information_says() -> None:
    """Squared errors weighed by the information: mean .93 times 17, the freedoms of three cameras without scale.

    60 trials of noise of .3 px: the mean over trials of a chi-square of 17, over 17, has deviation .044. The bounds are
    four of these on both sides of .93, which is what a Geman-McClure loss of width 2 px makes of Gaussian noise
    (mean weight times mean squared influence over mean slope squared).
    """
    settings = RefineSettings(iterations=15, noise_px=0.3)
    ratios, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng(100 + seed)
        truth = cameras(rng)
        evidence, _ = tracks_of(rng, truth)
        noisy = moved(evidence, 0.3 * rng.normal(size=evidence.plane.shape))
        found = refine(noisy, truth[None], settings)
        poses = found.camera_to_first[0]
        turn = Rotation.from_matrix(np.swapaxes(poses[:, :3, :3], 1, 2) @ truth[:, :3, :3]).as_rotvec()
        off = np.concatenate([turn, truth[:, :3, 3] - poses[:, :3, 3]], axis=1).ravel()
        ratios.append(off @ found.information_of(0) @ off / (6 * (FRAMES - 1) - 1))
        errors.append(rotation_error_rad(poses, truth))
    assert 0.75 < np.mean(ratios) < 1.11
    assert 0.02 < np.degrees(np.median(errors)) < 0.2


@pytest.mark.parametrize("seed", range(6))
def test_two_in_five_mismatches_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 300)
    wrong = (rng.random(evidence.seen.shape) < 0.4)[..., None]
    noise = 0.1 * rng.normal(size=evidence.plane.shape)
    elsewhere = rng.uniform(-80, 80, evidence.plane.shape)
    found = refine(moved(evidence, np.where(wrong, elsewhere, noise)), perturbed(rng, truth, 2.0, 0.1)[None], PATIENT)
    poses = found.camera_to_first[0]
    assert np.degrees(rotation_error_rad(poses, truth)) < 0.2
    assert np.degrees(direction_error_rad(poses, truth)) < 1.0


# ----------------------------------------------------------------------------------------------------- derivatives


def off_the_truth(seed: int) -> tuple[BundleProblem, FloatArray, FloatArray]:
    """Three hypotheses away from the truth, with residuals, weights of all sizes and wrong observations."""
    rng = np.random.default_rng(seed)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth, 40)
    focal_px = np.array([260.0, 250.0, 270.0, 255.0])
    evidence = replace(evidence, weight=rng.uniform(0.2, 1, evidence.weight.shape), focal_px=focal_px)
    poses = np.array([perturbed(rng, truth, 1.0, 0.05) for _ in range(3)])
    problem = BundleProblem.of(evidence)
    return problem, poses, problem.arranged(np.repeat((rho * rng.uniform(0.8, 1.2, rho.shape))[None], 3, axis=0))


def step_poses(poses: FloatArray, frame: int, component: int, size: float) -> FloatArray:
    """An update as the information is defined: rotation in the camera, translation in the first frame."""
    poses = poses.copy()
    if component < 3:
        turn = Rotation.from_rotvec(size * np.eye(3)[component]).as_matrix()
        poses[:, frame, :3, :3] = poses[:, frame, :3, :3] @ turn
    else:
        poses[:, frame, component - 3, 3] += size
    return poses


def test_jacobians_equal_numeric_ones() -> None:
    problem, poses, rho = off_the_truth(0)
    width = 4.0
    state = _evaluate(problem, poses, rho)
    to_relative, to_depth, residual = _jacobian(problem, state, width)
    root = np.sqrt(problem.weight) * width / (state.squared + width**2)
    pose_map = _pose_map(state, problem.anchors).reshape(*rho.shape[:2], FRAMES, 6, FRAMES, 6)
    np.testing.assert_allclose(residual, np.stack([root * state.dx, root * state.dy], axis=-2), atol=1e-12)
    assert (state.squared[:, problem.seen] > 1).mean() > 0.5

    def both(poses: FloatArray, rho: FloatArray) -> FloatArray:
        s = _evaluate(problem, poses, rho)
        return np.stack([s.dx, s.dy], axis=-2)

    size = 1e-5
    for frame in range(FRAMES):
        for component in range(6):
            up, down = (both(step_poses(poses, frame, component, s * size), rho) for s in (1, -1))
            numeric = root[..., None, :] * (up - down) / (2 * size)
            found = np.einsum("hanrcm,hanr->hancm", to_relative, pose_map[..., frame, component])
            # A track is not looked for in its anchor; its weight is zero there.
            np.testing.assert_allclose(found, numeric, atol=1e-5 * np.abs(numeric).max())
    numeric = root[..., None, :] * (both(poses, rho + size) - both(poses, rho - size)) / (2 * size)
    np.testing.assert_allclose(to_depth, numeric, atol=1e-5 * np.abs(numeric).max())


def test_the_gradient_is_that_of_the_robust_cost() -> None:
    problem, poses, rho = off_the_truth(1)
    width, size = 3.0, 1e-5
    gradient = _normal_equations(problem, _evaluate(problem, poses, rho), width, keep_depths=True).gradient

    def cost(poses: FloatArray, rho: FloatArray) -> FloatArray:
        return _cost(problem, _evaluate(problem, poses, rho), width)

    for frame in range(FRAMES):
        for component in range(6):
            up, down = (cost(step_poses(poses, frame, component, s * size), rho) for s in (1, -1))
            expected = (up - down) / (2 * size)
            np.testing.assert_allclose(
                2 * gradient[:, 6 * frame + component], expected, atol=1e-5 * np.abs(gradient).max()
            )


def test_information_is_that_of_the_poses_with_depths_eliminated() -> None:
    """At exact tracks: the Schur complement of the depths in the normal matrix from numeric derivatives."""
    rng = np.random.default_rng(5)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth, 60)
    problem = BundleProblem.of(evidence)
    padded = problem.arranged(rho[None])
    size, columns = 1e-6, []

    def residuals(poses: FloatArray, rho: FloatArray) -> FloatArray:
        s = _evaluate(problem, poses, rho)
        return np.concatenate([s.dx[0][problem.seen], s.dy[0][problem.seen]])

    for frame in range(1, FRAMES):
        for component in range(6):
            up, down = (residuals(step_poses(truth[None], frame, component, s * size), padded) for s in (1, -1))
            columns.append((up - down) / (2 * size))
    poses_part = np.array(columns)
    depth_part = []
    for a, m in np.argwhere(problem.used):
        shift = np.zeros_like(padded)
        shift[0, a, m] = size
        up, down = (residuals(truth[None], padded + s * shift) for s in (1, -1))
        depth_part.append((up - down) / (2 * size))
    depth_part = np.array([d for d in depth_part if np.abs(d).max() > 1e-6])
    across = poses_part @ depth_part.T
    schur = poses_part @ poses_part.T - across @ np.linalg.inv(depth_part @ depth_part.T) @ across.T
    found = refine(evidence, truth[None], RefineSettings(iterations=0, noise_px=0.25), inverse_depth=rho[None])
    information = found.information_of(0) * 0.25**2
    assert not information[:6].any()
    assert not information[:, :6].any()
    np.testing.assert_allclose(information[6:, 6:], schur, atol=2e-3 * np.abs(schur).max())


# --------------------------------------------------------------------------------------------------------- problems


def assert_same(found: Refined, expected: Refined) -> None:
    for name in ("order", "camera_to_first", "inverse_depth", "cost", "residual_px"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for rank in range(len(found.order)):
        np.testing.assert_array_equal(found.information_of(rank), expected.information_of(rank))


def test_a_problem_solves_as_its_evidence_does_and_any_number_of_times() -> None:
    rng = np.random.default_rng(20)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth)
    evidence = moved(evidence, 0.3 * rng.normal(size=evidence.plane.shape))
    starts = np.array([perturbed(rng, truth, 1.0, 0.05) for _ in range(2)])
    weights = rng.uniform(0, 1, evidence.seen.shape)
    expected, with_weights = refine(evidence, starts), refine(evidence, starts, weights=weights)
    assert with_weights.cost[0] < 0.8 * expected.cost[0]
    problem = BundleProblem.of(evidence)
    for _ in range(2):
        assert_same(refine(problem, starts), expected)
        assert_same(refine(problem, starts, weights=weights), with_weights)
        assert_same(refine(problem.weighted(weights), starts), with_weights)
        np.testing.assert_array_equal(triangulate(problem, starts, weights), triangulate(evidence, starts, weights))


def test_a_problem_through_other_cameras_is_that_of_their_evidence() -> None:
    rng = np.random.default_rng(21)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth)
    lens = PinholeCamera(320, 240, 300.0, 310.0, 150.0, 125.0, (-0.1, 0.02, 0.0, 0.0))
    found = refine(BundleProblem.of(evidence).through([lens] * FRAMES), truth[None])
    assert_same(found, refine(evidence.with_cameras([lens] * FRAMES), truth[None]))
    assert found.cost[0] > 10 * refine(evidence, truth[None]).cost[0]


def test_tracks_are_arranged_by_anchor_and_scattered_back() -> None:
    rng = np.random.default_rng(22)
    evidence, rho = tracks_of(rng, cameras(rng), 50)
    problem = BundleProblem.of(evidence)
    arranged = problem.arranged(rho[None])
    for anchor, row, used in zip(problem.anchors, arranged[0], problem.used, strict=True):
        np.testing.assert_array_equal(row[used], rho[evidence.anchor == anchor])
        assert not row[~used].any()
    np.testing.assert_array_equal(problem.scattered(arranged, np.nan), rho[None])


def test_parallax_is_the_distance_from_where_an_infinitely_far_point_would_be() -> None:
    rng = np.random.default_rng(23)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 80)
    found = parallax_px(BundleProblem.of(evidence), truth)
    observed = evidence.seen & (np.arange(FRAMES) != evidence.anchor[:, None])
    np.testing.assert_array_equal(np.isfinite(found), observed)
    for track, frame in np.argwhere(observed):
        anchor = evidence.anchor[track]
        ray = np.append(evidence.plane[track, anchor], 1.0)
        far = relative_pose(truth[frame], truth[anchor])[:3, :3] @ ray
        gap = FOCAL_PX * np.linalg.norm(far[:2] / far[2] - evidence.plane[track, frame])
        assert found[track, frame] == pytest.approx(gap, abs=1e-9)
    turning = truth.copy()
    turning[:, :3, 3] = 0.0
    only_turned, _ = tracks_of(rng, turning, 80)
    assert np.nanmax(parallax_px(BundleProblem.of(only_turned), turning)) < 1e-9


# ----------------------------------------------------------------------------------------------- what must not move


def test_fixed_frames_do_not_move() -> None:
    rng = np.random.default_rng(3)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth)
    start = perturbed(rng, truth, 1.0, 0.05)
    start[1] = truth[1]
    fixed = np.array([True, True, False, False])
    found = refine(evidence, start[None], PATIENT, fixed=fixed)
    np.testing.assert_array_equal(found.camera_to_first[0, :2], start[:2])
    np.testing.assert_allclose(found.camera_to_first[0], truth, atol=1e-6)
    held = found.information_of(0).reshape(FRAMES, 6, FRAMES, 6)
    assert not held[:2].any()
    assert not held[:, :, :2].any()
    assert np.linalg.eigvalsh(held[2:, :, 2:].reshape(12, 12)).min() > 0


def test_fixed_frames_may_differ_between_hypotheses() -> None:
    rng = np.random.default_rng(4)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth)
    starts = np.array([perturbed(rng, truth, 0.5, 0.02) for _ in range(2)])
    fixed = np.array([[True, False, True, False], [True, False, False, True]])
    found = refine(evidence, starts, fixed=fixed)
    for pose, index in zip(found.camera_to_first, found.order, strict=True):
        np.testing.assert_array_equal(pose[fixed[index]], starts[index][fixed[index]])
        assert (np.abs(pose - starts[index]).max(axis=(1, 2))[~fixed[index]] > 1e-4).all()


def test_two_fixed_frames_set_the_scale_and_one_gives_unit_scale() -> None:
    rng = np.random.default_rng(6)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth)
    large = truth.copy()
    large[:, :3, 3] *= 7.0
    seen = evidence.seen.sum(axis=1) > 1
    kept = refine(evidence, perturbed(rng, large, 0.2, 0.0)[None], PATIENT, fixed=[True, False, False, True])
    np.testing.assert_allclose(np.linalg.norm(kept.camera_to_first[0, 3, :3, 3]), 7.0)
    unit = refine(evidence, large[None], PATIENT)
    assert np.linalg.norm(unit.camera_to_first[0, :, :3, 3], axis=1).max() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(unit.camera_to_first[0], truth, atol=1e-6)
    np.testing.assert_allclose(unit.inverse_depth[0, seen], rho[seen], atol=1e-5)


def test_resection_keeps_the_depths() -> None:
    rng = np.random.default_rng(7)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth)
    given = np.where(evidence.seen.sum(axis=1) > 1, rho, 0.123)[None]
    start = perturbed(rng, truth, 1.0, 0.05)
    found = refine(evidence, start[None], PATIENT, inverse_depth=given, keep_depths=True)
    np.testing.assert_array_equal(found.inverse_depth, given)
    np.testing.assert_allclose(found.camera_to_first[0], truth, atol=1e-6)
    # The given depths are believed: with half of them the scene is twice as large, and so is the motion.
    double = refine(evidence, start[None], PATIENT, inverse_depth=given / 2, keep_depths=True)
    np.testing.assert_allclose(double.camera_to_first[0, :, :3, 3], 2 * truth[:, :3, 3], atol=1e-5)


# ------------------------------------------------------------------------------------------------------ hypotheses


def several(seed: int) -> tuple[Evidence, FloatArray]:
    rng = np.random.default_rng(seed)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 100)
    evidence = moved(evidence, 0.3 * rng.normal(size=evidence.plane.shape))
    sizes = ((40.0, 0.8), (1.0, 0.05), (15.0, 0.5), (0.1, 0.01))
    return evidence, np.array([perturbed(rng, truth, *size) for size in sizes])


@pytest.mark.parametrize("seed", range(3))
def test_hypotheses_come_best_first_and_equal_one_by_one(seed: int) -> None:
    evidence, starts = several(seed)
    hasty = RefineSettings(iterations=3)
    together = refine(evidence, starts, hasty)
    assert sorted(together.order.tolist()) == [0, 1, 2, 3]
    assert set(together.order[:2].tolist()) == {1, 3}
    assert (np.diff(together.cost) >= 0).all()
    assert together.cost[0] < 0.5 * together.cost[-1]
    for row, index in enumerate(together.order):
        alone = refine(evidence, starts[index : index + 1], hasty)
        np.testing.assert_allclose(together.camera_to_first[row], alone.camera_to_first[0], atol=1e-8)
        np.testing.assert_allclose(together.cost[row], alone.cost[0], rtol=1e-8)
        np.testing.assert_allclose(together.residual_px[row], alone.residual_px[0], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(together.inverse_depth[row], alone.inverse_depth[0], atol=1e-7)
        scale = np.abs(alone.information_of(0)).max()
        np.testing.assert_allclose(together.information_of(row), alone.information_of(0), atol=1e-6 * scale)


def test_a_chosen_hypothesis_leads_with_all_that_belongs_to_it() -> None:
    evidence, starts = several(0)
    found = refine(evidence, starts)
    led = found.led_by(2)
    assert led.order.tolist() == found.order[[2, 0, 1, 3]].tolist()
    np.testing.assert_array_equal(led.camera_to_first, found.camera_to_first[[2, 0, 1, 3]])
    np.testing.assert_array_equal(led.cost, found.cost[[2, 0, 1, 3]])
    for rank, before in enumerate([2, 0]):
        np.testing.assert_array_equal(led.best(2).information_of(rank), found.information_of(before))


def test_the_cost_is_the_robust_loss_of_the_residuals() -> None:
    evidence, starts = several(4)
    evidence = replace(evidence, weight=np.random.default_rng(0).uniform(0, 1, evidence.weight.shape))
    found = refine(evidence, starts)
    squared = found.residual_px**2
    expected = np.nansum(evidence.weight * squared / (squared + 2.0**2), axis=(1, 2))
    np.testing.assert_allclose(found.cost, expected, rtol=1e-9)


@pytest.mark.parametrize("seed", [0, 2, 3, 6])
def test_refining_never_raises_the_cost(seed: int) -> None:
    """From far away, where an undamped step overshoots."""
    rng = np.random.default_rng(seed)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 100)
    starts = np.array([perturbed(rng, truth, *size) for size in ((60.0, 0.1), (25.0, 1.5), (5.0, 3.0), (1.0, 0.05))])
    costs = []
    for iterations in (0, 1, 2, 3, 4, 6, 8):
        found = refine(evidence, starts, RefineSettings(widths_px=(2.0,), iterations=iterations))
        costs.append(found.cost[np.argsort(found.order)])
    assert (np.diff(costs, axis=0) <= 1e-9).all()
    assert (costs[-1] < costs[0]).all()


def test_weights_of_each_hypothesis_are_its_own() -> None:
    """Two motions in one set of tracks; the weights decide which of them is the answer."""
    rng = np.random.default_rng(8)
    first, second = cameras(rng), cameras(rng)
    (one, _), (other, _) = tracks_of(rng, first, 120), tracks_of(rng, second, 120)
    joined = {
        name: np.concatenate([getattr(one, name), getattr(other, name)])
        for name in ("anchor", "index", "pixels", "plane", "weight", "kind", "score")
    }
    both = Evidence(focal_px=one.focal_px, **joined)
    mine = np.repeat([1.0, 0.0], 120)[:, None] * np.ones(FRAMES)
    starts = np.array([perturbed(rng, first, 1, 0.05), perturbed(rng, second, 1, 0.05)])
    found = refine(both, starts, PATIENT, weights=np.array([mine, 1 - mine]))
    back = np.argsort(found.order)
    np.testing.assert_allclose(found.camera_to_first[back], [first, second], atol=1e-6)
    assert found.cost.max() < 1e-6
    shared = refine(both, starts, PATIENT, weights=mine)
    np.testing.assert_allclose(shared.camera_to_first[list(shared.order).index(0)], first, atol=1e-6)
    assert shared.cost[list(shared.order).index(1)] > 10


def test_contenders_cost_at_most_a_tenth_more_than_the_best() -> None:
    evidence, starts = several(5)
    found = replace(refine(evidence, starts), cost=np.array([10.0, 10.9, 11.1, 40.0]))
    np.testing.assert_array_equal(found.contenders, found.camera_to_first[:2])
    np.testing.assert_array_equal(found.best(1).contenders, found.camera_to_first[:1])


# ------------------------------------------------------------------------------------------------------- triangulate


@pytest.mark.parametrize("seed", range(3))
def test_depths_from_known_cameras(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth)
    expected = np.where(evidence.seen.sum(axis=1) > 1, rho, 0.0)
    assert (expected == 0).any()
    np.testing.assert_allclose(triangulate(evidence, truth[None])[0], expected, rtol=1e-9)
    farther = truth.copy()
    farther[:, :3, 3] *= 4.0
    np.testing.assert_allclose(triangulate(evidence, np.array([truth, farther]))[1], expected / 4, rtol=1e-9)


def test_one_wrong_observation_in_three_does_not_spoil_a_depth() -> None:
    rng = np.random.default_rng(9)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth, 400)
    full = picked(evidence, evidence.seen.all(axis=1))
    rho = rho[evidence.seen.all(axis=1)]
    assert len(rho) > 100
    victim = (full.anchor + rng.integers(1, FRAMES, len(rho))) % FRAMES
    shift = np.zeros(full.plane.shape)
    shift[np.arange(len(rho)), victim] = rng.choice([-1, 1], (len(rho), 2)) * rng.uniform(15, 60, (len(rho), 2))
    found = triangulate(moved(full, shift), truth[None])[0]
    # Along the epipolar line a single other observation may agree by chance; two that are right never lose to it.
    np.testing.assert_allclose(found, rho, rtol=1e-6)


def test_observations_without_weight_do_not_triangulate() -> None:
    rng = np.random.default_rng(10)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth)
    wrong = (rng.random(evidence.seen.shape) < 0.5) & evidence.seen
    spoiled = moved(evidence, np.where(wrong[..., None], 50.0, 0.0))
    wrong[np.arange(len(rho)), evidence.anchor] = False
    right = evidence.seen & ~wrong
    usable = right.sum(axis=1) > 1
    found = triangulate(spoiled, truth[None], weights=(~wrong).astype(float))[0]
    np.testing.assert_allclose(found[usable], rho[usable], rtol=1e-9)
    assert not found[~usable].any()


def test_points_at_infinity_and_behind_have_no_inverse_depth() -> None:
    rng = np.random.default_rng(11)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 40)
    turning = truth.copy()
    turning[:, :3, 3] = 0.0
    far = refine(evidence, turning[None], RefineSettings(iterations=0))
    assert not far.inverse_depth.any()
    backward = truth.copy()
    backward[:, :3, 3] *= -1.0
    assert not triangulate(evidence, backward[None]).any()


# ---------------------------------------------------------------------------------------------------------- little


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_little_evidence_is_no_error(count: int) -> None:
    rng = np.random.default_rng(12)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 30)
    few = picked(evidence, np.flatnonzero(evidence.seen.all(axis=1))[:count])
    found = refine(few, np.array([truth, truth]))
    assert found.camera_to_first.shape == (2, FRAMES, 4, 4)
    assert found.inverse_depth.shape == (2, count)
    assert found.residual_px.shape == (2, count, FRAMES)
    np.testing.assert_allclose(found.camera_to_first, [truth, truth], atol=1e-6)
    np.testing.assert_allclose(found.cost, 0.0, atol=1e-12)
    assert np.isfinite(found.information_of(0)).all()


def test_tracks_seen_only_where_they_start_count_for_nothing() -> None:
    rng = np.random.default_rng(13)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 60)
    alone = evidence.seen & (np.arange(FRAMES) == evidence.anchor[:, None])
    plane = np.where(alone[..., None], evidence.plane, np.nan)
    found = refine(replace(evidence, plane=plane, pixels=plane), truth[None])
    np.testing.assert_allclose(found.camera_to_first[0], truth, atol=1e-12)
    assert found.cost[0] == 0.0
    assert np.isnan(found.residual_px).all()
    assert not found.information_of(0).any()
    assert not found.inverse_depth.any()


# ---------------------------------------------------------------------------------------------------- known depths


def measured(evidence: Evidence, inverse_depth: FloatArray, sigma: float) -> Evidence:
    return replace(evidence, known=KnownDepths(inverse_depth, np.where(np.isfinite(inverse_depth), sigma, np.nan)))


def test_measured_depths_set_the_scale_and_single_views_their_place() -> None:
    """The start is 5 % too large, forty standard deviations of the depths; a quarter of the tracks has none."""
    rng = np.random.default_rng(2)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth)
    start = truth.copy()
    start[:, :3, 3] *= 1.05
    sensor = np.where(rng.random(len(rho)) < 0.25, np.nan, 1.3 * rho + rng.normal(0.0, 0.0005, len(rho)))
    found = refine(measured(evidence, sensor, 0.0005), start[None], PATIENT)
    np.testing.assert_allclose(found.camera_to_first[0, :, :3, 3], truth[:, :3, 3] / 1.3, atol=2e-4)
    assert rotation_error_rad(found.camera_to_first[0], truth) < 1e-4
    seen = evidence.seen.sum(axis=1) > 1
    np.testing.assert_allclose(found.inverse_depth[0, seen], 1.3 * rho[seen], atol=0.002)
    np.testing.assert_allclose(found.inverse_depth[0, np.isfinite(sensor)], sensor[np.isfinite(sensor)], atol=0.002)


def test_wrong_depths_do_not_bend_the_cameras() -> None:
    rng = np.random.default_rng(3)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth)
    sensor = np.where(rng.random(len(rho)) < 0.2, rho * rng.uniform(0.3, 0.7, len(rho)), rho)
    found = refine(measured(evidence, sensor, 0.002), truth[None], PATIENT)
    np.testing.assert_allclose(found.camera_to_first[0], truth, atol=1e-3)
    wrong = (sensor != rho) & (evidence.seen.sum(axis=1) > 2)
    assert wrong.sum() > 10
    assert np.median(np.abs(found.inverse_depth[0] / rho - 1.0)[wrong]) < 0.01


def test_triangulated_and_measured_depths_are_weighed_by_their_information() -> None:
    rng = np.random.default_rng(4)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth)
    alone = evidence.seen.sum(axis=1) == 1
    off = triangulate(measured(evidence, rho + 0.001, 0.1), truth[None])[0]
    np.testing.assert_allclose(off[~alone], rho[~alone], atol=2e-5)
    sure = triangulate(measured(evidence, rho + 0.001, 1e-5), truth[None])[0]
    np.testing.assert_allclose(sure, rho + 0.001, atol=2e-5)
    assert alone.any()


def test_what_is_known_of_places_sets_the_scale_and_no_more() -> None:
    rng = np.random.default_rng(3)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth)
    start = perturbed(rng, truth, 1.0, 0.05)
    # The last camera is known to be twice as far away, to a thousandth, and nothing of the others.
    information = np.zeros((3 * FRAMES, 3 * FRAMES))
    information[-3:, -3:] = np.eye(3) / 0.001**2
    wanted = 2.0 * truth[-1, :3, 3]
    off = start[-1, :3, 3] - wanted
    prior = PlacePrior(start[:, :3, 3], float(off @ off) / 0.001**2, information[:, -3:] @ off, information)
    assert prior.cost_at(start[None])[0] == pytest.approx(float(off @ off) / 0.001**2)
    found = refine(evidence, start[None], RefineSettings(iterations=60, tolerance=1e-9), prior=prior)
    poses = found.camera_to_first[0]
    np.testing.assert_allclose(poses[:, :3, 3], 2.0 * truth[:, :3, 3], atol=1e-3)
    assert rotation_error_rad(poses, truth) < 1e-4
    at_best = PlacePrior(poses[:, :3, 3], 0.0, prior.pull_at(poses[None])[0], information)
    moved_on = start[None] + 0.01
    assert at_best.cost_at(moved_on)[0] == pytest.approx(
        prior.cost_at(moved_on)[0] - prior.cost_at(poses[None])[0], rel=1e-6
    )


def test_information_grows_with_measured_depths() -> None:
    rng = np.random.default_rng(5)
    truth = cameras(rng)
    evidence, rho = tracks_of(rng, truth)
    without = refine(evidence, truth[None]).information_of(0)
    with_depths = refine(measured(evidence, rho, 0.001), truth[None]).information_of(0)
    gain = np.linalg.eigvalsh(with_depths[6:, 6:] - without[6:, 6:])
    assert gain.min() > -1e-3
    # What tracks alone leave open, the scale, is known now.
    scale = np.concatenate([np.zeros((FRAMES, 3)), truth[:, :3, 3]], axis=1).ravel()
    assert scale @ without @ scale < 0.01 * (scale @ with_depths @ scale)
