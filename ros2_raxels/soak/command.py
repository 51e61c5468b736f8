"""The command: both nodes in processes of their own, a camera and a planner that disturb them, and a report."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.harness.ros_start import start_ros
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import Frame, FrameSource, SourceError
from ros2_raxels.soak.truth import WRONG
from ros2_raxels.utils.argument_types import above_zero
from ros2_raxels.utils.files import write_json
from ros2_raxels.utils.ros_environment import RosNotFoundError, ros_environment
from ros2_raxels.utils.terminal import INTERRUPTED, StatusLine, interruptible

if TYPE_CHECKING:
    from ros2_raxels.harness.processes import Child, Family
    from ros2_raxels.soak.camera import Camera
    from ros2_raxels.soak.goals import Goals
    from ros2_raxels.soak.listener import Listener
    from ros2_raxels.soak.record import Record

_APART = {"raxels_pose": "pose.pose_node", "raxels_views": "views.view_server"}
_TOGETHER = {"raxels": "server"}
"""Modules of the processes, below ``ros2_raxels.nodes``, by the name of the node or of both nodes."""

_MOST_FRAMES = 300
"""Kept in memory and played forward and backward."""

_START_TIMEOUT_S = 60.0
_STEP_S = 0.1
_MEMORY_PERIOD_S = 1.0
_DRAIN_S = 3.0
"""The node's last counters come with diagnostics, once a second, and later from a busy machine."""


