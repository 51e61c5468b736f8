"""Rounds through rooms: closed, calm, clear of everything, seeded."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.fisheye import wide_lens
from ros2_raxels.geometry.poses import inverse_pose, relative_pose, rotation_angle_rad
from ros2_raxels.scenes import rounds
from ros2_raxels.scenes.film import Film
from ros2_raxels.scenes.procedural import ProceduralWorld
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.rounds import CLEARANCE_M, MOST_TURN_DEG_S, SHAPES, rounds_film

# To draw the tiles takes eight seconds, and one process keeps them.
pytestmark = pytest.mark.xdist_group("tiles")

RATE_HZ = 10.0
FRAMES = 300
SIZE = (64, 48)


@pytest.fixture(scope="module")
def films() -> dict[str, Film]:
    return {shape: rounds_film(shape, FRAMES, *SIZE, seed=0, rate_hz=RATE_HZ) for shape in SHAPES}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_round_ends_where_it_began_and_is_walked_calmly(films: dict[str, Film], shape: str) -> None:
    poses = films[shape].camera_to_world
    assert poses.shape == (FRAMES, 4, 4)
    np.testing.assert_allclose(poses @ inverse_pose(poses), np.tile(np.eye(4), (FRAMES, 1, 1)), atol=1e-9)
    # One step after the last frame comes the first again, as fast and as calm as any other.
    around = np.concatenate([poses, poses[:2]])
    velocity = np.diff(around[:, :3, 3], axis=0) * RATE_HZ
    acceleration = np.linalg.norm(np.diff(velocity, axis=0), axis=1) * RATE_HZ
    turn = rotation_angle_rad(relative_pose(around[:-1], around[1:])[:, :3, :3]) * RATE_HZ
    assert np.linalg.norm(velocity, axis=1).max() < 1.5
    assert acceleration.max() < 4.0
    assert np.degrees(turn).max() < MOST_TURN_DEG_S
    assert np.degrees(turn).mean() > 5.0
    assert np.ptp(poses[:, :2, 3], axis=0).min() > 0.3
    assert np.ptp(poses[:, 2, 3]) < 0.4


def winding(points: np.ndarray) -> float:
    """Turns of a closed line from above."""
    step = np.diff(np.concatenate([points, points[:2]]), axis=0)
    heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    return float(heading[-1] - heading[0]) / (2 * np.pi)


def test_a_loop_goes_round_twice_and_an_eight_crosses_itself(films: dict[str, Film]) -> None:
    # Without the sway of the hand, which may reverse a slow step.
    smooth = {}
    for shape, film in films.items():
        spectrum = np.fft.rfft(film.camera_to_world[:, :2, 3], axis=0)
        spectrum[8:] = 0
        smooth[shape] = np.fft.irfft(spectrum, FRAMES, axis=0)
    assert abs(winding(smooth["loop"])) == pytest.approx(2, abs=0.05)
    assert winding(smooth["eight"]) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_comes_close(films: dict[str, Film], shape: str) -> None:
    film = films[shape]
    assert isinstance(film.world, ProceduralWorld)
    assert film.world.clearance_m(film.camera_to_world[:, :3, 3]).min() > CLEARANCE_M
    # Of a point at the edge, depth is less than distance.
    edge = film.camera.bearings()[..., 2].min()
    for pose in film.camera_to_world[::50]:
        image, depth = render(film.world, film.camera, pose)
        assert depth.min() > CLEARANCE_M * edge
        assert 10 < image.mean() < 230


def test_a_seed_decides_on_everything(films: dict[str, Film], monkeypatch: pytest.MonkeyPatch) -> None:
    again = rounds_film("loop", FRAMES, *SIZE, seed=0, rate_hz=RATE_HZ)
    np.testing.assert_array_equal(again.camera_to_world, films["loop"].camera_to_world)
    pose = again.camera_to_world[7]
    picture = render(again.world, again.camera, pose)[0]
    np.testing.assert_array_equal(picture, render(films["loop"].world, again.camera, pose)[0])
    pools, pool = [], rounds.texture_pool(0)
    monkeypatch.setattr(rounds, "texture_pool", lambda seed: (pools.append(seed), pool)[1])
    lens = wide_lens(*SIZE, 150.0)
    other = rounds_film("loop", FRAMES, *SIZE, seed=4, rate_hz=RATE_HZ, lens=lens)
    assert other.camera == lens
    assert pools == [4]
    assert np.abs(other.camera_to_world - again.camera_to_world).max() > 0.3


@pytest.mark.parametrize("shape", SHAPES)
def test_every_seed_has_a_room_among_the_first(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tiles of one seed for all: to draw them takes longer than to look for a room, and they do not fill it.
    pool = rounds.texture_pool(0)
    monkeypatch.setattr(rounds, "texture_pool", lambda seed: pool)
    told: list[tuple[int, int]] = []
    for seed in (0, 1, 2, 5):
        told.clear()
        rounds_film(shape, 1000, 320, 240, seed, progress=lambda done, total: told.append((done, total)))
        assert told == [(k, 25) for k in range(len(told))]
        assert len(told) <= 10
