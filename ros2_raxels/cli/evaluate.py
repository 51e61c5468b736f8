"""``raxels evaluate``: our poses and those of classical two-view geometry on the same clips, in the same run."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ros2_raxels.cli.model_arguments import add_model_argument
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.evaluation.clips import variants
from ros2_raxels.evaluation.clips.clip_sets import CLIP_FRAMES, Clip, ClipAnswer, make_clips, write_answers, write_clips
from ros2_raxels.evaluation.clips.closed_loop import Loop, agreement, go_round, procedural_clips
from ros2_raxels.evaluation.clips.colmap_peer import MOST_FRAMES, require_colmap
from ros2_raxels.evaluation.clips.methods import Attempt, Method, answer_all, speed_ratio, two_view_method
from ros2_raxels.evaluation.clips.own_method import NAME, answer_clip
from ros2_raxels.evaluation.clips.peers import TwoViewPeer
from ros2_raxels.evaluation.machine.machine import machine
from ros2_raxels.evaluation.report.page import Picture, Section
from ros2_raxels.evaluation.report.report import as_markdown, as_page, sections_of
from ros2_raxels.evaluation.report.tables import as_text
from ros2_raxels.evaluation.tracks.track_scores import PEERS, TrackScore, evaluate_track
from ros2_raxels.evaluation.views.report import sheet_of
from ros2_raxels.evaluation.views.scores import TaskScore, record_of_views, score_task
from ros2_raxels.evaluation.views.tasks import ViewTask, make_view_tasks
from ros2_raxels.factory import make_denoiser, make_estimator, make_predictor, make_tracker
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.utils.argument_types import positive, several_of
from ros2_raxels.utils.files import FileError, make_folder, replacing, write_json
from ros2_raxels.view_synthesis.prediction import PredictedViews
from ros2_raxels.visualization.trajectory_plot import draw_track, picture_format
from ros2_raxels.visualization.views_sheet import draw_sheet

DATA_VARIABLE = "RAXELS_DATA"
_DATA_BESIDE = Path("..") / "shared" / "data" / "dev"
_SHEETS = 3
"""Clips of the closed loop whose views are shown, and tasks of views."""


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
    parser.add_argument("--seed", type=int, default=0, help="of the draw of clips (default: 0)")
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
    parser.add_argument("--views-model", default="", metavar="CARD", help="of --views, --curve and --closed-loop")
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
    parser.add_argument(
        "--out", type=Path, default=Path("out") / "evaluation", metavar="DIR", help="default: out/evaluation"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, print tables, and write the report (html, md, and json for programs), the clips and all answers.

    Returns:
        0, or 1 when some clips failed, which count as wrong, or some tasks of views, which do not count.

    Raises:
        FileError, SourceError: the data cannot be read or the report could not be written.
    """
    root = data_root(args.data)
    clips = make_clips(root, args.per_set, args.seed)
    if not clips:
        raise FileError(f"{root}: no set is long enough for a clip of {CLIP_FRAMES} frames; give longer ones")
    tasks = make_view_tasks(root, args.views_per_set, args.seed) if args.views else []
    tracked = [_posed_set(root, name) for name in filter(None, args.tracks.split(","))]
    if args.peers is None:
        args.peers = () if args.peer == "none" else ("chain",)
    if "colmap" in args.peers:
        require_colmap()
    for source in tracked:
        picture_format(_picture(args.out, source))
    make_folder(args.out)
    methods = _methods(args)
    answer_all(clips, methods)
    tracks = [_evaluate_track(source, args) for source in tracked]
    loops, sheets = _closed_loops(args, clips) if args.closed_loop else ({}, [])
    views, view_sheets = _views(args, tasks) if tasks else ({}, [])
    report = {
        "machine": machine(),
        "command": getattr(args, "command_line", ""),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "data": {"root": str(root), "clips": len(clips), "per_set": args.per_set, "seed": args.seed},
        "methods": {m.name: m.record(clips) for m in methods},
        "speed_ratio": _speed_ratio(methods),
        "tracks": [track.record() for track in tracks],
        "closed_loop": loops,
        "views": views,
    }
    pictures = [_track_picture(args.out, source) for source in tracked]
    sections = sections_of(report, tracks, pictures, sheets, view_sheets)
    print(as_text({section.title: section.table for section in sections}))
    _write(args.out, clips, methods, report, sections)
    failed = _report_failures(methods, clips)
    return int(failed or bool(views.get("failures")))


def _picture(folder: Path, source: FrameSource) -> Path:
    return folder / f"{source.name.replace('/', '_')}.png"


def _track_picture(folder: Path, source: FrameSource) -> Picture:
    """As it was drawn when the set was evaluated."""
    caption = f"{source.name}: raxels as known at the end, peers and the truth, all aligned to the truth with Sim(3)."
    return Picture(_picture(folder, source).read_bytes(), caption)


def _evaluate_track(source: FrameSource, args: argparse.Namespace) -> TrackScore:
    """Track a set, and draw what came of it."""
    score, drawn = evaluate_track(source, make_tracker(args.model), args.peers, args.colmap_frames)
    with replacing(_picture(args.out, source)) as temporary:
        draw_track(drawn, temporary)
    return score


