"""Scores of what poses say of themselves: covariances that are right, blunders, and the yardstick's own numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from posed_sets import yardstick

from ros2_raxels.evaluation.honesty.scores import STATED, Samples, score_stream
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.tracking.frame_state import FrameState, writing_states

FRAMES = 300
TRUTH = handheld_loop(10.0, 30.0, seed=5)[:FRAMES]
STAMPS_NS = [k * 33_333_333 for k in range(FRAMES)]
SIGMA_M, SIGMA_RAD = 0.02, 0.01


def noisy(
    stated: float = 1.0, metric: bool = False, unit: float = 0.5, confidence: float = 0.9, seed: int = 0
) -> list[FrameState]:
    """Poses with the noise that they state, times a factor, in a world and a unit of their own."""
    generator = np.random.default_rng(seed)
    unit = 1.0 if metric else unit
    world = make_pose(rotation_from_vector([0.3, -0.5, 0.2]), [1.0, 2.0, -1.0])
    covariance = np.diag([(stated * unit * SIGMA_M) ** 2] * 3 + [(stated * SIGMA_RAD) ** 2] * 3)
    states = []
    for stamp_ns, true in zip(STAMPS_NS, TRUTH, strict=True):
        pose: FloatArray = world @ true
        pose[:3, 3] = unit * (pose[:3, 3] + generator.normal(0, SIGMA_M, 3))
        pose[:3, :3] = rotation_from_vector(generator.normal(0, SIGMA_RAD, 3)) @ pose[:3, :3]
        states.append(FrameState(stamp_ns, "TRACKING", pose, covariance, confidence, metric))
    return states


@pytest.mark.parametrize("metric", [False, True])
def test_true_covariances_hold_the_shares_they_state(metric: bool) -> None:
    score = score_stream(noisy(metric=metric), STAMPS_NS, TRUTH)
    assert score.values["tracked"] == 1.0
    assert score.values["metric"] is metric
    for kind in ("position", "rotation"):
        assert score.values[f"{kind}_inside_68"] == pytest.approx(0.68, abs=0.08)
        assert score.values[f"{kind}_inside_95"] == pytest.approx(0.95, abs=0.04)
        np.testing.assert_allclose(score.samples.regions()[kind], STATED, atol=0.08)
    assert score.values["blunders"] == 0.0
    assert score.values["scale_error_percent"] == (pytest.approx(0.0, abs=1.0) if metric else None)


def test_poses_that_are_too_sure_are_blunders_and_unsure_ones_none() -> None:
    sure = score_stream(noisy(stated=0.05), STAMPS_NS, TRUTH)
    assert sure.values["position_inside_95"] < 0.05
    large = sure.samples.position_share > 0.01
    assert sure.values["blunders"] == pytest.approx(float((large & (sure.samples.position2 > 25)).mean()), abs=0.01)
    doubtful = score_stream(noisy(stated=0.05, confidence=0.4), STAMPS_NS, TRUTH)
    assert doubtful.values["blunders"] == 0.0
    assert doubtful.values["position_inside_95"] == sure.values["position_inside_95"]


def test_confidence_is_scored_as_a_probability() -> None:
    samples = Samples(
        position2=np.ones(4),
        rotation2=np.ones(4),
        position_share=np.zeros(4),
        position_stated=np.array([0.0, 0.0, 2.0, 0.0]),
        rotation_rad=np.array([0.0, 0.0, 0.0, 0.1]),
        confidence=np.array([1.0, 0.95, 0.92, 0.1]),
    )
    assert samples.good.tolist() == [True, True, False, False]
    assert samples.brier() == pytest.approx((0.05**2 + 0.92**2 + 0.1**2) / 4)
    (low, none_good, one), (high, good, three) = samples.by_confidence()
    assert (low, none_good, one) == (pytest.approx(0.1), 0.0, 1)
    assert (high, good, three) == (pytest.approx(2.87 / 3), pytest.approx(2 / 3), 3)
    assert len(Samples.together([samples, samples]).confidence) == 8
    assert Samples.together([]).inside() == {}


@pytest.mark.parametrize("metric", [False, True])
def test_a_pose_is_good_within_the_error_that_its_confidence_speaks_of(metric: bool) -> None:
    """Stated in the unit of the pose; where nothing is stated, a share of the path."""
    states = noisy(metric=metric)
    unit = 1.0 if metric else 0.5
    score = score_stream([replace(s, stated=SIGMA_M * unit) for s in states], STAMPS_NS, TRUTH)
    # Errors in three directions, each with this standard deviation.
    assert score.samples.good.mean() == pytest.approx(0.199, abs=0.06)
    share = score_stream(states, STAMPS_NS, TRUTH).samples
    np.testing.assert_array_equal(share.good, (share.position_share < 0.01) & (share.rotation_rad < np.radians(2.0)))


def test_frames_without_a_pose_of_their_own_do_not_count() -> None:
    states = noisy()
    states[50:100] = [FrameState(s.stamp_ns, "HELD", s.pose, s.covariance) for s in states[50:100]]
    score = score_stream(states, STAMPS_NS, TRUTH)
    assert score.values["tracked"] == pytest.approx(250 / FRAMES)
    assert score.values["longest_gap_moving_s"] == pytest.approx(51 / 30, abs=1e-3)
    few = score_stream(states[:9], STAMPS_NS, TRUTH)
    assert few.values["tracked"] == pytest.approx(9 / FRAMES)
    assert "blunders" not in few.values


@pytest.mark.parametrize("metric", [False, True])
def test_the_numbers_are_those_of_the_yardstick(tmp_path: Path, metric: bool) -> None:
    states = noisy(stated=0.4, metric=metric, seed=3)[3:-20]
    frames = [{"timestamp": s * 1e-9, "c2w": p.tolist()} for s, p in zip(STAMPS_NS, TRUTH, strict=True)]
    (tmp_path / "cameras.json").write_text(json.dumps({"frames": frames}))
    with writing_states(tmp_path / "states.jsonl") as write:
        for state in states:
            write(state)
    expected = yardstick("score_stream").score(tmp_path, tmp_path / "states.jsonl")
    values = score_stream(states, STAMPS_NS, TRUTH).values
    for name, value in expected.items():
        assert values[name] == (pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value), name
