"""``raxels calibrate``: fit the confidence of a model's views to how close they are to the truth."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ros2_raxels.engine import EngineError
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.evaluation.views.calibration import Seen, fit, recorded_clips, rendered_clips, see, tasks_with_truth
from ros2_raxels.factory import make_predictor
from ros2_raxels.utils.argument_types import natural, positive
from ros2_raxels.utils.files import FileError, check_writable, write_json
from ros2_raxels.view_synthesis.confidence import ALONE, CHECKED, GOOD_DB, Weights, probability

_HELD_OUT = 5
"""One clip in so many is kept out of the fit, to see whether it holds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("model", type=Path, metavar="CARD", help="model card (.json), which is given the confidence")
    parser.add_argument(
        "--tasks", type=Path, nargs="*", default=[], metavar="FILE", help="tasks.json with truth, as for raxels views"
    )
    parser.add_argument("--clips", type=positive, default=150, metavar="N", help="rendered clips to add (default: 150)")
    parser.add_argument("--seed", type=natural, default=0, help="of the rendered clips")


def run(args: argparse.Namespace) -> int:
    """Measure, fit, and write the card.

    Returns:
        0.

    Raises:
        FileError: tasks, images or the model cannot be read, tasks have no truth, or the card cannot be written.
    """
    try:
        card = ModelCard.read(args.model)
    except EngineError as error:
        raise FileError(str(error)) from error
    # Before minutes of work whose result could not be kept.
    check_writable(args.model)
    predictor, estimator = make_predictor(str(args.model)), Estimator()
    tasks = [task for path in args.tasks for task in tasks_with_truth(path)]
    clips = tqdm(
        itertools.chain(recorded_clips(tasks), rendered_clips(args.clips, args.seed)),
        total=len(tasks) + args.clips,
        unit="clip",
        disable=not sys.stderr.isatty(),
    )
    seen = [see(predictor, estimator, clip) for clip in clips]
    fitted = [one for k, one in enumerate(seen) if k % _HELD_OUT]
    _print_check(fit(fitted), seen[::_HELD_OUT])
    write_json(args.model, replace(card, confidence=fit(seen)).record(), indent=1)
    print(f"-> {args.model}")
    return 0


def _print_check(calibration: Mapping[str, Weights], seen: Sequence[Seen]) -> None:
    """How well it holds for clips that it was not fitted to."""
    good = np.concatenate([one.good for one in seen])
    print(f"{len(good)} views held out, {100 * good.mean():.0f} % of them with {GOOD_DB:g} dB or more")
    for kind in (ALONE, CHECKED):
        signs = [one.signs if kind == CHECKED else one.signs.alone() for one in seen]
        stated = np.concatenate([probability(calibration, one) for one in signs])
        print(f"{kind}: mean {100 * stated.mean():.0f} %, Brier score {np.mean((stated - good) ** 2):.3f}")
