"""The command: recording, nodes in processes of their own, an observer, and a report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from ros2_raxels.harness.play import Play, PlayError, play
from ros2_raxels.harness.ros_start import start_ros
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.utils.argument_types import above_zero
from ros2_raxels.utils.ros_environment import RosNotFoundError
from ros2_raxels.utils.terminal import INTERRUPTED, interruptible

if TYPE_CHECKING:
    from ros2_raxels.demo.summary import Summary
    from ros2_raxels.harness.observer import Heard

_LIVE_SECONDS = 10.0


class DemoError(RuntimeError):
    """There is nothing to show; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``raxels demo``."""
    parser.add_argument(
        "source",
        nargs="?",
        help="posed set, rig set, image folder, video, rosbag2 or camera number; default: a room is rendered",
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
        except (DemoError, PlayError, RosNotFoundError, SourceError, OSError) as error:
            print(f"raxels demo: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nraxels demo: interrupted", file=sys.stderr)
            return INTERRUPTED
    return 0


def _run(args: argparse.Namespace, interrupted: Event) -> None:
    start_ros()
    from ros2_raxels.demo.summary import read_recording, summarise

    wanted = _prepare(args)
    args.out.mkdir(parents=True, exist_ok=True)
    heard, played = play(wanted, args.out, interrupted)
    summary = summarise(heard, read_recording(wanted.source, played), played, wanted.speed, wanted.source_stamps)
    _report(summary, wanted, args.out)
    if not summary.indices:
        raise DemoError(_what_is_missing(heard, played, args.out))


def _prepare(args: argparse.Namespace) -> Play:
    spec = args.source if args.source is not None else str(_rendered(args))
    source = open_source(spec, image_topic=args.image_topic)
    seconds = args.seconds if args.source is not None else None
    if source.kind == "camera":
        seconds = seconds or _LIVE_SECONDS
    max_frames = max(1, round(seconds * source.rate_hz)) if seconds else 0
    return Play(
        spec, source, max_frames, args.speed, args.image_topic, args.use_source_stamps, as_rig=source.rig is not None
    )


def _rendered(args: argparse.Namespace) -> Path:
    from ros2_raxels.harness.recording import Walk, shown_walk

    return shown_walk(Walk(args.seconds or Walk.seconds, args.rate_hz, args.width, args.height, args.seed))


# ------------------------------------------------------------------------------------------------------- reporting


def _report(summary: Summary, played: Play, out: Path) -> None:
    from ros2_raxels import __version__
    from ros2_raxels.demo.picture import draw
    from ros2_raxels.geometry.trajectory import write_tum

    stamps_ns = summary.recording.stamps_ns or [round(i * 1e9 / played.source.rate_hz) for i in range(summary.played)]
    write_tum(out / "trajectory.tum", [stamps_ns[i] for i in summary.indices], summary.poses)
    record = {"version": __version__, "speed": played.speed, **summary.record()}
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
    names = [one.name for one in summary.recording.shown if one.name]
    yield "source", summary.recording.name
    if names:
        yield "cameras", f"{', '.join(names)}; poses are those of the base"
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
