"""scenes: random worlds are varied, and the truth of clips in them is exact."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from ros2_raxels.cli.contact_sheet import contact_sheet
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import (
    direction_angle_rad,
    inverse_pose,
    make_pose,
    rotation_angle_rad,
    rotation_from_vector,
)
from ros2_raxels.geometry.raxel_grid import clip_bearings
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.scenes import clips as clips_module
from ros2_raxels.scenes.clips import NEAR, RenderedClip, augment, exact_flow, random_camera, render_clip
from ros2_raxels.scenes.motion import KINDS, Motion, sample_motion
from ros2_raxels.scenes.procedural import WORLD_KINDS, ProceduralWorld, random_world
from ros2_raxels.scenes.random_textures import RANDOM_PATTERNS, texture_pool
from ros2_raxels.scenes.renderer import depth_map, render
from ros2_raxels.scenes.shadows import with_shadows
from ros2_raxels.scenes.shards import SHARD_BYTES, Recipe, read_shard, shard_paths, write_clips
from ros2_raxels.scenes.textures import TILE_PX, Materials, TextureAtlas
from ros2_raxels.scenes.trajectories import look_at
from ros2_raxels.scenes.world import Boxes, Light, Planes, Spheres, World

CAMERA = PinholeCamera(160, 120, 130.0, 131.0, 79.5, 59.5)


@pytest.fixture(scope="module")
def clips() -> list[RenderedClip]:
    return [render_clip(np.random.default_rng(seed), 4, 96, 72) for seed in range(16)]


@pytest.fixture(scope="module")
def worlds() -> list[ProceduralWorld]:
    return [random_world(np.random.default_rng(seed)) for seed in range(60)]


def ball_before_a_floor(light: Light) -> World:
    """A floor at z = 0 and a sphere of radius 0.5 that floats at z = 1.5, both grey."""
    index = np.zeros(1, np.intp)
    nothing = Boxes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3, 3)), index[:0])
    floor = Planes(np.array([[0.0, 0.0, 1.0]]), np.zeros(1), np.array([[1.0, 0.0, 0.0]]), index)
    ball = Spheres(np.array([[0.0, 0.0, 1.5]]), np.array([0.5]), index)
    grey = TextureAtlas.build([np.full((TILE_PX, TILE_PX, 3), 128, np.uint8)])
    return World(floor, nothing, ball, light, grey)


# ------------------------------------------------------------------------------------------------------- textures


@pytest.mark.parametrize("name", RANDOM_PATTERNS)
def test_random_patterns_are_seeded_varied_and_never_flat(name: str) -> None:
    first, again, other = (RANDOM_PATTERNS[name](np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (TILE_PX, TILE_PX, 3)
    assert first.dtype == np.uint8
    assert np.abs(first.astype(int) - other).mean() > 4
    assert cv2.resize(first, (256, 256), interpolation=cv2.INTER_AREA).std(axis=(0, 1)).max() > 1.5


def test_a_material_says_which_tile_how_large_and_in_what_colour() -> None:
    ramp = np.tile((np.arange(TILE_PX) // 8).astype(np.uint8)[:, None], (TILE_PX, 1, 3))
    atlas = TextureAtlas.build([np.zeros_like(ramp), ramp])
    made = Materials(np.array([1]), np.array([0.25]), np.array([[-1.0, 0.5, 2.0]]), np.array([[200.0, 0.0, -40.0]]))
    texels = np.array([80.0, 404.0, 640.0])
    uv = np.stack([texels * 0.25, np.ones(3)], axis=1)
    colours = TextureAtlas(atlas.pixels, made).sample(np.zeros(3, np.intp), uv, np.full(3, 0.25))
    grey = texels // 8
    np.testing.assert_allclose(
        colours, np.stack([200 - grey, grey / 2, np.maximum(2 * grey - 40, 0)], axis=1), atol=1.0
    )


def test_a_pool_has_every_family_and_fits_one_atlas() -> None:
    pool = texture_pool(0)
    assert set(RANDOM_PATTERNS) <= set(pool.family)
    assert max(pool.atlas.pixels.shape) < 2**15
    assert texture_pool(0) is pool


# --------------------------------------------------------------------------------------------------------- worlds


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


def test_a_ball_casts_its_shadow_where_geometry_says() -> None:
    lamp = Light((0.01, 0.0, 3.0), ambient=0.2, corner_shade=0.0, contact_shade=0.0)
    world = ball_before_a_floor(lamp)
    pose = look_at(np.array([3.0, 0.0, 1.2]), np.zeros(3))
    camera = PinholeCamera(320, 240, 200.0, 200.0, 159.5, 119.5)
    plain, depth = render(world, camera, pose)
    shaded, same = render(with_shadows(world, np.zeros(3), 4.0), camera, pose)
    np.testing.assert_array_equal(depth, same)
    bearings = camera.bearings()
    points = (bearings / bearings[..., 2:] * depth.clip(0, 1e3)[..., None]) @ pose[:3, :3].T + pose[:3, 3]
    floor = np.abs(points[..., 2]) < 1e-3
    # The cone from the lamp that touches the ball meets the floor in a circle.
    radius = 3.0 * 0.5 / np.sqrt(1.5**2 - 0.5**2)
    away = np.hypot(points[..., 0], points[..., 1])
    dark = (plain.astype(int) - shaded).mean(axis=2) > 4
    assert dark[floor & (away < radius - 0.06)].mean() > 0.99
    assert dark[floor & (away > radius + 0.06) & (away < 2.5)].mean() < 0.01


# ---------------------------------------------------------------------------------------------------------- clips


def test_a_clip_is_what_it_says(clips: list[RenderedClip]) -> None:
    for clip in clips:
        assert clip.images.shape == (4, 72, 96, 3)
        assert clip.images.dtype == np.uint8
        assert clip.depth.shape == (4, 72, 96)
        assert clip.depth.dtype == np.float32
        assert np.isfinite(clip.depth).all()
        np.testing.assert_allclose(clip.camera_to_first[0], np.eye(4), atol=1e-12)
        assert np.median(clip.depth[0]) == pytest.approx(1.0, abs=1e-6)
        assert clip.depth.min() > NEAR / 2
        assert 25 < clip.images[0].mean() < 200
        assert clip.images[0].std() > 5
        assert (clip.images[0] == 255).all(axis=2).mean() < 0.1


def test_clips_are_seeded_and_varied(clips: list[RenderedClip]) -> None:
    again = render_clip(np.random.default_rng(3), 4, 96, 72)
    np.testing.assert_array_equal(again.images, clips[3].images)
    np.testing.assert_array_equal(again.camera_to_first, clips[3].camera_to_first)
    assert again.camera == clips[3].camera
    assert len({clip.world_kind for clip in clips}) >= 4
    assert len({clip.motion_kind for clip in clips}) >= 3


def test_cameras_keep_clear_of_everything_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[ProceduralWorld, np.ndarray]] = []

    def watched(world: ProceduralWorld, camera: PinholeCamera, pose: np.ndarray) -> object:
        if camera.width == 48:
            seen.append((world, pose[:3, 3]))
        return render(world, camera, pose)

    monkeypatch.setattr(clips_module, "render", watched)
    for seed in range(8):
        seen.clear()
        clip = render_clip(np.random.default_rng(seed), 3, 48, 36)
        world, places = seen[-1][0], np.array([place for _, place in seen[-3:]])
        step_m, step = (np.linalg.norm(np.diff(p, axis=0), axis=1) for p in (places, clip.camera_to_first[:, :3, 3]))
        unit_m = float(step_m.sum() / step.sum())
        assert world.clearance_m(places).min() > NEAR * unit_m * (1 - 1e-6)


def test_fields_of_view_are_those_of_real_cameras() -> None:
    generator = np.random.default_rng(0)
    fov_deg = np.degrees([random_camera(generator, 320, 240).horizontal_fov_rad for _ in range(400)])
    assert fov_deg.min() > 24
    assert fov_deg.max() < 97
    assert ((fov_deg > 45) & (fov_deg < 75)).mean() > 0.6


def test_flow_is_where_the_points_go(clips: list[RenderedClip]) -> None:
    for clip in clips[:6]:
        flow = clip.flow(1, 2)
        assert flow.shape == (72, 96, 2)
        row, column = (axis[::5] for axis in np.nonzero(np.isfinite(flow[..., 0])))
        assert len(row) > 100
        plane = (np.stack([column, row], axis=1) - (clip.camera.cx, clip.camera.cy)) / (clip.camera.fx, clip.camera.fy)
        points = np.column_stack([plane, np.ones(len(row))]) * clip.depth[1][row, column, None]
        moved = np.linalg.inv(clip.camera_to_first[2]) @ clip.camera_to_first[1]
        turn = cv2.Rodrigues(moved[:3, :3])[0]
        there, _ = cv2.projectPoints(points, turn, moved[:3, 3], clip.camera.matrix, None)
        np.testing.assert_allclose(flow[row, column], there[:, 0] - np.stack([column, row], axis=1), atol=2e-3)


def test_flow_is_unknown_exactly_where_something_is_in_the_way() -> None:
    """A ball before a floor, by the segment from every point of the floor to the other camera."""
    world = ball_before_a_floor(Light((0.0, 0.0, 3.0)))
    poses = [look_at(np.array([1.5, y, 3.0]), np.array([0.0, y, 0.5])) for y in (0.0, 0.3)]
    depths = [depth_map(world, CAMERA, pose) for pose in poses]
    flow = exact_flow(CAMERA, *depths, inverse_pose(poses[1]) @ poses[0])
    bearings = CAMERA.bearings()
    points = (bearings / bearings[..., 2:] * depths[0][..., None]) @ poses[0][:3, :3].T + poses[0][:3, 3]
    floor = np.abs(points[..., 2]) < 1e-3
    towards = poses[1][:3, 3] - points
    towards /= np.linalg.norm(towards, axis=2, keepdims=True)
    apart = points - (0.0, 0.0, 1.5)
    passes = np.linalg.norm(apart - (apart * towards).sum(axis=2, keepdims=True) * towards, axis=2)
    place = CAMERA.project((points - poses[1][:3, 3]).reshape(-1, 3) @ poses[1][:3, :3]).reshape(120, 160, 2)
    inside = ((place > 0) & (place < (159, 119))).all(axis=2)
    known = np.isfinite(flow[..., 0])
    hidden = floor & inside & (passes < 0.47)
    assert hidden.sum() > 200
    assert known[hidden].mean() < 0.01
    assert known[floor & inside & (passes > 0.53)].mean() > 0.99
    outside = ((place < -1) | (place > (160, 120))).any(axis=2)
    assert outside.sum() > 50
    assert not known[outside].any()


def test_colours_follow_the_flow(clips: list[RenderedClip]) -> None:
    moved = still = 0.0
    for clip in clips:
        flow = clip.flow(0, 1)
        known = np.isfinite(flow[..., 0])
        x, y = (np.where(known, flow[..., k] + np.indices((72, 96))[1 - k], 0).astype(np.float32) for k in (0, 1))
        there = cv2.remap(clip.images[1], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(int)
        moved += np.abs(there - clip.images[0])[known].mean()
        still += np.abs(clip.images[1].astype(int) - clip.images[0])[known].mean()
    assert moved < 0.45 * still


def test_raxels_are_those_of_the_estimator(clips: list[RenderedClip]) -> None:
    clip = clips[0]
    expected = encode_raxels(clip_bearings([clip.camera] * 4), clip.camera_to_first)
    np.testing.assert_allclose(clip.raxels(*expected.shape[1:3]), expected, atol=1e-12)
    assert clip.raxels().shape == clip.images.shape


def test_augmentation_looks_like_a_camera_and_moves_nothing(clips: list[RenderedClip]) -> None:
    for seed, clip in enumerate(clips):
        changed = augment(np.random.default_rng(seed), clip.images)
        np.testing.assert_array_equal(changed, augment(np.random.default_rng(seed), clip.images))
        assert changed.shape == clip.images.shape
        assert changed.dtype == np.uint8
        before, after = (cv2.cvtColor(i[0], cv2.COLOR_RGB2GRAY).astype(np.float32) for i in (clip.images, changed))
        assert 0.5 < np.abs(before - after).mean() < 45
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.8
        shift, _ = cv2.phaseCorrelate(before, after, cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F))
        assert np.hypot(*shift) < 0.15


@pytest.mark.slow
def test_the_estimator_recovers_rendered_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    def handheld(generator: np.random.Generator, count: int, frames: int) -> Motion:
        motion = sample_motion(generator, 30 * count, frames)
        chosen = np.flatnonzero(motion.kind == KINDS.index("handheld"))[:count]
        return Motion(motion.camera_to_first[chosen], motion.kind[chosen])

    monkeypatch.setattr(clips_module, "sample_motion", handheld)
    estimator, right = Estimator(), []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        clip = render_clip(generator, 4, 320, 240)
        assert clip.motion_kind == "handheld"
        found = estimator.estimate(list(augment(generator, clip.images)), [clip.camera] * 4).camera_to_first
        turn = np.swapaxes(found[:, :3, :3], 1, 2) @ clip.camera_to_first[:, :3, :3]
        pairs = zip(found[1:, :3, 3], clip.camera_to_first[1:, :3, 3], strict=True)
        direction_deg = np.degrees([direction_angle_rad(a, b) for a, b in pairs])
        right.append(np.degrees(rotation_angle_rad(turn)).max() < 1.0 and direction_deg.max() < 10.0)
    assert sum(right) >= 5, right


# --------------------------------------------------------------------------------------------------------- shards


def test_shards_are_written_by_processes_read_back_and_resumed(tmp_path: Path) -> None:
    paths = write_clips(tmp_path, 3, seed=0, frames=2, width=48, height=36, workers=2)
    assert paths == shard_paths(tmp_path)
    shard = read_shard(paths[0])
    assert len(shard) == 3
    assert shard.depth.dtype == np.float16
    recipe = Recipe(0, 3, 2, 48, 36)
    for index in range(3):
        expected, found = recipe.clip(index), shard.clip(index)
        np.testing.assert_array_equal(found.images, expected.images)
        np.testing.assert_array_equal(found.camera_to_first, expected.camera_to_first)
        np.testing.assert_allclose(found.depth, expected.depth, rtol=1e-3)
        assert found.camera == expected.camera
        assert (found.world_kind, found.motion_kind) == (expected.world_kind, expected.motion_kind)
    written = paths[0].stat().st_mtime_ns
    assert write_clips(tmp_path, 3, seed=0, frames=2, width=48, height=36) == paths
    assert paths[0].stat().st_mtime_ns == written
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips_00000.npz", "recipe.json"]


def test_a_folder_keeps_to_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(vars(Recipe(0, 3, 2, 48, 36))))
    with pytest.raises(ValueError, match=r"recipe.json says .*'seed': 0.*, not .*'seed': 1"):
        write_clips(tmp_path, 3, seed=1, frames=2, width=48, height=36)
    assert not shard_paths(tmp_path)


@pytest.mark.parametrize(("frames", "width", "height"), [(4, 128, 96), (8, 320, 240), (2, 64, 48)])
def test_shards_stay_below_their_limit(frames: int, width: int, height: int) -> None:
    recipe = Recipe(0, 1000, frames, width, height)
    clip_bytes = frames * (width * height * (3 + 2) + 4 * 4 * 8) + 4 * 8 + 2 * 4 * 20
    largest = max(len(indices) for indices in recipe.shards())
    assert 0.8 * min(SHARD_BYTES, 1000 * clip_bytes) < largest * clip_bytes < SHARD_BYTES
    assert [index for indices in recipe.shards() for index in indices] == list(range(1000))


def test_shards_hold_no_pickles(tmp_path: Path) -> None:
    path = tmp_path / "clips_00000.npz"
    np.savez(path, images=np.array([{"harm": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_shard(path)


def test_a_contact_sheet_shows_different_worlds() -> None:
    sheet = contact_sheet(0, 2, 3, 48, 36)
    assert sheet.shape == (72, 144, 3)
    tiles = sheet.reshape(2, 36, 3, 48, 3).swapaxes(1, 2).reshape(6, -1).astype(float)
    assert np.corrcoef(tiles)[np.triu_indices(6, 1)].max() < 0.8
