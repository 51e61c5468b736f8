"""depth_check: depths that fit, that are off by one factor, noisy, wrong in places, or of another place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_tracks import cameras, moved, tracks_of

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import FLOW, Evidence, KnownDepths
from ros2_raxels.tracking.depth_check import DepthCheck, contradictions


def scene(seed: int = 0, noise_px: float = 0.2) -> tuple[Evidence, FloatArray, FloatArray]:
    """Tracks of flow over four cameras, their poses, and true inverse depths."""
    rng = np.random.default_rng(seed)
    poses = cameras(rng)
    evidence, rho = tracks_of(rng, poses, 300)
    noise = rng.normal(0.0, noise_px, evidence.pixels.shape)
    return replace(moved(evidence, noise), kind=np.full(len(rho), FLOW)), poses, rho


def measured(evidence: Evidence, inverse_depth: FloatArray) -> Evidence:
    return replace(evidence, known=KnownDepths(inverse_depth, 0.01 * inverse_depth))


@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_noisy_depths_of_the_same_points_do_not_contradict_whatever_the_scale(factor: float) -> None:
    evidence, poses, rho = scene()
    rng = np.random.default_rng(1)
    share = contradictions(measured(evidence, factor * rho * (1.0 + rng.normal(0.0, 0.01, len(rho)))), poses)
    assert share is not None
    assert share < 0.03


def test_wrong_ones_are_counted() -> None:
    evidence, poses, rho = scene()
    wrong = np.random.default_rng(2).random(len(rho)) < 0.3
    share = contradictions(measured(evidence, np.where(wrong, 1.4 * rho, rho)), poses)
    assert share == pytest.approx(0.3, abs=0.06)


def test_wrong_matches_of_right_depths_are_none() -> None:
    evidence, poses, rho = scene()
    rng = np.random.default_rng(3)
    astray = (rng.random(len(rho)) < 0.3)[:, None, None] * rng.normal(0.0, 30.0, evidence.pixels.shape)
    share = contradictions(measured(moved(evidence, astray), rho), poses)
    assert share is not None
    assert share < 0.06


def test_without_motion_or_depths_nothing_is_judged() -> None:
    evidence, poses, _ = scene()
    still = poses.copy()
    still[:, :3, 3] *= 1e-3
    assert contradictions(evidence, poses) is None
    assert contradictions(measured(tracks_of(np.random.default_rng(0), still)[0], np.ones(160)), still) is None


def test_trouble_is_two_keyframes_in_a_row() -> None:
    evidence, poses, rho = scene()
    shuffled = np.random.default_rng(4).permutation(rho)
    right, wrong = measured(evidence, rho), measured(evidence, shuffled)
    check = DepthCheck().seen(wrong, poses)
    assert check.trouble == ""
    assert check.seen(right, poses).seen(wrong, poses).trouble == ""
    assert check.seen(evidence, poses) == check
    twice = check.seen(wrong, poses)
    assert "they contradict what the motion of the camera says of" in twice.trouble
    assert "register them to the image" in twice.trouble