class SoakError(RuntimeError):
    """The soak cannot start; the message says which part failed and why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``raxels soak``."""
    parser.add_argument(
        "source", nargs="?", help="posed set or other recording with intrinsics; default: a rendered room"
    )
    parser.add_argument("--minutes", type=above_zero, default=10.0, help="how long (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out/soak"), help="where the results go (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of faults and goals (%(default)s)")
    parser.add_argument("--rate", type=above_zero, default=30.0, metavar="HZ", help="frame rate, Hz (%(default)s)")
    parser.add_argument(
        "--fault-every", type=above_zero, default=15.0, metavar="S", help="s between faults (%(default)s)"
    )
    parser.add_argument("--no-faults", action="store_true", help="frames and goals alone")
    parser.add_argument("--one-process", action="store_true", help="both nodes in one process")
    parser.add_argument("--goal-every", type=above_zero, default=4.0, metavar="S", help="s between goals (%(default)s)")
    parser.add_argument(
        "--memory-slope",
        type=above_zero,
        default=30.0,
        metavar="MB_PER_H",
        help="a node that grows faster after the warm-up is broken (%(default)s)",
    )
    parser.add_argument(
        "--least-poses",
        type=above_zero,
        default=25.0,
        metavar="PERCENT",
        help="fewer poses of undisturbed frames are broken (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 all is well, 1 something is broken, in words on stderr, 130 after Ctrl-C, with a report too."""
    with interruptible() as interrupted:
        try:
            return _run(args, interrupted)
        except (SoakError, RosNotFoundError, SourceError, OSError) as error:
            print(f"raxels soak: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nraxels soak: interrupted before the first frame", file=sys.stderr)
            return INTERRUPTED


def _run(args: argparse.Namespace, interrupted: Flag) -> int:
    start_ros()
    source = _source(args)
    args.out.mkdir(parents=True, exist_ok=True)
    record = _soak(args, source, interrupted)
    report = _report(args, source, record, interrupted.is_set())
    for words in report["broken"]:
        print(f"raxels soak: {words}", file=sys.stderr)
    if interrupted.is_set():
        return INTERRUPTED
    return 1 if report["broken"] else 0


def _source(args: argparse.Namespace) -> FrameSource:
    from ros2_raxels.harness.recording import Walk, shown_walk

    source = open_source(args.source or shown_walk(Walk()), limit=_MOST_FRAMES)
    if source.camera is None:
        raise SoakError(f"{source.name} has no intrinsics; give a recording that has")
    return source


# --------------------------------------------------------------------------------------------------------- running


def _soak(args: argparse.Namespace, source: FrameSource, interrupted: Flag) -> Record:
    from ros2_raxels.harness.processes import Family
    from ros2_raxels.soak.camera import Camera
    from ros2_raxels.soak.faults import schedule
    from ros2_raxels.soak.goals import Goals
    from ros2_raxels.soak.listener import Listener

    assert source.camera is not None
    events = [] if args.no_faults else schedule(60 * args.minutes, args.fault_every, args.seed)
    frames = list(source)
    # Closed in reverse order: the nodes end after those that they talk to.
    with ExitStack() as stack:
        family = Family()
        stack.callback(family.end)
        camera = Camera([frame.image for frame in frames], source.camera, args.rate, events, args.seed)
        stack.callback(camera.close)
        listener = Listener(lambda: camera.now_s, interrupted)
        stack.callback(listener.close)
        modules = _TOGETHER if args.one_process else _APART
        children = {name: _start(family, module, args.out) for name, module in modules.items()}
        _wait_for(camera, listener, children)
        goals = Goals(args.goal_every, args.seed, lambda: listener.newest, lambda: camera.now_s)
        stack.callback(goals.close)
        camera.begin()
        memory = _watch(60 * args.minutes, camera, listener, goals, children)
        return _recorded(camera, listener, goals, children, events, memory, _truth(frames))


def _truth(frames: Sequence[Frame]) -> FloatArray | None:
    """(F, 3) camera position in each frame that is played; None where the recording has no truth."""
    from ros2_raxels.soak.camera import there_and_back

    places = [None if frame.camera_to_world is None else frame.camera_to_world[:3, 3] for frame in frames]
    return None if any(place is None for place in places) else np.array(there_and_back(places))


def _start(family: Family, module: str, out: Path) -> Child:
    from ros2_raxels.soak.camera import NAMESPACE

    arguments = ["--ros-args", "-r", f"__ns:={NAMESPACE}"]
    log = out / f"{module.rpartition('.')[2]}.log"
    return family.start(f"ros2_raxels.nodes.{module}", arguments, ros_environment(), log)


def _wait_for(camera: Camera, listener: Listener, children: dict[str, Child]) -> None:
    line, until = StatusLine(), time.monotonic() + _START_TIMEOUT_S
    while not (listener.hears_both() and camera.listeners >= len(children)):
        line.show("starting pose node and view server")
        listener.spin(_STEP_S)
        died = _died(children)
        if died:
            raise SoakError("; ".join(died))
        if time.monotonic() > until:
            logs = ", ".join(str(child.log) for child in children.values())
            raise SoakError(f"the nodes did not subscribe to images within {_START_TIMEOUT_S:.0f} s; see {logs}")


def _watch(
    seconds: float, camera: Camera, listener: Listener, goals: Goals, children: dict[str, Child]
) -> dict[str, list[tuple[float, int]]]:
    """Run until the time is over, the user interrupts, or a node or the camera fails; memory by node."""
    from ros2_raxels.utils.memory import rss_bytes

    line = StatusLine()
    memory: dict[str, list[tuple[float, int]]] = {name: [] for name in children}
    sampled_s = -_MEMORY_PERIOD_S
    try:
        while camera.now_s < seconds and not camera.failure and not _died(children):
            listener.spin(_STEP_S)
            if camera.now_s - sampled_s >= _MEMORY_PERIOD_S:
                sampled_s = camera.now_s
                for name, child in children.items():
                    memory[name].append((sampled_s, rss_bytes(child.pid)))
            line.show(_progress(seconds, camera, listener, goals, memory))
    except KeyboardInterrupt:
        pass
    except OSError:
        # A node that ended between two samples; its log says why.
        pass
    line.keep(_progress(seconds, camera, listener, goals, memory))
    return memory


def _progress(
    seconds: float, camera: Camera, listener: Listener, goals: Goals, memory: dict[str, list[tuple[float, int]]]
) -> str:
    fault = camera.sent[-1].fault if camera.sent else ""
    used = "  ".join(
        f"{name.removeprefix('raxels_')} {samples[-1][1] * 1e-6:.0f} MB" for name, samples in memory.items() if samples
    )
    return (
        f"{camera.now_s / 60:5.2f}/{seconds / 60:g} min  frames {len(camera.sent)}  statuses {len(listener.answers)}  "
        f"{listener.state_name}  goals {len(goals.ended)}  {used}  fault: {fault}"
    )


def _died(children: dict[str, Child]) -> list[str]:
    return [
        f"{name} ended with exit status {child.code}: {' | '.join(child.last_words[-3:])} (see {child.log})"
        for name, child in children.items()
        if child.code is not None
    ]


def _recorded(
    camera: Camera,
    listener: Listener,
    goals: Goals,
    children: dict[str, Child],
    events: list[Any],
    memory: dict[str, list[tuple[float, int]]],
    truth: FloatArray | None,
) -> Record:
    """The record, once the camera is silent and the last answers have come in."""
    from ros2_raxels.soak.record import Record

    seconds = camera.now_s
    died = _died(children)
    if camera.failure:
        died.append(f"the soak's camera failed: {type(camera.failure).__name__}: {camera.failure}")
    camera.stop()
    listener.drain(_DRAIN_S)
    return Record(
        seconds=seconds,
        events=[event for event in events if event.begin_s < seconds],
        sent=list(camera.sent),
        bad_sent=camera.bad_sent,
        answers=dict(listener.answers),
        counts=listener.counts,
        unusable=listener.unusable,
        memory=memory,
        goals=list(goals.ended),
        logs={
            name: child.log.read_text(encoding="utf-8", errors="replace").splitlines()
            for name, child in children.items()
        },
        died=died,
        truth=truth,
        places=dict(listener.places),
    )


# ------------------------------------------------------------------------------------------------------- reporting


def _report(args: argparse.Namespace, source: FrameSource, record: Record, was_interrupted: bool) -> dict[str, Any]:
    from ros2_raxels.evaluation.machine.machine import machine
    from ros2_raxels.soak.picture import draw
    from ros2_raxels.soak.report import broken, summarise

    report = {
        "machine": machine(),
        "command": getattr(args, "command_line", "raxels soak"),
        "source": source.name,
        "rate_hz": args.rate,
        "seed": args.seed,
        "interrupted": was_interrupted,
        **summarise(record),
    }
    report["broken"] = broken(record, report, args.memory_slope, args.least_poses)
    write_json(args.out / "soak.json", report, indent=2)
    draw(record, report, args.out / "soak.png")
    for name, value in _table(report):
        print(f"  {name:<10}{value}")
    print(f"  {'picture':<10}{args.out / 'soak.png'}   soak.json and the nodes' logs are in {args.out}")
    return report


def _table(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    frames = report["frames"]
    share = 100 * frames["tracked"] / max(1, frames["sent"])
    yield (
        "frames",
        f"{frames['sent']} sent, {frames['answered']} answered, {frames['tracked']} with a pose ({share:.1f} %)",
    )
    lost = f"{frames['node_replaced']} replaced by a newer one, {frames['node_rejected']} rejected"
    yield "lost", f"{lost}, {frames['never_arrived']} never arrived; {frames['bad_sent']} bad ones were sent"
    if report["latency_p50_s"] is not None:
        p50, p95 = report["latency_p50_s"] * 1e3, report["latency_p95_s"] * 1e3
        yield "latency", f"p50 {p50:.1f} ms, p95 {p95:.1f} ms from stamp to pose"
    if report["poses"]["compared"]:
        poses = report["poses"]
        off = f"off by {poses['error_p50_percent']} % of the path's extent, p95 {poses['error_p95_percent']} %"
        yield "poses", f"{off}, {poses['wrong']} of {poses['compared']} by more than {100 * WRONG:g} %"
    for name, memory in report["memory"].items():
        slope = memory["slope_mb_per_h"]
        trend = "too short for a slope" if slope is None else f"{slope:+.1f} MB an hour after the warm-up"
        yield "memory", f"{name} {memory.get('last_mb') or 0:.0f} MB, {trend}"
    goals = report["goals"]["outcomes"]
    yield "goals", "; ".join(f"{kind}: {json.dumps(outcomes)[1:-1]}" for kind, outcomes in goals.items()) or "none"
    yield "faults", f"{len(report['events'])}; longest without a pose beside them {report['longest_without_pose_s']} s"
