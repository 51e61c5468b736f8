"""Random worlds: varied, seeded, closed, and honest about the room that a camera has."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import (
    make_pose,
    rotation_from_vector,
)
from ros2_raxels.scenes.procedural import WORLD_KINDS, ProceduralWorld, random_world
from ros2_raxels.scenes.renderer import depth_map

# To draw the tiles takes eight seconds, and one process keeps them.
pytestmark = pytest.mark.xdist_group("tiles")

CAMERA = PinholeCamera(160, 120, 130.0, 131.0, 79.5, 59.5)


@pytest.fixture(scope="module")
def worlds() -> list[ProceduralWorld]:
    return [random_world(np.random.default_rng(seed)) for seed in range(60)]


def test_all_kinds_of_worlds_and_lights_appear(worlds: list[ProceduralWorld]) -> None:
    kinds = Counter(world.kind for world in worlds)
    assert set(kinds) == set(WORLD_KINDS)
    assert min(kinds.values()) >= 3
    assert {world.shadows is None for world in worlds} == {True, False}
    assert {world.light.diffuse == 0 for world in worlds} == {True, False}
    assert {abs(world.light.position_m[2]) > 50 for world in worlds} == {True, False}
    assert {len(world.spheres.radius_m) == 0 for world in worlds} == {True, False}
    thinnest = [np.inf if not len(w.boxes.half_size_m) else w.boxes.half_size_m.min() for w in worlds]
    assert np.median(thinnest) < 0.03


def test_worlds_differ_and_are_seeded(worlds: list[ProceduralWorld]) -> None:
    again = random_world(np.random.default_rng(3))
    np.testing.assert_array_equal(again.boxes.centre_m, worlds[3].boxes.centre_m)
    np.testing.assert_array_equal(again.atlas.materials.gain, worlds[3].atlas.materials.gain)
    assert again.atlas.pixels is worlds[3].atlas.pixels
    assert len({world.boxes.half_size_m.tobytes() for world in worlds}) > 55


def test_no_ray_leaves_a_world(worlds: list[ProceduralWorld]) -> None:
    generator = np.random.default_rng(0)
    for world in worlds[:12]:
        eye = generator.uniform(world.eye_low_m, world.eye_high_m)
        pose = make_pose(rotation_from_vector(generator.normal(0, 1.5, 3)), eye)
        assert np.isfinite(depth_map(world, CAMERA, pose)).all()


def test_clearance_is_the_distance_to_what_is_nearest(worlds: list[ProceduralWorld]) -> None:
    """Against rays in all directions from points in the open."""
    wide = PinholeCamera(96, 96, 48.0, 48.0, 47.5, 47.5)
    length = 1 / wide.bearings()[..., 2]
    turns = rotation_from_vector(np.pi / 2 * np.array([[0, k, 0] for k in range(4)] + [[1, 0, 0], [-1, 0, 0]]))
    generator, checked = np.random.default_rng(1), 0
    for world in worlds[:15]:
        eye = generator.uniform(world.eye_low_m, world.eye_high_m)
        clearance = world.clearance_m(eye[None])[0]
        if clearance < 0.02:
            continue
        nearest = min((depth_map(world, wide, make_pose(turn, eye)) * length).min() for turn in turns)
        assert clearance - 1e-3 <= nearest < 1.1 * clearance + 0.01
        checked += 1
    assert checked > 8


def test_clearance_is_negative_inside_of_things(worlds: list[ProceduralWorld]) -> None:
    for world in worlds[:15]:
        assert (world.clearance_m(world.boxes.centre_m) < 0).all()
        assert (world.clearance_m(world.spheres.centre_m) < 0).all()
        assert world.clearance_m([[0.0, 0.0, -1.0]])[0] <= -1.0
