"""window_refinement: the unit by the depths of all points, the place by all keyframes but the newest."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_tracks import cameras, moved, picked, rotation_error_rad, tracks_of

from ros2_raxels.estimation.bundle_adjustment import RefineSettings, refine
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.tracking.window_refinement import refine_shape

SETTINGS = RefineSettings(widths_px=(2.0, 1.0, 0.6), iterations=12)
WORLD = make_pose(rotation_from_vector([0.3, -0.2, 0.1]), [4.0, -2.0, 7.0])


def scene(noise_px: float = 0.0) -> tuple[Evidence, FloatArray, FloatArray]:
    """Tracks over four cameras somewhere in the world, their true poses, and true inverse depths."""
    rng = np.random.default_rng(0)
    poses = cameras(rng)
    evidence, rho = tracks_of(rng, poses, 400)
    twice = evidence.seen.sum(axis=1) > 1
    evidence, rho = picked(evidence, twice), rho[twice]
    return moved(evidence, rng.normal(0.0, noise_px, evidence.pixels.shape)), WORLD @ poses, rho


def test_a_wrong_distance_between_the_oldest_two_does_not_become_the_unit() -> None:
    evidence, truth, rho = scene()
    started = truth.copy()
    started[1, :3, 3] += 0.05 * (truth[1] - truth[0])[:3, 3]
    started[3, :3, 3] += 0.02
    found = refine_shape(evidence, started, rho, SETTINGS)
    assert found is not None
    lengths, true_lengths = (np.linalg.norm(p[1:, :3, 3] - p[0, :3, 3], axis=1) for p in (found[0], truth))
    np.testing.assert_allclose(lengths, true_lengths, rtol=1e-4)
    np.testing.assert_allclose(found[1], rho, rtol=1e-3)
    held = refine(evidence, started[None], SETTINGS, fixed=np.arange(4) < 2).camera_to_first[0]
    assert np.linalg.norm(held[3, :3, 3] - held[0, :3, 3]) == pytest.approx(1.05 * true_lengths[2], rel=0.01)


def test_the_unit_is_the_median_of_what_the_depths_say() -> None:
    evidence, truth, rho = scene(noise_px=0.2)
    rng = np.random.default_rng(1)
    known = 1.1 * rho * np.exp(rng.normal(0.0, 0.05, len(rho)))
    known[rng.random(len(rho)) < 0.2] = np.nan
    known[rng.random(len(rho)) < 0.1] *= 3.0
    found = refine_shape(evidence, truth, known, SETTINGS)
    assert found is not None
    grown = np.linalg.norm((found[0][3] - found[0][0])[:3, 3]) / np.linalg.norm((truth[3] - truth[0])[:3, 3])
    # A tenth of the depths is thrice as large, which moves the median by an eighth of their spread.
    assert grown == pytest.approx(1.0 / 1.1, rel=0.02)


def test_distant_points_hardly_move_the_unit() -> None:
    evidence, truth, rho = scene(noise_px=0.05)
    distant = rho < np.quantile(rho, 0.5)
    known = np.where(distant, 1.3 * rho, rho)
    known[rho > np.quantile(rho, 0.9)] = np.nan
    found = refine_shape(evidence, truth, known, SETTINGS)
    assert found is not None
    grown = np.linalg.norm((found[0][3] - found[0][0])[:3, 3]) / np.linalg.norm((truth[3] - truth[0])[:3, 3])
    # They are more than half of those that are known: a plain median would be theirs.
    assert grown == pytest.approx(1.0, rel=0.005)


@pytest.mark.parametrize("holds_first", [False, True])
def test_a_keyframe_that_shares_next_to_nothing_moves_no_other(holds_first: bool) -> None:
    """The first one is of noise, stands anywhere, and has a few matches by chance."""
    evidence, truth, rho = scene()
    elsewhere = evidence.anchor > 0
    evidence, rho = picked(evidence, elsewhere), rho[elsewhere]
    missed = np.arange(len(rho)) >= 12
    for places in (evidence.pixels, evidence.plane):
        places[missed, 0] = np.nan
    twice = evidence.seen.sum(axis=1) > 1
    evidence, rho = picked(evidence, twice), rho[twice]
    started = truth.copy()
    started[0] = truth[0] @ make_pose(rotation_from_vector([0.0, 0.2, 0.0]), [0.1, 0.0, 0.0])
    found = refine_shape(evidence, started, rho, SETTINGS, holds_first=holds_first)
    assert found is not None
    np.testing.assert_array_equal(found[0][0], started[0])
    assert rotation_error_rad(found[0][1:], truth[1:]) < 1e-3
    np.testing.assert_allclose(found[0][1:, :3, 3], truth[1:, :3, 3], atol=1e-3)


def test_it_stands_where_the_keyframes_before_the_newest_stood() -> None:
    evidence, truth, rho = scene()
    started = truth.copy()
    started[3] = truth[3] @ make_pose(rotation_from_vector([0.0, 0.01, 0.0]), [0.03, 0.0, 0.02])
    found = refine_shape(evidence, started, rho, SETTINGS)
    assert found is not None
    # Also the newest one, of which nobody was asked.
    np.testing.assert_allclose(found[0][:, :3, 3], truth[:, :3, 3], atol=2e-4)
    assert rotation_error_rad(found[0], truth) < 2e-4
    assert np.nanmax(found[2]) < 0.05


def test_errors_of_the_keyframes_before_are_shared_unless_the_first_is_held() -> None:
    evidence, truth, rho = scene()
    off = np.array([0.03, 0.0, 0.0])
    started = truth.copy()
    started[1, :3, 3] += off
    found = refine_shape(evidence, started, rho, SETTINGS)
    assert found is not None
    np.testing.assert_allclose(found[0][0, :3, 3] - truth[0, :3, 3], off / 3.0, atol=2e-4)
    held = refine_shape(evidence, started, rho, SETTINGS, holds_first=True)
    assert held is not None
    np.testing.assert_allclose(held[0][0], truth[0], atol=1e-9)


def test_with_few_known_depths_there_is_no_answer() -> None:
    evidence, truth, rho = scene()
    known = np.where(np.arange(len(rho)) < 40, rho, np.nan)
    assert refine_shape(evidence, truth, known, SETTINGS) is None
    assert refine_shape(evidence, truth, np.where(evidence.anchor == 3, rho, np.nan), SETTINGS) is None
