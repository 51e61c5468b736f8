"""Small models and short trainings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from ros2_raxels.model.denoiser import JointDenoiser  # noqa: E402
from ros2_raxels.model.flow import Task  # noqa: E402
from ros2_raxels.model.presets import PRESETS, ModelSize  # noqa: E402
from ros2_raxels.training.batch import ClipBatch  # noqa: E402
from ros2_raxels.training.checkpoint import Progress  # noqa: E402
from ros2_raxels.training.correspondences import sample_correspondences  # noqa: E402
from ros2_raxels.training.loop import Draw, Trainer, TrainSettings  # noqa: E402

TINY = replace(PRESETS["tiny"], video_size_px=(32, 48))


def small(seed: int = 3, clips: int = 6) -> ClipBatch:
    return sample_correspondences(seed, clips, 3, 48)


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
