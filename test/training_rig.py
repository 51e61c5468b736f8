"""Small models, clips for them and short trainings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from posed_sets import CAMERA, write_set
from views_scene import TexturedPlane

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

torch = pytest.importorskip("torch")

from ros2_raxels.model.denoiser import JointDenoiser  # noqa: E402
from ros2_raxels.model.flow import Task  # noqa: E402
from ros2_raxels.model.presets import PRESETS, ModelSize  # noqa: E402
from ros2_raxels.training.batch import ClipBatch  # noqa: E402
from ros2_raxels.training.checkpoint import Progress  # noqa: E402
from ros2_raxels.training.correspondences import sample_correspondences  # noqa: E402
from ros2_raxels.training.loop import Draw, Trainer, TrainSettings  # noqa: E402
from ros2_raxels.training.pixels import PixelClip, PixelClips, batch_of  # noqa: E402

if TYPE_CHECKING:
    from torch import Generator

TINY = replace(PRESETS["tiny"], video_size_px=(32, 48))


def small(seed: int = 3, clips: int = 6) -> ClipBatch:
    return sample_correspondences(seed, clips, 3, 48)


def seeded(seed: int = 0) -> Generator:
    generator: Generator = torch.Generator().manual_seed(seed)
    return generator


def with_video(batch: ClipBatch, size: ModelSize = TINY) -> ClipBatch:
    """The same clips, with frames of noise."""
    clips, frames = batch.bearings.shape[:2]
    return replace(batch, video=torch.rand(clips, frames, 3, *size.video_size_px, generator=seeded(1)) * 2 - 1)


@cache
def views_of_a_room() -> ClipBatch:
    """Two clips of 64x48 px: two sources, newest first, and two targets; swept."""
    camera, world = PinholeCamera(64, 48, 52.0, 52.4, 31.5, 23.5), furnished_room(2)
    poses = handheld_loop(6.0, 10.0, seed=3)[:56:7]
    images = np.array([render(world, camera, pose)[0] for pose in poses])
    clips = [PixelClip(images[k : k + 4], camera, poses[k : k + 4]) for k in (0, 4)]
    return batch_of([clip.chosen([1, 0, 2, 3]) for clip in clips], 2, TINY)


def recorded_clips(folder: Path) -> PixelClips:
    """Of a posed set of eight frames, written into the folder: a textured plane, which takes no time to draw."""
    poses = handheld_loop(6.0, 10.0, seed=3)[:8]
    poses = np.linalg.inv(poses[0]) @ poses
    write_set(folder / "plane", poses)
    (folder / "plane/images").mkdir()
    for index, image in enumerate(TexturedPlane(2.0).views(CAMERA, poses)):
        assert cv2.imwrite(str(folder / f"plane/images/{index:06d}.png"), image)
    return PixelClips([folder], PRESETS["tiny"].video_size_px[1])


def perturbed(size: ModelSize = TINY) -> JointDenoiser:
    torch.manual_seed(0)
    model = JointDenoiser(size)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.05 * torch.randn_like(p)
    return model


class StoppedError(Exception):
    """Raised by a draw, to end a run between two steps."""


ALWAYS = TrainSettings(minutes=1e4, bf16=False, warm_up=2, save_every_s=-1.0)
"""Saved after every step; so long that the wall time does not change the rate."""


def until(stop: int, change: Callable[[int, ClipBatch], ClipBatch] | None = None) -> Callable[[int, int], Draw]:
    """Data that follows from the step alone; before step `stop` the run ends."""

    def draw(step: int, rank: int) -> Draw:
        if step == stop:
            raise StoppedError
        batch = small(100 + step, 2)
        return Draw(batch if change is None else change(step, batch), Task.POSE)

    return draw


def trainer(folder: Path, draw: Callable[[int, int], Draw], **changes: Any) -> Trainer:
    return Trainer(TINY, draw, folder, replace(ALWAYS, **changes), Progress(seed=4, preset="tiny", data="test"))


def train(folder: Path, stop: int) -> Path:
    folder.mkdir(exist_ok=True)
    run = trainer(folder, until(stop))
    with pytest.raises(StoppedError):
        run.run(show=False)
    return run.checkpoint_path
