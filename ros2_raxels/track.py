"""``raxels track``: a recording or a live camera to a trajectory."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ros2_raxels import estimate
from ros2_raxels.denoise import STREAM
from ros2_raxels.evaluation.trajectory import path_length, score_trajectory, write_tum
from ros2_raxels.files import check_writable, replacing
from ros2_raxels.geometry import FloatArray, GeometryError, PinholeCamera, relative_pose
from ros2_raxels.sources import Frame, FrameSource, SourceError, open_source
from ros2_raxels.terminal import INTERRUPTED
from ros2_raxels.track_picture import DrawnTrack, draw_track, picture_format
from ros2_raxels.track_view import TrackView, check_view, open_view
from ros2_raxels.tracker import TrackedPose, Tracker, TrackerSettings, TrackState


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
        type=parse_intrinsics,
        metavar="FX,FY,CX,CY",
        help="px; default: those of the recording, else the focal length is estimated",
    )
    parser.add_argument("--image-topic", metavar="TOPIC", help="of a bag with several")
    parser.add_argument("--rate-hz", type=float, metavar="R", help="where the recording carries no times")
    estimate.add_model_argument(parser)
    parser.add_argument(
        "--live",
        action="store_true",
        help="write every pose as it was answered at its time; default: as it is known at the end, corrected by loops",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many frames")


def parse_intrinsics(text: str) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in px from ``fx,fy,cx,cy``.

    Raises:
        argparse.ArgumentTypeError: other than four finite numbers, or a focal length that is not positive.
    """
    try:
        fx, fy, cx, cy = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be four numbers fx,fy,cx,cy in px") from None
    if not all(map(math.isfinite, (fx, fy, cx, cy))) or fx <= 0 or fy <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be finite, and fx and fy positive")
    return fx, fy, cx, cy


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


# ----------------------------------------------------------------------------------------------------------- tracking


@dataclass
class Track:
    """What is known of a recording's frames so far, one entry a frame.

    Attributes:
        stamps_ns: as recorded.
        poses: (4, 4) camera_to_world each; held ones included.
        live: the same as they were answered; empty until `settle`.
        found_again: how many frames that were missed `settle` has found.
        answers: those of the tracker.
        truth: true camera_to_world each, or None.
        states: of the tracker; frames that were solved later count as TRACKING.
        keyframes: how many there were.
        frame_s: wall time from image to pose, s.
        between_s: wall time of what a frame leaves to be done after its pose, s.
        camera: intrinsics of the last frame, px.
        camera_given: whether those were known beforehand.
    """

    stamps_ns: list[int] = field(default_factory=list)
    poses: list[FloatArray] = field(default_factory=list)
    live: list[FloatArray] = field(default_factory=list)
    found_again: int = 0
    answers: list[TrackedPose] = field(default_factory=list)
    truth: list[FloatArray | None] = field(default_factory=list)
    states: list[TrackState] = field(default_factory=list)
    keyframes: int = 0
    frame_s: list[float] = field(default_factory=list)
    between_s: list[float] = field(default_factory=list)
    camera: PinholeCamera | None = None
    camera_given: bool = False

    def add(self, frame: Frame, found: TrackedPose, seconds: float) -> None:
        """Take over the answer for the newest frame and what it says about earlier ones."""
        self.stamps_ns.append(found.stamp_ns)
        self.poses.append(found.camera_to_world)
        self.answers.append(found)
        self.truth.append(frame.camera_to_world)
        self.states.append(found.state)
        self.keyframes += found.keyframe
        self.frame_s.append(seconds)
        for stamp_ns, pose in found.earlier:
            self._replace(stamp_ns, pose, found)

    def settle(self, tracker: Tracker, look: bool = True) -> None:
        """Take over what is known of all frames at the end; what was answered at their time is kept as `live`.

        Args:
            tracker: that has answered.
            look: for frames that were missed once more, with progress on a terminal.
        """
        if look:
            looks = tqdm(
                tracker.look_again(), "missed frames", tracker.missed, unit="look", disable=not sys.stderr.isatty()
            )
            self.found_again = sum(looks)
        self.live = self.poses
        self.poses = [tracker.pose_now(answer) for answer in self.answers]

    def _replace(self, stamp_ns: int, pose: FloatArray, found: TrackedPose) -> None:
        # From the newest back: the stamps of a bag may repeat.
        for index in reversed(range(len(self.stamps_ns))):
            if self.stamps_ns[index] == stamp_ns:
                self.poses[index], self.states[index] = pose, TrackState.TRACKING
                anchor = found.anchor and replace(found.anchor, pose=relative_pose(found.camera_to_world, pose))
                self.answers[index] = replace(self.answers[index], camera_to_world=pose, anchor=anchor)
                return

    def share(self, state: TrackState) -> float:
        """Share of the frames in a state, 0 to 1."""
        return self.count(state) / max(1, len(self.states))

    def true_poses(self) -> FloatArray | None:
        """(N, 4, 4) of all frames; None when one of them is not known."""
        known = [pose for pose in self.truth if pose is not None]
        return np.array(known) if len(known) == len(self.poses) > 0 else None

    def drawn(self, title: str) -> DrawnTrack:
        """As a picture shows it."""
        missed = np.array([state is not TrackState.TRACKING for state in self.states])
        return DrawnTrack(title, self.stamps_ns, np.array(self.poses), missed, self.true_poses())

    def count(self, state: TrackState) -> int:
        """Number of frames in a state."""
        return sum(s is state for s in self.states)

    @property
    def losses(self) -> int:
        """How often tracking was lost."""
        return sum(
            now is TrackState.LOST and before is not TrackState.LOST
            for before, now in zip([TrackState.WAITING, *self.states], self.states, strict=False)
        )


