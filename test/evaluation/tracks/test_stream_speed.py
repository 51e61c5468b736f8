"""Speed and memory of the tracker on a stream."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from posed_sets import write_rendered_set

from ros2_raxels.evaluation.tracks import stream_speed
from ros2_raxels.evaluation.tracks.stream_speed import Resampled, again_and_again, growth_per_frame, memory_trend
from ros2_raxels.factory import make_tracker
from ros2_raxels.recordings.open import open_source

FRAMES = 16


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room", FRAMES)


def test_growth_is_the_slope_through_the_samples() -> None:
    numbers = list(range(0, 20_000, 50))
    waves = [round(3e8 + 123.0 * n + 1e5 * np.sin(n)) for n in numbers]
    assert growth_per_frame(numbers, waves) == pytest.approx(123.0, abs=1.0)
    assert growth_per_frame(numbers, [5 * 10**8] * len(numbers)) == pytest.approx(0, abs=1e-6)
    assert growth_per_frame([7], [10]) == 0


def test_a_leak_is_found_and_the_beginning_forgiven(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([10**9, *(10**8 + 1000 * k for k in range(100))])
    monkeypatch.setattr(stream_speed, "rss_bytes", lambda: next(sizes))
    monkeypatch.setattr(stream_speed, "_SAMPLE_EVERY", 4)
    trend = memory_trend(open_source(room), make_tracker("none"), 40)
    assert trend.bytes_per_frame == pytest.approx(1000 / 4, rel=0.02)
    assert (trend.settled_after, trend.settled_bytes) == (4, 10**8)
    assert trend.samples[:3] == ((0, 10**9), (4, 10**8), (8, 10**8 + 1000))


def test_a_recording_goes_on_when_it_begins_again(room: Path) -> None:
    source = open_source(room)
    frames = list(itertools.islice(again_and_again(source), 2 * FRAMES + 3))
    assert [f.index for f in frames] == [*range(FRAMES), *range(FRAMES), 0, 1, 2]
    gaps = np.diff([f.stamp_ns for f in frames])
    assert gaps.min() > 0
    assert gaps[FRAMES - 1] == pytest.approx(1e9 / source.rate_hz, abs=1)
    np.testing.assert_array_equal(frames[3].image, frames[FRAMES + 3].image)


def test_the_beginning_of_a_recording_at_another_size(room: Path) -> None:
    source = open_source(room)
    wide = Resampled(source, 320, 180, 3)
    assert (wide.name, wide.length, wide.rate_hz) == ("room at 320x180", 3, source.rate_hz)
    assert [frame.image.shape for frame in wide] == [(180, 320, 3)] * 3
    assert (wide.camera.width, wide.camera.height) == (320, 180)


def test_a_recording_without_frames_stays_empty_at_another_size(room: Path) -> None:
    empty = Resampled(open_source(room), 320, 180, 0)
    assert (list(empty), empty.camera) == ([], None)
