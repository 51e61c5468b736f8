"""``raxels track``: a recording or a live camera to a trajectory."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ros2_raxels.cli.model_arguments import add_matcher_argument, add_model_argument
from ros2_raxels.cli.track_depth import add_depth_arguments, depth_options, depth_remarks
from ros2_raxels.cli.track_live import Keep, add_live_arguments, check_options, check_source, keeping_states
from ros2_raxels.cli.track_summary import failure, rows, summary
from ros2_raxels.evaluation.tracks.real_time import Pace, follow_in_real_time
from ros2_raxels.evaluation.tracks.recorded_track import Track, follow
from ros2_raxels.factory import make_tracker
from ros2_raxels.geometry.trajectory import write_tum
from ros2_raxels.recordings.calibration import PLUMB_BOB, Calibration, CalibrationError
from ros2_raxels.recordings.calibration_files import FORMATS, read_calibration
from ros2_raxels.recordings.image_mask import Mask, read_mask
from ros2_raxels.recordings.open import has_several_cameras, open_source
from ros2_raxels.recordings.source import Frame, FrameSource, SourceError
from ros2_raxels.tracking.rig_check import rig_remarks
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose
from ros2_raxels.utils.argument_types import lens_px
from ros2_raxels.utils.files import replacing
from ros2_raxels.utils.terminal import INTERRUPTED, interruptible
from ros2_raxels.visualization.rerun_view import TrackView, check_view, open_view
from ros2_raxels.visualization.trajectory_plot import draw_track, picture_format

NOT_TRACKED, WRONG_INPUT, ENDED_EARLY = 1, 2, 4
"""Exit statuses."""

_EXIT_STATUS = (
    "exit status: 0 at least half of the frames were tracked; 1 fewer, the reason is the last line; 2 wrong input; "
    "3 unexpected error; 4 the recording ended early or an image of it cannot be read, what was tracked until then is "
    "written; 130 stopped with Ctrl-C, likewise"
)


@dataclass(frozen=True)
class _End:
    """How the recording ended: an exit status, 0 for well, and the reason where it was not."""

    status: int = 0
    reason: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = _EXIT_STATUS
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="posed set, rig set, image folder, video file, rosbag2 (mcap, db3) or camera number",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="trajectory to write: t x y z qx qy qz qw a line")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of the trajectory to write (png, pdf, svg)")
    parser.add_argument(
        "--view",
        nargs="?",
        const="",
        metavar="FILE.rrd",
        help="show it live in the viewer of rerun (write --view last), or in a file for it",
    )
    _add_calibration_arguments(parser)
    parser.add_argument(
        "--image-topic",
        metavar="TOPIC[,TOPIC...]",
        help="of a bag with several; those of several cameras are followed as one rig, the first one leads (default: "
        "all cameras whose place on the robot is known)",
    )
    parser.add_argument("--rate-hz", type=float, metavar="R", help="where the recording carries no times")
    add_model_argument(parser)
    add_matcher_argument(parser, "for loops and lost frames that are not found otherwise")
    parser.add_argument(
        "--live",
        action="store_true",
        help="write every pose as it was answered live; default: as it is known at the end, corrected by loop closures",
    )
    add_live_arguments(parser)
    add_depth_arguments(parser)
    parser.add_argument(
        "--all-frames",
        action="store_true",
        help="write a row for frames that were not solved too, each below a comment line (#) that says so",
    )
    parser.add_argument(
        "--ignore-exif",
        action="store_true",
        help="take images as stored, whatever their EXIF orientation says, and no times from its dates",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many frames")


def _add_calibration_arguments(parser: argparse.ArgumentParser) -> None:
    outranks = "outranks that of the recording; without any the focal length is estimated"
    given = parser.add_mutually_exclusive_group()
    given.add_argument(
        "--intrinsics",
        type=lens_px,
        metavar="FX,FY,CX,CY[,K1,K2,P1,P2[,K3,...]]",
        help=f"px, and distortion in OpenCV's order; {outranks}",
    )
    parser.add_argument(
        "--lens",
        choices=(PLUMB_BOB, "equidistant"),
        default=PLUMB_BOB,
        help="of --intrinsics: a pinhole with OpenCV's distortion (default), or a fisheye with K1 to K4",
    )
    given.add_argument("--calibration", type=Path, metavar="FILE", help=f"{FORMATS}; {outranks}")
    parser.add_argument(
        "--mask",
        action="append",
        metavar="[NAME=]FILE",
        help="image of the same size, white where the recording is to be used; of each camera of a rig by its name",
    )
    parser.add_argument("--camera", metavar="NAME", help="which one of a calibration file, rig set or bag with several")


@interruptible()
def run(args: argparse.Namespace) -> int:
    """Track a recording to its end.

    Returns:
        0, 1 when fewer than half of the frames were tracked, 2 when no image could be read, 4 when the recording ended
        early, 130 after Ctrl-C or SIGTERM; what was tracked until then is written.

    Raises:
        SourceError: the recording cannot be opened, or the calibration is none for it.
        FileError: options that cannot be meant together, or an output could not be written.
    """
    check_options(args)
    if args.plot is not None:
        picture_format(args.plot)
    if args.view is not None:
        check_view(args.view)
    calibration = _calibration(args)
    source = open_source(
        args.source,
        rate_hz=args.rate_hz,
        image_topic=args.image_topic,
        limit=args.limit,
        ignore_calibration=calibration is not None,
        ignore_exif=args.ignore_exif,
        camera_name=None if args.calibration is not None else args.camera,
        depth=depth_options(args),
    )
    check_source(args, source)
    odometry, imu = source.odometry() if args.odom else None, source.imu() if args.imu else None
    origin = _check_calibration(source, calibration)
    masks = _masks(args.mask or [], source)
    for note in source.notes:
        print(f"note: {note}", flush=True)
    _check_rig(source)
    tracker = make_tracker(
        args.model,
        odometry,
        real_time=args.realtime,
        mask=masks.pop("", None),
        imu=imu,
        rig=source.rig,
        matcher=args.matcher,
    )
    for name, mask in masks.items():
        tracker.use_mask(mask, name)
    track, pace = Track(), Pace() if args.realtime else None
    with nullcontext() if args.view is None else open_view(args.view, source.name) as view:
        with keeping_states(args, source) as keep:
            followed = _followed(track, source, tracker, calibration, pace, args.rate)
            end = _follow_with_progress(followed, source, track, view, keep)
        of_lens = [tracker.lens_trouble] if tracker.lens_trouble else []
        for remark in (*source.remarks, *of_lens, *tracker.sensor_remarks, *depth_remarks(track, tracker)):
            print(f"note: {remark}", flush=True)
        if not args.live:
            track.settle(tracker, look=end.status != INTERRUPTED)
        if view is not None:
            view.end(track.poses)
    if not track.stamps_ns:
        reason = end.reason or f"no frame of {source.name} was tracked; no trajectory is written"
        print(f"raxels: {reason}", file=sys.stderr)
        return INTERRUPTED if end.status == INTERRUPTED else WRONG_INPUT
    written = _write(track, source, args)
    kept_up = [] if pace is None else pace.words()
    print("\n".join([*summary(track, source, origin), *kept_up, written]), flush=True)
    return _status(track, end, 0 if pace is None else pace.frames - len(track.stamps_ns))


def _calibration(args: argparse.Namespace) -> Calibration | None:
    """What the options say of the camera."""
    if args.lens != PLUMB_BOB and args.intrinsics is None:
        raise CalibrationError(f"--lens {args.lens} is of --intrinsics, which are not given; add them")
    if args.calibration is not None:
        return read_calibration(args.calibration, args.camera)
    if args.camera is not None and not has_several_cameras(Path(args.source)):
        raise CalibrationError(f"--camera {args.camera} is one of a file with several; give --calibration FILE too")
    if args.intrinsics is not None:
        return Calibration.of("--intrinsics", args.intrinsics[:4], args.intrinsics[4:], lens=args.lens)
    return None


def _masks(given: Sequence[str], source: FrameSource) -> dict[str, Mask]:
    """Masks by name of the camera; that of the first camera has none."""
    found: dict[str, Mask] = {}
    for option in given:
        name, _, file = option.partition("=")
        if source.rig is None or name not in source.rig.names:
            name, file = "", option
        elif name == source.rig.leader:
            name = ""
        found[name] = read_mask(Path(file))
    return found


def _check_rig(source: FrameSource) -> None:
    """Say how well the cameras of a rig agree at first."""
    first = None if source.rig is None else next(iter(source), None)
    if source.rig is not None and first is not None:
        for words in rig_remarks(source.rig, {source.rig.leader: first.image, **first.others}):
            print(f"note: {words}", flush=True)


def _check_calibration(source: FrameSource, calibration: Calibration | None) -> str:
    """Where the intrinsics are from, in words; a calibration must suit the first image before anything is loaded.

    Raises:
        CalibrationError: it does not.
    """
    if calibration is None:
        return "the recording"
    if source.kind == "camera":
        return calibration.source
    first = next(iter(source), None)
    if first is None:
        return calibration.source
    height, width = first.image.shape[:2]
    _, done = calibration.fitted(width, height)
    return f"{calibration.source}{done and ', '}{done}"


def _followed(
    track: Track,
    source: FrameSource,
    tracker: Tracker,
    calibration: Calibration | None,
    pace: Pace | None,
    rate: float | None,
) -> Iterator[tuple[Frame, TrackedPose | None]]:
    """Every frame with its answer, or at the recording's own pace with None for those that are dropped."""
    if pace is None:
        return follow(track, source, tracker, calibration)
    return follow_in_real_time(track, source, tracker, calibration, rate=rate or 1.0, pace=pace)


