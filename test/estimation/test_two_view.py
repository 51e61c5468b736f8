"""Two-view geometry of made-up tracks: the pose of a pair, and the other frames by resection."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_tracks import FOCAL_PX, FRAMES, cameras, direction_error_rad, moved, picked, rotation_error_rad, tracks_of

from ros2_raxels.estimation.bundle_adjustment import BundleProblem
from ros2_raxels.estimation.inliers import FEWEST_MATCHES
from ros2_raxels.estimation.two_view import pairs_by_use, propose, two_view
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.matching.tracks import Evidence

MAX_ERROR = 1.0 / FOCAL_PX


def clip(seed: int, noise_px: float = 0.0, wrong_share: float = 0.0) -> tuple[Evidence, FloatArray]:
    rng = np.random.default_rng(seed)
    truth = cameras(rng)
    evidence, _ = tracks_of(rng, truth, 300)
    shift = noise_px * rng.normal(size=evidence.plane.shape)
    wrong = rng.random(evidence.seen.shape) < wrong_share
    return moved(evidence, np.where(wrong[..., None], rng.uniform(-60, 60, shift.shape), shift)), truth


@pytest.mark.parametrize("seed", range(4))
def test_the_pose_of_a_pair_from_exact_matches(seed: int) -> None:
    evidence, truth = clip(seed)
    found = two_view(*evidence.pair(0, 2), MAX_ERROR)
    assert found is not None
    expected = relative_pose(truth[0], truth[2])
    np.testing.assert_allclose(found[:3, :3], expected[:3, :3], atol=1e-5)
    np.testing.assert_allclose(found[:3, 3], expected[:3, 3] / np.linalg.norm(expected[:3, 3]), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_a_third_of_the_matches_may_be_wrong(seed: int) -> None:
    evidence, truth = clip(seed, noise_px=0.2, wrong_share=0.33)
    found = two_view(*evidence.pair(0, 3), MAX_ERROR)
    assert found is not None
    expected = np.array([np.eye(4), relative_pose(truth[0], truth[3])])
    poses = np.array([np.eye(4), found])
    assert np.degrees(rotation_error_rad(poses, expected)) < 0.5
    assert np.degrees(direction_error_rad(poses, expected)) < 3.0


def test_too_few_matches_have_no_pose() -> None:
    evidence, _ = clip(0)
    first, second = evidence.pair(0, 1)
    assert two_view(first[: FEWEST_MATCHES - 1], second[: FEWEST_MATCHES - 1], MAX_ERROR) is None
    assert two_view(first[:0], second[:0], MAX_ERROR) is None


@pytest.mark.parametrize("seed", range(3))
def test_every_pair_proposes_all_cameras(seed: int) -> None:
    """The pair from its essential matrix, the others by resection against its depths; here all are exact."""
    evidence, truth = clip(seed)
    found = propose(BundleProblem.of(evidence))
    assert found.shape == (FRAMES * (FRAMES - 1) // 2, FRAMES, 4, 4)
    np.testing.assert_allclose(found[:, 0], np.tile(np.eye(4), (len(found), 1, 1)), atol=1e-12)
    good = [p for p in found if np.degrees(rotation_error_rad(p, truth)) < 0.1]
    # A wide pair may hold too few tracks for the depths that one of the others needs.
    assert len(good) >= len(found) - 1
    for poses in good:
        assert np.degrees(direction_error_rad(poses, truth)) < 0.5
        np.testing.assert_allclose(poses[:, :3, 3] / np.linalg.norm(poses[3, :3, 3]), truth[:, :3, 3], atol=0.01)


def test_two_frames_have_one_hypothesis() -> None:
    evidence, truth = clip(1)
    pair = Evidence(
        **{name: getattr(evidence, name)[evidence.anchor < 2] for name in ("anchor", "index", "kind")},
        **{name: getattr(evidence, name)[evidence.anchor < 2, :2] for name in ("pixels", "plane", "weight", "score")},
        focal_px=evidence.focal_px[:2],
    )
    (found,) = propose(BundleProblem.of(pair))
    assert rotation_error_rad(found, truth[:2]) < 1e-6
    assert direction_error_rad(found, truth[:2]) < 1e-6


def test_without_enough_matches_nothing_is_proposed() -> None:
    evidence, _ = clip(2)
    few = picked(evidence, np.flatnonzero(evidence.anchor == 0)[: FEWEST_MATCHES - 1])
    assert propose(BundleProblem.of(few)).shape == (0, FRAMES, 4, 4)


def test_pairs_half_a_clip_apart_come_first() -> None:
    assert pairs_by_use(2) == [(0, 1)]
    assert pairs_by_use(3) == [(0, 1), (0, 2), (1, 2)]
    assert pairs_by_use(4) == [(0, 2), (1, 3), (0, 1), (0, 3), (1, 2), (2, 3)]
    assert pairs_by_use(8)[:4] == [(0, 4), (1, 5), (2, 6), (3, 7)]


def test_only_the_given_pairs_propose() -> None:
    """The baseline of the pair is 1."""
    evidence, truth = clip(0)
    for i, j in ((0, 2), (1, 3)):
        (found,) = propose(BundleProblem.of(evidence), [(i, j)])
        assert rotation_error_rad(found, truth) < 1e-3
        assert np.linalg.norm(relative_pose(found[i], found[j])[:3, 3]) == pytest.approx(1.0)
