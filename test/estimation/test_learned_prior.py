"""The learned prior: the shipped model on tracks of known cameras; what it judges, samples and improves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("onnxruntime")

from made_up_tracks import cameras, direction_error_rad, picked, rotation_error_rad, tracks_of

from ros2_raxels.engine import Arrays, EngineError, TensorSpec
from ros2_raxels.estimation.bundle_adjustment import BundleProblem, RefineSettings
from ros2_raxels.estimation.guidance import guide
from ros2_raxels.estimation.hypotheses import PoseHypotheses
from ros2_raxels.estimation.learned_prior import DenoiseSettings, Judged, LearnedDenoiser, shipped_model, track_arrays
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.raxel_grid import clip_bearings, decode_clip
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.matching.tracks import Evidence

CAMERA = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
BEARINGS = clip_bearings([CAMERA] * 4)
NOTHING = PoseHypotheses(np.tile(np.eye(4), (1, 4, 1, 1)))


@pytest.fixture(scope="module")
def card() -> Path:
    path = shipped_model()
    assert path is not None, "no model in engines/"
    return path


@pytest.fixture(scope="module")
def model(card: Path) -> LearnedDenoiser:
    return LearnedDenoiser.load(card)


def spoiled(seed: int, share: float) -> tuple[Evidence, FloatArray, FloatArray]:
    """Tracks with half a pixel of noise, some matched to anywhere; the true poses; and which observations are right."""
    rng = np.random.default_rng(seed)
    poses = cameras(rng)
    evidence, _ = tracks_of(rng, poses, 240)
    evidence = evidence.with_cameras([CAMERA] * 4)
    pixels = evidence.pixels + rng.normal(0, 0.4, evidence.pixels.shape)
    wrong = rng.random(evidence.seen.shape) < share
    wrong[np.arange(len(wrong)), evidence.anchor] = False
    pixels = np.where(wrong[..., None], rng.uniform((0, 0), (319, 239), pixels.shape), pixels)
    pixels = np.where(evidence.seen[..., None], pixels, np.nan)
    score = np.where(wrong, 0.1, 0.4)
    changed = replace(evidence, pixels=pixels, score=score)
    return changed.with_cameras([CAMERA] * 4), poses, ~wrong


def test_evidence_as_the_encode_graph_reads_it() -> None:
    evidence, _, _ = spoiled(0, 0.2)
    arrays = track_arrays(evidence, BEARINGS)
    assert {name: a.shape for name, a in arrays.items()} == {
        **dict.fromkeys(("plane", "place"), (1, 240, 4, 2)),
        **dict.fromkeys(("seen", "anchor", "score"), (1, 240, 4)),
        "is_flow": (1, 240),
        "pixel": (1, 4),
    }
    assert all(a.dtype == np.float32 and np.isfinite(a).all() for a in arrays.values())
    np.testing.assert_array_equal(arrays["anchor"][0].argmax(axis=1), evidence.anchor)
    # Edge to edge: pixel -0.5 is at -1, and the last one plus a half at 1.
    expected = (evidence.pixels + 0.5) / (160, 120) - 1
    seen = evidence.seen
    np.testing.assert_allclose(arrays["place"][0][seen], expected[seen], atol=1e-5)
    np.testing.assert_allclose(arrays["pixel"][0] * 260, 1.0, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_wrong_matches_are_distinguished_from_right_ones(model: LearnedDenoiser, seed: int) -> None:
    evidence, _, right = spoiled(seed, 0.3)
    inlier = model.judge(evidence, BEARINGS).inlier
    assert inlier.shape == (240, 4)
    np.testing.assert_array_equal(inlier[np.arange(240), evidence.anchor], 1.0)
    judged = evidence.seen.copy()
    judged[np.arange(240), evidence.anchor] = False
    assert np.median(inlier[judged & right]) > 0.8
    assert np.median(inlier[judged & ~right]) < 0.2


@pytest.mark.parametrize("seed", range(3))
def test_samples_start_close_enough_for_guidance(model: LearnedDenoiser, seed: int) -> None:
    """No two-view geometry anywhere: noise, one step of denoising, guidance, and the cameras are right."""
    evidence, poses, _ = spoiled(seed, 0.3)
    alone = LearnedDenoiser(model.card, model._encode, model._rays, DenoiseSettings(samples=6, alone=True))
    hypotheses = alone.denoise(evidence, BEARINGS, NOTHING)
    assert hypotheses.camera_to_first.shape == (6, 4, 4, 4)
    found = guide(BundleProblem.of(evidence), hypotheses, RefineSettings()).refined.camera_to_first[0]
    truth = np.linalg.inv(poses[0]) @ poses
    assert np.degrees(rotation_error_rad(found, truth)) < 0.5
    assert np.degrees(direction_error_rad(found, truth)) < 3.0


def test_two_view_hypotheses_stay_and_come_first(model: LearnedDenoiser) -> None:
    evidence, poses, _ = spoiled(1, 0.2)
    given = PoseHypotheses(poses[None])
    found = model.denoise(evidence, BEARINGS, given)
    assert len(found.camera_to_first) == 1 + model.settings.samples
    np.testing.assert_array_equal(found.camera_to_first[0], poses)
    assert found.inlier is not None
    assert given.inlier is None


def test_more_steps_and_guidance_between_them(model: LearnedDenoiser) -> None:
    evidence, poses, _ = spoiled(2, 0.2)
    judged = model.judge(evidence, BEARINGS)
    noise = np.random.default_rng(3).normal(size=(2, *BEARINGS.shape))
    calls = []

    def to_the_truth(raxels: FloatArray) -> FloatArray:
        calls.append(raxels)
        return np.repeat(encode_raxels(BEARINGS, poses[None]), len(raxels), axis=0)

    guided, expected = model.sample(judged, BEARINGS, noise, steps=3, after=to_the_truth)
    assert len(calls) == 3
    np.testing.assert_allclose(decode_clip(BEARINGS, guided)[0], np.linalg.inv(poses[0]) @ poses, atol=1e-6)
    assert expected.shape == (2, 4, 12, 16)
    assert (expected > 0).all()


class Halving:
    """An engine of rays that predicts half of what it is given, and is sure of it to a fixed degree."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        self.asked.append((float(arrays["ray_time"].max()), float(arrays["rays"].max())))
        return {"clean": 0.5 * arrays["rays"], "log_error": np.full(arrays["rays"].shape[:-1], -1.0, np.float32)}

    def describe(self) -> str:
        return "halving"


