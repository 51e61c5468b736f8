"""Guidance of made-up clips: the noise that it finds, the second motion that it leaves out, the world that it takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from made_up_tracks import cameras, direction_error_rad, moved, rotation_error_rad, tracks_of

from ros2_raxels.estimation import guidance
from ros2_raxels.estimation.bundle_adjustment import BundleProblem, RefineSettings, refine
from ros2_raxels.estimation.guidance import Guided, choose_world, explained, guide, guide_widely, settle
from ros2_raxels.estimation.hypotheses import PoseHypotheses
from ros2_raxels.estimation.inliers import INLIER_PX
from ros2_raxels.estimation.two_view import propose
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence

Tracks = npt.NDArray[np.bool_]
SHARP_PX = 0.2


def noisy(rng: np.random.Generator, evidence: Evidence, noise_px: float) -> Evidence:
    return moved(evidence, noise_px * rng.normal(size=evidence.plane.shape))


def joined(first: Evidence, second: Evidence) -> Evidence:
    by_track = ("anchor", "index", "pixels", "plane", "weight", "kind", "score")
    both = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in by_track}
    return replace(first, **both)


def with_a_thing(seed: int, share: float) -> tuple[Evidence, FloatArray, Tracks]:
    """A scene with a rigid thing over this share of the picture's width, the cameras, and the tracks of the thing."""
    rng = np.random.default_rng(seed)
    truth, sliding = cameras(rng), np.tile(np.eye(4), (4, 1, 1))
    sliding[:, 0, 3], sliding[:, 1, 3] = np.linspace(0, 1, 4), np.linspace(0, 0.15, 4)
    world, thing = tracks_of(rng, truth, 400)[0], tracks_of(rng, sliding, 400)[0]
    low = 160 - share * 160

    def covered(evidence: Evidence) -> Tracks:
        column = evidence.pixels[np.arange(len(evidence.anchor)), evidence.anchor, 0]
        return np.asarray((column > low) & (column < 320 - low))

    world, thing = world.of_tracks(np.flatnonzero(~covered(world))), thing.of_tracks(np.flatnonzero(covered(thing)))
    both = joined(world, thing)
    is_thing = np.arange(len(both.anchor)) >= len(world.anchor)
    return noisy(rng, both, SHARP_PX), truth, is_thing


def solved(evidence: Evidence) -> Guided:
    problem = BundleProblem.of(evidence)
    return guide(problem, PoseHypotheses(propose(problem)), RefineSettings())


@pytest.mark.parametrize("share", [0.3, 0.45, 0.6])
@pytest.mark.parametrize("seed", range(2))
def test_the_world_is_found_around_something_that_moves(share: float, seed: int) -> None:
    evidence, truth, is_thing = with_a_thing(seed, share)
    found = solved(evidence)
    poses = found.refined.camera_to_first[0]
    assert np.degrees(rotation_error_rad(poses, truth)) < 0.5
    assert np.degrees(direction_error_rad(poses, truth)) < 3.0
    observed = evidence.seen.copy()
    observed[np.arange(len(observed)), evidence.anchor] = False
    assert found.second_motion[is_thing[:, None] & observed].mean() > 0.6
    assert found.second_motion[~is_thing].mean() < 0.03
    assert not found.second_motion[~observed].any()


def test_where_nothing_moves_there_is_no_second_motion() -> None:
    rng = np.random.default_rng(5)
    truth = cameras(rng)
    evidence = noisy(rng, tracks_of(rng, truth, 300)[0], SHARP_PX)
    found = solved(evidence)
    assert not found.second_motion.any()
    assert np.degrees(rotation_error_rad(found.refined.camera_to_first[0], truth)) < 0.2
    problem = BundleProblem.of(evidence)
    settled = settle(problem, truth[None], RefineSettings())
    assert explained(problem, settled.refined, settled.width_px) > 0.95


@pytest.mark.parametrize(("noise_px", "low", "high"), [(0.1, 0.5, 0.5), (0.5, 0.7, 1.0), (1.2, 1.4, 2.0)])
def test_the_loss_is_as_wide_as_the_noise_of_the_clip(noise_px: float, low: float, high: float) -> None:
    rng = np.random.default_rng(7)
    truth = cameras(rng)
    problem = BundleProblem.of(noisy(rng, tracks_of(rng, truth, 300)[0], noise_px))
    assert low <= settle(problem, truth[None], RefineSettings()).width_px <= high


