"""Parts of ``raxels evaluate``: methods on clips, whole tracks, closed loops, views."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.evaluation.clips import variants
from ros2_raxels.evaluation.clips.clip_sets import CLIP_FRAMES, Clip, ClipAnswer
from ros2_raxels.evaluation.clips.closed_loop import Loop, agreement, go_round, procedural_clips
from ros2_raxels.evaluation.clips.methods import Attempt, Method, speed_ratio, two_view_method
from ros2_raxels.evaluation.clips.own_method import NAME, answer_clip
from ros2_raxels.evaluation.clips.peers import TwoViewPeer
from ros2_raxels.evaluation.report.page import Picture
from ros2_raxels.evaluation.tracks.track_scores import TrackScore, evaluate_track
from ros2_raxels.evaluation.views.report import sheet_of
from ros2_raxels.evaluation.views.scores import TaskScore, record_of_views, score_task
from ros2_raxels.evaluation.views.tasks import ViewTask
from ros2_raxels.factory import make_denoiser, make_estimator, make_predictor, make_tracker
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.utils.files import FileError, replacing
from ros2_raxels.view_synthesis.prediction import PredictedViews
from ros2_raxels.visualization.trajectory_plot import draw_track
from ros2_raxels.visualization.views_sheet import draw_sheet

_SHEETS = 3
"""How many closed loops, and tasks of views, are shown as pictures."""


# -------------------------------------------------------------------------------------------------------------- clips


def methods_of(args: argparse.Namespace) -> list[Method]:
    """Ours, the peer, and variants of ours, as the options ask.

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


def _attempt(estimator: Estimator, use_intrinsics: bool) -> Attempt:
    return lambda clip: answer_clip(estimator, clip, use_intrinsics)


def _never_fails(answer: Callable[[Clip], ClipAnswer]) -> Attempt:
    return lambda clip: (answer(clip), "")


def ratio_to_peer(methods: Sequence[Method]) -> float | None:
    """Median time of the peer over that of ours; None without a peer, or when it answered nothing."""
    by_name = {m.name: m for m in methods}
    peer = by_name.get(TwoViewPeer.name)
    return None if peer is None else speed_ratio(by_name[NAME], peer)


# ------------------------------------------------------------------------------------------------------------- tracks


def picture_path(folder: Path, source: FrameSource) -> Path:
    """Where the plot of a tracked set is written."""
    return folder / f"{source.name.replace('/', '_')}.png"


def track_picture(folder: Path, source: FrameSource) -> Picture:
    """The plot that `track_set` wrote, with its caption."""
    caption = f"{source.name}: raxels as known at the end, peers and the truth, all aligned to the truth with Sim(3)."
    return Picture(picture_path(folder, source).read_bytes(), caption)


def track_set(source: FrameSource, args: argparse.Namespace) -> TrackScore:
    """Track a set, score the trajectory and plot it."""
    score, drawn = evaluate_track(source, make_tracker(args.model), args.peers, args.colmap_frames)
    with replacing(picture_path(args.out, source)) as temporary:
        draw_track(drawn, temporary)
    return score


# -------------------------------------------------------------------------------------------------------------- views


def closed_loops(args: argparse.Namespace, clips: Sequence[Clip]) -> tuple[dict[str, Any], list[Picture]]:
    """Agreement of closed loops on the clips of one camera and on as many procedural ones, and sheets of some views."""
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


def predicted_views(args: argparse.Namespace, tasks: Sequence[ViewTask]) -> tuple[dict[str, Any], list[Picture]]:
    """Record of predicted views, with the failed tasks and their reasons, and sheets of some of the others.

    Raises:
        FileError: the model cannot be read, or all tasks failed.
    """
    predictor, matcher = make_predictor(args.views_model), Matcher()
    with contextlib.suppress(ValueError):
        # Untimed: what is loaded at first use must not count for the first task.
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
        raise FileError(
            f"--views: all {len(tasks)} tasks failed, the first because {failures[tasks[0].id]}; mend that, or leave "
            "--views out"
        )
    record = {"model": predictor.card.name, "per_set": args.views_per_set, **record_of_views(scores)}
    return {**record, "failures": failures}, sheets


def _some_of(count: int) -> slice:
    """Which of so many are drawn as sheets: evenly spread."""
    every = max(1, count // _SHEETS)
    return slice(0, every * _SHEETS, every)


def _sheet(name: str, images: Sequence[ImageArray], views: PredictedViews) -> Picture:
    return Picture.of(draw_sheet(images[:1], images[1:], views), f"{name}: views made from its first frame alone.")
