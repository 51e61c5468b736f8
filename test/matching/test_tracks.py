"""Tracks: how pairwise matches become them, and what evidence says of a pair, on hand-made matches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.matching.lens_rays import see_through
from ros2_raxels.matching.tracks import (
    FLOW,
    KEYPOINT,
    Evidence,
    KnownDepths,
    PairMatches,
    chain_matches,
    keypoint_scores,
    thin_tracks,
)

CAMERA = PinholeCamera(320, 240, 260.0, 255.0, 158.0, 121.0)

# ------------------------------------------------------------------------------------------------- chains by hand


def test_chains_take_direct_matches_first_and_close_gaps_through_the_middle() -> None:
    matches = {
        (0, 1): np.array([1, -1, 0]),
        (0, 2): np.array([-1, -1, 1]),
        (1, 2): np.array([2, 0, -1]),
    }
    chains = chain_matches(matches, [3, 3, 3])
    # 0 -> 1 -> 0 through the middle; 2 -> 0 -> 1 directly, although the middle says 2.
    assert chains.tolist() == [[0, 1, 0], [2, 0, 1]]


def test_chains_may_start_later_and_pairs_may_be_missing() -> None:
    chains = chain_matches(
        {(0, 1): np.array([0, -1]), (2, 3): np.array([1, -1]), (1, 3): np.array([-1, 0])}, [2, 2, 2, 2]
    )
    assert chains.tolist() == [[0, 0, -1, -1], [-1, 1, -1, 0], [-1, -1, 0, 1]]


def test_a_keypoint_belongs_to_one_track() -> None:
    matches = {(0, 1): np.array([-1, 1]), (0, 2): np.array([1, -1]), (1, 2): np.array([0, 1])}
    # Both keypoints of the first frame lead to keypoint 1 of the last, one of them through the middle: the first has
    # it. The middle's other keypoint begins a track of its own.
    assert chain_matches(matches, [2, 2, 2]).tolist() == [[0, -1, 1], [1, 1, -1], [-1, 0, 0]]


def test_a_later_track_cannot_take_what_an_earlier_one_has() -> None:
    matches = {(0, 2): np.array([0]), (1, 2): np.array([0]), (1, 3): np.array([0]), (2, 3): np.array([0])}
    assert chain_matches(matches, [1, 1, 1, 1]).tolist() == [[0, -1, 0, 0]]


def test_scores_of_keypoint_tracks_are_those_of_their_direct_matches() -> None:
    def found(index: list[int], score: list[float]) -> PairMatches:
        none, nothing = np.zeros((0, 2)), np.zeros(0)
        return PairMatches(np.array(index), none, none, np.array(score), nothing, nothing, True)

    matches = {(0, 1): found([1, -1], [0.9, 0.0]), (1, 2): found([-1, 0], [0.0, 0.4])}
    chains = chain_matches({pair: m.keypoints for pair, m in matches.items() if m.keypoints is not None}, [2, 2, 1])
    assert chains.tolist() == [[0, 1, 0]]
    score = keypoint_scores(chains, np.array([0]), chains[:, 0], matches)
    np.testing.assert_allclose(score, [[1.0, 0.9, 0.0]])


def test_without_matches_there_are_no_chains() -> None:
    assert chain_matches({}, [4, 5]).shape == (0, 2)
    assert chain_matches({(0, 1): np.zeros(0, int)}, [0, 0]).shape == (0, 2)


@pytest.mark.parametrize(
    ("keypoints", "flow", "limit", "expected"),
    [
        (100, 100, 60, (30, 30)),
        (10, 100, 60, (10, 50)),
        (100, 10, 60, (50, 10)),
        (20, 20, 60, (20, 20)),
        (0, 0, 60, (0, 0)),
    ],
)
def test_thinning_keeps_half_of_each_kind_where_there_is_enough(
    keypoints: int, flow: int, limit: int, expected: tuple[int, int]
) -> None:
    kind = np.random.default_rng(0).permutation(np.repeat([KEYPOINT, FLOW], [keypoints, flow]))
    kept = thin_tracks(kind, limit)
    assert tuple(np.bincount(kind[kept].astype(int), minlength=2)) == expected
    assert (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(kept, thin_tracks(kind, limit))


# ------------------------------------------------------------------------------------------------- evidence by hand


def three_tracks() -> Evidence:
    pixels = np.arange(18, dtype=float).reshape(3, 3, 2)
    pixels[0, 2] = pixels[1, 0] = np.nan
    return Evidence(
        np.array([0, 1, 2]),
        np.array([5, 6, 7]),
        pixels,
        pixels / 10,
        np.ones(3),
        np.ones((3, 3)),
        np.zeros(3, int),
        np.arange(9).reshape(3, 3) / 9,
    )


def test_a_pair_holds_what_starts_in_one_of_its_frames_and_was_found_in_the_other() -> None:
    evidence = three_tracks()
    for (i, j), rows in {(0, 1): [0], (1, 2): [1, 2], (0, 2): [2], (2, 1): [1, 2]}.items():
        first, second = evidence.pair(i, j)
        np.testing.assert_array_equal(first, evidence.plane[rows, i])
        np.testing.assert_array_equal(second, evidence.plane[rows, j])


def test_the_same_pixels_through_other_cameras() -> None:
    evidence = three_tracks()
    np.testing.assert_array_equal(evidence.seen, [[1, 1, 0], [0, 1, 1], [1, 1, 1]])
    assert evidence.frames == 3
    wide = PinholeCamera(320, 240, 100.0, 400.0, 10.0, 20.0)
    other = evidence.with_cameras([wide, CAMERA, wide])
    np.testing.assert_array_equal(other.pixels, evidence.pixels)
    np.testing.assert_allclose(other.plane[2, 0], (evidence.pixels[2, 0] - (10, 20)) / (100, 400))
    np.testing.assert_allclose(other.focal_px, [200.0, np.sqrt(260.0 * 255.0), 200.0])
    assert np.isnan(other.plane[1, 0]).all()


def test_rays_of_observations_are_those_through_the_plane() -> None:
    evidence = three_tracks()
    np.testing.assert_allclose(evidence.rays(np.array([0, 2]), np.array([1, 2])), [[0.2, 0.3, 1.0], [1.6, 1.7, 1.0]])
    fisheye = FisheyeCamera(320, 240, 100.0, 100.0, 8.0, 9.0)
    other = evidence.with_cameras([fisheye] * 3)
    np.testing.assert_allclose(other.rays(np.array([0]), 1), fisheye.rays(evidence.pixels[0, 1]), atol=1e-12)


@pytest.mark.parametrize(("flow", "reach"), [([[1.0, 2.0], [np.nan, np.nan]], 0.5), (np.zeros((0, 2)), 0.0)])
def test_reach_is_the_share_of_the_grid_that_was_found(flow: list[list[float]], reach: float) -> None:
    there, nothing = np.array(flow), np.zeros(0)
    assert PairMatches(None, there, there, None, nothing, nothing, False).reach == reach


@pytest.mark.parametrize("camera", [CAMERA, replace(CAMERA, distortion=(-0.1, 0.02, 0.0, 0.0, 0.0))])
def test_some_tracks_alone_keep_all_that_is_theirs(camera: PinholeCamera) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 100, (5, 3, 2))
    plane, focal, lens = see_through(pixels, [camera] * 3)
    weight, score = rng.uniform(size=(2, 5, 3))
    starts, kind = np.array([0, 1, 2, 0, 1]), np.full(5, FLOW)
    every = Evidence(starts, np.arange(5), pixels, plane, focal, weight, kind, score, lens)
    some = every.of_tracks(np.array([3, 1]))
    assert some.anchor.tolist() == [0, 1]
    assert some.index.tolist() == [3, 1]
    assert some.frames == 3
    for name in ("pixels", "plane", "weight", "score"):
        np.testing.assert_array_equal(getattr(some, name), getattr(every, name)[[3, 1]])
    np.testing.assert_array_equal(some.focal_px, focal)
    np.testing.assert_array_equal(some.rays(np.arange(2), 1), every.rays(np.array([3, 1]), 1))
    np.testing.assert_array_equal(some.seen, every.seen[[3, 1]])


def test_some_of_the_known_depths_and_what_being_off_counts_as() -> None:
    known = KnownDepths(np.array([0.5, np.nan, 2.0]), np.array([0.1, np.nan, 0.02]))
    np.testing.assert_array_equal(known.there, [True, False, True])
    np.testing.assert_allclose(known.per_sigma(0.5), [5.0, 0.0, 25.0])
    some = known.of_tracks(np.array([2, 1]))
    np.testing.assert_array_equal(some.inverse_depth, [2.0, np.nan])
    np.testing.assert_array_equal(some.sigma, [0.02, np.nan])
