"""Sections of ``raxels benchmark``: each measures one part of the system on a recording."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.estimation.focal import guessed_camera
from ros2_raxels.evaluation.clips.clip_sets import CLIP_FRAMES, clips_of_set
from ros2_raxels.evaluation.clips.methods import Method, answer_all, speed_ratio, two_view_method
from ros2_raxels.evaluation.clips.own_method import NAME, answer_clip
from ros2_raxels.evaluation.machine.graph_work import denoiser_speed
from ros2_raxels.evaluation.machine.startup import start_process
from ros2_raxels.evaluation.machine.timing import Spread
from ros2_raxels.evaluation.report.tables import Table
from ros2_raxels.evaluation.tracks.stream_speed import Resampled, memory_trend, stream_speed
from ros2_raxels.factory import make_estimator, make_predictor, make_tracker, model_card
from ros2_raxels.geometry.camera import PinholeCamera, ordinary_camera
from ros2_raxels.geometry.poses import make_pose
from ros2_raxels.geometry.raxel_grid import clip_bearings
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.posed_set import CAMERAS_FILE
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.utils.files import FileError
from ros2_raxels.view_synthesis.prediction import PredictionRequest

STEPS = (1, 2, 4)
"""Denoising steps of views that are timed."""

SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080))
"""Width and height, px, at which the tracker is timed."""

MIB = 2**20

_CLIP_STRIDE = 5
_SIZE_FRAMES = 90
"""So many frames are timed at each size; at the largest they take half a gigabyte."""

_VIEWS, _VIEW_SIZE = 4, (128, 96)
_STARTS = 3
_SHOWN_COSTS = 8

Measured = tuple[dict[str, Any], dict[str, Table]]
"""What a section adds to the report, and its tables."""


def _tracker(args: argparse.Namespace, source: FrameSource) -> Measured:
    speed = stream_speed(source, make_tracker(args.model))
    rows = {"image to pose": speed.image_to_pose, "with what follows it": speed.whole, "processor time": speed.cpu}
    rows |= {f"  {name}": spread for name, spread in speed.stages.items()}
    states = ", ".join(f"{count} {name}" for name, count in speed.states.items())
    title = f"Tracker, {speed.frames} frames of {speed.width}x{speed.height}, {speed.keyframes} keyframes; {states}; ms"
    return asdict(speed), {title: _spread_table("stage", rows)}


def _resolution(args: argparse.Namespace, source: FrameSource) -> Measured:
    tracker, record = make_tracker(args.model), []
    rows: Table = [["size", "image to pose p50", "p95", "whole mean", "processor time p50", "mean", "tracked"]]
    for width, height in SIZES:
        tracker.reset()
        speed = stream_speed(Resampled(source, width, height, _SIZE_FRAMES), tracker)
        record.append(asdict(speed))
        ms = (speed.image_to_pose.p50, speed.image_to_pose.p95, speed.whole.mean, speed.cpu.p50, speed.cpu.mean)
        tracked = f"{speed.states.get('tracking', 0)} of {speed.frames}"
        rows.append([f"{width}x{height}", *(f"{value:.1f}" for value in ms), tracked])
    return {"sizes": record}, {"Tracker by size of the image, ms": rows}


def _startup(args: argparse.Namespace, source: FrameSource) -> Measured:
    processes = [start_process(args.model) for _ in tqdm(range(_STARTS), "startup", disable=not sys.stderr.isatty())]
    again = []
    for _ in range(_STARTS):
        begin = time.perf_counter()
        make_tracker(args.model)
        again.append(time.perf_counter() - begin)
    rows: Table = [["start", "imported", "model loaded", "first frame answered"]]
    for name, start in (("first process", processes[0]), ("last process", processes[-1])):
        rows.append([name, *(f"{at:.2f}" for at in (start.imported, start.loaded, start.answered))])
    rows.append(["once more in a process", "", f"{min(again):.2f}", ""])
    record = {"processes_s": [asdict(start) for start in processes], "again_s": again}
    return record, {"Start, s since the process began": rows}


def _denoiser(args: argparse.Namespace, source: FrameSource) -> Measured:
    images, cameras = _clip(source)
    matcher = Estimator().matcher
    features = matcher.look_all(images)
    working = [f.working_camera(c) if c else guessed_camera(f) for f, c in zip(features, cameras, strict=True)]
    evidence = matcher.collect(features, working)
    card = model_card(args.model)
    speed = denoiser_speed(card, evidence, clip_bearings(working), args.calls)
    rows: Table = [["graph", "hypotheses", "p50", "p95", "max", "GFLOP", "GFLOP/s", "share of peak"]]
    for g in speed.graphs:
        ms = [f"{value:.2f}" for value in (g.ms.p50, g.ms.p95, g.ms.max)]
        rows.append([g.graph, str(g.batch), *ms, f"{g.gflop:.3f}", f"{g.gflops:.0f}", f"{100 * g.share_of_peak:.0f} %"])
    title = f"Denoiser, {speed.tracks} tracks; ms a call; plain matrix products reach {speed.peak_gflops:.0f} GFLOP/s"
    return asdict(speed), {title: rows}


def _estimate(args: argparse.Namespace, source: FrameSource) -> Measured:
    if source.camera is None or not source.has_truth:
        reason = f"{args.source} is no posed set with intrinsics"
        return {"skipped": reason}, {"Clips": [[f"not measured: {reason}"]]}
    file = Path(args.source) / CAMERAS_FILE
    clips = clips_of_set(file, args.clips)
    if not clips:
        raise FileError(f"{file}: no clip of {CLIP_FRAMES} frames in it; give a longer set, or --only without estimate")
    estimator, peer = make_estimator(args.model), two_view_method()
    ours = Method(NAME, lambda clip: answer_clip(estimator, clip))
    answer_all(clips, [ours, peer])
    for method in (ours, peer):
        for clip_id, reason in method.failures.items():
            print(f"raxels: {method.name}: clip {clip_id} failed: {reason}", file=sys.stderr)
    ratio = speed_ratio(ours, peer)
    rows: Table = [["method", "stage", "median", "p95"]]
    for m in (ours, peer):
        rows += [[m.name, stage, f"{ms['median']:.1f}", f"{ms['p95']:.1f}"] for stage, ms in m.stages_ms().items()]
    rows.append(["peer / raxels", "total", "-" if ratio is None else f"{ratio:.2f}", ""])
    record = {m.name: m.stages_ms() for m in (ours, peer)}
    return {"clips": len(clips), "ms": record, "ratio": ratio}, {
        f"{len(clips)} clips of {CLIP_FRAMES} frames, ms": rows
    }


def _views(args: argparse.Namespace, source: FrameSource) -> Measured:
    predictor = make_predictor(args.views_model)
    images, camera = _small_clip(source)
    # Where the cameras are does not change the time: a step to the side each will do.
    path = np.array([make_pose(np.eye(3), (0.05 * k, 0.0, 0.0)) for k in range(len(images) + _VIEWS)])
    known, ahead = path[: len(images)], path[len(images) :]
    seconds: dict[int, list[float]] = {steps: [] for steps in STEPS}
    request = PredictionRequest(images, camera, known, ahead, steps=1)
    predictor.predict(request)
    for _ in tqdm(range(args.calls), "views", disable=not sys.stderr.isatty()):
        for steps, times in seconds.items():
            begin = time.perf_counter()
            predictor.predict(replace(request, steps=steps))
            times.append(time.perf_counter() - begin)
    spreads = {str(steps): Spread.of(times) for steps, times in seconds.items()}
    title = f"{_VIEWS} views of {camera.width}x{camera.height} from {len(images)} frames, ms"
    record: dict[str, Any] = {"views": _VIEWS, "width": camera.width, "height": camera.height}
    record["ms_by_steps"] = {steps: asdict(spread) for steps, spread in spreads.items()}
    return record, {title: _spread_table("steps", spreads)}


def _memory(args: argparse.Namespace, source: FrameSource) -> Measured:
    trend = memory_trend(source, make_tracker(args.model), args.memory_frames)
    rows: Table = [
        ["frames", "laps", "lost", "MiB settled", "MiB at the end", "MiB at most", "bytes a frame"],
        [str(trend.frames), str(trend.laps), str(trend.lost)],
    ]
    rows[1] += [f"{size / MIB:.1f}" for size in (trend.settled_bytes, trend.end_bytes, trend.most_bytes)]
    rows[1].append(f"{trend.bytes_per_frame:.0f}")
    costs: Table = [["frames", "keyframes made", "image to pose p50", "p95", "processor time mean"]]
    for cost in trend.costs[:: max(1, len(trend.costs) // _SHOWN_COSTS)]:
        ms = (cost.image_to_pose.p50, cost.image_to_pose.p95, cost.cpu.mean)
        costs.append([str(cost.frames), str(cost.keyframes), *(f"{value:.1f}" for value in ms)])
    return asdict(trend), {
        f"Memory of the tracker, settled after {trend.settled_after} frames": rows,
        "Cost of a frame as the map grows, ms": costs,
    }


SECTIONS: dict[str, Callable[[argparse.Namespace, FrameSource], Measured]] = {
    "tracker": _tracker,
    "resolution": _resolution,
    "startup": _startup,
    "denoiser": _denoiser,
    "estimate": _estimate,
    "views": _views,
    "memory": _memory,
}
"""What is measured, by its name for --only."""


def cost_panels(report: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, tuple[list[float], list[float]]]]]:
    """What a frame costs, over resolution and over map size, of those that a report has; for `charts.curves`."""
    panels = {}
    if "resolution" in report:
        sizes = report["resolution"]["sizes"]
        megapixels = [size["width"] * size["height"] * 1e-6 for size in sizes]
        panels["by resolution"] = ("megapixels", _lines(megapixels, sizes))
    if "memory" in report:
        costs = report["memory"]["costs"]
        keyframes = [float(cost["keyframes"]) for cost in costs]
        panels["by map size"] = ("keyframes made", _lines(keyframes, costs))
    return panels


def _lines(across: list[float], spreads: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    shown = (
        ("image to pose, median", "image_to_pose", "p50"),
        ("95th percentile", "image_to_pose", "p95"),
        ("processor time, median", "cpu", "p50"),
        ("mean, keyframes included", "cpu", "mean"),
    )
    return {name: (across, [spread[of][statistic] for spread in spreads]) for name, of, statistic in shown}


def _spread_table(title: str, spreads: dict[str, Spread]) -> Table:
    rows: Table = [[title, "p50", "p95", "max", "mean"]]
    rows += [[name, *(f"{ms:.2f}" for ms in (s.p50, s.p95, s.max, s.mean))] for name, s in spreads.items()]
    return rows


def _clip(source: FrameSource) -> tuple[list[ImageArray], list[PinholeCamera | None]]:
    """A few frames from the beginning of a recording, some frames apart where it is long enough.

    Raises:
        FileError: it has only one.
    """
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) > (CLIP_FRAMES - 1) * _CLIP_STRIDE:
            break
    chosen = [frames[k] for k in np.unique(np.linspace(0, len(frames) - 1, CLIP_FRAMES).round().astype(int))]
    if len(chosen) < 2:
        raise FileError(f"{source.name} has only one frame; give a recording with motion")
    return [frame.image for frame in chosen], [frame.camera for frame in chosen]


def _small_clip(source: FrameSource) -> tuple[list[ImageArray], PinholeCamera]:
    """The same frames at the size of views, as if seen through an ordinary lens."""
    images, _ = _clip(source)
    small: list[ImageArray] = [np.asarray(cv2.resize(i, _VIEW_SIZE, interpolation=cv2.INTER_AREA)) for i in images]
    return small, ordinary_camera(*_VIEW_SIZE)
