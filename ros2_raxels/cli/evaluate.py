"""``raxels evaluate``: poses by this package and by classical two-view geometry, of the same clips in the same run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ros2_raxels.cli import evaluate_honesty, evaluate_paths, evaluate_perturbed
from ros2_raxels.cli.evaluate_parts import (
    closed_loops,
    methods_of,
    picture_path,
    predicted_views,
    ratio_to_peer,
    track_picture,
    track_set,
)
from ros2_raxels.cli.model_arguments import add_model_argument
from ros2_raxels.evaluation.clips.clip_sets import CLIP_FRAMES, Clip, make_clips, write_answers, write_clips
from ros2_raxels.evaluation.clips.colmap_peer import MOST_FRAMES, require_colmap
from ros2_raxels.evaluation.clips.methods import Method, answer_all
from ros2_raxels.evaluation.machine.machine import origin
from ros2_raxels.evaluation.report.page import Section
from ros2_raxels.evaluation.report.report import as_page, sections_of, write_report
from ros2_raxels.evaluation.report.tables import as_text
from ros2_raxels.evaluation.tracks.track_scores import PEERS
from ros2_raxels.evaluation.views.tasks import make_view_tasks
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.posed_set import CAMERAS_FILE
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.utils.argument_types import positive, several_of
from ros2_raxels.utils.files import FileError, make_folder
from ros2_raxels.visualization.trajectory_plot import picture_format

DATA_VARIABLE = "RAXELS_DATA"
_DATA_BESIDE = Path("..") / "shared" / "data" / "dev"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "data",
        type=Path,
        nargs="?",
        metavar="DATA_ROOT",
        help=f"folder of posed sets (default: ${DATA_VARIABLE}, else {_DATA_BESIDE})",
    )
    parser.add_argument("--per-set", type=positive, default=30, metavar="N", help="clips of each set (default: 30)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draws of clips, of --perturbed and of --paths (default: 0)"
    )
    parser.add_argument("--peer", choices=("both", "none"), default="both", help="method beside ours (default: both)")
    parser.add_argument("--no-intrinsics", action="store_true", help="let ours estimate the focal length")
    parser.add_argument("--ablation", action="store_true", help="ours without the denoiser too, on the same clips")
    parser.add_argument("--curve", action="store_true", help="the denoiser by itself too, over the number of steps")
    parser.add_argument(
        "--closed-loop", action="store_true", help="poses, views made for them, and poses of the views: do they agree?"
    )
    parser.add_argument("--views", action="store_true", help="predicted views too, beside what the camera saw")
    parser.add_argument(
        "--views-per-set", type=positive, default=12, metavar="N", help="tasks of --views of each set (default: 12)"
    )
    add_model_argument(parser)
    parser.add_argument(
        "--views-model", default="", metavar="CARD", help="of --views, --curve, --closed-loop and --paths"
    )
    parser.add_argument(
        "--tracks", default="", metavar="SET,SET", help="names or paths of sets that are tracked as a whole too"
    )
    parser.add_argument(
        "--peers",
        type=several_of(PEERS, "peer"),
        metavar="NAME,NAME",
        help=f"beside ours on whole sets: {', '.join(PEERS)} (default: chain, or none with --peer none)",
    )
    parser.add_argument(
        "--colmap-frames",
        type=positive,
        default=MOST_FRAMES,
        metavar="N",
        help=f"that colmap is given of a set, evenly spread (default: {MOST_FRAMES})",
    )
    evaluate_perturbed.add_arguments(parser)
    evaluate_honesty.add_arguments(parser)
    evaluate_paths.add_arguments(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("out") / "evaluation", metavar="DIR", help="default: out/evaluation"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, print tables, and write the report (html, md, and json for programs), the clips and all answers.

    Returns:
        0, or 1 when some clips failed, which count as wrong, or some tasks of views, which do not count.

    Raises:
        FileError: the data cannot be read, or the report not be written.
    """
    if args.honesty is not None:
        return evaluate_honesty.run_honesty(args)
    if args.paths is not None:
        return evaluate_paths.run_paths(args)
    root = data_root(args.data)
    if args.perturbed is not None:
        return evaluate_perturbed.run_perturbed(args, _posed_sets(root, args))
    clips = make_clips(root, args.per_set, args.seed)
    if not clips:
        raise FileError(f"{root}: no set is long enough for a clip of {CLIP_FRAMES} frames; give longer ones")
    tasks = make_view_tasks(root, args.views_per_set, args.seed) if args.views else []
    tracked = _posed_sets(root, args)
    _prepare(args, tracked)
    methods = methods_of(args)
    answer_all(clips, methods)
    tracks = [track_set(source, args) for source in tracked]
    loops, sheets = closed_loops(args, clips) if args.closed_loop else ({}, [])
    views, view_sheets = predicted_views(args, tasks) if tasks else ({}, [])
    report = {
        **origin(getattr(args, "command_line", "")),
        "data": {"root": str(root), "clips": len(clips), "per_set": args.per_set, "seed": args.seed},
        "methods": {m.name: m.record(clips) for m in methods},
        "speed_ratio": ratio_to_peer(methods),
        "tracks": [track.record() for track in tracks],
        "closed_loop": loops,
        "views": views,
    }
    pictures = [track_picture(args.out, source) for source in tracked]
    sections = sections_of(report, tracks, pictures, sheets, view_sheets)
    print(as_text({section.title: section.table for section in sections}))
    _write(args.out, clips, methods, report, sections)
    failed = _report_failures(methods, clips)
    return int(failed or bool(views.get("failures")))


