"""Two motions of made-up tracks: which is the world, by where in the picture each is, and what moves as a plane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_tracks import FOCAL_PX, cameras, moved, tracks_of, wide_tracks_of

from ros2_raxels.estimation.motions import (
    WORLD_ODDS,
    Picture,
    agreement,
    log_odds,
    most_like_the_world,
    moving_as_a_plane,
    only_one_explains,
)
from ros2_raxels.geometry.fisheye import wide_lens
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence

WIDTH, HEIGHT = 320, 240


def spread_out(count: int = 400, seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    return tracks_of(rng, cameras(rng), count)[0]


def start_px(evidence: Evidence) -> FloatArray:
    return np.asarray(evidence.pixels[np.arange(len(evidence.anchor)), evidence.anchor])


def test_agreement_is_half_at_the_width_and_the_mean_over_frames() -> None:
    residual = np.array([[0.0, np.nan, 0.0], [0.5, 0.5, np.nan], [np.nan, 0.0, 0.5], [np.nan] * 3])
    np.testing.assert_allclose(agreement(residual, 0.5), [1.0, 0.5, 0.75, 0.0])


def test_many_tracks_in_one_place_stand_for_no_more_of_the_picture_than_few() -> None:
    evidence = spread_out()
    picture = Picture(evidence)
    left = np.flatnonzero(picture.place[:, 0] < 0.5)
    crowded = Picture(evidence.of_tracks(np.concatenate([np.arange(len(evidence.anchor)), *[left] * 3])))
    share = crowded.area[crowded.place[:, 0] < 0.5].sum() / crowded.area.sum()
    assert share == pytest.approx(0.5, abs=0.04)
    assert picture.area.sum() == pytest.approx(1.0, abs=0.1)
    assert Picture(evidence.of_tracks(np.zeros(0, int))).area.shape == (0,)


@pytest.mark.parametrize("share", [0.3, 0.45, 0.6])
@pytest.mark.parametrize("left", [0.1, 0.25])
def test_the_world_surrounds_and_a_slab_is_compact(share: float, left: float) -> None:
    """Also where the slab has more of the picture than the world."""
    picture = Picture(spread_out())
    slab = (picture.place[:, 0] > left) & (picture.place[:, 0] < left + share)
    follows = np.array([slab, ~slab], float)
    assert most_like_the_world(picture, follows, presumed=0) == 1
    assert most_like_the_world(picture, follows, presumed=1) == 1


def test_the_presumed_world_stays_where_the_others_explain_little_of_their_own() -> None:
    picture = Picture(spread_out())
    border = (picture.place < 0.05).any(axis=1)
    assert 0.02 < picture.area[border].sum() < 0.12
    few = np.array([picture.place[:, 0] < 0.9, border & (picture.place[:, 1] < 0.5)], float)
    assert most_like_the_world(picture, few, presumed=0) == 0


def test_the_traits_of_a_slab_and_of_what_surrounds_it() -> None:
    evidence = spread_out()
    picture = Picture(evidence)
    slab = (picture.place[:, 0] > 0.3) & (picture.place[:, 0] < 0.7)
    thing, world = (dict(zip(WORLD_ODDS, picture.traits(*s), strict=True)) for s in ((slab, ~slab), (~slab, slab)))
    assert np.exp(thing["share"]) == pytest.approx(0.4, abs=0.05)
    assert np.exp(world["share"]) == pytest.approx(0.6, abs=0.05)
    # Of an even spread over .4, over .6 beside that, and over 1.
    assert np.exp(thing["width"]) == pytest.approx(0.4 / np.sqrt(12), abs=0.015)
    assert np.exp(world["width"]) == pytest.approx(np.sqrt((1.0 - 0.4**3) / 0.6 / 12), abs=0.02)
    assert np.exp(thing["height"]) == pytest.approx(1 / np.sqrt(12), abs=0.02)
    assert thing["border"] == pytest.approx(0.3, abs=0.06)
    assert world["border"] == pytest.approx(0.3 + 0.7 * 0.5, abs=0.06)
    assert thing["beside"] == pytest.approx(0.0, abs=1e-6)
    assert world["beside"] == pytest.approx(1.0)
    assert thing["above"] > 0.9
    assert thing["seen"] == pytest.approx(np.average(evidence.seen.mean(axis=1), weights=slab * picture.area))


def test_what_stays_in_view_is_the_thing_where_places_do_not_tell() -> None:
    evidence = spread_out()
    left = Picture(evidence).place[:, 0] < 0.5
    rng = np.random.default_rng(3)
    later = (np.arange(4) > evidence.anchor[:, None]) & ~left[:, None] & (rng.random((len(left), 1)) < 0.5)
    hidden = replace(evidence, pixels=np.where(later[..., None], np.nan, evidence.pixels))
    for presumed, follows in ((0, [left, ~left]), (1, [left, ~left])):
        assert most_like_the_world(Picture(hidden), np.array(follows, float), presumed) == 1
    first, second = only_one_explains(left.astype(float), (~left).astype(float))
    assert log_odds(Picture(hidden), first, second) == -log_odds(Picture(hidden), second, first)


@pytest.mark.parametrize(("width", "taken"), [(0.03, False), (0.065, True), (0.15, True)])
def test_a_small_claim_has_to_be_clearly_more_like_the_world(width: float, taken: bool) -> None:
    """Strips at both sides of a slab: all of them look like the world, those of too little area are chance."""
    picture = Picture(spread_out(2000))
    across = picture.place[:, 0]
    strips = (across < width / 2) | (across > 1 - width / 2)
    slab = (across > 0.2) & (across < 0.8)
    assert most_like_the_world(picture, np.array([slab, strips], float), presumed=0) == int(taken)
    # A strip inside of it does not look like that.
    inside = (across > 0.5) & (across < 0.5 + width)
    assert most_like_the_world(picture, np.array([slab & ~inside, inside], float), presumed=0) == 0


def test_belief_speaks_for_the_motion_of_those_that_are_believed() -> None:
    picture = Picture(spread_out())
    left = picture.place[:, 0] < 0.5
    follows = np.array([left, ~left], float)
    for presumed in (0, 1):
        assert most_like_the_world(picture, follows, presumed, belief=left.astype(float)) == 0
        assert most_like_the_world(picture, follows, presumed, belief=(~left).astype(float)) == 1


def test_what_both_explain_counts_for_neither() -> None:
    first, second = only_one_explains(np.array([0.9, 0.9, 0.1, 0.5]), np.array([0.8, 0.1, 0.9, 0.5]))
    np.testing.assert_allclose(first, [0.0, 0.75, 0.0, 0.0])
    np.testing.assert_allclose(second, [0.0, 0.0, 0.75, 0.0])


def test_what_slides_through_the_picture_moves_as_a_plane() -> None:
    """A slab of exact shifts among tracks of a scene in depth, most of which move as no plane."""
    evidence = spread_out(seed=2)
    start = start_px(evidence)
    slab = (start[:, 0] > 100) & (start[:, 0] < 220)
    pixels = evidence.pixels.copy()
    for frame in range(4):
        shift = (frame - evidence.anchor)[:, None] * np.array([7.0, 1.0])
        pixels[slab, frame] = (start + shift)[slab]
    pixels[~evidence.seen] = np.nan
    plane = (pixels - (159.5, 119.5)) / FOCAL_PX
    noise = 0.2 * np.random.default_rng(0).normal(size=plane.shape)
    found = moving_as_a_plane(moved(replace(evidence, pixels=pixels, plane=plane), noise), np.ones(len(start), bool))
    assert found is not None
    several = evidence.seen.sum(axis=1) > 1
    assert found[slab & several].mean() > 0.9
    assert found[~slab].mean() < 0.1


def test_few_tracks_are_no_plane() -> None:
    evidence = spread_out(40)
    assert moving_as_a_plane(evidence, np.zeros(40, bool)) is None
    assert moving_as_a_plane(evidence.of_tracks(np.arange(6)), np.ones(6, bool)) is None


def test_where_no_plane_reaches_nothing_moves_as_one() -> None:
    """As beside a fisheye's axis."""
    evidence = spread_out()
    beyond = replace(evidence, plane=np.full_like(evidence.plane, np.nan))
    assert moving_as_a_plane(beyond, np.ones(len(evidence.anchor), bool)) is None


def test_through_a_fisheye_planes_are_looked_for_in_its_middle() -> None:
    rng = np.random.default_rng(1)
    poses = cameras(rng)
    evidence, _ = wide_tracks_of(rng, poses, [wide_lens(320, 240, 200.0)] * len(poses), 400)
    beyond = evidence.seen & np.isnan(evidence.plane[..., 0])
    assert beyond.mean() > 0.1
    found = moving_as_a_plane(evidence, np.ones(len(evidence.anchor), bool))
    # Points at all depths: no large group moves as one plane.
    assert found is None or (found.mean() < 0.3 and not found[beyond.all(axis=1)].any())
