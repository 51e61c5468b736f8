"""``raxels render``: clips of random worlds for training, into a folder of shards."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ros2_raxels.files import FileError, make_folder
from ros2_raxels.options import natural, positive
from ros2_raxels.scenes.shards import write_clips


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("out", type=Path, metavar="DIR", help="of the shards; those that are there are kept")
    parser.add_argument("--clips", type=positive, default=6000, metavar="N", help="in all (default: 6000)")
    parser.add_argument("--frames", type=positive, default=8, metavar="N", help="of a clip (default: 8)")
    parser.add_argument("--width", type=positive, default=128, help="px (default: 128)")
    parser.add_argument("--height", type=positive, default=96, help="px (default: 96)")
    parser.add_argument("--seed", type=natural, default=0, help="other seeds give other clips")
    parser.add_argument("--clean", action="store_true", help="without the noise, blur and colours of a real camera")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=positive, default=cores, metavar="N", help=f"processes (default: {cores})")


def run(args: argparse.Namespace) -> int:
    """Render what is missing.

    Returns:
        0.

    Raises:
        FileError: the folder cannot be written to, or holds clips of another recipe.
    """
    make_folder(args.out)
    try:
        shards = write_clips(
            args.out, args.clips, args.seed, args.frames, args.width, args.height, args.workers, not args.clean
        )
    except ValueError as error:
        raise FileError(str(error)) from error
    print(f"{args.clips} clips of {args.frames} frames in {len(shards)} shards -> {args.out}")
    return 0
