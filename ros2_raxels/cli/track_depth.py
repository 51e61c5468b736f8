"""Options of ``raxels track`` that concern depth images, and what is said of them."""

from __future__ import annotations

import argparse

from ros2_raxels.evaluation.tracks.recorded_track import Track
from ros2_raxels.recordings.source import DepthOptions
from ros2_raxels.tracking.metric_scale import ScaleSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.utils.argument_types import above_zero
from ros2_raxels.utils.files import FileError


def add_depth_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    use = parser.add_mutually_exclusive_group()
    use.add_argument(
        "--depth",
        action="store_true",
        help="the recording must have depth images (TUM RGB-D, 7-Scenes or ScanNet folder, or --depth-topic); default: "
        "they are used where they are found",
    )
    use.add_argument("--no-depth", action="store_true", help="leave depth images out")
    parser.add_argument("--depth-topic", metavar="TOPIC", help="of a bag: depth that is registered to the images")
    parser.add_argument(
        "--depth-unit",
        type=above_zero,
        metavar="M",
        help="metres of the value 1 in depth files; default: 0.0002 for TUM RGB-D, else 0.001",
    )


def depth_options(args: argparse.Namespace) -> DepthOptions | None:
    """Which depth images are to be read; None for none.

    Raises:
        FileError: options that cannot be meant together.
    """
    if not args.no_depth:
        return DepthOptions(args.depth, args.depth_unit, args.depth_topic)
    for name, value in (("--depth-topic", args.depth_topic), ("--depth-unit", args.depth_unit)):
        if value is not None:
            raise FileError(f"{name} {value} says which depth is used, and --no-depth that none is; leave one out")
    return None


def depth_remarks(track: Track, tracker: Tracker) -> list[str]:
    """What came of the depth images, for people."""
    said = [f"depth image left out: {track.depth_fault}"] if track.depth_fault else []
    if tracker.depth_trouble:
        said.append(f"depth images left out: {tracker.depth_trouble}")
    if not track.answers or not any(answer.scale.source is ScaleSource.DEPTH for answer in track.answers):
        return said
    scale = track.answers[-1].scale
    return [*said, f"metres from depth images, within {100 * scale.sigma:.2g} %"] if scale.is_metric else said
