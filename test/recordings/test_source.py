"""source: the checks that all recordings share, and what counts as one error to the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recordings_rig import CAMERA, HEIGHT_PX, WIDTH_PX, picture, write_image

from ros2_raxels.recordings.source import (
    SourceError,
    check_camera_fits,
    check_increasing,
    median_rate_hz,
    read_image,
)
from ros2_raxels.utils.files import FileError


def test_a_recording_that_cannot_be_read_is_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.png cannot be read") as caught:
        read_image(tmp_path / "gone.png")
    assert isinstance(caught.value, SourceError)


def test_an_image_is_read_as_rgb(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture(1))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture(1))


def test_an_image_must_have_the_size_of_its_camera() -> None:
    check_camera_fits(CAMERA, picture(0), "a.png")
    check_camera_fits(None, picture(0, 7, 5), "a.png")
    with pytest.raises(SourceError) as caught:
        check_camera_fits(CAMERA, picture(0, HEIGHT_PX, WIDTH_PX), "a.png")
    assert str(caught.value) == ("a.png is 24x32 px but its camera is 32x24 px; give the intrinsics of this image size")


def test_stamps_must_increase() -> None:
    check_increasing([1, 2, 5], "bag", ["a", "b", "c"])
    check_increasing([], "bag", [])
    for stamps_ns in ([10**9, 10**9, 2 * 10**9], [2 * 10**9, 10**9, 3 * 10**9]):
        with pytest.raises(SourceError, match=r"bag: time of b, 1\.000000000 s, is not after [12]\.000000000 s"):
            check_increasing(stamps_ns, "bag", ["a", "b", "c"])


def test_the_rate_is_that_of_the_median_gap() -> None:
    # One frame is missing, and one stamp occurs twice.
    assert median_rate_hz([0, 50_000_000, 150_000_000, 150_000_000, 200_000_000], 7.0) == pytest.approx(20.0)
    assert median_rate_hz([5], 7.0) == 7.0
    assert median_rate_hz([], 7.0) == 7.0