def make_tracker(model: str) -> Tracker:
    """A tracker with the denoiser of a card; ``none`` leaves it out, empty takes the shipped one.

    Raises:
        FileError: the model is missing, damaged or cannot be run.
    """
    return Tracker(TrackerSettings(history=True), estimate.make_denoiser(model, STREAM))


def follow(
    track: Track,
    source: FrameSource,
    tracker: Tracker,
    intrinsics: tuple[float, float, float, float] | None = None,
) -> Iterator[tuple[Frame, TrackedPose]]:
    """Track frame by frame into ``track``, which is complete up to the last answer whenever this stops.

    Args:
        track: filled.
        source: the recording.
        tracker: a fresh one.
        intrinsics: fx, fy, cx, cy in px that replace those of the recording.

    Raises:
        SourceError: an image cannot be read, or does not fit its camera.
    """
    for frame in source:
        camera = frame.camera if intrinsics is None else _camera(frame, intrinsics)
        begin = time.perf_counter()
        try:
            found = tracker.track(frame.image, frame.stamp_ns, camera)
        except ValueError as error:
            raise SourceError(f"{frame.name}: {error}") from error
        track.add(frame, found, time.perf_counter() - begin)
        begin = time.perf_counter()
        try:
            tracker.improve()
        finally:
            track.between_s.append(time.perf_counter() - begin)
        height, width = frame.image.shape[:2]
        in_use = camera or tracker.camera
        track.camera, track.camera_given = in_use and in_use.resized(width, height), camera is not None
        yield frame, found


def _camera(frame: Frame, intrinsics: tuple[float, float, float, float]) -> PinholeCamera:
    height, width = frame.image.shape[:2]
    try:
        return PinholeCamera(width, height, *intrinsics)
    except GeometryError as error:
        raise SourceError(f"{frame.name}: {error}") from error


def _follow_with_progress(
    track: Track,
    source: FrameSource,
    intrinsics: tuple[float, float, float, float] | None,
    tracker: Tracker,
    view: TrackView | None,
) -> int:
    """The exit status that the recording's end stands for."""
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
    # Without its rotation error: on a straight path the alignment may turn about the path at will.
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
