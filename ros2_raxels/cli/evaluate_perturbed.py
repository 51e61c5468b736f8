"""``raxels evaluate --tracks SET,SET --perturbed N``: what a single run owes to luck, by tracking each set N times."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ros2_raxels.evaluation.machine.machine import origin
from ros2_raxels.evaluation.report.page import page
from ros2_raxels.evaluation.report.report import facts_of, write_report
from ros2_raxels.evaluation.report.tables import as_text
from ros2_raxels.evaluation.tracks.perturbed_runs import as_table, draw_perturbations, score_runs, section_of
from ros2_raxels.factory import make_tracker
from ros2_raxels.recordings.played import PLAYED, PlayedSource
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.utils.argument_types import positive, several_of
from ros2_raxels.utils.files import FileError, make_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The option of the command that asks for perturbed runs."""
    parser.add_argument(
        "--perturbed",
        type=positive,
        metavar="N",
        help="each set of --tracks is tracked live N times, recompressed, begun some frames later, with noise of a "
        "grey level or with single frames missing, and the median and the worst errors are told; nothing else is "
        "evaluated then",
    )
    parser.add_argument(
        "--played",
        type=several_of(tuple(PLAYED), "way to play a recording"),
        default=("as_it_is",),
        metavar="NAME,NAME",
        help=f"of --perturbed: each set as other sequences with the same truth, {', '.join(PLAYED)} "
        "(default: as_it_is)",
    )


def run_perturbed(args: argparse.Namespace, sources: Sequence[FrameSource]) -> int:
    """Track every set several times, print a row of each, and write the report.

    Raises:
        FileError: there are no sets, one cannot be read or has no truth, or the report not be written.
    """
    if not sources:
        raise FileError("--perturbed tracks the sets of --tracks; name one or more of them")
    make_folder(args.out)
    perturbations, scores = draw_perturbations(args.perturbed, args.seed), []
    for source in (PlayedSource(source, way) for source in sources for way in args.played):
        scores.append(score_runs(source, lambda: make_tracker(args.model), perturbations))
        print(as_text({source.name: as_table(scores[-1:])}), flush=True)
    section = section_of(scores)
    report: dict[str, Any] = {
        **origin(getattr(args, "command_line", "")),
        "seed": args.seed,
        "played": list(args.played),
        "sets": [score.record() for score in scores],
    }
    facts = facts_of(report, {"seed": str(args.seed)})
    html = page(
        "raxels evaluate --perturbed", f"{args.perturbed} runs of each of {len(scores)} sequences", [section], facts
    )
    write_report(args.out, "perturbed", report, [section], html)
    print(f"\n-> {args.out / 'perturbed.html'}, perturbed.md and perturbed.json")
    return 0
