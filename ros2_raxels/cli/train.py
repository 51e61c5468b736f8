"""``raxels train``: train the joint denoiser; go on where a run was stopped."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ros2_raxels.model.flow import Task
from ros2_raxels.model.presets import PRESETS, ModelSize
from ros2_raxels.training.checkpoint import Progress
from ros2_raxels.training.correspondences import sample_correspondences
from ros2_raxels.training.loop import Draw, Trainer, TrainingError, TrainSettings
from ros2_raxels.training.pixels import PixelClips
from ros2_raxels.training.validation import Validation
from ros2_raxels.utils.argument_types import natural, positive
from ros2_raxels.utils.files import FileError, make_folder

_FRAMES = (2, 3, 4, 4, 4, 5)
_TRACKS = (96, 160, 224)
_PIXEL_SHARE = 0.9
"""Of the steps, where there are clips with pixels; the rest are correspondences, so that poses are not forgotten."""
_PIXEL_TASKS, _PIXEL_TASK_SHARES = (Task.VIEWS, Task.IMAGINE, Task.POSE), (0.88, 0.08, 0.04)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--preset", choices=sorted(PRESETS), default="compact", help="size (default: compact)")
    parser.add_argument("--minutes", type=float, default=150.0, help="over all resumed runs (default: 150)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument(
        "--out", type=Path, default=Path("out") / "training", metavar="DIR", help="default: out/training"
    )
    parser.add_argument("--batch", type=positive, default=48, metavar="CLIPS", help="clips a step (default: 48)")
    parser.add_argument(
        "--pixels",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of rendered clips (raxels render) or of posed sets: trains the video branch too",
    )
    parser.add_argument(
        "--init", type=Path, metavar="CHECKPOINT", help="start from its averaged weights where they fit"
    )
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate (default: 0.001)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of the CPU (default: all cores)")
    parser.add_argument(
        "--workers",
        type=natural,
        default=0,
        metavar="N",
        help="processes that make the data, for a GPU that waits for --pixels (default: 0, a thread does)",
    )


def _check_device(name: str) -> None:
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise FileError(
            f"--device {name} cannot be used ({reason}); give cpu, or cuda on a machine with a GPU"
        ) from error


def run(args: argparse.Namespace) -> int:
    """Train.

    Returns:
        0, or 1 when training had to stop.

    Raises:
        FileError: a checkpoint of another size, a folder that cannot be written.
    """
    _check_device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    make_folder(args.out)
    settings = TrainSettings(minutes=args.minutes, device=args.device, rate=args.rate, workers=args.workers)
    size = PRESETS[args.preset]
    pixels, validation = None, Validation.synthetic()
    data = "correspondences from procedural geometry"
    if args.pixels:
        pixels = PixelClips(args.pixels, size.video_size_px[1])
        validation = validation.with_views(PixelClips(args.pixels, size.video_size_px[1], held_out=True), size)
        data += "; pixels of " + ", ".join(folder.name for folder in args.pixels)
    start = Progress(seed=args.seed, preset=args.preset, data=data, has_pixels=pixels is not None)
    # Other processes have no business on the GPU.
    draw = Draws(args.seed, args.batch, "cpu" if args.workers else args.device, pixels, size)
    trainer = Trainer(size, draw, args.out, settings, start, validation, args.init)
    if trainer.progress.step and trainer.rank == 0:
        print(f"resuming {trainer.checkpoint_path} at step {trainer.progress.step}", file=sys.stderr)
    try:
        done = trainer.run()
    except TrainingError as error:
        print(f"raxels: {error}", file=sys.stderr)
        return 1
    if trainer.rank == 0:
        print(f"{done.step} steps, {done.clips} clips, {done.trained_s / 60:.1f} min -> {trainer.checkpoint_path}")
    return 0


@dataclass(frozen=True, eq=False)
class Draws:
    """Data of a step from its number alone, so that a resumed run goes on with what would have come.

    Attributes:
        seed: of everything.
        clips: of correspondences a step. Steps with pixels have fewer, so that they cost as much.
        device: that correspondences are drawn on.
        pixels: clips with pixels; None without.
        size: of the model.
    """

    seed: int
    clips: int
    device: str
    pixels: PixelClips | None = None
    size: ModelSize | None = None

    def __call__(self, step: int, rank: int) -> Draw:
        """Of one process."""
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, step, rank]))
        if self.pixels is not None and self.size is not None and generator.random() < _PIXEL_SHARE:
            task = _PIXEL_TASKS[generator.choice(len(_PIXEL_TASKS), p=_PIXEL_TASK_SHARES)]
            clips = max(2, self.clips // (6 if task is Task.VIEWS else 2))
            return Draw(self.pixels.draw(generator, clips, task, self.size), task, with_evidence=False)
        frames, tracks = int(generator.choice(_FRAMES)), int(generator.choice(_TRACKS))
        seed = int(generator.integers(2**62))
        return Draw(sample_correspondences(seed, self.clips, frames, tracks, self.device), Task.POSE)
