"""Options of ``raxels track`` that concern answers as they come: states frame by frame, and playing in real time."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ros2_raxels.evaluation.tracks.live_states import LiveStates
from ros2_raxels.recordings.source import Frame, FrameSource
from ros2_raxels.tracking.frame_state import DROPPED, FrameState, writing_states
from ros2_raxels.tracking.types import TrackedPose
from ros2_raxels.utils.argument_types import above_zero
from ros2_raxels.utils.files import FileError, check_writable

BASE, CAMERA = "base", "camera"

Keep = Callable[[Frame, TrackedPose | None], None]
"""Takes every frame with its answer, or with None where the frame was dropped."""


def add_live_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--states",
        type=Path,
        metavar="FILE",
        help="one JSON line a frame, as it was answered live: stamp, state, pose, covariance, confidence, metric",
    )
    parser.add_argument(
        "--states-of",
        choices=(BASE, CAMERA),
        help="whose poses they are; default: the base, where the recording tells where the camera is on it (rig sets, "
        "bags of several cameras with /tf_static), else the camera",
    )
    parser.add_argument(
        "--odom",
        action="store_true",
        help="metres, and the motion to expect, from the wheels: odom.csv of a rig set, or the topic of odometry of a "
        "bag with /tf_static",
    )
    parser.add_argument(
        "--imu",
        action="store_true",
        help="turns to expect from the gyro, and metres where --odom gives none: imu.csv of a rig set, or the topic of "
        "the IMU of a bag with /tf_static",
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="play the recording at its own pace and drop what the tracker is too late for, as the node does",
    )
    parser.add_argument(
        "--rate", type=above_zero, metavar="FACTOR", help="with --realtime: so many times as fast (default: 1)"
    )


def check_options(args: argparse.Namespace) -> None:
    """Refuse what cannot be meant.

    Raises:
        FileError: in one line.
    """
    if all(wanted is None for wanted in (args.out, args.states, args.plot, args.view)):
        raise FileError("nothing is to be written; give --out FILE, --states FILE, --plot FILE or --view")
    if args.all_frames and args.out is None:
        raise FileError("--all-frames is about the rows of a trajectory; give --out FILE too")
    if args.states_of is not None and args.states is None:
        raise FileError(f"--states-of {args.states_of} says whose poses --states FILE holds; give that too")
    if args.rate is not None and not args.realtime:
        raise FileError(
            f"--rate {args.rate:g} is the pace of --realtime, which is not given; recordings without times take "
            "--rate-hz"
        )
    if args.realtime and args.view is not None:
        raise FileError("--view takes the time that --realtime measures; leave one of them out")
    files = [path.resolve() for path in (args.out, args.states, args.plot) if path is not None]
    for path in files:
        check_writable(path)
        if files.count(path) > 1:
            raise FileError(f"{path} is to be two files at once; give each a name of its own")


def check_source(args: argparse.Namespace, source: FrameSource) -> None:
    """Refuse what cannot be had from a recording.

    Raises:
        FileError: in one line.
    """
    if args.realtime and source.kind == "camera":
        raise FileError(f"{source.name} is live already, and --realtime plays recordings; leave it out")
    if args.states_of == BASE and source.camera_to_base is None:
        raise FileError(f"--states-of base: {source.name} does not say where its camera is on the robot; rig sets do")


@contextmanager
def keeping_states(args: argparse.Namespace, source: FrameSource) -> Iterator[Keep]:
    """Writes a line for every frame where that is asked for.

    Raises:
        FileError: the file cannot be written.
    """
    if args.states is None:
        yield lambda frame, found: None
        return
    states = LiveStates(None if args.states_of == CAMERA else source.camera_to_base)
    with writing_states(args.states) as write:

        def keep(frame: Frame, found: TrackedPose | None) -> None:
            write(FrameState(frame.stamp_ns, DROPPED) if found is None else states.of(found))

        yield keep
