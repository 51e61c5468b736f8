"""``raxels track``: a recording or a live camera to a trajectory."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ros2_raxels.cli.model_arguments import add_model_argument
from ros2_raxels.evaluation.tracks.recorded_track import Track, follow
from ros2_raxels.factory import make_tracker
from ros2_raxels.geometry.trajectory import path_length, score_trajectory, write_tum
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import FrameSource, SourceError
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackState
from ros2_raxels.utils.argument_types import intrinsics_px
from ros2_raxels.utils.files import check_writable, replacing
from ros2_raxels.utils.terminal import INTERRUPTED
from ros2_raxels.visualization.rerun_view import TrackView, check_view, open_view
from ros2_raxels.visualization.trajectory_plot import draw_track, picture_format


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "source", metavar="SOURCE", help="posed set, image folder, video file, rosbag2 (mcap, db3) or camera number"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="trajectory to write: t x y z qx qy qz qw a line"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of the trajectory to write (png, pdf, svg)")
    parser.add_argument(
        "--view",
        nargs="?",
        const="",
        metavar="FILE.rrd",
        help="show it live in the viewer of rerun (write --view last), or in a file for it",
    )
    parser.add_argument(
        "--intrinsics",
        type=intrinsics_px,
        metavar="FX,FY,CX,CY",
        help="px; default: those of the recording, else the focal length is estimated",
    )
    parser.add_argument("--image-topic", metavar="TOPIC", help="of a bag with several")
    parser.add_argument("--rate-hz", type=float, metavar="R", help="where the recording carries no times")
    add_model_argument(parser)
    parser.add_argument(
        "--live",
        action="store_true",
        help="write every pose as it was answered live; default: as it is known at the end, corrected by loop closures",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many frames")


def run(args: argparse.Namespace) -> int:
    """Track a recording to its end.

    Returns:
        0, 2 when the recording broke off, 130 after Ctrl-C; what was tracked until then is written.

    Raises:
        SourceError: the recording cannot be opened.
        FileError: an output could not be written.
    """
    check_writable(args.out)
    if args.plot is not None:
        check_writable(args.plot)
        picture_format(args.plot)
    if args.view is not None:
        check_view(args.view)
    source = open_source(args.source, rate_hz=args.rate_hz, image_topic=args.image_topic, limit=args.limit)
    tracker = make_tracker(args.model)
    track = Track()
    with nullcontext() if args.view is None else open_view(args.view, source.name) as view:
        status = _follow_with_progress(track, source, args.intrinsics, tracker, view)
        if not args.live:
            track.settle(tracker, look=status != INTERRUPTED)
        if view is not None:
            view.end(track.poses)
    if not track.stamps_ns:
        print(f"raxels: no frame of {source.name} was tracked; no trajectory is written", file=sys.stderr)
        return status or 2
    with replacing(args.out) as temporary:
        write_tum(temporary, track.stamps_ns, track.poses)
    if args.plot is not None:
        with replacing(args.plot) as temporary:
            draw_track(track.drawn(source.name), temporary)
    written = ", ".join(str(path) for path in (args.out, args.plot, args.view) if path)
    print("\n".join([*_summary(track, source), f"-> {written}"]))
    return status


def _follow_with_progress(
    track: Track,
    source: FrameSource,
    intrinsics: tuple[float, float, float, float] | None,
    tracker: Tracker,
    view: TrackView | None,
) -> int:
    """Track to the end of the recording; returns the exit status of how it ended."""
    try:
        with tqdm(total=source.length, unit="frame", disable=not sys.stderr.isatty()) as progress:
            for frame, found in follow(track, source, tracker, intrinsics):
                if view is not None:
                    view.show(frame, found, track.camera)
                progress.set_postfix_str(found.state.name.lower(), refresh=False)
                progress.update()
    except KeyboardInterrupt:
        return INTERRUPTED
    except SourceError as error:
        print(f"raxels: {error}", file=sys.stderr)
        return 2
    return 0


# ------------------------------------------------------------------------------------------------------------ summary


def _summary(track: Track, source: FrameSource) -> list[str]:
    p50, p95 = np.percentile(np.array(track.frame_s) * 1e3, (50, 95))
    whole_ms = 1e3 * (np.array(track.frame_s) + track.between_s)
    shown = (TrackState.TRACKING, TrackState.HELD, TrackState.LOST)
    tracked, held, lost = (f"{100 * track.share(state):.1f} %" for state in shown)
    losses = f"{track.count(TrackState.LOST)} frames, {track.losses} times"
    again = f"; {track.found_again} of the missed ones were found again at the end" if track.found_again else ""
    return [
        f"{source.name} ({source.kind}): {len(track.poses)} frames, {track.keyframes} keyframes",
        f"{tracked} tracked, {held} held, {lost} lost ({losses}){again}",
        f"image to pose: {p50:.1f} ms p50, {p95:.1f} ms p95; with the keyframes {whole_ms.mean():.1f} ms on average",
        _camera_words(track),
        *_error_words(track, source.rate_hz),
    ]


def _camera_words(track: Track) -> str:
    c = track.camera
    if c is None:
        return "intrinsics unknown"
    origin = "given" if track.camera_given else "estimated"
    return f"intrinsics {origin}: fx {c.fx:.1f}, fy {c.fy:.1f}, cx {c.cx:.1f}, cy {c.cy:.1f} px"


def _error_words(track: Track, rate_hz: float) -> list[str]:
    truth = track.true_poses()
    score = None if truth is None else score_trajectory(np.array(track.poses), truth, rate_hz)
    if truth is None or score is None:
        return []
    # No rotation error after alignment: on a straight path the alignment may turn about the path at will.
    lines = [
        f"true path: {path_length(truth):.4g} units",
        f"ATE after Sim(3): {score.ate:.4g} units ({score.ate_percent:.2f} % of the path)",
        f"ATE after SE(3): {score.ate_se3:.4g} units ({score.ate_se3_percent:.2f} % of the path)",
    ]
    for name, error, error_deg in (
        ("frame", score.rpe_frame, score.rpe_frame_deg),
        ("second", score.rpe_second, score.rpe_second_deg),
    ):
        if error is not None:
            lines.append(f"RPE over one {name}: {error:.4g} units, {error_deg:.3f} deg")
    if score.scale_drift is not None and score.scale_range is not None:
        lines.append(
            f"scale: {score.scale_drift:.3f} times that of the first fifth of the path in the last, up to a factor of "
            f"{score.scale_range:.3f} between fifths"
        )
    return lines
