"""Bundle adjustment through lenses of every kind, also such that see behind themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_tracks import FRAMES, cameras, direction_error_rad, rotation_error_rad, tracks_of, wide_tracks_of

from ros2_raxels.estimation.bundle_adjustment import (
    BundleProblem,
    RefineSettings,
    _evaluate,
    _jacobian,
    parallax_px,
    refine,
    triangulate,
)
from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.poses import FloatArray, rotation_from_vector

PATIENT = RefineSettings(iterations=40)
FISHEYE = FisheyeCamera(320, 240, 92.0, 92.0, 159.5, 119.5, (-0.01, 0.002, 0.0, 0.0))
"""200 degrees across."""

BENT = PinholeCamera(320, 240, 180.0, 180.0, 158.0, 121.0, (-0.25, 0.05, 0.001, -0.001))
PLAIN = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
LENSES = pytest.mark.parametrize(
    "lenses", [[FISHEYE] * 4, [BENT] * 4, [FISHEYE, PLAIN, BENT, FISHEYE]], ids=["fisheye", "barrel", "mixed"]
)


def perturbed(rng: np.random.Generator, poses: FloatArray) -> FloatArray:
    start = poses.copy()
    start[1:, :3, :3] = start[1:, :3, :3] @ rotation_from_vector(rng.normal(0, 0.02, (len(poses) - 1, 3)))
    start[1:, :3, 3] += rng.normal(0, 0.05, (len(poses) - 1, 3))
    return start


@LENSES
@pytest.mark.parametrize("seed", range(3))
def test_exact_tracks_give_exact_cameras(lenses: list[Camera], seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = cameras(rng)
    evidence, rho = wide_tracks_of(rng, truth, lenses)
    found = refine(evidence, perturbed(rng, truth)[None], PATIENT)
    assert rotation_error_rad(found.camera_to_first[0], truth) < 1e-6
    assert direction_error_rad(found.camera_to_first[0], truth) < 1e-6
    seen = evidence.seen.sum(axis=1) > 1
    np.testing.assert_allclose(found.inverse_depth[0, seen], rho[seen], atol=1e-5)
    assert np.nanmax(found.residual_px) < 1e-3


def test_a_fisheye_is_solved_from_what_it_sees_behind_itself_alone() -> None:
    rng = np.random.default_rng(5)
    truth = cameras(rng)
    evidence, rho = wide_tracks_of(rng, truth, [FISHEYE] * FRAMES, 4000)
    assert evidence.lens is not None
    behind = (evidence.lens.ray[..., 2] < 0) & evidence.seen
    kept = np.flatnonzero(behind.sum(axis=1) > 2)
    assert len(kept) > 30
    evidence = replace(
        evidence,
        **{name: getattr(evidence, name)[kept] for name in ("anchor", "index", "plane", "weight", "kind", "score")},
        pixels=np.where(behind[kept][..., None], evidence.pixels[kept], np.nan),
        lens=replace(evidence.lens, ray=evidence.lens.ray[kept], scale_px=evidence.lens.scale_px[kept]),
    )
    starting = behind[kept, evidence.anchor]
    found = triangulate(evidence, truth[None])[0]
    np.testing.assert_allclose(found[starting], rho[kept][starting], atol=1e-6)


@LENSES
def test_residuals_are_px_of_the_image_as_far_as_they_are_small(lenses: list[Camera]) -> None:
    rng = np.random.default_rng(1)
    truth = cameras(rng)
    evidence, rho = wide_tracks_of(rng, truth, lenses)
    shift = rng.normal(0, 0.2, evidence.pixels.shape)
    shift[np.arange(len(shift)), evidence.anchor] = 0.0
    off = replace(evidence, pixels=evidence.pixels + shift).with_cameras(lenses)
    settings = RefineSettings(iterations=0)
    found = refine(off, truth[None], settings, inverse_depth=rho[None]).residual_px[0]
    expected = np.where(np.isfinite(found), np.linalg.norm(shift, axis=-1), np.nan)
    # Of a lens that squeezes in one direction more than in the other the mean is taken.
    assert np.nanmedian(found / expected) == pytest.approx(1.0, abs=0.05)
    assert np.nanpercentile(np.abs(np.log(found / expected)), 90) < 0.5


@LENSES
def test_derivatives_are_those_of_the_residuals(lenses: list[Camera]) -> None:
    rng = np.random.default_rng(3)
    truth = cameras(rng)
    evidence, rho = wide_tracks_of(rng, truth, lenses, 60)
    problem = BundleProblem.of(evidence)
    state = _evaluate(problem, perturbed(rng, truth)[None], problem.arranged(rho[None]))
    width_px = 1e6
    by_motion, by_depth, _ = _jacobian(problem, state, width_px)

    def residual(turn: FloatArray, shift: FloatArray, depth: float) -> FloatArray:
        start = state.rotation @ np.swapaxes(problem.bearing, -1, -2)[None, :, None]
        start = start + state.offset[..., None] * (state.rho + depth)[:, :, None, None, :]
        at = rotation_from_vector(turn) @ start + shift[:, None] * state.rho[:, :, None, None, :]
        at = problem.turned(at)
        return np.stack(
            [(at[..., k, :] / at[..., 2, :] - p) * problem.focal for k, p in enumerate((problem.x, problem.y))], axis=-2
        )

    seen, nothing, step = problem.seen[None, :, :, None], np.zeros(3), 1e-6
    for k in range(6):
        move = step * np.eye(6)[k]
        numeric = (residual(move[:3], move[3:], 0.0) - residual(-move[:3], -move[3:], 0.0)) / (2 * step)
        there = np.broadcast_to(seen & (state.scale > 0)[..., None, :], numeric.shape)
        np.testing.assert_allclose(by_motion[:, :, :, k][there] * width_px, numeric[there], rtol=1e-4, atol=1e-3)
    numeric = (residual(nothing, nothing, step) - residual(nothing, nothing, -step)) / (2 * step)
    there = np.broadcast_to(seen & (state.scale > 0)[..., None, :], numeric.shape)
    np.testing.assert_allclose(by_depth[there] * width_px, numeric[there], rtol=1e-4, atol=1e-3)


def test_a_pinhole_written_as_a_lens_gives_the_same_answer() -> None:
    rng = np.random.default_rng(7)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth)
    start = perturbed(rng, truth)[None]
    plain = refine(evidence, start, PATIENT)
    # As good as none, so that rays are used.
    lens = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5, (1e-15, 0.0, 0.0, 0.0))
    bent = refine(evidence.with_cameras([lens] * FRAMES), start, PATIENT)
    np.testing.assert_allclose(bent.camera_to_first, plain.camera_to_first, atol=1e-9)
    np.testing.assert_allclose(bent.inverse_depth, plain.inverse_depth, atol=1e-9)


def test_parallax_of_a_turn_alone_is_zero_through_a_fisheye() -> None:
    rng = np.random.default_rng(2)
    truth = cameras(rng)
    truth[:, :3, 3] = 0.0
    evidence, _ = wide_tracks_of(rng, truth, [FISHEYE] * FRAMES)
    assert np.nanmax(parallax_px(BundleProblem.of(evidence), truth)) < 1e-6
