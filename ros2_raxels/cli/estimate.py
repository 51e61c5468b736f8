"""``raxels estimate``: camera poses for each clip of a ``clips.json``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ros2_raxels.cli.model_arguments import add_matcher_argument, add_model_argument
from ros2_raxels.estimation.estimator import LEARNED_STAGE, Estimator
from ros2_raxels.evaluation.clips.clip_sets import Clip, ClipAnswer, read_clips, write_answers
from ros2_raxels.evaluation.clips.own_method import NAME, answer_clip
from ros2_raxels.factory import make_estimator
from ros2_raxels.utils.files import check_writable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--clips", type=Path, required=True, metavar="FILE", help="clips.json: images and intrinsics")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="answer.json to write")
    parser.add_argument("--no-intrinsics", action="store_true", help="ignore intrinsics and estimate the focal length")
    add_matcher_argument(parser, "where evidence is weak")
    add_model_argument(parser)


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
    answers, failed = _answer_all(make_estimator(args.model, args.matcher), clips, use_intrinsics)
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
    asked = sum(LEARNED_STAGE in answer.stage_s for answer in answers)
    learned = f" (learned matcher asked for {asked})" if asked else ""
    return f"{len(answers)} clips{learned}{speed} -> {out}"