def _follow_with_progress(
    followed: Iterator[tuple[Frame, TrackedPose | None]],
    source: FrameSource,
    track: Track,
    view: TrackView | None,
    keep: Keep,
) -> _End:
    """Track to the end of the recording; returns how it ended."""
    try:
        with tqdm(total=source.length, unit="frame", disable=not sys.stderr.isatty()) as progress:
            for frame, found in followed:
                keep(frame, found)
                if view is not None and found is not None:
                    view.show(frame, found, track.camera)
                progress.set_postfix_str("dropped" if found is None else found.state.name.lower(), refresh=False)
                progress.update()
    except KeyboardInterrupt:
        return _End(INTERRUPTED)
    except SourceError as error:
        return _End(ENDED_EARLY, str(error))
    return _End()


def _write(track: Track, source: FrameSource, args: argparse.Namespace) -> str:
    """Write what was asked for, the states apart; returns the line that names it."""
    count, trajectory = ("", []) if args.out is None else _write_trajectory(track, args)
    if args.plot is not None:
        with replacing(args.plot) as temporary:
            draw_track(track.drawn(source.name), temporary)
    written = [*trajectory, *(path for path in (args.states, args.plot, args.view) if path)]
    return " ".join(filter(None, [count, f"-> {', '.join(map(str, written))}" if written else ""]))


def _write_trajectory(track: Track, args: argparse.Namespace) -> tuple[str, list[Path]]:
    """How many rows there are, in words, and the file if there are any."""
    numbers, remarks = rows(track, args.all_frames)
    count = f"{len(numbers)} rows" + (f", {len(remarks)} of them not solved" if remarks else "")
    if not numbers:
        earlier = f"; {args.out} is of an earlier run" if args.out.exists() else ""
        return f"{count} (no trajectory is written{earlier})", []
    with replacing(args.out) as temporary:
        kept = [remarks.get(k, "") for k in numbers]
        write_tum(temporary, [track.stamps_ns[k] for k in numbers], [track.poses[k] for k in numbers], kept)
    return count, [args.out]


def _status(track: Track, end: _End, dropped: int) -> int:
    """The exit status; what was wrong is printed, a line each."""
    failed = failure(track, dropped)
    if end.reason:
        print(f"raxels: {end.reason}", file=sys.stderr)
    if failed:
        print(f"raxels: {failed}", file=sys.stderr)
    return end.status or (NOT_TRACKED if failed else 0)
