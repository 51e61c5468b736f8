"""Speed and memory of the tracker on a stream of frames, by stage."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from ros2_raxels.evaluation.machine.timing import Spread
from ros2_raxels.evaluation.tracks.recorded_track import Track, answer, follow, improve
from ros2_raxels.recordings.resampled import resampled
from ros2_raxels.recordings.source import Frame, FrameSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.utils.memory import rss_bytes

_UNTIMED_FRAMES = 30
_SAMPLE_EVERY = 50
_SHOWN_SAMPLES = 40
_SETTLING = 0.1


@dataclass(frozen=True)
class StreamSpeed:
    """The tracker on one recording; decoding of image files is not part of any time.

    Attributes:
        name: of the recording.
        frames: that were timed, after the untimed ones at the beginning.
        width, height: px of the images as given.
        states: number of frames by state.
        keyframes: number of keyframes.
        image_to_pose: from pixels to the pose.
        whole: that and the work that a frame leaves for after its pose.
        cpu: processor time of the whole, of all threads; unlike the others it hardly depends on what else runs.
        stages: over all frames; a stage that a frame skipped counts as 0.
    """

    name: str
    frames: int
    width: int
    height: int
    states: dict[str, int]
    keyframes: int
    image_to_pose: Spread
    whole: Spread
    cpu: Spread
    stages: dict[str, Spread]


def stream_speed(source: FrameSource, tracker: Tracker) -> StreamSpeed:
    """Track a recording from its beginning.

    Args:
        source: the recording; its first frames are tracked once untimed, for what is loaded on first use.
        tracker: is reset.

    Raises:
        SourceError: an image cannot be read, or does not fit its camera.
    """
    for _ in itertools.islice(follow(Track(), source, tracker), _UNTIMED_FRAMES):
        pass
    tracker.reset()
    track, stages_s = Track(), []
    followed = follow(track, source, tracker)
    for _, found in tqdm(followed, "tracker", source.length, unit="frame", disable=not sys.stderr.isatty()):
        improve_s = found.stage_s.get("improve", 0.0) + track.between_s[-1]
        stages_s.append({**found.stage_s, "improve": improve_s})
    width, height = (0, 0) if track.camera is None else (track.camera.width, track.camera.height)
    return StreamSpeed(
        source.name,
        len(stages_s),
        width,
        height,
        dict(Counter(state.name.lower() for state in track.states)),
        track.keyframes,
        Spread.of(track.frame_s),
        Spread.of(np.add(track.frame_s, track.between_s)),
        Spread.of(track.cpu_s),
        _by_stage(stages_s),
    )


def _by_stage(stages_s: Sequence[dict[str, float]]) -> dict[str, Spread]:
    names = dict.fromkeys(name for frame in stages_s for name in frame)
    # Work after the pose comes last.
    names = dict.fromkeys([*(n for n in names if n != "improve"), "improve"])
    return {name: Spread.of(frame.get(name, 0.0) for frame in stages_s) for name in names}


# --------------------------------------------------------------------------------------------------------- resolution


class Resampled(FrameSource):
    """The beginning of a recording at another size: the middle of each image in that shape, resampled.

    Decoded once, so that reading again takes no time. What is seen stays the same, and the cost of pixels shows alone.

    Args:
        source: the recording.
        width, height: px.
        frames: at most so many.
    """

    kind = "resampled"

    def __init__(self, source: FrameSource, width: int, height: int, frames: int) -> None:
        self._frames = [resampled(frame, width, height) for frame in itertools.islice(source, frames)]
        self.name, self.length = f"{source.name} at {width}x{height}", len(self._frames)
        self.rate_hz, self.camera = source.rate_hz, self._frames[0].camera if self._frames else None

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)


# ------------------------------------------------------------------------------------------------------------- memory


@dataclass(frozen=True)
class MapCost:
    """What a frame costs while the map grows.

    Attributes:
        frames: tracked by the end of this part.
        keyframes: made by then; the map thins out old ones.
        image_to_pose: wall time.
        cpu: processor time of a frame with all that follows its pose.
    """

    frames: int
    keyframes: int
    image_to_pose: Spread
    cpu: Spread


@dataclass(frozen=True)
class MemoryTrend:
    """Memory of the process while it tracks frame after frame.

    Attributes:
        frames: tracked.
        laps: number of times the recording began.
        settled_after: frames at the beginning that the slope leaves out.
        settled_bytes, end_bytes, most_bytes: resident memory at that frame, at the end, and at most.
        bytes_per_frame: slope of the line of least squares through the samples since then.
        lost: frames that were LOST, as happens where the end of a recording does not join its beginning.
        samples: frame number and resident bytes, some dozens evenly spread.
        costs: of parts of equal length, some dozens.
    """

    frames: int
    laps: int
    settled_after: int
    settled_bytes: int
    end_bytes: int
    most_bytes: int
    bytes_per_frame: float
    lost: int
    samples: tuple[tuple[int, int], ...]
    costs: tuple[MapCost, ...] = ()


def memory_trend(source: FrameSource, tracker: Tracker, frames: int) -> MemoryTrend:
    """Track so many frames of a recording played in a loop, and sample the memory.

    The tracker is not told that the recording starts again: a jump there costs a loss and a recovery, or a new start.

    Raises:
        SourceError: an image cannot be read, or does not fit its camera.
    """
    numbers, sizes, lost, laps, keyframes = [], [], 0, 0, 0
    costs: list[MapCost] = []
    part, part_frames = Track(), max(1, frames // _SHOWN_SAMPLES)
    looped = itertools.islice(again_and_again(source), frames)
    for number, frame in enumerate(tqdm(looped, "memory", frames, unit="frame", disable=not sys.stderr.isatty())):
        found = answer(part, frame, tracker)
        improve(part, tracker)
        keyframes += found.keyframe
        if len(part.frame_s) == part_frames:
            costs.append(MapCost(number + 1, keyframes, Spread.of(part.frame_s), Spread.of(part.cpu_s)))
            part = Track()
        lost += found.state.name == "LOST"
        laps += frame.index == 0
        if number % _SAMPLE_EVERY == 0 or number == frames - 1:
            numbers.append(number)
            sizes.append(rss_bytes())
    settled = next(k for k, number in enumerate(numbers) if number >= int(_SETTLING * frames))
    slope = growth_per_frame(numbers[settled:], sizes[settled:])
    every = max(1, len(numbers) // _SHOWN_SAMPLES)
    shown = tuple(zip(numbers, sizes, strict=True))[::every]
    grown = (numbers[settled], sizes[settled], sizes[-1], max(sizes), slope)
    return MemoryTrend(frames, laps, *grown, lost, shown, tuple(costs))


def again_and_again(source: FrameSource) -> Iterator[Frame]:
    """Frames of a recording in an endless loop; stamps continue where the last round ended."""
    offset_ns = last_ns = 0
    while True:
        for frame in source:
            last_ns = frame.stamp_ns + offset_ns
            yield replace(frame, stamp_ns=last_ns)
        offset_ns = last_ns + round(1e9 / source.rate_hz)


def growth_per_frame(numbers: Sequence[int], sizes: Sequence[int]) -> float:
    """Slope of the line of least squares through sizes over frame numbers; 0 for fewer than two samples."""
    if len(numbers) < 2:
        return 0.0
    return float(np.polyfit(np.array(numbers, float), np.array(sizes, float), 1)[0])
