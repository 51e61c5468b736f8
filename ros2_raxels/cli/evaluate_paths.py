"""``raxels evaluate --paths N``: whether candidate paths are as free as their scores say, in N rendered rooms."""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from ros2_raxels.evaluation.machine.machine import origin
from ros2_raxels.evaluation.report.page import Picture, page
from ros2_raxels.evaluation.report.report import facts_of, write_report
from ros2_raxels.evaluation.report.tables import as_text
from ros2_raxels.evaluation.views.path_trials import PlaceTrial, record_of, section_of, try_paths
from ros2_raxels.factory import make_predictor
from ros2_raxels.utils.argument_types import positive
from ros2_raxels.utils.files import FileError, make_folder
from ros2_raxels.visualization.paths_picture import draw_paths

_DRAWN, _DRAWN_BELOW_M = 6, 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The option of the command that asks for paths."""
    parser.add_argument(
        "--paths",
        type=positive,
        metavar="N",
        help="candidate paths in N random rendered rooms, scored as ~/rank_paths does: are they as free as stated? "
        "Nothing else is evaluated then",
    )


def run_paths(args: argparse.Namespace) -> int:
    """Score paths in every room, print the table, and write the report.

    Raises:
        FileError: the model cannot be read, the images told no depth anywhere, or the report cannot be written.
    """
    make_folder(args.out)
    predictor = make_predictor(args.views_model)
    trials: list[PlaceTrial] = []
    seeds = range(args.seed, args.seed + args.paths)
    for seed in tqdm(seeds, "paths", unit="room", disable=not sys.stderr.isatty()):
        trials += try_paths(predictor, seed)
    if not trials:
        raise FileError(f"--paths {args.paths}: the images of no room told a depth; give more rooms or another --seed")
    record = record_of(trials)
    section = section_of(record, [_picture(trial) for trial in trials[:: max(1, len(trials) // _DRAWN)][:_DRAWN]])
    report = {**origin(getattr(args, "command_line", "")), "rooms": args.paths, "seed": args.seed, **record}
    print(as_text({section.title: section.table}))
    print(f"\nBrier score {record['brier']:.3f} ({record['brier_of_mean']:.3f} for the mean of all)")
    lead = f"{record['paths']} paths from {record['places']} places in {args.paths} rooms"
    html = page("raxels evaluate --paths", lead, [section], facts_of(report, {"seed": str(args.seed)}))
    write_report(args.out, "paths", report, [section], html)
    print(f"\n-> {args.out / 'paths.html'}, paths.md and paths.json")
    return 0


def _picture(trial: PlaceTrial) -> Picture:
    # A path that begins at the camera is seen end on.
    below = [path - (0.0, 0.0, _DRAWN_BELOW_M) for path in trial.paths]
    drawn = draw_paths(trial.image, trial.camera, trial.camera_to_world, below, trial.stated.tolist(), trial.hits)
    caption = (
        "Green: stated to be free; red: not. A cross: there the body touches something. Drawn "
        f"{100 * _DRAWN_BELOW_M:.0f} cm below the paths."
    )
    return Picture.of(drawn, caption)
