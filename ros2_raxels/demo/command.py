"""The command: recording, nodes in processes of their own, an observer, and a report."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from ros2_raxels.harness.ros_start import start_ros
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import FrameSource, SourceError
from ros2_raxels.utils.argument_types import above_zero
from ros2_raxels.utils.ros_environment import RosNotFoundError, ros_environment
from ros2_raxels.utils.terminal import INTERRUPTED, StatusLine, interruptible

if TYPE_CHECKING:
    from ros2_raxels.demo.summary import Summary
    from ros2_raxels.harness.observer import Heard, Observer
    from ros2_raxels.harness.processes import Child, Family

_NODES = "ros2_raxels.nodes"

_START_TIMEOUT_S = 30.0
_SETTLE_S = 0.6
_DRAIN_TIMEOUT_S = 5.0
_LIVE_SECONDS = 10.0
_STEP_S = 0.1


class DemoError(RuntimeError):
    """The demo cannot go on; the message says which part failed and why, with the last lines of its output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``raxels demo``."""
    parser.add_argument(
        "source",
        nargs="?",
        help="posed set, image folder, video, rosbag2 or camera number; default: a room is rendered",
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="where the results go (%(default)s)")
    parser.add_argument("--seconds", type=above_zero, help="play so long (default: all; rendered and live: 7 and 10)")
    parser.add_argument("--speed", type=above_zero, default=1.0, help="play so many times as fast (%(default)s)")
    parser.add_argument(
        "--image-topic", "--topic", metavar="TOPIC", help="of a bag with several (--topic is the old name)"
    )
    parser.add_argument("--use-source-stamps", action="store_true", help="stamp with the recording's own times")
    rendered = parser.add_argument_group("rendered room")
    rendered.add_argument(
        "--rate-hz",
        "--rate",
        type=above_zero,
        default=30.0,
        metavar="R",
        help="frame rate, Hz (%(default)s; --rate is the old name)",
    )
    rendered.add_argument("--width", type=_size, default=640, help="px (%(default)s)")
    rendered.add_argument("--height", type=_size, default=480, help="px (%(default)s)")
    rendered.add_argument("--seed", type=int, default=3, help="of room and movement (%(default)s)")


def _size(text: str) -> int:
    value = int(text)
    if not 32 <= value <= 4096:
        raise argparse.ArgumentTypeError(f"{text} px must lie between 32 and 4096")
    return value


def run(args: argparse.Namespace) -> int:
    """Exit status of the demo: 0, 1 with a reason on stderr, or 130 after Ctrl-C. Children never outlive it."""
    with interruptible() as interrupted:
        try:
            _run(args, interrupted)
        except (DemoError, RosNotFoundError, SourceError, OSError) as error:
            print(f"raxels demo: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nraxels demo: interrupted", file=sys.stderr)
            return INTERRUPTED
    return 0


def _run(args: argparse.Namespace, interrupted: Event) -> None:
    start_ros()
    from ros2_raxels.demo.summary import read_recording, summarise

    play = _prepare(args)
    args.out.mkdir(parents=True, exist_ok=True)
    heard, played = _play(play, args.out, interrupted)
    summary = summarise(heard, read_recording(play.source, played), played, play.speed, play.source_stamps)
    _report(summary, play, args.out)
    if not summary.indices:
        raise DemoError(_what_is_missing(heard, played, args.out))


@dataclass(frozen=True)
class _Play:
    """What the camera node is told to play."""

    spec: str
    source: FrameSource
    max_frames: int
    speed: float
    topic: str | None
    source_stamps: bool

    @property
    def frames(self) -> int | None:
        """Expected number of frames, if known."""
        counts = [n for n in (self.source.length, self.max_frames or None) if n is not None]
        return min(counts, default=None)


def _prepare(args: argparse.Namespace) -> _Play:
    spec = args.source if args.source is not None else str(_rendered(args))
    source = open_source(spec, image_topic=args.image_topic)
    seconds = args.seconds if args.source is not None else None
    if source.kind == "camera":
        seconds = seconds or _LIVE_SECONDS
    max_frames = max(1, round(seconds * source.rate_hz)) if seconds else 0
    return _Play(spec, source, max_frames, args.speed, args.image_topic, args.use_source_stamps)


def _rendered(args: argparse.Namespace) -> Path:
    from ros2_raxels.harness.recording import Walk, shown_walk

    return shown_walk(Walk(args.seconds or Walk.seconds, args.rate_hz, args.width, args.height, args.seed))


# --------------------------------------------------------------------------------------------------------- playing


def _play(play: _Play, out: Path, interrupted: Event) -> tuple[Heard, int]:
    """What the observer heard, and the number of frames that were played."""
    from ros2_raxels.harness.observer import Observer
    from ros2_raxels.harness.processes import Family

    family = Family()
    observer = Observer(has_camera_info=play.source.camera is not None, interrupted=interrupted)
    try:
        played = _run_nodes(play, out, observer, family)
    finally:
        family.end()
        observer.close()
    return observer.heard, played


def _run_nodes(play: _Play, out: Path, observer: Observer, family: Family) -> int:
    """Start both nodes and watch until the recording ends; the number of frames that were played."""
    from ros2_raxels.harness.observer import IMAGE_TOPIC, INFO_TOPIC, POSE_TOPIC, STATUS_TOPIC

    line = _Progress(play.frames, has_latency=not play.source_stamps)
    pose = family.start(f"{_NODES}.pose.pose_node", _pose_arguments(play), ros_environment(), out / "pose_node.log")
    _wait_for(observer, pose, (POSE_TOPIC, STATUS_TOPIC), line)
    camera = family.start(
        f"{_NODES}.camera_player", _camera_arguments(play), ros_environment(), out / "camera_player.log"
    )
    _wait_for(observer, camera, (IMAGE_TOPIC, INFO_TOPIC) if play.source.camera else (IMAGE_TOPIC,), line)
    while camera.code is None:
        line.update(observer)
        _check(pose)
        observer.spin(_STEP_S)
    _check(camera)
    _drain(observer, pose)
    line.end(observer)
    return _played_frames(camera)


def _wait_for(observer: Observer, child: Child, topics: tuple[str, ...], line: _Progress) -> None:
    until = time.monotonic() + _START_TIMEOUT_S
    while not observer.hears(*topics):
        line.show(f"starting {child.module}")
        _check(child)
        if child.code == 0:
            # A recording of a few frames may be over before its topics were seen.
            return
        if time.monotonic() > until:
            raise DemoError(
                f"{child.module} did not offer {', '.join(topics)} in {_START_TIMEOUT_S:.0f} s; see {child.log}"
            )
        observer.spin(_STEP_S)


def _pose_arguments(play: _Play) -> list[str]:
    # Waiting for intrinsics that will never come would cost the beginning of the recording.
    guess = ["-p", "camera_info_timeout_s:=0.0", "-p", "allow_uncalibrated:=true"]
    patience = [] if play.source.camera is not None else guess
    return ["--ros-args", "-r", "image:=/camera/image_raw", "-r", "camera_info:=/camera/camera_info", *patience]


def _camera_arguments(play: _Play) -> list[str]:
    # JSON strings are YAML strings: a path of digits stays a path, and one with blanks stays one value.
    parameters: dict[str, Any] = {
        "source": json.dumps(play.spec if play.spec.isdecimal() else str(Path(play.spec).expanduser().resolve())),
        "speed": float(play.speed),
        "limit": play.max_frames,
        "use_source_stamps": str(play.source_stamps).lower(),
        # The pose node and the observer.
        "wait_for_subscribers": 2,
        "wait_timeout_s": 2 * _START_TIMEOUT_S,
    }
    if play.topic:
        parameters["image_topic"] = json.dumps(play.topic)
    settings = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return ["--ros-args", *settings]


def _check(child: Child) -> None:
    if child.code:
        words = "".join(f"\n  | {line}" for line in child.last_words)
        raise DemoError(
            f"{child.module} ended with exit status {child.code}; its last words (all in {child.log}):{words}"
        )


def _drain(observer: Observer, pose: Child) -> None:
    """Wait until the pose node has answered everything that it received."""
    until = time.monotonic() + _DRAIN_TIMEOUT_S
    before = -1
    while time.monotonic() < until and before != len(observer.heard.confidence):
        before = len(observer.heard.confidence)
        observer.spin(_SETTLE_S)
        _check(pose)


def _played_frames(camera: Child) -> int:
    found = re.search(r"played (\d+) frames", "\n".join(camera.last_words))
    if not found or found[1] == "0":
        raise DemoError(f"{camera.module} played nothing; see {camera.log}")
    return int(found[1])


class _Progress:
    """Progress of the demo on the status line."""

    def __init__(self, frames: int | None, has_latency: bool) -> None:
        self._frames, self._has_latency = frames, has_latency
        self._line = StatusLine()
        self._begun = time.monotonic()
        self.show = self._line.show

    def update(self, observer: Observer) -> None:
        """Show the current state."""
        self.show(self._text(observer))

    def end(self, observer: Observer) -> None:
        """Show the final state, and keep that line."""
        self._line.keep(self._text(observer))

    def _text(self, observer: Observer) -> str:
        heard = observer.heard
        sent = f"{len(heard.published_ns)}" + (f"/{self._frames}" if self._frames else "")
        text = f"{time.monotonic() - self._begun:5.1f} s  frames {sent}  poses {len(heard.poses)}  {heard.state}"
        if heard.latency_s and self._has_latency:
            newest = next(reversed(heard.latency_s))
            text += f"  latency {heard.latency_s[newest] * 1e3:.0f} ms"
        return text


# ------------------------------------------------------------------------------------------------------- reporting


def _report(summary: Summary, play: _Play, out: Path) -> None:
    from ros2_raxels import __version__
    from ros2_raxels.demo.picture import draw
    from ros2_raxels.geometry.trajectory import write_tum

    stamps_ns = summary.recording.stamps_ns or [round(i * 1e9 / play.source.rate_hz) for i in range(summary.played)]
    write_tum(out / "trajectory.tum", [stamps_ns[i] for i in summary.indices], summary.poses)
    record = {"version": __version__, "speed": play.speed, **summary.record()}
    (out / "report.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    picture = out / "demo.png"
    if summary.indices:
        draw(summary, picture)
    else:
        # The picture of an earlier run would pass for this run's.
        picture.unlink(missing_ok=True)
    for name, value in _table(summary):
        print(f"  {name:<10}{value}")
    drawn = str(picture) if summary.indices else "not drawn: it takes a pose"
    print(f"  {'picture':<10}{drawn}   trajectory.tum and report.json are in {out}")


def _what_is_missing(heard: Heard, played: int, out: Path) -> str:
    """Why there is nothing to show, and the remedy."""
    if not heard.poses:
        said = heard.message or "nothing"
        return f"no pose in {played} frames; the pose node says: {said}; all that it said is in {out / 'pose_node.log'}"
    return (
        f"{len(heard.poses)} poses were received, but none can be assigned to a frame: stamps of "
        f"{len(heard.published_ns)} of {played} frames were received from the camera, no pose has one of them; make "
        "sure that no other camera or pose node uses this ROS_DOMAIN_ID, and start again"
    )


def _table(summary: Summary) -> Iterator[tuple[str, str]]:
    from ros2_raxels.demo.summary import FEWEST_TO_ALIGN

    share = 100.0 * summary.delivered / summary.played
    yield "source", summary.recording.name
    yield "delivered", f"{summary.delivered} of {summary.played} frames ({share:.1f} %)"
    yield "poses", f"{len(summary.indices)} ({100 * summary.coverage:.1f} % of the frames)"
    latency = summary.latency_percentiles_s
    if latency:
        yield "latency", f"p50 {latency[0] * 1e3:.1f} ms, p95 {latency[1] * 1e3:.1f} ms from stamp to pose"
    error = summary.error
    if error:
        length = f"{error.path_length:.2f} {summary.recording.unit}"
        size = (
            f"{error.translation_rmse * 100:.2f} cm"
            if summary.recording.unit == "m"
            else f"{error.translation_rmse:.4g}"
        )
        yield "ATE", f"{size} ({error.translation_percent:.2f} % of {length}) after Sim(3)"
        yield "rotation", f"{summary.rotation_rmse_deg:.2f} deg RMSE"
    elif summary.recording.truth is None:
        yield "ATE", "unknown: the source carries no true poses"
    else:
        yield "ATE", f"unknown: it takes {FEWEST_TO_ALIGN} poses, there are {len(summary.indices)}"
