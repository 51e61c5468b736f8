"""``raxels views``: predicted views for each task of a ``tasks.json``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ros2_raxels.cli.model_arguments import add_predictor_arguments
from ros2_raxels.cli.view_output import WIDEST_PX, record_of, size_of_views, write_depths, write_image, write_views
from ros2_raxels.engine import EngineError
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.evaluation.views.tasks import ViewTask, read_tasks
from ros2_raxels.factory import make_predictor
from ros2_raxels.recordings.source import SourceError, read_image
from ros2_raxels.utils.argument_types import positive
from ros2_raxels.utils.files import make_folder, write_json
from ros2_raxels.view_synthesis.prediction import PredictionRequest
from ros2_raxels.view_synthesis.predictor import ViewPredictor
from ros2_raxels.view_synthesis.self_consistency import check_views
from ros2_raxels.visualization.views_sheet import draw_sheet

REPORT = "views.json"
SHEET = "sheet.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--tasks", type=Path, required=True, metavar="FILE", help="tasks.json: frames and trajectories")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"views go here, and {REPORT}")
    parser.add_argument(
        "--width",
        type=positive,
        default=None,
        metavar="PX",
        help="of the views; those of narrower known frames have the width of the frames "
        f"(default: that of the frames, up to {WIDEST_PX})",
    )
    parser.add_argument("--steps", type=positive, default=None, metavar="N", help="denoising steps (default: 1)")
    parser.add_argument(
        "--sheet",
        action="store_true",
        help=f"beside the views of each task {SHEET}: known frames, truth, prediction, difference, expected error",
    )
    parser.add_argument(
        "--depth",
        action="store_true",
        help="beside each view 000_depth.tiff, its z-depth (float32, unit of the poses), and 000_unseen.png, white "
        "where no known frame has shown what is there",
    )
    add_predictor_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Answer all tasks.

    Returns:
        0, or 1 when some tasks failed; those have no views, and the report says why.

    Raises:
        FileError: the tasks or the model cannot be read, or nothing can be written.
    """
    tasks = read_tasks(args.tasks)
    make_folder(args.out)
    predictor, estimator = make_predictor(args.model), Estimator()
    records, failed = [], 0
    with tqdm(tasks, unit="task", disable=not sys.stderr.isatty()) as progress:
        for task in progress:
            record, reason = _answer(predictor, estimator, task, args)
            records.append(record)
            if reason:
                failed += 1
                progress.write(f"raxels: task {task.id} failed: {reason}", file=sys.stderr)
    write_json(args.out / REPORT, {"model": predictor.card.name, "seed": args.seed, "tasks": records}, indent=1)
    print(_summary(records, args.out))
    if args.width:
        narrower = sum(record.get("width", args.width) < args.width for record in records)
        _say_narrower(narrower, len(records), args.width)
    if failed:
        print(f"raxels: {failed} of {len(tasks)} tasks failed; {args.out / REPORT} says why", file=sys.stderr)
    return 1 if failed else 0


def _answer(
    predictor: ViewPredictor, estimator: Estimator, task: ViewTask, args: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    begin = time.perf_counter()
    try:
        images, camera = task.read()
        size = size_of_views(camera, min(args.width, camera.width) if args.width else None)
        poses, ahead, seen = task.context_to_world, task.trajectory, task.shown()
        request = PredictionRequest(images, camera, poses, ahead, args.seed, args.steps, size, seen=seen)
        views = predictor.predict(request)
    except (ValueError, EngineError) as error:
        return {"id": task.id, "error": str(error)}, str(error)
    seconds = time.perf_counter() - begin
    write_views(task.folder(args.out), views)
    if args.depth:
        write_depths(task.folder(args.out), views)
    checked = check_views(predictor, estimator, images, task.context_to_world, views, task.own)
    record = {"id": task.id, "width": size[0], **record_of(views, checked), "seconds": seconds}
    if args.sheet:
        try:
            truth = [read_image(path) for path in task.truth]
        except SourceError as error:
            return {**record, "error": str(error)}, str(error)
        write_image(
            task.folder(args.out) / SHEET, draw_sheet(images, truth, replace(views, confidence=checked.confidence))
        )
    return record, ""


def _say_narrower(narrower: int, tasks: int, width: int) -> None:
    if narrower:
        print(f"raxels: {narrower} of {tasks} tasks have views narrower than --width {width}: their known frames are")


def _summary(records: Sequence[dict[str, Any]], out: Path) -> str:
    done = [record for record in records if "error" not in record]
    if not done:
        return f"no views -> {out}"
    views = sum(len(record["confidence"]) for record in done)
    ms = 1e3 * float(np.median([record["seconds"] for record in done]))
    confidence = float(np.mean(np.concatenate([record["confidence"] for record in done])))
    return f"{views} views of {len(done)} tasks, median {ms:.0f} ms a task, mean confidence {confidence:.2f} -> {out}"