def test_guidance_changes_every_prediction_before_the_next_step(model: LearnedDenoiser) -> None:
    """Guidance adds 2: 4 + 2 = 6; half way from 8 to 6 is 7; 3.5 + 2 = 5.5. Whitened, so all of it times the spread."""
    engine, spread = Halving(), model.card.ray_spread
    noise = np.full((1, *BEARINGS.shape), 8.0)
    judged = Judged(np.ones((1, 4)), 1.0, {})
    halving = LearnedDenoiser(model.card, engine, engine)
    found, expected = halving.sample(judged, BEARINGS, noise, 2, lambda raxels: raxels + 2.0 * spread)
    np.testing.assert_allclose(found - BEARINGS, 5.5 * spread, rtol=1e-6)
    np.testing.assert_allclose(expected, np.exp(-1.0) * spread, rtol=1e-6)
    assert engine.asked == [(0.0, 8.0), (0.5, 7.0)]
    # Without it: half way from 8 to 4 is 6.
    engine.asked.clear()
    found, _ = halving.sample(judged, BEARINGS, noise, 2)
    np.testing.assert_allclose(found - BEARINGS, 3.0 * spread, rtol=1e-6)
    assert engine.asked == [(0.0, 8.0), (0.5, 6.0)]


def test_the_answer_is_the_same_every_time(model: LearnedDenoiser) -> None:
    evidence, poses, _ = spoiled(4, 0.2)
    first, second = (model.denoise(evidence, BEARINGS, PoseHypotheses(poses[None])) for _ in range(2))
    np.testing.assert_array_equal(first.camera_to_first, second.camera_to_first)


def test_warm_samples_stay_nearer_to_what_was_expected(model: LearnedDenoiser) -> None:
    """Where the evidence hardly decides between answers, the one that was expected."""
    settings = DenoiseSettings(samples=1, warm_samples=4, warm_time=0.8, guided=False)
    warmed = LearnedDenoiser(model.card, model._encode, model._rays, settings)
    errors = []
    for seed in range(6, 12):
        evidence, poses, _ = spoiled(seed, 0.2)
        found = warmed.denoise(picked(evidence, np.arange(12)), BEARINGS, PoseHypotheses(poses[None])).camera_to_first
        assert found.shape == (1 + 1 + 4, 4, 4, 4)
        assert np.ptp(found[2:], axis=0).max() > 1e-3
        cold, warm = found[1:2], found[2:]
        errors.append([np.mean([rotation_error_rad(p, poses) for p in part]) for part in (cold, warm)])
    cold_rad, warm_rad = np.mean(errors, axis=0)
    assert warm_rad < 0.8 * cold_rad


@pytest.mark.parametrize("frames", [2, 3, 6])
def test_any_number_of_frames(model: LearnedDenoiser, frames: int) -> None:
    evidence, _, _ = spoiled(5, 0.1)
    columns = np.arange(frames) % 4
    evidence = Evidence(
        np.minimum(evidence.anchor, frames - 1),
        evidence.index,
        evidence.pixels[:, columns],
        evidence.plane[:, columns],
        evidence.focal_px[columns],
        evidence.weight[:, columns],
        evidence.kind,
        evidence.score[:, columns],
    )
    bearings = clip_bearings([CAMERA] * frames)
    found = model.denoise(evidence, bearings, PoseHypotheses(np.tile(np.eye(4), (1, frames, 1, 1)))).camera_to_first
    assert found.shape == (5, frames, 4, 4)
    np.testing.assert_allclose(found[:, 0], np.tile(np.eye(4), (5, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(
        found[..., :3, :3] @ np.swapaxes(found[..., :3, :3], -1, -2), np.eye(3) + 0 * found[..., :3, :3], atol=1e-9
    )
    assert np.isfinite(found).all()


def test_a_missing_model_is_refused_with_its_path_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"nowhere.json is not a model card .*install the package again"):
        LearnedDenoiser.load(tmp_path / "nowhere.json")


def test_the_card_says_where_the_weights_come_from(model: LearnedDenoiser) -> None:
    card = model.card
    assert card.licence == "Apache-2.0"
    assert card.training["clips"] > 1_000_000
    begun = "begun from weights that had seen 924576 clips"
    assert card.training["data"] == f"correspondences from procedural geometry, {begun}"
    assert sum((card_file.stat().st_size for card_file in _files(card.graphs)), 0) < 40e6


def _files(graphs: dict[str, object]) -> list[Path]:
    path = shipped_model()
    assert path is not None
    return [path.parent / graph.file for graph in graphs.values()]  # type: ignore[attr-defined]
