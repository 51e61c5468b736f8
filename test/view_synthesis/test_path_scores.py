"""path_scores: room, never-seen space and outlook of paths before a wall and in a rendered world, against the truth."""

from __future__ import annotations

import numpy as np
import pytest
from views_scene import shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.scenes.procedural import random_world
from ros2_raxels.scenes.renderer import depth_map
from ros2_raxels.view_synthesis.path_scores import Body, Candidate, PathScore, score_paths
from ros2_raxels.view_synthesis.seen_space import FrameDepths, SeenSpace

CAMERA = PinholeCamera(64, 48, 45.0, 45.0, 31.5, 23.5)
BALL = Body(0.2)


def seen(depths: FloatArray, poses: FloatArray) -> SeenSpace:
    inverse = (1.0 / depths).astype(np.float32)
    return SeenSpace.of(FrameDepths(CAMERA, poses, inverse, np.full(inverse.shape, 0.005, np.float32)))


def straight(*ends: float, x: float = 0.0) -> Candidate:
    poses = np.array([shifted(x, 0.0, z) for z in ends])
    return Candidate(poses, poses)


def score(space: SeenSpace, candidate: Candidate, body: Body = BALL, been: FloatArray | None = None) -> PathScore:
    (found,) = score_paths(space, [candidate], body, np.eye(4)[None] if been is None else been)
    return found


@pytest.fixture(scope="module")
def wall() -> SeenSpace:
    """At z = 2, seen from the origin."""
    return seen(np.full((1, 48, 64), 2.0), np.eye(4)[None])


def test_a_path_that_ends_before_a_wall_is_free_and_one_that_ends_in_it_is_not(wall: SeenSpace) -> None:
    before, into = score(wall, straight(0.0, 0.6, 1.2)), score(wall, straight(0.0, 1.0, 1.95))
    assert before.free_probability > 0.8
    assert before.closest_obstacle == pytest.approx(0.8, abs=0.05)
    assert before.closest_pose == 2
    assert into.free_probability < 0.2
    assert into.closest_obstacle < 0.2


def test_an_obstacle_between_two_poses_is_met(wall: SeenSpace) -> None:
    assert score(wall, straight(0.0, 4.0)).free_probability < 0.2


def test_a_larger_body_has_less_room(wall: SeenSpace) -> None:
    found = [score(wall, straight(0.3, 1.2), Body(radius)).free_probability for radius in (0.1, 0.5, 0.79, 1.0)]
    assert (np.diff(found) <= 0).all()
    assert found[0] > 0.8
    assert found[-1] < 0.1


def test_what_is_above_or_below_the_body_is_no_obstacle() -> None:
    """A floor .5 below the camera, y down: a flat body passes over it, and one that reaches down to it does not."""
    rows = (np.arange(48) - CAMERA.cy) / CAMERA.fy
    depth = np.where(rows > 0.01, 0.5 / np.maximum(rows, 0.01), 50.0)
    floor = seen(np.broadcast_to(depth[:, None], (48, 64))[None], np.eye(4)[None])
    up = (0.0, -1.0, 0.0)
    over, low = (Body(0.3, bottom, 0.2, up) for bottom in (-0.4, -0.6))
    assert score(floor, straight(0.5, 1.0, 1.5), over).free_probability > 0.5
    assert score(floor, straight(0.5, 1.0, 1.5), low).free_probability < 0.05


def test_never_seen_space_lowers_the_odds_unless_the_body_was_there(wall: SeenSpace) -> None:
    ahead, behind = score(wall, straight(1.0, 1.3)), score(wall, straight(-1.0, -0.5))
    assert ahead.seen_share > 0.95
    assert behind.seen_share < 0.05
    assert behind.free_probability < 0.85 < ahead.free_probability
    assert behind.closest_obstacle > 2.0
    there = np.array([shifted(0.0, 0.0, z) for z in np.linspace(-1.0, -0.5, 11)])
    assert score(wall, straight(-1.0, -0.5), been=there).seen_share > 0.95


def test_views_of_what_was_seen_are_expected_to_be_good_and_turning_away_gains_information(wall: SeenSpace) -> None:
    same, away = np.eye(4)[None], shifted(turn_deg=(0, 120, 0))[None]
    known, new = score(wall, Candidate(same, same)), score(wall, Candidate(same, away))
    assert known.expected_quality > 0.95
    assert new.expected_quality == 0.0
    assert known.information_gain < 0.05 * new.information_gain
    # A place is counted once.
    twice = Candidate(np.concatenate([same, same]), np.concatenate([away, away]))
    assert score(wall, twice).information_gain == new.information_gain
    near = Candidate(same, shifted(0.0, 0.0, 1.0)[None])
    assert score(wall, near).expected_quality < 0.9 * known.expected_quality