def test_a_narrow_loss_is_not_drawn_towards_what_is_a_little_wrong() -> None:
    """A third of the observations is off by 1 to 2 px, all to the same side."""
    errors = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        truth = cameras(rng)
        evidence = tracks_of(rng, truth, 300)[0]
        off = np.where(rng.random(evidence.seen.shape) < 0.33, rng.uniform(1, 2, evidence.seen.shape), 0.0)
        wrong = noisy(rng, moved(evidence, np.stack([off, 0 * off], axis=-1)), SHARP_PX)
        wide = refine(wrong, truth[None], RefineSettings(iterations=20)).camera_to_first[0]
        problem = BundleProblem.of(wrong)
        narrow = guide(problem, PoseHypotheses(truth[None]), RefineSettings()).refined.camera_to_first[0]
        errors.append([rotation_error_rad(poses, truth) for poses in (wide, narrow)])
    wide_rad, narrow_rad = np.mean(errors, axis=0)
    assert narrow_rad < 0.6 * wide_rad


def test_costs_and_information_are_those_of_the_world_at_the_inlier_width() -> None:
    evidence, _, _ = with_a_thing(1, 0.3)
    problem = BundleProblem.of(evidence)
    found = choose_world(problem, settle(problem, propose(problem), RefineSettings()))
    residual = found.refined.residual_px[0]
    counted = np.where(found.second_motion, np.nan, residual) ** 2
    expected = np.nansum(counted / (counted + INLIER_PX**2))
    assert found.refined.cost[0] == pytest.approx(expected, rel=1e-9)
    again = refine(
        problem.weighted(1.0 - found.second_motion),
        found.refined.camera_to_first[:1],
        RefineSettings((INLIER_PX,), 0),
        inverse_depth=found.refined.inverse_depth[:1],
    )
    np.testing.assert_allclose(found.refined.information_of(0), again.information_of(0))


def test_guided_widely_all_is_static_and_the_cheapest_wins() -> None:
    """A thing over 60 % of the picture wins; inlier probabilities of the world's tracks find the world."""
    evidence, truth, is_thing = with_a_thing(0, 0.6)
    problem = BundleProblem.of(evidence)
    starts = np.concatenate([propose(problem), truth[None]])
    blind = guide_widely(problem, PoseHypotheses(starts), RefineSettings())
    assert not blind.second_motion.any()
    assert np.degrees(rotation_error_rad(blind.refined.camera_to_first[0], truth)) > 2.0
    inlier = np.repeat(np.where(is_thing, 0.01, 0.99)[:, None], 4, axis=1)
    told = guide_widely(problem, PoseHypotheses(starts, inlier), RefineSettings())
    assert np.degrees(rotation_error_rad(told.refined.camera_to_first[0], truth)) < 0.5


def test_settings_without_steps_take_the_hypotheses_as_they_are() -> None:
    evidence, truth, _ = with_a_thing(0, 0.3)
    found = guide(BundleProblem.of(evidence), PoseHypotheses(truth[None]), RefineSettings(iterations=0))
    np.testing.assert_array_equal(found.refined.camera_to_first[0], truth)
    assert not found.second_motion.any()


@pytest.mark.parametrize("count", [0, 2, 12])
def test_next_to_no_evidence_is_no_error(count: int) -> None:
    rng = np.random.default_rng(3)
    truth = cameras(rng)
    evidence = tracks_of(rng, truth, 300)[0]
    problem = BundleProblem.of(evidence.of_tracks(np.arange(count)))
    found = guide(problem, PoseHypotheses(truth[None]), RefineSettings())
    assert np.isfinite(found.refined.camera_to_first).all()
    assert not found.second_motion.any()


def test_wrong_matches_alone_are_not_searched_for_planes_that_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the tracks are wrong, each in its own way: no motion explains much of it, and the search ends there."""
    rng = np.random.default_rng(11)
    truth = cameras(rng)
    evidence = tracks_of(rng, truth, 400)[0]
    wrong = rng.random(len(evidence.anchor)) < 0.5
    off = np.where(wrong[:, None, None], rng.uniform(-25, 25, evidence.plane.shape), 0.0)
    evidence = noisy(rng, moved(evidence, off), SHARP_PX)
    searched: list[Tracks] = []
    monkeypatch.setattr(guidance, "moving_as_a_plane", lambda _, among: searched.append(among))
    found = solved(evidence)
    assert np.degrees(rotation_error_rad(found.refined.camera_to_first[0], truth)) < 0.3
    assert not found.second_motion.any()
    assert not searched
    solved(with_a_thing(0, 0.3)[0])
    assert searched
