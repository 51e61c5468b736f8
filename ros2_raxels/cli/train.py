"""``raxels train``: train the joint denoiser, or resume a run that was stopped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from ros2_raxels.model.presets import PRESETS
from ros2_raxels.training.checkpoint import Progress
from ros2_raxels.training.draws import Draws
from ros2_raxels.training.loop import Trainer, TrainingError, TrainSettings
from ros2_raxels.training.pixels import PixelClips
from ros2_raxels.training.precision import PRECISIONS, choose_bf16
from ros2_raxels.training.validation import Validation
from ros2_raxels.utils.argument_types import natural, positive, share
from ros2_raxels.utils.files import FileError, make_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--preset", choices=sorted(PRESETS), default="compact", help="model size (default: compact)")
    parser.add_argument("--minutes", type=float, default=150.0, help="wall time over all resumed runs (default: 150)")
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
        "--init", type=Path, metavar="CHECKPOINT", help="start from its averaged weights, where they fit"
    )
    parser.add_argument(
        "--rigs",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="of the steps with correspondences, how many are of rigs of two or three cameras (default: 0)",
    )
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate (default: 0.001)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of matrix products; auto is bf16 where the device has it in hardware, else fp32 (default: auto)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    parser.add_argument(
        "--workers",
        type=natural,
        default=0,
        metavar="N",
        help="processes that prepare the data, for a GPU that would wait for --pixels (default: 0, one thread does)",
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
        0, or 1 if training had to stop.

    Raises:
        FileError: the checkpoint is of another size, or the folder cannot be written.
    """
    _check_device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    make_folder(args.out)
    bf16, words = choose_bf16(args.precision, args.device)
    settings = TrainSettings(args.minutes, device=args.device, rate=args.rate, bf16=bf16, workers=args.workers)
    size = PRESETS[args.preset]
    pixels, validation = None, Validation.synthetic()
    data = "correspondences from procedural geometry"
    if args.rigs:
        validation = validation.with_rigs()
        data += f", {args.rigs:.0%} of rigs"
    if args.pixels:
        pixels = PixelClips(args.pixels, size.video_size_px[1])
        validation = validation.with_views(PixelClips(args.pixels, size.video_size_px[1], held_out=True), size)
        data += "; pixels of " + ", ".join(folder.name for folder in args.pixels)
    start = Progress(seed=args.seed, preset=args.preset, data=data, has_pixels=pixels is not None)
    # Worker processes keep off the GPU.
    draw = Draws(args.seed, args.batch, "cpu" if args.workers else args.device, pixels, size, args.rigs)
    trainer = Trainer(size, draw, args.out, settings, start, validation, args.init)
    if trainer.rank == 0:
        print(words, file=sys.stderr)
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