def test_room_says_less_where_the_depths_of_the_scene_are_unsure() -> None:
    """A wall without texture may be much nearer. That something is in the way is believed all the same."""
    inverse = np.full((1, 48, 64), 1.0 / 4.0, np.float32)
    sure, unsure = (
        SeenSpace.of(FrameDepths(CAMERA, np.eye(4)[None], inverse, share * inverse)) for share in (0.049, 0.05)
    )
    ahead, into = straight(0.5, 1.5), straight(0.5, 3.95)
    assert 1.0 - score(unsure, ahead).free_probability > 2.0 * (1.0 - score(sure, ahead).free_probability)
    assert score(unsure, into).free_probability == pytest.approx(score(sure, into).free_probability, abs=0.02)


def test_of_a_path_that_was_never_seen_nothing_is_sure(wall: SeenSpace) -> None:
    assert score(wall, straight(-30.0, -29.0)).free_probability < 0.8


def test_without_any_surface_nothing_is_close() -> None:
    empty = seen(np.full((1, 48, 64), np.inf), np.eye(4)[None])
    found = score(empty, straight(0.5, 1.0))
    assert found.closest_obstacle == np.inf
    assert found.free_probability > 0.9


def test_paths_may_differ_in_length(wall: SeenSpace) -> None:
    found = score_paths(wall, [straight(0.5), straight(0.5, 1.0, 1.5), straight(0.5, 1.9)], BALL, np.eye(4)[None])
    assert [s.free_probability > 0.5 for s in found] == [True, True, False]


def test_calls_in_a_rendered_world_are_reliable() -> None:
    """Exact depths: what is surely free is so, and what is probably blocked is so."""
    rng = np.random.default_rng(3)
    called, free = [], []
    for kind_seed in range(4):
        world = random_world(np.random.default_rng(kind_seed))
        eye = (world.eye_low_m + world.eye_high_m) / 2
        if world.clearance_m(eye[None])[0] < 0.4:
            eye[2] = world.eye_high_m[2]
        aim = np.arctan2(*(world.targets_m[0] - eye)[[1, 0]])
        base = shifted(*eye) @ shifted(turn_deg=(-90, 0, 0)) @ shifted(turn_deg=(0, 90 - float(np.degrees(aim)), 0))
        poses = np.array([base @ shifted(0.2 * k, turn_deg=(0, 20 * k, 0)) for k in (-1, 0, 1)])
        depths = np.array([depth_map(world, CAMERA, pose) for pose in poses])
        space = seen(depths, poses)
        clear = float(world.clearance_m(eye[None])[0])
        for _ in range(40):
            turn, length = rng.uniform(-25, 25), rng.uniform(0.5, 4.0)
            along = [shifted(turn_deg=(0, turn, 0)) @ shifted(0.0, 0.0, s) for s in np.linspace(0, length, 6)]
            path = np.array([base @ step for step in along])
            radius = min(0.25, 0.9 * clear)
            fine = np.linspace(path[0, :3, 3], path[-1, :3, 3], 60)
            called.append(score(space, Candidate(path, path), Body(radius), poses).free_probability)
            free.append(bool(world.clearance_m(fine).min() > radius))
    odds, truth = np.array(called), np.array(free)
    assert 0.2 < truth.mean() < 0.95
    assert truth[odds > 0.9].mean() > 0.97
    assert truth[odds < 0.2].mean() < 0.1
    assert ((odds - truth) ** 2).mean() < 0.6 * truth.mean() * (1.0 - truth.mean())


@pytest.mark.parametrize(
    ("radius", "words"),
    [(0.0, "radius = 0 must be above 0 and at most 50"), (1000.0, "radius = 1000 must"), (np.nan, "radius = nan must")],
)
def test_a_footprint_of_nothing_or_of_a_kilometre_is_refused(radius: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Body(radius)


def test_heights_must_rise() -> None:
    with pytest.raises(ValueError, match=r"heights from 0.5 to 0.2 must rise, within 50; both 0 are a ball"):
        Body(0.2, 0.5, 0.2)


def test_too_many_and_empty_paths_are_refused(wall: SeenSpace) -> None:
    for count in (0, 65, 10_000):
        with pytest.raises(ValueError, match=f"{count} paths: give 1 to 64 at once"):
            score_paths(wall, [straight(0.5)] * count, BALL, np.eye(4)[None])
    empty = np.zeros((0, 4, 4))
    with pytest.raises(ValueError, match=r"paths\[1\] has 0 poses: give 1 to 256"):
        score_paths(wall, [straight(0.5), Candidate(empty, empty)], BALL, np.eye(4)[None])
    with pytest.raises(ValueError, match=r"paths\[0\] has 257 poses: give 1 to 256"):
        score_paths(wall, [straight(*np.linspace(0, 1, 257))], BALL, np.eye(4)[None])
