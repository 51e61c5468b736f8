"""``raxels views``: predicted views for each task of a ``tasks.json``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ros2_raxels.consistency import Checked, check_views
from ros2_raxels.engine import EngineError
from ros2_raxels.estimate import model_card
from ros2_raxels.estimator import Estimator
from ros2_raxels.files import FileError, load_json, make_folder, numbers, replacing, shown, take, take_list, write_json
from ros2_raxels.geometry import FloatArray, PinholeCamera
from ros2_raxels.image_codec import ImageArray
from ros2_raxels.options import natural, positive
from ros2_raxels.predictor import SHIPPED, PredictedViews, PredictorSettings, ViewPredictor
from ros2_raxels.sources import SourceError, read_image
from ros2_raxels.views_sheet import draw_sheet

REPORT = "views.json"
SHEET = "sheet.png"


@dataclass(frozen=True, eq=False)
class ViewTask:
    """Known frames and a trajectory to look along.

    Attributes:
        id: of the task.
        context: image files, oldest first.
        context_to_world: (K, 4, 4) optical frames.
        intrinsics: fx, fy, cx, cy, px of the stored images.
        trajectory: (T, 4, 4) camera to world.
        truth: image files of what was seen along it, where that is known.
    """

    id: str
    context: tuple[Path, ...]
    context_to_world: FloatArray
    intrinsics: FloatArray
    trajectory: FloatArray
    truth: tuple[Path, ...] = ()

    def folder(self, root: Path) -> Path:
        """Where its views go."""
        return root / self.name

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.id.replace("/", "_")

    def read(self) -> tuple[list[ImageArray], PinholeCamera]:
        """Images and their camera.

        Raises:
            SourceError: an image cannot be read.
            ValueError: images of several sizes, or intrinsics that no camera has.
        """
        images = [read_image(path) for path in self.context]
        height, width = images[0].shape[:2]
        return images, PinholeCamera(width, height, *self.intrinsics.tolist())


def read_tasks(path: Path) -> list[ViewTask]:
    """Tasks of a file.

    Raises:
        FileError: missing file, no JSON, a missing key, a wrong value, or an id that occurs twice.
    """
    tasks: dict[str, ViewTask] = {}
    for index, record in enumerate(take_list(load_json(path), "tasks", str(path))):
        task = _task(record, f"{path}: tasks[{index}]")
        if task.name in tasks:
            raise FileError(f"{path}: tasks[{index}].id = {task.id!r}: folder {task.name} occurs twice; rename one")
        if task.name in ("", ".", ".."):
            raise FileError(f"{path}: tasks[{index}].id = {task.id!r} names no folder; give a name")
        tasks[task.name] = task
    return list(tasks.values())


def _task(record: object, where: str) -> ViewTask:
    context = take_list(record, "context", where)
    if not context or not all(isinstance(path, str) for path in context):
        raise FileError(f"{where}.context = {shown(context)} must be one or more paths; name the known frames")
    truth = take_list(record, "truth", where) if isinstance(record, dict) and "truth" in record else []
    if not all(isinstance(path, str) for path in truth):
        raise FileError(f"{where}.truth = {shown(truth)} must be paths, or left out")
    return ViewTask(
        str(take(record, "id", where)),
        tuple(map(Path, context)),
        numbers(take(record, "context_poses", where), (len(context), 4, 4), f"{where}.context_poses"),
        numbers(take(record, "intrinsics", where), (4,), f"{where}.intrinsics"),
        numbers(take(record, "trajectory", where), (-1, 4, 4), f"{where}.trajectory"),
        tuple(map(Path, truth)),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--tasks", type=Path, required=True, metavar="FILE", help="tasks.json: frames and trajectories")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"views go here, and {REPORT}")
    parser.add_argument("--steps", type=positive, default=None, metavar="N", help="denoising steps (default: 1)")
    parser.add_argument(
        "--sheet",
        action="store_true",
        help=f"beside the views of each task {SHEET}: known frames, truth, prediction, difference, expected error",
    )
    add_predictor_arguments(parser)


def add_predictor_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of all commands that make views."""
    parser.add_argument("--seed", type=natural, default=0, help="of the noise; the same seed gives the same views")
    parser.add_argument("--model", default="", metavar="CARD", help="model card (.json) (default: shipped)")


def make_predictor(model: str, settings: PredictorSettings | None = None) -> ViewPredictor:
    """The predictor of a model card; empty takes the shipped one.

    Raises:
        FileError: the model is missing or damaged, or makes no views.
    """
    try:
        return ViewPredictor.load(model_card(model, SHIPPED), settings)
    except EngineError as error:
        raise FileError(str(error)) from error


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
    if failed:
        print(f"raxels: {failed} of {len(tasks)} tasks failed; {args.out / REPORT} says why", file=sys.stderr)
    return 1 if failed else 0


def _answer(
    predictor: ViewPredictor, estimator: Estimator, task: ViewTask, args: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    begin = time.perf_counter()
    try:
        images, camera = task.read()
        views = predictor.predict(
            images, camera, task.context_to_world, task.trajectory, seed=args.seed, steps=args.steps
        )
    except (ValueError, EngineError) as error:
        return {"id": task.id, "error": str(error)}, str(error)
    seconds = time.perf_counter() - begin
    write_views(task.folder(args.out), views)
    checked = check_views(predictor, estimator, images, task.context_to_world, views)
    record = {"id": task.id, **record_of(views, checked), "seconds": seconds}
    if args.sheet:
        try:
            truth = [read_image(path) for path in task.truth]
        except SourceError as error:
            return {**record, "error": str(error)}, str(error)
        _write_image(
            task.folder(args.out) / SHEET, draw_sheet(images, truth, replace(views, confidence=checked.confidence))
        )
    return record, ""


def record_of(views: PredictedViews, checked: Checked) -> dict[str, Any]:
    """What a report says of views; null where the pose that a view shows could not be told."""

    def known(values: FloatArray) -> list[float | None]:
        return [round(float(v), 4) if np.isfinite(v) else None for v in values]

    return {
        "confidence": checked.confidence.round(4).tolist(),
        "self_consistency_rotation_deg": known(np.degrees(checked.rotation_rad)),
        "self_consistency_translation": known(checked.distance),
        "made_up": views.made_up.mean(axis=(1, 2)).round(4).tolist(),
        "camera_to_world": views.camera_to_world.tolist(),
        "steps": views.steps,
    }


def write_views(folder: Path, views: PredictedViews) -> None:
    """``000.png``, ``001.png``, ... of views, each whole or not at all.

    Raises:
        FileError: the folder cannot be made or written to.
    """
    make_folder(folder)
    for index, image in enumerate(views.images):
        _write_image(folder / f"{index:03d}.png", image)


def _write_image(path: Path, image: ImageArray) -> None:
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
            raise FileError(f"{path} could not be written; make room or give another --out")


def _summary(records: Sequence[dict[str, Any]], out: Path) -> str:
    done = [record for record in records if "error" not in record]
    if not done:
        return f"no views -> {out}"
    views = sum(len(record["confidence"]) for record in done)
    ms = 1e3 * float(np.median([record["seconds"] for record in done]))
    confidence = float(np.mean(np.concatenate([record["confidence"] for record in done])))
    return f"{views} views of {len(done)} tasks, median {ms:.0f} ms a task, mean confidence {confidence:.2f} -> {out}"
