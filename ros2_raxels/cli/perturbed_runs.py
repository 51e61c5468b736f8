"""What single runs owe to luck: ``python -m ros2_raxels.cli.perturbed_runs SET... [--out FILE] [--model CARD]``.

Every set is tracked five times, recompressed and begun some frames later; median and worst live error are printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ros2_raxels.cli.model_arguments import add_model_argument
from ros2_raxels.evaluation.report.tables import as_text
from ros2_raxels.evaluation.tracks.perturbed_runs import PERTURBATIONS, as_table, score_runs
from ros2_raxels.factory import make_tracker
from ros2_raxels.recordings.open import open_source
from ros2_raxels.utils.argument_types import positive
from ros2_raxels.utils.files import FileError, check_writable, write_json


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 0, or 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m ros2_raxels.cli.perturbed_runs", description=__doc__)
    parser.add_argument("sets", nargs="+", metavar="SET", help="posed sets, as for raxels track")
    parser.add_argument("--runs", type=positive, default=len(PERTURBATIONS), metavar="N", help="the first so many")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most so many frames of each set")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON to write")
    add_model_argument(parser)
    args = parser.parse_args(arguments)
    try:
        if args.out is not None:
            check_writable(args.out)
        scores = []
        for path in args.sets:
            source = open_source(path, limit=args.limit)
            scores.append(score_runs(source, lambda: make_tracker(args.model), PERTURBATIONS[: args.runs]))
            print(as_text({source.name: as_table(scores[-1:])}), flush=True)
        if args.out is not None:
            write_json(args.out, [score.record() for score in scores], indent=1)
    except FileError as error:
        print(f"raxels: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
