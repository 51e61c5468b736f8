"""benchmark_sections: which frames the sections take, and how spreads are shown."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ros2_raxels.cli.benchmark_sections import _clip, _small_clip, _spread_table
from ros2_raxels.evaluation.machine.timing import Spread
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.utils.files import FileError


def recording(folder: Path, frames: int) -> FrameSource:
    """Images of one grey each, which is the number of the frame."""
    for index in range(frames):
        assert cv2.imwrite(str(folder / f"{index:03d}.png"), np.full((48, 64, 3), index, np.uint8))
    return open_source(folder)


@pytest.mark.parametrize(
    ("frames", "taken"), [(40, [0, 5, 10, 15]), (16, [0, 5, 10, 15]), (7, [0, 2, 4, 6]), (3, [0, 1, 2]), (2, [0, 1])]
)
def test_a_clip_is_spread_over_the_beginning_of_a_recording(tmp_path: Path, frames: int, taken: list[int]) -> None:
    images, cameras = _clip(recording(tmp_path, frames))
    assert [int(image[0, 0, 0]) for image in images] == taken
    assert cameras == [None] * len(taken)


def test_one_frame_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="has only one frame; give a recording with motion"):
        _clip(recording(tmp_path, 1))


def test_a_small_clip_is_of_the_size_of_views(tmp_path: Path) -> None:
    images, camera = _small_clip(recording(tmp_path, 4))
    assert {image.shape for image in images} == {(96, 128, 3)}
    assert (camera.width, camera.height, camera.cx, camera.cy) == (128, 96, 63.5, 47.5)
    assert camera.fx == camera.fy


def test_a_spread_is_a_row_of_milliseconds() -> None:
    table = _spread_table("stage", {"look": Spread.of(np.arange(101) / 1e3)})
    assert table == [["stage", "p50", "p95", "max", "mean"], ["look", "50.00", "95.00", "100.00", "50.00"]]