def _prepare(args: argparse.Namespace, tracked: Sequence[FrameSource]) -> None:
    """Check before the work that the peers can run and the results be written.

    Raises:
        FileError: they cannot.
    """
    if args.peers is None:
        args.peers = () if args.peer == "none" else ("chain",)
    if "colmap" in args.peers:
        require_colmap()
    for source in tracked:
        picture_format(picture_path(args.out, source))
    make_folder(args.out)


def data_root(given: Path | None) -> Path:
    """The folder of posed sets to use.

    Raises:
        FileError: it does not exist, or none was given and there is none in the usual place.
    """
    if given is not None:
        if not given.is_dir():
            raise FileError(f"{given} is not a folder; give the folder that holds the posed sets")
        return given
    if named := os.environ.get(DATA_VARIABLE):
        root = Path(named)
        # The variable may name all data, of which these sets are a part.
        return root / "dev" if (root / "dev").is_dir() else data_root(root)
    if _DATA_BESIDE.is_dir():
        return _DATA_BESIDE
    raise FileError(f"no data; pass DATA_ROOT, the folder that holds posed sets, or set {DATA_VARIABLE}")


def _posed_sets(root: Path, args: argparse.Namespace) -> list[FrameSource]:
    """Those of ``--tracks``."""
    return [_posed_set(root, name, args.limit) for name in filter(None, args.tracks.split(","))]


def _posed_set(root: Path, name: str, limit: int | None) -> FrameSource:
    if not (root / name / CAMERAS_FILE).is_file():
        known = ", ".join(sorted(file.parent.name for file in root.glob(f"*/{CAMERAS_FILE}")))
        raise FileError(f"--tracks: {root} has no set {name!r}; choose from {known}")
    return open_source(root / name, limit=limit)


def _report_failures(methods: Sequence[Method], clips: Sequence[Clip]) -> int:
    """Print every failure; 1 if there is one, else 0."""
    for method in methods:
        for clip_id, reason in method.failures.items():
            print(f"raxels: {method.name}: clip {clip_id} failed: {reason}", file=sys.stderr)
        if method.failures:
            count = f"{len(method.failures)} of {len(clips)}"
            print(f"raxels: {method.name}: {count} clips failed and count as wrong", file=sys.stderr)
    return int(any(method.failures for method in methods))


# ------------------------------------------------------------------------------------------------------------- report


def _write(
    folder: Path,
    clips: Sequence[Clip],
    methods: Sequence[Method],
    report: dict[str, Any],
    sections: Sequence[Section],
) -> None:
    write_clips(folder / "clips.json", clips)
    for method in methods:
        write_answers(folder / f"{method.name}.json", method.name, method.answers.values())
    write_report(folder, "report", report, sections, as_page(report, sections))
    print(f"\n-> {folder / 'report.html'}, report.md, report.json, clips.json and the answers of each method")