def data_root(given: Path | None) -> Path:
    """The folder of posed sets to use.

    Raises:
        FileError: it does not exist, or none was given and none is where it is usually.
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
    raise FileError(f"no data: pass DATA_ROOT, the folder that holds posed sets, or set {DATA_VARIABLE}")


def _posed_set(root: Path, name: str) -> FrameSource:
    if not (root / name / "cameras.json").is_file():
        known = ", ".join(sorted(file.parent.name for file in root.glob("*/cameras.json")))
        raise FileError(f"--tracks: {root} has no set {name!r}; choose from {known}")
    return open_source(root / name)


# -------------------------------------------------------------------------------------------------------------- clips


def _methods(args: argparse.Namespace) -> list[Method]:
    """Ours, the peer, and ours with parts left out.

    Raises:
        FileError: a model cannot be loaded, or is needed and left out.
    """
    denoiser = make_denoiser(args.model)
    ours = {NAME: Estimator(denoiser=denoiser)}
    if args.ablation:
        ours |= variants.without_denoiser()
    if args.curve:
        if denoiser is None:
            raise FileError("--curve needs a model; leave --model none out")
        ours |= variants.over_steps(denoiser)
    methods = [Method(name, _attempt(estimator, not args.no_intrinsics)) for name, estimator in ours.items()]
    if args.curve:
        alone = variants.pixels_only(make_predictor(args.views_model))
        methods += [Method(name, _never_fails(answer)) for name, answer in alone.items()]
    if args.peer == "both":
        methods.insert(1, two_view_method())
    return methods


def _never_fails(answer: Callable[[Clip], ClipAnswer]) -> Attempt:
    return lambda clip: (answer(clip), "")


def _closed_loops(args: argparse.Namespace, clips: Sequence[Clip]) -> tuple[dict[str, Any], list[Picture]]:
    """Once around on the clips of one camera, and on as many procedural ones; and sheets of some of the views."""
    estimator, predictor = make_estimator(args.model), make_predictor(args.views_model)
    names: list[str] = []
    recorded: list[tuple[list[ImageArray], PinholeCamera]] = []
    for clip in clips:
        images = clip.read_images()
        cameras = clip.cameras(images)
        if cameras is not None and len(set(cameras)) == 1:
            names.append(clip.id)
            recorded.append((images, cameras[0]))
    sources = {"recorded": recorded, "procedural": procedural_clips(len(recorded), CLIP_FRAMES, args.seed)}
    rounds: dict[str, list[tuple[Loop, PredictedViews]]] = {}
    for name, source in sources.items():
        shown = tqdm(source, f"closed loop, {name}", unit="clip", disable=not sys.stderr.isatty())
        rounds[name] = [go_round(estimator, predictor, images, camera) for images, camera in shown]
    loops = {name: agreement([loop for loop, _ in of]) for name, of in rounds.items()}
    drawn = list(zip(names, recorded, rounds["recorded"], strict=True))[_some_of(len(names))]
    return loops, [_sheet(name, images, views) for name, (images, _), (_, views) in drawn]


def _some_of(count: int) -> slice:
    """Those that sheets are drawn of, evenly spread."""
    every = max(1, count // _SHEETS)
    return slice(0, every * _SHEETS, every)


def _sheet(name: str, images: Sequence[ImageArray], views: PredictedViews) -> Picture:
    return Picture.of(draw_sheet(images[:1], images[1:], views), f"{name}: views made from its first frame alone.")


def _views(args: argparse.Namespace, tasks: Sequence[ViewTask]) -> tuple[dict[str, Any], list[Picture]]:
    """Record of predicted views, with the tasks that failed and why; and sheets of some of the others.

    Raises:
        FileError: the model cannot be read, or all tasks failed.
    """
    predictor, matcher = make_predictor(args.views_model), Matcher()
    with contextlib.suppress(ValueError):
        # Untimed: nobody should pay for what is loaded at first use.
        score_task(predictor, matcher, tasks[0])
    drawn, scores, failures, sheets = tasks[_some_of(len(tasks))], list[TaskScore](), dict[str, str](), list[Picture]()
    for task in tqdm(tasks, "views", unit="task", disable=not sys.stderr.isatty()):
        try:
            score, made = score_task(predictor, matcher, task)
        except ValueError as error:
            failures[task.id] = str(error)
            tqdm.write(f"raxels: task {task.id} of --views failed and does not count: {error}", file=sys.stderr)
            continue
        scores.append(score)
        if task in drawn:
            sheets.append(sheet_of(task, made))
    if not scores:
        raise FileError(f"--views: all {len(tasks)} tasks failed, the first because {failures[tasks[0].id]}")
    record = {"model": predictor.card.name, "per_set": args.views_per_set, **record_of_views(scores)}
    return {**record, "failures": failures}, sheets


def _attempt(estimator: Estimator, use_intrinsics: bool) -> Attempt:
    return lambda clip: answer_clip(estimator, clip, use_intrinsics)


def _report_failures(methods: Sequence[Method], clips: Sequence[Clip]) -> int:
    """Name what failed; 1 if something did, else 0."""
    for method in methods:
        for clip_id, reason in method.failures.items():
            print(f"raxels: {method.name}: clip {clip_id} failed: {reason}", file=sys.stderr)
        if method.failures:
            count = f"{len(method.failures)} of {len(clips)}"
            print(f"raxels: {method.name}: {count} clips failed and count as wrong", file=sys.stderr)
    return int(any(method.failures for method in methods))


def _speed_ratio(methods: Sequence[Method]) -> float | None:
    """How many times faster ours is than the peer, by medians; None without peer, or when it answered nothing."""
    by_name = {m.name: m for m in methods}
    peer = by_name.get(TwoViewPeer.name)
    return None if peer is None else speed_ratio(by_name[NAME], peer)


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
    write_json(folder / "report.json", report, indent=1)
    for name, text in (("report.md", as_markdown(report, sections)), ("report.html", as_page(report, sections))):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(f"\n-> {folder / 'report.html'}, report.md, report.json, clips.json and the answers of each method")
