"""pixels: every drawn pixel says where it comes from, so frames, crops, poses, rays and sweeps are checked exactly."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from posed_sets import CAMERA, wandering, write_rendered_set, write_set

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_angle_rad, rotation_from_vector
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import EvidenceSettings
from ros2_raxels.model.flow import Task
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.scenes import shards as shards_module
from ros2_raxels.scenes.shards import read_shard, shard_paths, write_clips
from ros2_raxels.utils.files import FileError
from ros2_raxels.view_synthesis.dense_points import find_points
from ros2_raxels.view_synthesis.plane_sweep import sweep
from ros2_raxels.view_synthesis.view_evidence import evidence_of_view

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from ros2_raxels.model.presets import PRESETS  # noqa: E402
from ros2_raxels.training.pixels import MAX_TURN_DEG, BrokenSetWarning, PixelClip, PixelClips, batch_of  # noqa: E402

if TYPE_CHECKING:
    from ros2_raxels.training.batch import ClipBatch

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TINY = PRESETS["tiny"]
BLIND = replace(TINY, sweep_depths=0)
"""Without a sweep, which costs time."""
CROPS = {(96, 128), (80, 112), (64, 128)}
FRAMES, A_SHARD, SHARDS = 7, 2, 3
WIDTH, HEIGHT = 136, 104
SET_FRAMES, FIRST_OF_SET = 12, 100
"""Images of sets are numbered from 100, so that they are of clip 1 of 100 frames."""


def coded(height: int, width: int, number: int) -> ImageArray:
    """An image whose pixels say their column, their row and the number of the image."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([x, y, np.full_like(x, number)]).astype(np.uint8)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of two clips of seven frames, as `raxels render` writes them."""
    folder = tmp_path_factory.mktemp("rendered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards_module, "SHARD_BYTES", A_SHARD * FRAMES * (WIDTH * HEIGHT * 5 + 4096))
        paths = write_clips(folder, A_SHARD * SHARDS, 3, FRAMES, WIDTH, HEIGHT, augmented=False)
    assert [len(read_shard(path)) for path in paths] == [A_SHARD] * SHARDS
    return folder


@pytest.fixture(scope="module")
def folder(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clips with pixels that say where they come from; frames are numbered through all shards."""
    coded_folder = tmp_path_factory.mktemp("coded")
    for index, path in enumerate(shard_paths(rendered)):
        numbers = np.arange(A_SHARD * FRAMES).reshape(A_SHARD, FRAMES) + index * A_SHARD * FRAMES
        images = np.array([[coded(HEIGHT, WIDTH, number) for number in clip] for clip in numbers])
        np.savez(coded_folder / path.name, **vars(replace(read_shard(path), images=images)))
    return coded_folder


@dataclass(frozen=True)
class Origin:
    """Where a frame of a batch comes from."""

    clip: int
    frame: int
    top: int
    left: int


def pixels_of(batch: ClipBatch) -> ImageArray:
    """(B, N, H, W, 3) of a batch's video."""
    assert batch.video is not None
    assert float(batch.video.min()) >= -1.0
    assert float(batch.video.max()) <= 1.0
    values = (batch.video + 1.0) * 127.5
    assert float((values - values.round()).abs().max()) < 1e-3
    return np.asarray(values.round().to(torch.uint8).permute(0, 1, 3, 4, 2).numpy())


def origins_of(batch: ClipBatch, frames: int = FRAMES) -> list[list[Origin]]:
    """Of every frame of every clip; every pixel must lie where the first one says."""
    found = []
    for clip in pixels_of(batch):
        of_clip = []
        for image in clip:
            left, top, number = (int(v) for v in image[0, 0])
            assert (image[..., 0] == left + np.arange(image.shape[1])).all()
            assert (image[..., 1] == top + np.arange(image.shape[0])[:, None]).all()
            assert (image[..., 2] == number).all()
            of_clip.append(Origin(number // frames, number % frames, top, left))
        assert len({(o.clip, o.top, o.left) for o in of_clip}) == 1
        found.append(of_clip)
    return found


def clip_of(folder: Path, number: int) -> tuple[PinholeCamera, FloatArray, FloatArray]:
    """Camera, poses and depth of a clip, counted through all shards."""
    clip = read_shard(shard_paths(folder)[number // A_SHARD]).clip(number % A_SHARD)
    return clip.camera, clip.camera_to_first, clip.depth


def tensors(batch: ClipBatch) -> dict[str, Any]:
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


# ---------------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("task", list(Task))
def test_the_same_generator_gives_the_same_batch(folder: Path, task: Task) -> None:
    first, again, other = (
        PixelClips([folder], TINY.video_size_px[1]).draw(np.random.default_rng(seed), 2, task, TINY)
        for seed in (5, 5, 6)
    )
    assert first.sources == again.sources
    assert tensors(first).keys() == tensors(again).keys()
    assert all(torch.equal(value, tensors(again)[name]) for name, value in tensors(first).items())
    assert first.video is not None
    assert other.video is not None
    assert first.video.shape != other.video.shape or not torch.equal(first.video, other.video)


def test_a_batch_has_the_frames_that_its_task_asks_for(folder: Path) -> None:
    clips, generator = PixelClips([folder], 128), np.random.default_rng(0)
    seen: dict[Task, set[tuple[int, int]]] = {task: set() for task in Task}
    shapes = set()
    for task in list(Task) * 25:
        batch = clips.draw(generator, 3, task, BLIND)
        assert batch.video is not None
        assert batch.tracks is None
        assert batch.swept is None
        assert batch.video.shape[0] == len(batch.bearings) == len(batch.camera_to_first) == len(batch.known) == 3
        seen[task].add((batch.sources, batch.video.shape[1]))
        shapes.add((batch.video.shape[3], batch.video.shape[4]))
        assert batch.known.eq(1).all()
        assert batch.focal.eq(1).all()
    assert seen[Task.VIEWS] == {(1, 3), (2, 4), (3, 5), (4, 6)}
    assert seen[Task.POSE] == seen[Task.IMAGINE] == {(1, 4)}
    assert shapes == CROPS


def test_video_is_a_window_of_the_chosen_images(folder: Path, rendered: Path) -> None:
    """The same draw from clips whose pixels tell and from those as they were rendered."""
    for seed in range(4):
        told, real = (
            PixelClips([source], 128).draw(np.random.default_rng(seed), 3, Task.VIEWS, BLIND)
            for source in (folder, rendered)
        )
        for origins, images in zip(origins_of(told), pixels_of(real), strict=True):
            assert images.std() > 5
            for origin, image in zip(origins, images, strict=True):
                shard = read_shard(shard_paths(rendered)[origin.clip // A_SHARD])
                whole = shard.images[origin.clip % A_SHARD, origin.frame]
                window = whole[origin.top : origin.top + image.shape[0], origin.left : origin.left + image.shape[1]]
                np.testing.assert_array_equal(image, window)


def test_crops_are_taken_from_everywhere(folder: Path) -> None:
    clips, generator = PixelClips([folder], 128), np.random.default_rng(1)
    corners = set()
    for _ in range(25):
        batch = clips.draw(generator, 6, Task.POSE, BLIND)
        height, width = pixels_of(batch).shape[2:4]
        corners |= {(o[0].top + height, o[0].left + width, o[0].top, o[0].left) for o in origins_of(batch)}
    bottom, right, top, left = np.array(sorted(corners)).T
    assert (top.min(), left.min(), bottom.max(), right.max()) == (0, 0, HEIGHT, WIDTH)


def test_poses_are_those_of_the_chosen_frames_in_units_of_their_reach(folder: Path) -> None:
    clips, generator = PixelClips([folder], 128), np.random.default_rng(2)
    for task in (Task.VIEWS, Task.POSE, Task.IMAGINE):
        batch = clips.draw(generator, 3, task, BLIND)
        for origins, poses, parallax in zip(origins_of(batch), batch.camera_to_first, batch.parallax_px, strict=True):
            camera, truth, depth = clip_of(folder, origins[0].clip)
            expected = np.linalg.inv(truth[origins[0].frame]) @ truth[[o.frame for o in origins]]
            reach = np.linalg.norm(expected[:, :3, 3], axis=1).max()
            expected[:, :3, 3] /= reach
            np.testing.assert_allclose(poses, expected, atol=2e-6)
            np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-7)
            assert float(poses[:, :3, 3].norm(dim=1).max()) == pytest.approx(1.0, abs=1e-6)
            assert batch.video is not None
            zoom = np.sqrt(EvidenceSettings().working_pixels / (batch.video.shape[3] * batch.video.shape[4]))
            top, left = origins[0].top, origins[0].left
            seen = depth[origins[0].frame, top : top + batch.video.shape[3], left : left + batch.video.shape[4]]
            assert float(parallax) == pytest.approx(camera.fx * zoom * reach / np.median(seen), rel=1e-5)


def test_on_its_true_plane_a_swept_pixel_has_the_colour_of_the_view(rendered: Path) -> None:
    """What the depth of a shard says of planes, against what a sweep does with them."""
    batch = PixelClips([rendered], 128).draw(np.random.default_rng(4), 4, Task.VIEWS, PRESETS["compact"])
    assert batch.swept is not None
    assert batch.plane is not None
    assert batch.plane.shape == batch.swept.shape[:2] + batch.swept.shape[-2:]
    planes = batch.swept.shape[4]
    within = (batch.plane >= 0) & (batch.plane <= planes - 1)
    assert within.float().mean() > 0.8
    truth = pixels_of(batch)[:, batch.sources :].astype(float)

    def miss(shift: int) -> float:
        at = (batch.plane.round().nan_to_num(0).long() + shift) % planes
        index = at[:, :, None, None, None].expand(*batch.swept.shape[:4], 1, *at.shape[2:])
        swept = batch.swept.gather(4, index)[..., 0, :, :].numpy().astype(float)
        seen = (swept[:, :, :, 3] == 255) & within[:, :, None].numpy()
        error = np.abs(swept[:, :, :, :3] - truth.transpose(0, 1, 4, 2, 3)[:, :, None]).mean(axis=3)
        return float(error[seen].mean())

    assert miss(0) < 0.5 * min(miss(-6), miss(6))


def test_nobody_knows_the_planes_of_a_recording(tmp_path: Path) -> None:
    write_rendered_set(tmp_path / "room", 8)
    batch = PixelClips([tmp_path], 128).draw(np.random.default_rng(0), 2, Task.VIEWS, TINY)
    assert batch.plane is not None
    assert batch.plane.isnan().all()


def test_rays_go_through_the_pixels_of_the_crop(folder: Path) -> None:
    """Seen through the whole image's camera a ray ends where the pixels of the crop say that they come from."""
    clips, generator = PixelClips([folder], 128), np.random.default_rng(3)
    for _ in range(12):
        batch = clips.draw(generator, 2, Task.IMAGINE, BLIND)
        assert batch.video is not None
        height, width = batch.video.shape[3:]
        for origins, bearings in zip(origins_of(batch), batch.bearings.double().numpy(), strict=True):
            camera, _, _ = clip_of(folder, origins[0].clip)
            left, top = origins[0].left, origins[0].top
            u, v = (np.arange(16) + 0.5) * width / 16 - 0.5 + left, (np.arange(12) + 0.5) * height / 12 - 0.5 + top
            for of_frame in bearings:
                place = camera.project(of_frame).reshape(12, 16, 2)
                np.testing.assert_allclose(place, np.stack(np.meshgrid(u, v), axis=-1), atol=1e-3)
            cropped = PinholeCamera(width, height, camera.fx, camera.fy, camera.cx - left, camera.cy - top)
            np.testing.assert_allclose(bearings[0], cropped.bearings(12, 16), atol=1e-6)


def test_a_crop_keeps_what_a_point_projects_to() -> None:
    clip = PixelClip(
        coded(HEIGHT, WIDTH, 7)[None], PinholeCamera(WIDTH, HEIGHT, 90.0, 95.0, 66.0, 53.0), np.eye(4)[None]
    )
    points = np.random.default_rng(0).uniform((-0.3, -0.2, 1.0), (0.3, 0.2, 2.0), (40, 3))
    cropped = clip.cropped(5, 9, 80, 112)
    assert (cropped.camera.width, cropped.camera.height) == (112, 80)
    there = cropped.camera.project(points)
    np.testing.assert_allclose(clip.camera.project(points) - there, [(9, 5)] * 40, atol=1e-9)
    inside = np.rint(there).astype(int)
    u, v = inside[((inside >= 0) & (inside < (112, 80))).all(axis=1)].T
    assert len(u) > 30
    np.testing.assert_array_equal(cropped.images[0, v, u, :2], clip.images[0, v + 5, u + 9, :2])
    np.testing.assert_array_equal(cropped.images[0, v, u, :2], np.stack([u + 9, v + 5], axis=1))


def test_frames_are_swept_from_the_sources_into_the_targets(folder: Path, rendered: Path) -> None:
    for seed in range(3):
        told = PixelClips([folder], 128).draw(np.random.default_rng(seed), 2, Task.VIEWS, BLIND)
        batch = PixelClips([rendered], 128).draw(np.random.default_rng(seed), 2, Task.VIEWS, TINY)
        images = pixels_of(batch)
        assert batch.swept is not None
        assert batch.swept.dtype == torch.uint8
        assert batch.swept.shape == (2, 2, batch.sources, 4, TINY.sweep_depths, *images.shape[2:4])
        assert batch.votes is not None
        evidence = zip(origins_of(told), images, batch.swept.numpy(), batch.votes.numpy(), strict=True)
        for origins, clip, swept, votes in evidence:
            whole, truth, _ = clip_of(rendered, origins[0].clip)
            camera = PinholeCamera(
                *(images.shape[3], images.shape[2], whole.fx, whole.fy),
                *(whole.cx - origins[0].left, whole.cy - origins[0].top),
            )
            poses = [truth[o.frame] for o in origins]
            known = slice(None, batch.sources)
            points = find_points(Matcher(), list(clip[known]), camera, np.array(poses[known]))
            for target, stack, vote in zip(poses[batch.sources :], swept, votes, strict=True):
                view = evidence_of_view(points, list(clip[known]), poses[known], camera, target, TINY.sweep_depths)
                np.testing.assert_array_equal(stack, view.swept)
                np.testing.assert_allclose(vote, view.votes, rtol=1e-3, atol=1e-6)
                assert view.swept[:, 3].any()
                if batch.sources == 1:
                    plain = sweep(list(clip[known]), poses[known], camera, target, TINY.sweep_depths)
                    np.testing.assert_array_equal(stack, plain)
                    assert not vote.any()


def test_larger_clips_are_shrunk_after_flow_was_found_on_them(tmp_path: Path) -> None:
    """Rendered twice as large as the model sees: images are means of four pixels, depths are of one of them."""
    write_clips(tmp_path, 2, 3, FRAMES, 256, 192, augmented=False)
    batch = PixelClips([tmp_path], 128).draw(np.random.default_rng(1), 2, Task.VIEWS, PRESETS["compact"])
    assert batch.video is not None
    assert batch.video.shape[3:] in CROPS
    assert batch.plane is not None
    assert batch.plane.shape[2:] == batch.video.shape[3:]
    assert batch.sources > 1
    assert batch.votes is not None
    # Where the frames agree on a plane it is the true one.
    sure, votes = batch.votes.float().sum(dim=2) > 0.5, batch.votes.float()
    voted = (votes * torch.arange(32)[:, None, None]).sum(dim=2) / votes.sum(dim=2)
    assert sure.float().mean() > 0.2
    assert float((voted - batch.plane)[sure & (batch.plane < 31)].abs().median()) < 1.0


def test_a_shrunk_clip_keeps_what_a_point_projects_to() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    clip = PixelClip(
        coded(HEIGHT, WIDTH, 7)[None],
        PinholeCamera(WIDTH, HEIGHT, 90.0, 95.0, 66.0, 53.0),
        np.eye(4)[None],
        (1.0 + x + y)[None].astype(float),
    )
    small = clip.shrunk(2)
    assert small.images.shape == (1, HEIGHT // 2, WIDTH // 2, 3)
    points = np.random.default_rng(0).uniform((-0.3, -0.2, 1.0), (0.3, 0.2, 2.0), (40, 3))
    # Pixel centres: the first of the small image lies between the first two of the large one.
    np.testing.assert_allclose(2.0 * small.camera.project(points) + 0.5, clip.camera.project(points), atol=1e-9)
    np.testing.assert_allclose(small.images[0, 10, 20, :2], [2 * 20 + 0.5, 2 * 10 + 0.5], atol=0.51)
    assert small.depth is not None
    assert small.depth[0, 10, 20] == 1.0 + 41 + 21
    assert clip.shrunk(1) is clip


def test_a_batch_is_swept_only_for_a_model_that_sweeps() -> None:
    camera = PinholeCamera(32, 16, 30.0, 30.0, 15.5, 7.5)
    poses = np.array([make_pose(np.eye(3), (0.1 * k, 0, 0)) for k in range(3)])
    clip = PixelClip(np.array([coded(16, 32, k) for k in range(3)]), camera, poses)
    assert batch_of([clip], 1, None).swept is None
    assert batch_of([clip], 1, BLIND).swept is None
    swept = batch_of([clip], 2, TINY).swept
    assert swept is not None
    # One target, two sources; nearest first is what came last before it.
    assert swept.shape == (1, 1, 2, 4, 8, 16, 32)


# -------------------------------------------------------------------------------------------------------------- time


def test_sources_are_newest_first_targets_come_later_and_time_may_run_backwards(folder: Path) -> None:
    clips, generator = PixelClips([folder], 128), np.random.default_rng(4)
    forwards, early = [], []
    for _ in range(30):
        batch = clips.draw(generator, 10, Task.VIEWS, BLIND)
        for origins in origins_of(batch):
            frames = [o.frame for o in origins]
            known, asked = frames[: batch.sources], frames[batch.sources :]
            assert len(set(frames)) == len(frames)
            direction = int(np.sign(asked[1] - asked[0]))
            assert (np.diff(known) == -direction).all()
            forwards.append(direction > 0)
            early.append(min(direction * (k - known[0]) for k in asked) < 0)
    # Half of 300 clips, with a deviation of .029; a target before the sources in at most .15, deviation .021.
    assert abs(np.mean(forwards) - 0.5) < 4 * 0.029
    assert 0.0 < np.mean(early) < 0.15 + 4 * 0.021


# ---------------------------------------------------------------------------------------------------------- held out


def clips_drawn(clips: PixelClips, batches: int = 30) -> set[int]:
    generator = np.random.default_rng(5)
    return {o[0].clip for _ in range(batches) for o in origins_of(clips.draw(generator, 3, Task.POSE, BLIND))}


def test_the_last_shard_is_held_out_and_nothing_else_is(folder: Path) -> None:
    in_training = A_SHARD * (SHARDS - 1)
    assert clips_drawn(PixelClips([folder], 128)) == set(range(in_training))
    assert clips_drawn(PixelClips([folder], 128, held_out=True)) == set(range(in_training, A_SHARD * SHARDS))


def test_more_shards_than_stay_in_memory_are_all_drawn(folder: Path, tmp_path: Path) -> None:
    for k, path in enumerate(shard_paths(folder) * 2):
        (tmp_path / f"clips_{k:05d}.npz").write_bytes(path.read_bytes())
    assert clips_drawn(PixelClips([tmp_path], 128)) == set(range(A_SHARD * SHARDS))


# --------------------------------------------------------------------------------------------------------- posed sets


def write_coded_set(folder: Path, poses: FloatArray, first: int = FIRST_OF_SET) -> Path:
    """A posed set of `CAMERA` whose images are numbered from `first`."""
    write_set(folder, poses)
    (folder / "images").mkdir()
    for index in range(len(poses)):
        image = coded(CAMERA.height, CAMERA.width, first + index)
        assert cv2.imwrite(str(folder / f"images/{index:06d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A folder with one good set."""
    write_coded_set(tmp_path / "sets" / "good", wandering(SET_FRAMES, 1))
    return tmp_path / "sets"


@pytest.fixture(autouse=True)
def no_warning_is_missed() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", BrokenSetWarning)
        yield


def test_a_posed_set_is_drawn_with_its_poses_and_rays(sets: Path) -> None:
    truth = wandering(SET_FRAMES, 1)
    clips, generator = PixelClips([sets], CAMERA.width), np.random.default_rng(0)
    chosen, directions = set(), set()
    for _ in range(12):
        batch = clips.draw(generator, 2, Task.IMAGINE, BLIND)
        assert batch.parallax_px.eq(100.0).all()
        height, width = pixels_of(batch).shape[2:4]
        of_batch = zip(origins_of(batch, 100), batch.camera_to_first, batch.bearings.double().numpy(), strict=True)
        for origins, poses, bearings in of_batch:
            frames = [o.frame for o in origins]
            expected = np.linalg.inv(truth[frames[0]]) @ truth[frames]
            expected[:, :3, 3] /= np.linalg.norm(expected[:, :3, 3], axis=1).max()
            np.testing.assert_allclose(poses, expected, atol=2e-6)
            u = (np.arange(16) + 0.5) * width / 16 - 0.5 + origins[0].left
            v = (np.arange(12) + 0.5) * height / 12 - 0.5 + origins[0].top
            place = CAMERA.project(bearings[-1]).reshape(12, 16, 2)
            np.testing.assert_allclose(place, np.stack(np.meshgrid(u, v), axis=-1), atol=1e-3)
            chosen.update(frames)
            directions.add(int(np.sign(frames[2] - frames[1])))
    assert chosen == set(range(SET_FRAMES))
    assert directions == {-1, 1}


def test_a_posed_set_is_scaled_with_its_camera(sets: Path) -> None:
    """To 128x96, of which the largest crop is all: the rays are those of the recorded camera."""
    clips, generator = PixelClips([sets], 128), np.random.default_rng(1)
    whole = 0
    for _ in range(12):
        batch = clips.draw(generator, 1, Task.POSE, BLIND)
        images = pixels_of(batch)
        if images.shape[2:4] == (96, 128):
            whole += 1
            np.testing.assert_allclose(batch.bearings[0, 2], CAMERA.bearings(12, 16), atol=1e-6)
            # Pixel x of 128 is as far to the right as pixel 1.25 x + .125 of 160; area means are rounded.
            np.testing.assert_allclose(images[0, 0, 40, :, 0], 1.25 * np.arange(128) + 0.125, atol=0.7)
    assert whole > 2


def test_cameras_of_recorded_clips_do_not_turn_far(tmp_path: Path) -> None:
    """12 deg a frame: two thirds of the choices of frames turn too far, and none of these is drawn."""
    turns = rotation_from_vector(np.radians(12.0) * np.arange(SET_FRAMES)[:, None] * (0.0, 1.0, 0.0))
    write_coded_set(tmp_path / "turning", np.array([make_pose(r, (0.1 * k, 0, 0)) for k, r in enumerate(turns)]))
    clips, generator = PixelClips([tmp_path], CAMERA.width), np.random.default_rng(2)
    batches = [clips.draw(generator, 4, Task.IMAGINE, BLIND).camera_to_first.double().numpy() for _ in range(20)]
    turned = np.degrees(rotation_angle_rad(np.concatenate(batches)[:, 1:, :3, :3]))
    assert 30.0 < turned.max() < MAX_TURN_DEG


def test_recorded_clips_are_a_small_share_beside_rendered_ones_and_never_held_out(folder: Path, sets: Path) -> None:
    def numbers(held_out: bool) -> list[bool]:
        clips, generator = PixelClips([folder, sets], CAMERA.width, held_out), np.random.default_rng(3)
        drawn = [pixels_of(clips.draw(generator, 10, Task.POSE, BLIND))[:, 0, 0, 0, 2] for _ in range(20)]
        return [number >= FIRST_OF_SET for number in np.concatenate(drawn)]

    # .2 of 200, with a deviation of .028.
    assert abs(np.mean(numbers(False)) - 0.2) < 4 * 0.028
    assert not any(numbers(True))


Change = Callable[[list[dict[str, Any]]], None]


def no_number(frames: list[dict[str, Any]]) -> None:
    frames[3]["c2w"][0][3] = float("nan")


def not_rigid(frames: list[dict[str, Any]]) -> None:
    frames[4]["c2w"][0][:3] = [1.5, 0.0, 0.0]


def no_pose(frames: list[dict[str, Any]]) -> None:
    frames[5]["c2w"] = None


def no_intrinsics(frames: list[dict[str, Any]]) -> None:
    frames[2]["K"] = None


def too_short(frames: list[dict[str, Any]]) -> None:
    del frames[7:]


def two_lenses(frames: list[dict[str, Any]]) -> None:
    frames[6]["K"][0] *= 1.03


def no_image(frames: list[dict[str, Any]]) -> None:
    frames[1]["file"] = "images/gone.png"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_number, r"frames\[3\]\.c2w = .* must be 4x4 finite number\(s\)"),
        (not_rigid, r"frames\[4\]\.c2w = .* must be a rotation and a translation"),
        (no_pose, "frame 5 has no intrinsics or no pose; training needs both"),
        (no_intrinsics, "frame 2 has no intrinsics or no pose; training needs both"),
        (too_short, "7 frames; training needs 8 of a set"),
        (two_lenses, "frames of several cameras; training needs one"),
        (no_image, r"frames\[1\]\.file = .* does not exist"),
    ],
)
def test_a_broken_set_is_named_and_the_good_one_beside_it_is_used(sets: Path, change: Change, words: str) -> None:
    broken = write_coded_set(sets / "broken", wandering(SET_FRAMES, 2), first=0)
    record = json.loads((broken / "cameras.json").read_text())
    change(record["frames"])
    (broken / "cameras.json").write_text(json.dumps(record))
    with pytest.warns(BrokenSetWarning, match=f"{broken} is left out: .*{words}") as said:
        clips = PixelClips([sets], CAMERA.width)
    assert len(said) == 1
    generator = np.random.default_rng(6)
    drawn = [pixels_of(clips.draw(generator, 4, Task.POSE, BLIND))[..., 0, 0, 2] for _ in range(5)]
    assert np.min(drawn) >= FIRST_OF_SET


def test_sets_of_several_sizes_and_of_too_few_rows_are_named(sets: Path) -> None:
    for name, height, resized in (("mixed", 100, slice(4, 5)), ("wide", 90, slice(None))):
        folder = write_coded_set(sets / name, wandering(SET_FRAMES, 3), first=0)
        record = json.loads((folder / "cameras.json").read_text())
        for frame in record["frames"][resized]:
            frame["height"] = height
            assert cv2.imwrite(str(folder / frame["file"]), coded(height, CAMERA.width, 1))
        (folder / "cameras.json").write_text(json.dumps(record))
    with pytest.warns(BrokenSetWarning) as said:
        clips = PixelClips([sets], CAMERA.width)
    assert [str(w.message).replace(str(sets), "") for w in said] == [
        "/mixed is left out: /mixed: frames of several cameras; training needs one",
        "/wide is left out: /wide: images wider than 4:3; training needs 96 rows of 160 px",
    ]
    drawn = pixels_of(clips.draw(np.random.default_rng(6), 8, Task.POSE, BLIND))
    assert drawn[..., 0, 0, 2].min() >= FIRST_OF_SET


def test_a_folder_with_nothing_to_train_on_is_refused_in_words(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "gone"):
        with pytest.raises(FileError, match=f"{path} holds no rendered clips and no usable posed set; give another"):
            PixelClips([folder, path], 128)
    write_coded_set(tmp_path / "short" / "one", wandering(3, 4))
    with (
        pytest.warns(BrokenSetWarning, match="3 frames; training needs 8"),
        pytest.raises(FileError, match="short holds no rendered clips and no usable posed set"),
    ):
        PixelClips([tmp_path / "short"], 128)
