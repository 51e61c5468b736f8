"""``raxels evaluate --honesty DIR``: whether poses are what their covariances and confidences say, under conditions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from ros2_raxels.evaluation.honesty.battery import record_of, run_battery, section_of, table_of
from ros2_raxels.evaluation.honesty.conditions import CONDITIONS
from ros2_raxels.evaluation.machine.machine import origin
from ros2_raxels.evaluation.report.page import page
from ros2_raxels.evaluation.report.report import facts_of, write_report
from ros2_raxels.evaluation.report.tables import as_text
from ros2_raxels.factory import make_tracker
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.posed_set import CAMERAS_FILE
from ros2_raxels.recordings.rig_set import RIG_FILE, RigSet
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.tracking.frame_state import writing_states
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.utils.argument_types import positive, several_of
from ros2_raxels.utils.files import FileError, make_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command that belong to the battery."""
    parser.add_argument(
        "--honesty",
        type=Path,
        metavar="DIR",
        help="posed or rig set, or folder of such: tracked under conditions (gaps, low rate, something moving, ...) "
        "and scored by whether poses are what they say of themselves; nothing else is evaluated then",
    )
    parser.add_argument(
        "--conditions",
        type=several_of(tuple(CONDITIONS), "condition"),
        metavar="NAME,NAME",
        help=f"of --honesty: {', '.join(CONDITIONS)} (default: all)",
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="of --honesty and --tracks: at most so many frames of a set"
    )
    parser.add_argument("--odom", action="store_true", help="of --honesty: with the wheels of the sets")
    parser.add_argument("--imu", action="store_true", help="of --honesty: with the IMU of the sets")
    parser.add_argument(
        "--of-base", action="store_true", help="of --honesty: poses of the base of rig sets (default: of the camera)"
    )


def run_honesty(args: argparse.Namespace) -> int:
    """Run the battery, print its table, and write the report and the states of every run.

    Raises:
        FileError: there are no sets, one cannot be read or has no truth, or the report not be written.
        SourceError: a set lacks a sensor that is asked for.
    """
    sources = [source for folder in folders(args.honesty) for source in _cameras(folder, args.limit)]
    conditions = [CONDITIONS[name] for name in args.conditions or CONDITIONS]
    make_folder(args.out / "states")
    runs = []

    def tracker_of(source: FrameSource) -> Tracker:
        odometry, imu = source.odometry() if args.odom else None, source.imu() if args.imu else None
        return make_tracker(args.model, odometry, imu=imu)

    battery = run_battery(sources, conditions, tracker_of, args.of_base)
    count = len(sources) * len(conditions)
    for run in tqdm(battery, "honesty", count, unit="run", disable=not sys.stderr.isatty()):
        runs.append(run)
        with writing_states(
            args.out / "states" / f"{run.name.replace('/', '_').replace(' ', '_')}.{run.condition}.jsonl"
        ) as write:
            for state in run.states:
                write(state)
    section, record = section_of(runs), record_of(runs)
    report = {
        **origin(getattr(args, "command_line", "")),
        "conditions": {condition.name: condition.words for condition in conditions},
        "of": "base" if args.of_base else "camera",
        **record,
    }
    print(as_text({section.title: table_of(runs)}))
    facts = facts_of(report, {condition.name: condition.words for condition in conditions})
    html = page("raxels evaluate --honesty", f"{len(runs)} runs, poses of the {report['of']}", [section], facts)
    write_report(args.out, "honesty", report, [section], html)
    print(f"\n-> {args.out / 'honesty.html'}, honesty.md, honesty.json and the states of each run")
    return 0


def folders(given: Path) -> list[Path]:
    """The sets of a folder, or the one that it is.

    Raises:
        FileError: there are none.
    """

    def is_set(folder: Path) -> bool:
        return (folder / CAMERAS_FILE).is_file() or (folder / RIG_FILE).is_file()

    found = [given] if is_set(given) else sorted(path for path in given.glob("*") if is_set(path))
    if not found:
        raise FileError(f"--honesty {given}: no {CAMERAS_FILE} or {RIG_FILE} in it or below; give a folder of sets")
    return found


def _cameras(folder: Path, limit: int | None) -> list[FrameSource]:
    """A recording for each camera of a set."""
    if not (folder / RIG_FILE).is_file():
        return [open_source(folder, limit=limit)]
    names = [camera.name for camera in RigSet.read(folder / RIG_FILE).cameras]
    sources = [open_source(folder, limit=limit, camera_name=name) for name in names]
    for name, source in zip(names, sources, strict=True):
        source.name += f" {name}" if len(names) > 1 else ""
    return sources
