"""The battery: recordings tracked under conditions, and what is said of all runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ros2_raxels.evaluation.honesty.conditions import ChangedSource, Condition
from ros2_raxels.evaluation.honesty.scores import STATED, Samples, StreamScore, score_stream
from ros2_raxels.evaluation.report import charts
from ros2_raxels.evaluation.report.page import Picture, Section
from ros2_raxels.evaluation.report.tables import Table
from ros2_raxels.evaluation.tracks.live_states import LiveStates
from ros2_raxels.evaluation.tracks.recorded_track import Track, follow
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.tracking.frame_state import FrameState
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import STATED_PLACE, STATED_RAD
from ros2_raxels.utils.files import FileError

_INSIDE = ("position_inside_68", "position_inside_95", "rotation_inside_68", "rotation_inside_95")
_GOOD = f"poses within {100 * STATED_PLACE:g} % of the scene's depth and {np.degrees(STATED_RAD):g} degrees"


@dataclass(frozen=True, eq=False)
class Run:
    """One recording under one condition.

    Attributes:
        name: of the recording.
        condition: name of the condition.
        states: as answered live.
        score: of these.
    """

    name: str
    condition: str
    states: Sequence[FrameState]
    score: StreamScore

    def record(self) -> dict[str, Any]:
        """For a JSON file."""
        return {"set": self.name, "condition": self.condition, **self.score.values}


def run_battery(
    sources: Sequence[FrameSource],
    conditions: Sequence[Condition],
    new_tracker: Callable[[FrameSource], Tracker],
    of_base: bool = False,
) -> Iterator[Run]:
    """Track every recording under every condition, and score what was answered live.

    Args:
        sources: with true poses of all frames.
        conditions: see there.
        new_tracker: gives a fresh one for each run of a recording.
        of_base: poses are those of the base, where the mount of the camera is known; otherwise of the camera.

    Raises:
        FileError: a frame has no true pose.
        SourceError: an image cannot be read, or does not fit its camera.
    """
    for source in sources:
        stamps_ns, truth = _truth(source)
        mount = source.camera_to_base if of_base else None
        if mount is not None:
            truth = truth @ np.linalg.inv(mount)
        for condition in conditions:
            tracker, states = new_tracker(source), LiveStates(mount)
            followed = follow(Track(), ChangedSource(source, condition.change), tracker)
            answered = [states.of(found) for _, found in followed]
            yield Run(source.name, condition.name, answered, score_stream(answered, stamps_ns, truth))


def _truth(source: FrameSource) -> tuple[list[int], FloatArray]:
    """Stamps and true camera_to_world (N, 4, 4) of all frames."""
    stamps_ns, poses = [], []
    for frame in source:
        if frame.camera_to_world is None:
            raise FileError(f"{source.name}: {frame.name} has no true pose; choose sets in which all frames have one")
        stamps_ns.append(frame.stamp_ns)
        poses.append(frame.camera_to_world)
    if not poses:
        raise FileError(f"{source.name} has no frames; choose another set")
    return stamps_ns, np.array(poses)


# ------------------------------------------------------------------------------------------------------------- report


def record_of(runs: Sequence[Run]) -> dict[str, Any]:
    """For ``honesty.json``: every run, and all of them together."""
    together = Samples.together([run.score.samples for run in runs])
    everything = {
        "poses": len(together.confidence),
        **together.inside(),
        "blunders": float(together.blunders.mean()) if len(together.confidence) else 0.0,
        "brier": together.brier(),
        "stated": list(STATED),
        "regions": together.regions(),
        "confidence": [list(group) for group in together.by_confidence()],
    }
    return {"runs": [run.record() for run in runs], "together": everything}


def table_of(runs: Sequence[Run]) -> Table:
    """A row for each run, and one for each condition over all recordings."""
    rows: Table = [
        ["set", "condition", "tracked %", "error % of path", "deg", "pos in 68", "95", "rot in 68", "95", "blunders %"]
    ]
    rows += [_row(run.name, run.condition, run.score.values) for run in runs]
    for condition in dict.fromkeys(run.condition for run in runs):
        of = [run for run in runs if run.condition == condition]
        samples = Samples.together([run.score.samples for run in of])
        scored = [run.score.values for run in of if "rmse_percent" in run.score.values]
        values: dict[str, Any] = {"tracked": float(np.mean([run.score.values["tracked"] for run in of]))}
        if scored:
            means = {name: float(np.mean([v[name] for v in scored])) for name in ("rmse_percent", "rotation_deg")}
            values |= {**means, **samples.inside(), "blunders": float(samples.blunders.mean())}
        rows.append(_row("all", condition, values))
    return rows


def _row(name: str, condition: str, values: Mapping[str, Any]) -> list[str]:
    tracked = f"{100 * values['tracked']:.0f}"
    if "rmse_percent" not in values:
        return [name, condition, tracked, *["-"] * 7]
    errors = [f"{values['rmse_percent']:.2f}", f"{values['rotation_deg']:.2f}"]
    return [
        name,
        condition,
        tracked,
        *errors,
        *(f"{100 * values[key]:.0f}" for key in _INSIDE),
        f"{100 * values['blunders']:.1f}",
    ]


def section_of(runs: Sequence[Run]) -> Section:
    """Table and reliability diagrams, for the page."""
    together = Samples.together([run.score.samples for run in runs])
    pictures = []
    if len(together.confidence):
        caption = "Regions of a stated probability, and the share of all poses whose truth lies inside."
        pictures.append(Picture(charts.regions(STATED, together.regions()), caption))
        stated, true, counts = zip(*together.by_confidence(), strict=True)
        caption = f"Confidence of a pose, and the share of the {_GOOD}; Brier score {together.brier():.3f}."
        pictures.append(Picture(charts.stated_and_seen(stated, true, counts, _GOOD, "pose"), caption))
    note = (
        "Poses as answered live. Positions are aligned to the truth (SE(3) where they are metric, else Sim(3)), "
        "rotations by their mean. A blunder is TRACKING with a confidence of .5 and more, over five of its own "
        "standard deviations off, and by more than 1 % of the path or 2 degrees. 68 and 95 are the shares that should "
        "lie inside."
    )
    return Section("What poses say of themselves", table_of(runs), note, pictures=pictures)
