"""Two views through fisheyes: poses from rays all around."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_tracks import FRAMES, cameras, direction_error_rad, picked, rotation_error_rad, wide_tracks_of

from ros2_raxels.estimation.bundle_adjustment import BundleProblem
from ros2_raxels.estimation.ray_two_view import ray_two_view
from ros2_raxels.estimation.two_view import pair_pose, propose
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.matching.tracks import Evidence

FISHEYE = FisheyeCamera(320, 240, 92.0, 92.0, 159.5, 119.5)


def clip(seed: int, noise_px: float = 0.0, wrong_share: float = 0.0) -> tuple[Evidence, FloatArray]:
    rng = np.random.default_rng(seed)
    truth = cameras(rng)
    evidence, _ = wide_tracks_of(rng, truth, [FISHEYE] * FRAMES, 400)
    shift = noise_px * rng.normal(size=evidence.pixels.shape)
    wrong = rng.random(evidence.seen.shape) < wrong_share
    shift = np.where(wrong[..., None], rng.uniform(-40, 40, shift.shape), shift)
    inside = (evidence.pixels + shift).clip(0, (319, 239))
    return replace(evidence, pixels=inside).with_cameras([FISHEYE] * FRAMES), truth


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("noise_px", "wrong_share", "rotation_deg", "direction_deg"), [(0.0, 0.0, 1e-3, 1e-2), (0.2, 0.35, 0.5, 3.0)]
)
def test_the_pose_of_a_pair(
    seed: int, noise_px: float, wrong_share: float, rotation_deg: float, direction_deg: float
) -> None:
    evidence, truth = clip(seed, noise_px, wrong_share)
    found = pair_pose(evidence, 0, 3, 1.0)
    assert found is not None
    poses, expected = np.array([np.eye(4), found]), np.array([np.eye(4), relative_pose(truth[0], truth[3])])
    assert np.degrees(rotation_error_rad(poses, expected)) < rotation_deg
    assert np.degrees(direction_error_rad(poses, expected)) < direction_deg
    assert np.linalg.norm(found[:3, 3]) == pytest.approx(1.0)


def test_all_cameras_are_proposed_from_every_pair() -> None:
    evidence, truth = clip(1)
    found = propose(BundleProblem.of(evidence))
    assert found.shape == (FRAMES * (FRAMES - 1) // 2, FRAMES, 4, 4)
    good = [p for p in found if np.degrees(rotation_error_rad(p, truth)) < 0.1]
    assert len(good) >= len(found) - 1


def test_too_few_or_contradictory_matches_have_no_pose() -> None:
    evidence, _ = clip(0)
    assert pair_pose(picked(evidence, np.arange(7)), 0, 1, 1.0) is None
    assert ray_two_view(np.eye(3), np.eye(3), np.full(3, 0.01)) is None
    rng = np.random.default_rng(0)
    rays = rng.normal(size=(2, 40, 3))
    first, second = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    assert ray_two_view(first, second, np.full(40, 1e-6)) is None
