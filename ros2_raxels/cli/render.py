"""``raxels render``: clips of random worlds for training, or one long way through a room as a posed set."""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

from ros2_raxels.evaluation.machine.machine import cores
from ros2_raxels.geometry.fisheye import MOST_FIELD_DEG, wide_lens
from ros2_raxels.scenes.film import Film, shown_progress, write_film
from ros2_raxels.scenes.rigs import RIGS
from ros2_raxels.scenes.rounds import SHAPES, NoRoomError, rounds_film
from ros2_raxels.scenes.shards import write_clips
from ros2_raxels.utils.argument_types import natural, positive
from ros2_raxels.utils.files import FileError, make_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("out", type=Path, metavar="DIR", help="of the shards, of which those that are there are kept")
    parser.add_argument("--clips", type=positive, default=6000, metavar="N", help="in all (default: 6000)")
    parser.add_argument("--frames", type=positive, metavar="N", help="of a clip (default: 8) or sequence (1000)")
    parser.add_argument("--width", type=positive, metavar="PX", help="default: 128, of a sequence 320")
    parser.add_argument("--height", type=positive, metavar="PX", help="default: 96, of a sequence 240")
    parser.add_argument("--seed", type=natural, default=0, help="other seeds give other clips")
    parser.add_argument("--clean", action="store_true", help="clips without noise, blur and colours of a real camera")
    parser.add_argument(
        "--workers", type=positive, default=cores(), metavar="N", help=f"processes (default: {cores()})"
    )
    parser.add_argument(
        "--sequence",
        choices=SHAPES,
        help="no clips but a posed set: rounds through a random room at 30 Hz that end where they began",
    )
    parser.add_argument(
        "--fisheye",
        type=_field_deg,
        metavar="DEG",
        help="of a sequence: an equidistant lens that sees so far from the left edge to the right, up to 220 degrees; "
        "the recording is a rig set then, because a posed set knows no lenses",
    )
    parser.add_argument(
        "--rig",
        choices=RIGS,
        default="",
        help="of a sequence: two cameras beside each other, two that look to the sides, or four that look all round, "
        "as a rig set",
    )
    parser.add_argument(
        "--depth",
        action="store_true",
        help="of a sequence: depth images too, 16 bits in mm, with the noise, steps and holes of a depth sensor",
    )


def _field_deg(text: str) -> float:
    try:
        degrees = float(text)
    except ValueError:
        degrees = math.nan
    if not 1.0 <= degrees <= MOST_FIELD_DEG:
        raise argparse.ArgumentTypeError(f"{text!r} must be degrees of view, from 1 to {MOST_FIELD_DEG:g}")
    return degrees


def run(args: argparse.Namespace) -> int:
    """Render what is missing.

    Returns:
        0.

    Raises:
        FileError: the folder cannot be written to, or holds something else.
    """
    if args.sequence:
        return _sequence(args)
    for option in ("fisheye", "rig", "depth"):
        if getattr(args, option):
            raise FileError(f"--{option} is for a sequence, and clips are of one pinhole; add --sequence loop")
    make_folder(args.out)
    frames, width, height = args.frames or 8, args.width or 128, args.height or 96
    try:
        shards = write_clips(args.out, args.clips, args.seed, frames, width, height, args.workers, not args.clean)
    except ValueError as error:
        raise FileError(str(error)) from error
    print(f"{args.clips} clips of {frames} frames in {len(shards)} shards -> {args.out}")
    return 0


def _sequence(args: argparse.Namespace) -> int:
    out: Path = args.out
    if args.depth and (args.fisheye or args.rig):
        raise FileError("--depth is for one camera without distortion; leave --fisheye and --rig out")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileError(f"{out} is there already; remove it, or give another DIR")
    make_folder(out.parent)
    print("looking for a room that has space ...", file=sys.stderr)
    film = _film(args)
    begin = time.perf_counter()
    with shown_progress() as progress:
        write_film(film, out, progress, args.workers)
    count = len(film.camera_to_world)
    each_ms = 1e3 * (time.perf_counter() - begin) / count
    print(f"{count} frames, {each_ms:.0f} ms each -> {out}")
    return 0


def _film(args: argparse.Namespace) -> Film:
    """The room and the way through it.

    Raises:
        FileError: there is none for these options.
    """
    frames, width, height = args.frames or 1000, args.width or 320, args.height or 240
    try:
        with shown_progress("looking for a room that has space", "room") as progress:
            lens = args.fisheye and wide_lens(width, height, args.fisheye)
            return rounds_film(
                args.sequence,
                frames,
                width,
                height,
                args.seed,
                progress=progress,
                lens=lens,
                rig=args.rig,
                with_depth=args.depth,
            )
    except (ValueError, NoRoomError) as error:
        raise FileError(str(error)) from error
