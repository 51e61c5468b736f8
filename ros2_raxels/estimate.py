"""``raxels estimate``: camera poses for each clip of a ``clips.json``."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ros2_raxels.denoise import SHIPPED, DenoiseSettings, LearnedDenoiser, load_denoiser, named_card
from ros2_raxels.engine import EngineError
from ros2_raxels.estimator import Estimator
from ros2_raxels.evaluation.clips import Clip, ClipAnswer, read_clips, write_answers
from ros2_raxels.files import FileError, check_writable

NAME = "raxels"
"""Of the method, in answer files and reports."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--clips", type=Path, required=True, metavar="FILE", help="clips.json: images and intrinsics")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="answer.json to write")
    parser.add_argument("--no-intrinsics", action="store_true", help="ignore intrinsics and estimate the focal length")
    add_model_argument(parser)


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """The option that chooses the denoiser."""
    parser.add_argument(
        "--model", default="", metavar="CARD", help="model card (.json), or none for geometry alone (default: shipped)"
    )


def make_estimator(model: str) -> Estimator:
    """An estimator with the denoiser of a card; ``none`` leaves it out, empty takes the shipped one.

    Raises:
        FileError: the model is missing, damaged or cannot be run.
    """
    return Estimator(denoiser=make_denoiser(model))


def make_denoiser(model: str, settings: DenoiseSettings | None = None) -> LearnedDenoiser | None:
    """`load_denoiser` for commands.

    Raises:
        FileError: the model is missing, damaged or cannot be run.
    """
    try:
        return load_denoiser(model, settings)
    except EngineError as error:
        raise FileError(f"{error}; --model none does without") from error


def model_card(model: str, shipped: str = SHIPPED) -> Path:
    """`named_card` for commands.

    Raises:
        FileError: none is installed.
    """
    try:
        return named_card(model, shipped)
    except EngineError as error:
        raise FileError(f"{error}, or give --model") from error


def run(args: argparse.Namespace) -> int:
    """Answer all clips.

    Returns:
        0, or 1 when some clips could not be solved; those are answered with the identity and confidence 0.

    Raises:
        FileError: the clips cannot be read or the answers could not be written.
    """
    check_writable(args.out)
    use_intrinsics = not args.no_intrinsics
    clips = read_clips(args.clips, need_intrinsics=use_intrinsics)
    answers, failed = _answer_all(make_estimator(args.model), clips, use_intrinsics)
    write_answers(args.out, NAME, answers)
    print(_summary(answers, args.out))
    if failed:
        print(f"raxels: {failed} of {len(clips)} clips failed and are answered with confidence 0", file=sys.stderr)
    return 1 if failed else 0


def _answer_all(estimator: Estimator, clips: Sequence[Clip], use_intrinsics: bool) -> tuple[list[ClipAnswer], int]:
    answers, failed = [], 0
    with tqdm(clips, unit="clip", disable=not sys.stderr.isatty()) as progress:
        for clip in progress:
            answer, reason = answer_clip(estimator, clip, use_intrinsics)
            answers.append(answer)
            if reason:
                failed += 1
                progress.write(f"raxels: clip {clip.id} failed: {reason}", file=sys.stderr)
    return answers, failed


def _summary(answers: Sequence[ClipAnswer], out: Path) -> str:
    seconds = [answer.seconds for answer in answers if answer.seconds is not None]
    speed = f", median {1e3 * np.median(seconds):.1f} ms a clip" if seconds else ""
    return f"{len(answers)} clips{speed} -> {out}"


def answer_clip(estimator: Estimator, clip: Clip, use_intrinsics: bool = True) -> tuple[ClipAnswer, str]:
    """Poses of a clip, timed from image paths to poses, and in words why they are missing (empty when they are not).

    Whatever goes wrong stays with this clip: its answer is then the identity with confidence 0.
    """
    begin = time.perf_counter()
    try:
        return _solve(estimator, clip, use_intrinsics, begin), ""
    # One bad clip must not lose the others, whatever is bad about it.
    except Exception as error:
        if os.environ.get("RAXELS_DEBUG"):
            traceback.print_exc()
        reason = " ".join(str(error).split()) or type(error).__name__
    count = len(clip.images)
    answer = ClipAnswer(
        clip.id,
        np.tile(np.eye(4), (count, 1, 1)),
        intrinsics=clip.intrinsics if use_intrinsics else None,
        confidence=np.zeros(count),
        seconds=time.perf_counter() - begin,
    )
    return answer, reason


def _solve(estimator: Estimator, clip: Clip, use_intrinsics: bool, begin: float) -> ClipAnswer:
    images = clip.read_images()
    read_s = time.perf_counter() - begin
    estimate = estimator.estimate(images, clip.cameras(images) if use_intrinsics else None)
    if not np.isfinite(estimate.camera_to_first).all():
        raise ArithmeticError("the solver's poses are not finite")
    answer = ClipAnswer(
        clip.id,
        estimate.camera_to_first,
        intrinsics=np.array([(c.fx, c.fy, c.cx, c.cy) for c in estimate.cameras]),
        confidence=np.nan_to_num(estimate.confidence),
        stage_s={"read": read_s, **estimate.stage_s},
        covariance=estimate.covariance,
    )
    return replace(answer, seconds=time.perf_counter() - begin)
