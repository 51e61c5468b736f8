"""``raxels benchmark --node``: what a robot gets of a recording from the real nodes, on an idle or a busy machine."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from ros2_raxels.cli.track_live import BASE, CAMERA
from ros2_raxels.evaluation.report.tables import Table
from ros2_raxels.evaluation.tracks.state_scores import StateScore, run_peer, score_states
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.tracking.frame_state import writing_states
from ros2_raxels.utils.argument_types import size_px
from ros2_raxels.utils.files import FileError, check_writable

if TYPE_CHECKING:
    from ros2_raxels.harness.node_run import NodeRun

NODE = "node"

_PEER_PATIENCE = 5.0
_PEER_START_S = 60.0


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--node",
        action="store_true",
        help="nothing but this: play the source through the real camera and pose nodes at its own pace",
    )
    parser.add_argument(
        "--load",
        type=_loads,
        default=(0,),
        metavar="N[,N...]",
        help="so many busy processes beside it, not pinned, at the same priority; with --node one run for each",
    )
    parser.add_argument(
        "--size",
        type=size_px,
        metavar="WxH",
        help="with --node: play images at this size, px: the middle of each in that shape, resampled",
    )
    parser.add_argument(
        "--states", type=Path, metavar="FILE", help="with --node: a JSON line a frame, as for track; of each load"
    )
    parser.add_argument(
        "--states-of", choices=(BASE, CAMERA), help="with --node: whose poses; default: the base of a rig set"
    )
    parser.add_argument(
        "--peer",
        type=_peer,
        action="append",
        metavar="NAME=COMMAND",
        help="with --node: run beside the same loads; {set} in the command is the source, {out} the states to write",
    )


def _loads(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} must be whole numbers with commas between them, like 0,1,2")
    return tuple(dict.fromkeys(map(int, parts)))


def _peer(text: str) -> tuple[str, str]:
    name, _, command = text.partition("=")
    if not name or not command.strip() or "{out}" not in command:
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=COMMAND, with {{out}} in the command")
    return name, command


def check_node_options(args: argparse.Namespace) -> None:
    """Refuse what cannot be meant.

    Raises:
        FileError: in one line.
    """
    if args.node:
        if args.only is not None:
            raise FileError(f"--only {','.join(args.only)} and --node are different benchmarks; leave one of them out")
        for path in states_files(args.states, args.load):
            check_writable(path)
        return
    for name in ("size", "states", "states_of", "peer"):
        if getattr(args, name) is not None:
            raise FileError(f"--{name.replace('_', '-')} is about the nodes; give --node too")
    if len(args.load) > 1:
        raise FileError(f"--load {','.join(map(str, args.load))}: several loads take a run each of --node; give it too")


def states_files(path: Path | None, loads: Sequence[int]) -> list[Path]:
    """The file itself for one load; for several a file each, with the load in its name; none without a file."""
    if path is None:
        return []
    return [path] if len(loads) == 1 else [path.with_name(f"{path.stem}_load{load}{path.suffix}") for load in loads]


@dataclass
class _Known:
    """What is known of the frames of a recording: stamps, ns, and true poses of the camera where all are known."""

    stamps_ns: list[int] = field(default_factory=list)
    camera_to_world: list[FloatArray] = field(default_factory=list)

    @staticmethod
    def of(source: FrameSource) -> _Known:
        known = _Known()
        for frame in source:
            known.stamps_ns.append(frame.stamp_ns)
            if frame.camera_to_world is not None:
                known.camera_to_world.append(frame.camera_to_world)
        return known

    def truth(self, camera_to_base: FloatArray | None = None) -> FloatArray | None:
        if len(self.camera_to_world) != len(self.stamps_ns):
            return None
        poses = np.array(self.camera_to_world)
        return poses if camera_to_base is None else poses @ inverse_pose(camera_to_base)


def measure_node(
    args: argparse.Namespace, source: FrameSource, interrupted: Event
) -> tuple[dict[str, Any], dict[str, Table]]:
    """A record of every load, and a table.

    Raises:
        FileError: a peer fails, or there is no base whose poses are asked for.
        PlayError: a node did not start, or ended.
        KeyboardInterrupt: the user wants it to end.
    """
    mount = None if args.states_of == CAMERA else source.camera_to_base
    if args.states_of == BASE and mount is None:
        raise FileError(f"--states-of base: {source.name} does not say where its camera is on the robot; rig sets do")
    if args.states_of == CAMERA and source.rig is not None:
        raise FileError(f"--states-of camera: {source.name} is a rig, of which the nodes tell the base; leave it out")
    known, runs = _Known.of(source), []
    files: Sequence[Path | None] = states_files(args.states, args.load) or [None] * len(args.load)
    for load, file in zip(args.load, files, strict=True):
        print(f"load {load} ...", file=sys.stderr)
        run = _run(args, source, mount, known.stamps_ns, load, interrupted)
        if file is not None:
            with writing_states(file) as write:
                for state in run.states:
                    write(state)
        score = score_states(run.states, known.stamps_ns, known.truth(mount), source.rate_hz)
        peers = dict(_peers(args, known, source, load))
        runs.append({**run.record(), **_scored(score), "peers": peers})
    record = {"rate_hz": source.rate_hz, "poses_of": CAMERA if mount is None else BASE, "size": args.size, "runs": runs}
    return record, {f"Nodes, {len(known.stamps_ns)} frames at {source.rate_hz:g} Hz": _table(runs)}


def _run(
    args: argparse.Namespace,
    source: FrameSource,
    mount: FloatArray | None,
    stamps_ns: Sequence[int],
    load: int,
    interrupted: Event,
) -> NodeRun:
    from ros2_raxels.harness.node_run import run_node
    from ros2_raxels.harness.play import Play, PlayError

    logs = Path(tempfile.mkdtemp(prefix="raxels_nodes_"))
    is_rig = source.rig is not None
    wanted = Play(args.source, source, args.frames or 0, camera_to_base=mount, size=args.size, as_rig=is_rig)
    try:
        run = run_node(wanted, stamps_ns, load, logs, interrupted)
    except PlayError:
        # The error names them, for what went wrong is in them.
        raise
    except BaseException:
        shutil.rmtree(logs)
        raise
    shutil.rmtree(logs)
    return run


def _scored(score: StateScore) -> dict[str, Any]:
    return {"ate_percent": score.ate_percent, "longest_gap_s": score.longest_gap_s}


def _peers(
    args: argparse.Namespace, known: _Known, source: FrameSource, load: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    from ros2_raxels.harness.busy import busy_processes

    patience_s = _PEER_START_S + _PEER_PATIENCE * len(known.stamps_ns) / source.rate_hz
    for name, command in args.peer or ():
        with busy_processes(load):
            begun = time.monotonic()
            states, words = run_peer(command, Path(args.source), patience_s)
            seconds = time.monotonic() - begun
        score = score_states(states, known.stamps_ns, known.truth(), source.rate_hz)
        yield name, {**asdict(score), "seconds": seconds, "words": words}


def _table(runs: Sequence[dict[str, Any]]) -> Table:
    heads = ["answered", "tracked", "ATE", "longest gap", "TF gap p50", "p99", "latency p50", "p95"]
    rows: Table = [["load", "method", *heads]]
    for run in runs:
        gap, latency = run["tf_gap_ms"] or {}, run["latency_ms"] or {}
        times = [(gap, "p50"), (gap, "p99"), (latency, "p50"), (latency, "p95")]
        cells = [_share(run["answered"]), *_cells(run), *(f"{of[q]:.0f} ms" if of else "-" for of, q in times)]
        rows.append([str(run["load"]), "raxels_pose", *cells])
        rows += [["", name, "", *_cells(peer), "", "", "", ""] for name, peer in run["peers"].items()]
    return rows


def _cells(of: dict[str, Any]) -> list[str]:
    ate, gap = of["ate_percent"], of["longest_gap_s"]
    return [_share(of["tracked"]), "-" if ate is None else f"{ate:.2f} %", "-" if gap is None else f"{gap:.2f} s"]


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
