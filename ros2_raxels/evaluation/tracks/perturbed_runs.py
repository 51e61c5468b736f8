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

from ros2_raxels.evaluation.honesty.scores import score_stream
from ros2_raxels.evaluation.report.page import Section
from ros2_raxels.evaluation.report.tables import Table
from ros2_raxels.evaluation.tracks.live_states import LiveStates
from ros2_raxels.evaluation.tracks.recorded_track import Track, follow
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.trajectory import TrajectoryScore, score_trajectory
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
        noise_seed: of noise of one grey level, standard deviation, before they are compressed; None for no noise.
        drop_seed: of which frames are missing, one of some twenty-five and never two together; None for none.
    """

    jpeg_quality: int | None = None
    skipped: int = 0
    noise_seed: int | None = None
    drop_seed: int | None = None


_QUALITIES, _MOST_SKIPPED, _NOISE = (75, 97), 10, 1.0
_DROPPED_EVERY = 25


def draw_perturbations(count: int, seed: int = 0) -> list[Perturbation]:
    """So many, the first of which leaves a recording as it is; fewer are the beginning of more.

    Of the others every second one has noise, and those between have frames missing.
    """
    drawn = [Perturbation()]
    for number in range(1, count):
        generator = np.random.default_rng([seed, number])
        quality, skipped = int(generator.integers(*_QUALITIES)), int(generator.integers(1, _MOST_SKIPPED + 1))
        chance = int(generator.integers(2**31))
        drawn.append(Perturbation(quality, skipped, *((chance, None) if number % 2 else (None, chance))))
    return drawn[:count]


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
        is_known = source.length is not None and perturbation.drop_seed is None
        self.length = max(0, (source.length or 0) - perturbation.skipped) if is_known else None
        self.camera, self.has_truth, self.is_metric = source.camera, source.has_truth, source.is_metric
        self.notes = source.notes
        self.cpu_s = 0.0

    def __iter__(self) -> Iterator[Frame]:
        begin = time.process_time()
        for frame in self._source:
            if frame.index >= self._perturbation.skipped and not self._is_dropped(frame.index):
                perturbed = replace(frame, image=self._compressed(self._noisy(frame)))
                self.cpu_s += time.process_time() - begin
                yield perturbed
                begin = time.process_time()

    def _is_dropped(self, index: int) -> bool:
        seed, (group, place) = self._perturbation.drop_seed, divmod(index, _DROPPED_EVERY)
        # The last frame of a group stays, so that two are never missing together.
        return seed is not None and place == np.random.default_rng([seed, group]).integers(_DROPPED_EVERY - 1)

    def _noisy(self, frame: Frame) -> ImageArray:
        seed, image = self._perturbation.noise_seed, frame.image
        if seed is None:
            return image
        noise = np.random.default_rng([seed, frame.index]).normal(0.0, _NOISE, image.shape)
        return np.asarray(np.clip(image + noise.round(), 0, 255), np.uint8)

    def _compressed(self, image: ImageArray) -> ImageArray:
        quality = self._perturbation.jpeg_quality
        return image if quality is None else decode_compressed(encode_compressed(image, "jpeg", quality))


@dataclass(frozen=True)
class RunScore:
    """One run.

    Attributes:
        perturbation: of the recording.
        error: of the poses as first answered, over the frames that were solved; None where fewer than three were.
        tracked: share of the frames that were solved, 0 to 1.
        losses: how often tracking was lost.
        keyframes: number of keyframes.
        cpu_ms: CPU time of this process for a frame, on average, with the work that follows its pose.
        blunders: share of the poses that are confident and more than five of their own deviations wrong, 0 to 1.
    """

    perturbation: Perturbation
    error: TrajectoryScore | None
    tracked: float
    losses: int
    keyframes: int
    cpu_ms: float
    blunders: float = 0.0

    def value(self, name: str) -> float:
        """A number of `TrajectoryScore`, as it counts among other runs; infinite where it is not known."""
        found = None if self.error is None else getattr(self.error, name)
        return float("inf") if found is None else float(found)


@dataclass(frozen=True)
class _Told:
    """A number that is told of several runs.

    Attributes:
        title: in a table.
        name: of `TrajectoryScore`.
        form: how it is written.
    """

    title: str
    name: str
    form: str


_TOLD = (
    _Told("ATE, % of path", "ate_percent", ".2f"),
    _Told("RPE 1 s", "rpe_second", ".4f"),
    _Told("RPE 1 s, deg", "rpe_second_deg", ".3f"),
    _Told("scale range", "scale_range", ".3f"),
)


@dataclass(frozen=True)
class PerturbedScore:
    """Several runs of one recording.

    Attributes:
        name: of the recording.
        runs: in order.
    """

    name: str
    runs: tuple[RunScore, ...]

    def median(self, name: str) -> float:
        """Of a number of `TrajectoryScore` over the runs; infinite where half of them do not know it."""
        return float(np.median(self._values(name)))

    def worst(self, name: str) -> float:
        """The largest of a number of `TrajectoryScore`; infinite where a run does not know it."""
        return float(self._values(name).max())

    def _values(self, name: str) -> FloatArray:
        return np.array([run.value(name) for run in self.runs])

    @property
    def tracked(self) -> tuple[float, float]:
        """Share of the frames that were solved, 0 to 1: the median of the runs, and the least."""
        shares = [run.tracked for run in self.runs]
        return float(np.median(shares)), min(shares)

    @property
    def most_blunders(self) -> float:
        """The largest share of blunders of a run, 0 to 1."""
        return max(run.blunders for run in self.runs)

    def record(self) -> dict[str, Any]:
        """For a JSON file; None for what is not known."""
        told = {told.name: (self.median(told.name), self.worst(told.name)) for told in _TOLD}
        return {
            **asdict(self),
            "median": {name: _finite(median) for name, (median, _) in told.items()} | {"tracked": self.tracked[0]},
            "worst": {name: _finite(worst) for name, (_, worst) in told.items()}
            | {"tracked": self.tracked[1], "blunders": self.most_blunders},
        }


def _finite(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if np.isfinite(value) else None


def score_runs(
    source: FrameSource, new_tracker: Callable[[], Tracker], perturbations: Sequence[Perturbation]
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
    live = [found for _, found in follow(track, perturbed, tracker)]
    cpu_s = time.process_time() - begin - perturbed.cpu_s
    truth = track.true_poses()
    if truth is None:
        raise FileError(f"{source.name} has frames without a true pose, or none that are left; choose another set")
    solved = track.solved()
    error = score_trajectory(np.array(track.poses)[solved], truth, source.rate_hz, solved)
    stream = score_stream([LiveStates().of(answer) for answer in live], track.stamps_ns, truth)
    return RunScore(
        perturbation,
        error,
        len(solved) / len(truth),
        track.losses,
        track.keyframes,
        1e3 * cpu_s / len(truth),
        stream.values.get("blunders", 0.0),
    )


def as_table(scores: Sequence[PerturbedScore]) -> Table:
    """One row for each recording."""
    rows: Table = [
        [
            "set",
            *(told.title for told in _TOLD),
            "solved, %",
            "losses",
            "blunders, %",
            "keyframes",
            "CPU ms a frame",
            "ATE of each run",
        ]
    ]
    for score in scores:
        cells = [f"{score.median(t.name):{t.form}} / {score.worst(t.name):{t.form}}" for t in _TOLD]
        median, least = score.tracked
        rows.append(
            [
                score.name,
                *cells,
                f"{100 * median:.0f} / {100 * least:.0f}",
                str(max(run.losses for run in score.runs)),
                f"{100 * score.most_blunders:.0f}",
                f"{np.median([run.keyframes for run in score.runs]):.0f}",
                f"{np.mean([run.cpu_ms for run in score.runs]):.1f}",
                " ".join(f"{run.value('ate_percent'):.2f}" for run in score.runs),
            ]
        )
    return rows


def section_of(scores: Sequence[PerturbedScore]) -> Section:
    """For a report."""
    note = (
        "Median / worst of the runs, of the poses as first answered, after Sim(3). The first run is the recording as "
        "it is; the others are compressed once more and begin up to ten frames later, and in turn have noise of a grey "
        "level or miss one frame of twenty-five. Scale range: the largest over the smallest unit among fifths of the "
        "path. Losses and blunders: the most of a run. A blunder is a confident pose that is more than five of its own "
        "standard deviations wrong."
    )
    return Section("Perturbed runs", as_table(scores), note)
