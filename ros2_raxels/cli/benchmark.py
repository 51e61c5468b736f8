"""``raxels benchmark``: speed and memory on this machine, by stage."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

from ros2_raxels.cli.benchmark_node import NODE, add_node_arguments, check_node_options, measure_node
from ros2_raxels.cli.benchmark_sections import MIB, SECTIONS, cost_panels
from ros2_raxels.cli.model_arguments import add_model_argument
from ros2_raxels.evaluation.machine.machine import origin
from ros2_raxels.evaluation.report.charts import curves
from ros2_raxels.evaluation.report.tables import Table, as_text
from ros2_raxels.harness.busy import busy_processes
from ros2_raxels.harness.play import PlayError
from ros2_raxels.harness.recording import Walk, shown_walk
from ros2_raxels.harness.ros_start import start_ros
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.utils.argument_types import positive, several_of
from ros2_raxels.utils.files import FileError, check_writable, replacing, write_json
from ros2_raxels.utils.memory import peak_rss_bytes, rss_bytes
from ros2_raxels.utils.ros_environment import RosNotFoundError
from ros2_raxels.utils.terminal import INTERRUPTED, interruptible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("source", nargs="?", help="recording, as for track; default: the room of the demo")
    parser.add_argument("--frames", type=positive, metavar="N", help="at most so many of the source")
    sections = several_of(SECTIONS, "section")
    parser.add_argument("--only", type=sections, metavar="NAME,NAME", help=f"of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument(
        "--memory-frames",
        type=positive,
        metavar="N",
        help="frames for memory, which repeats the source to see whether it grows",
    )
    parser.add_argument("--clips", type=positive, default=12, metavar="N", help="clips for estimate (default: 12)")
    parser.add_argument("--calls", type=positive, default=20, metavar="N", help="calls of each network (default: 20)")
    add_node_arguments(parser)
    add_model_argument(parser)
    parser.add_argument("--views-model", default="", metavar="CARD", help="model card for views (default: shipped)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="report to write (.json)")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="picture to write (.png): what a frame costs by resolution and map size",
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print tables, and write the report where one is asked for.

    Returns:
        0, or 130 after Ctrl-C while nodes are measured.

    Raises:
        FileError: the source or a model cannot be read, the nodes cannot be run, or the report not be written.
    """
    check_node_options(args)
    for path in (args.out, args.plot):
        if path is not None:
            check_writable(path)
    if args.plot is not None and (args.node or not {"resolution", "memory"} & set(_chosen(args))):
        raise FileError("--plot draws the sections resolution and memory; measure one of them (--memory-frames N)")
    if not args.node:
        chosen, source = _chosen(args), _open(args)
        with busy_processes(args.load[0]):
            report, tables = _measure(chosen, source, args)
        if args.plot is not None:
            with replacing(args.plot) as temporary:
                temporary.write_bytes(curves(cost_panels(report)))
        return _show(report, tables, args.out)
    with interruptible() as interrupted:
        try:
            start_ros()
            report, tables = _measure_node(_open(args), args, interrupted)
        except (PlayError, RosNotFoundError) as error:
            raise FileError(str(error)) from error
        except KeyboardInterrupt:
            print("\nraxels benchmark: interrupted", file=sys.stderr)
            return INTERRUPTED
    return _show(report, tables, args.out)


def _show(report: dict[str, Any], tables: dict[str, Table], out: Path | None) -> int:
    print("\n".join([_machine_words(report), "", as_text(tables)]))
    if out is not None:
        write_json(out, report, indent=1)
        print(f"\n-> {out}")
    return 0


def _begun(source: FrameSource, args: argparse.Namespace) -> dict[str, Any]:
    """What every report says."""
    return {
        **origin(getattr(args, "command_line", "")),
        "source": source.name,
        "busy_processes": list(args.load),
        "rss_bytes": {"start": rss_bytes()},
        "load_average": {"start": _load()},
    }


def _measure_node(
    source: FrameSource, args: argparse.Namespace, interrupted: Event
) -> tuple[dict[str, Any], dict[str, Table]]:
    """The report of the real nodes, and its table."""
    report = _begun(source, args)
    report[NODE], tables = measure_node(args, source, interrupted)
    report["load_average"][f"after {NODE}"] = _load()
    return report, tables


def _measure(
    sections: Sequence[str], source: FrameSource, args: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Table]]:
    """The report of some sections, and their tables."""
    report = _begun(source, args)
    tables: dict[str, Table] = {}
    for name in sections:
        print(f"{name} ...", file=sys.stderr)
        report[name], shown = SECTIONS[name](args, source)
        report["rss_bytes"][f"after {name}"] = rss_bytes()
        # Whatever else runs on the machine makes every number worse.
        report["load_average"][f"after {name}"] = _load()
        tables |= shown
    report["rss_bytes"]["peak"] = peak_rss_bytes()
    return report, tables


def _chosen(args: argparse.Namespace) -> tuple[str, ...]:
    """Sections to measure.

    Raises:
        FileError: a section is named that cannot be measured with these options.
    """
    left_out = set()
    if args.model == "none":
        left_out.add("denoiser")
    if args.memory_frames is None:
        left_out.add("memory")
    if args.only is None:
        return tuple(name for name in SECTIONS if name not in left_out)
    missing = {
        "denoiser": "there is no model; leave --model none out",
        "memory": "it has no length; add --memory-frames N",
    }
    for name in args.only:
        if name in left_out:
            raise FileError(f"--only {name} cannot be measured: {missing[name]}")
    return tuple(args.only)


def _open(args: argparse.Namespace) -> FrameSource:
    """The source, which `args.source` names from then on.

    Raises:
        SourceError: it cannot be opened.
        FileError: it is a live camera.
    """
    if (args.source or "").isdecimal():
        raise FileError(f"camera {args.source} never shows the same twice; record it, or give another recording")
    args.source = str(args.source or shown_walk(Walk()))
    return open_source(args.source, limit=args.frames)


def _load() -> float:
    """Mean number of runnable processes over the last minute, this one among them."""
    return round(os.getloadavg()[0], 2)


def _machine_words(report: dict[str, Any]) -> str:
    m, rss = report["machine"], {name: f"{size / MIB:.0f}" for name, size in report["rss_bytes"].items()}
    lines = {"MiB of memory": rss, "load average": report["load_average"]}
    return "\n".join(
        [
            f"{report['source']} on {m['cpu']}, {m['cores']} cores, ONNX Runtime {m['onnxruntime']}",
            *(f"{what}: {', '.join(f'{value} {when}' for when, value in of.items())}" for what, of in lines.items()),
        ]
    )
