"""Rendered clips: the truth that comes with them is exact, and they look like a camera's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from ball_world import ball_before_a_floor

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import (
    direction_angle_rad,
    inverse_pose,
    rotation_angle_rad,
)
from ros2_raxels.geometry.raxel_grid import clip_bearings
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.scenes import clips as clips_module
from ros2_raxels.scenes.clips import NEAR, RenderedClip, augment, exact_flow, random_camera, render_clip
from ros2_raxels.scenes.motion import KINDS, Motion, sample_motion
from ros2_raxels.scenes.procedural import ProceduralWorld
from ros2_raxels.scenes.renderer import depth_map, render
from ros2_raxels.scenes.trajectories import look_at
from ros2_raxels.scenes.world import Light

# To draw the tiles takes eight seconds, and one process keeps them.
pytestmark = pytest.mark.xdist_group("tiles")

CAMERA = PinholeCamera(160, 120, 130.0, 131.0, 79.5, 59.5)


@pytest.fixture(scope="module")
def clips() -> list[RenderedClip]:
    return [render_clip(np.random.default_rng(seed), 4, 96, 72) for seed in range(16)]


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
