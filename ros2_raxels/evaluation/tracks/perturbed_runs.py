"""One recording tracked several times, each time a little otherwise: what a single run owes to luck.

A tracker's error depends on which frames its first cameras and its keyframes fall on, so that two JPEG qualities of one
recording can differ by a factor of two. The median of a few such runs says what a change is worth, the worst of them
what a user has to expect.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ros2_raxels.evaluation.report.tables import Table
from ros2_raxels.evaluation.tracks.recorded_track import Track, follow
from ros2_raxels.geometry.trajectory import score_trajectory
from ros2_raxels.recordings.image_codec import ImageArray, decode_compressed, encode_compressed
from ros2_raxels.recordings.source import Frame, FrameSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.utils.files import FileError


@dataclass(frozen=True)
class Perturbation:
    """What is done to a recording.

    Attributes:
        jpeg_quality: images are compressed once more; None leaves them as they are.
        skipped: frames left out at the beginning.
    """

    jpeg_quality: int | None = None
    skipped: int = 0


PERTURBATIONS = (
    Perturbation(),
    Perturbation(95, 2),
    Perturbation(90, 4),
    Perturbation(85, 6),
    Perturbation(80, 8),
)
"""Of the runs, by number."""


class PerturbedSource(FrameSource):
    """A recording after a perturbation; frames keep their numbers and stamps.

    Args:
        source: the recording.
        perturbation: see there.

    Attributes:
        cpu_s: spent so far on reading and perturbing.
    """

    def __init__(self, source: FrameSource, perturbation: Perturbation) -> None:
        self._source, self._perturbation = source, perturbation
        self.name, self.kind, self.rate_hz = source.name, source.kind, source.rate_hz
        self.length = None if source.length is None else max(0, source.length - perturbation.skipped)
        self.camera, self.has_truth, self.is_metric = source.camera, source.has_truth, source.is_metric
        self.notes = source.notes
        self.cpu_s = 0.0

    def __iter__(self) -> Iterator[Frame]:
        begin = time.process_time()
        for frame in self._source:
            if frame.index >= self._perturbation.skipped:
                perturbed = replace(frame, image=self._compressed(frame.image))
                self.cpu_s += time.process_time() - begin
                yield perturbed
                begin = time.process_time()

    def _compressed(self, image: ImageArray) -> ImageArray:
        quality = self._perturbation.jpeg_quality
        return image if quality is None else decode_compressed(encode_compressed(image, "jpeg", quality))


@dataclass(frozen=True)
class RunScore:
    """One run.

    Attributes:
        perturbation: of the recording.
        ate_percent: live ATE after Sim(3) over the frames that were solved, share of the true path, %; infinite where
            fewer than three were.
        tracked: share of the frames that were solved, 0 to 1.
        cpu_ms: CPU time of this process for a frame, on average, with the work that follows its pose.
    """

    perturbation: Perturbation
    ate_percent: float
    tracked: float
    cpu_ms: float


@dataclass(frozen=True)
class PerturbedScore:
    """Several runs of one recording.

    Attributes:
        name: of the recording.
        runs: in order.
    """

    name: str
    runs: tuple[RunScore, ...]

    @property
    def median_ate_percent(self) -> float:
        """Of the runs."""
        return float(np.median([run.ate_percent for run in self.runs]))

    @property
    def worst_ate_percent(self) -> float:
        """Of the runs."""
        return max(run.ate_percent for run in self.runs)

    @property
    def worst_tracked(self) -> float:
        """Share of the frames, 0 to 1, in the run that solved the fewest."""
        return min(run.tracked for run in self.runs)

    def record(self) -> dict[str, Any]:
        """For a JSON file."""
        return {
            **asdict(self),
            "median_ate_percent": self.median_ate_percent,
            "worst_ate_percent": self.worst_ate_percent,
        }


def score_runs(
    source: FrameSource,
    new_tracker: Callable[[], Tracker],
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
) -> PerturbedScore:
    """Track a recording once for each perturbation.

    Args:
        source: with true poses of all frames.
        new_tracker: gives a fresh one for each run.
        perturbations: see there.

    Raises:
        FileError: a frame has no true pose, or all are skipped.
        SourceError: an image cannot be read, or does not fit its camera.
    """
    return PerturbedScore(source.name, tuple(_run(source, new_tracker(), p) for p in perturbations))


def _run(source: FrameSource, tracker: Tracker, perturbation: Perturbation) -> RunScore:
    track, perturbed = Track(), PerturbedSource(source, perturbation)
    begin = time.process_time()
    for _ in follow(track, perturbed, tracker):
        pass
    cpu_s = time.process_time() - begin - perturbed.cpu_s
    truth = track.true_poses()
    if truth is None:
        raise FileError(f"{source.name} has frames without a true pose, or none that are left; choose another set")
    solved = track.solved()
    error = score_trajectory(np.array(track.poses)[solved], truth, source.rate_hz, solved)
    ate_percent = float("inf") if error is None else error.ate_percent
    return RunScore(perturbation, ate_percent, len(solved) / len(truth), 1e3 * cpu_s / len(truth))


def as_table(scores: Sequence[PerturbedScore]) -> Table:
    """One row for each recording."""
    rows: Table = [["set", "median ATE, %", "worst", "runs", "least tracked, %", "CPU ms a frame"]]
    for score in scores:
        rows.append(
            [
                score.name,
                f"{score.median_ate_percent:.2f}",
                f"{score.worst_ate_percent:.2f}",
                " ".join(f"{run.ate_percent:.2f}" for run in score.runs),
                f"{100 * score.worst_tracked:.0f}",
                f"{np.mean([run.cpu_ms for run in score.runs]):.1f}",
            ]
        )
    return rows
