"""time_list: the lists of TUM, KITTI, EuRoC and the like, by name or by line."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings_rig import numbered, refusal

from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.recordings.time_list import TIME_FILES, TimeList, find_times

TENTHS = [0, 100_000_000, 200_000_000]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return numbered(tmp_path / "set" / "image_0", 3)


@pytest.mark.parametrize(
    ("name", "text", "stamps_ns"),
    [
        ("times.txt", "0.000000e+00\n1.000000e-01\n2.000000e-01\n", TENTHS),
        ("timestamps.txt", "# s\n0\n0.1\n0.2", TENTHS),
        ("times.txt", "".join(f"{index * 0.1:e}\n" for index in range(100)), TENTHS),
        ("times.txt", "000000 5.5 0.01\n000001 5.6 0.01\n000002 5.7 0.01\n", [5_500_000_000 + t for t in TENTHS]),
        (
            "timestamps.txt",
            "2011-09-26 13:02:25.000000001\n2011-09-26 13:02:25.1\n2011-09-26 13:02:25.200000000\n",
            [1317042145_000000001, 1317042145_100000000, 1317042145_200000000],
        ),
        (
            "rgb.txt",
            (
                "# timestamp filename\n1305031102.175304 image_0/000001.png\n1305031102.1 image_0/000000.png\n"
                "1305031102.25 image_0/000002.png\n1305031102.3 image_0/000003.png\n"
            ),
            [1305031102_100000000, 1305031102_175304000, 1305031102_250000000],
        ),
        (
            "data.csv",
            (
                "#timestamp [ns],filename\n1403636579763555584,000000.png\n1403636579813555456,000001.png\n"
                "1403636579863555584,000002.png\n"
            ),
            [1403636579763555584, 1403636579813555456, 1403636579863555584],
        ),
        ("times.csv", "000000.png, 1\n000001.png, 2\n000002.png, 4.5\n", [10**9, 2 * 10**9, 4_500_000_000]),
        (
            "times.txt",
            "1700000000123\n1700000000156\n1700000000190\n",
            [1700000000_123000000 + t for t in (0, 33000000, 67000000)],
        ),
    ],
)
@pytest.mark.parametrize("above", [False, True])
def test_times_are_read_from_beside_the_images_and_above(
    folder: Path, above: bool, name: str, text: str, stamps_ns: list[int]
) -> None:
    file = (folder.parent if above else folder) / name
    file.write_text(text)
    found = find_times(folder, sorted(folder.glob("*.png")))
    assert isinstance(found, TimeList)
    assert (found.file.resolve(), found.stamps_ns) == (file, stamps_ns)
    source = open_source(folder)
    assert [frame.stamp_ns for frame in source] == stamps_ns
    assert f"times from {found.file}" in source.notes


def test_a_list_of_other_images_is_not_used_and_named(folder: Path) -> None:
    (folder / "times.txt").write_text("0.1\n0.2\n")
    source = open_source(folder)
    assert [frame.stamp_ns for frame in source] == [0, 33333333, 66666667]
    assert "times.txt has 2 lines, which are not the times of 3 images" in source.notes
    assert "no times, 30 Hz assumed (--rate-hz)" in source.notes
    (folder / "times.txt").write_text("no\ntimes\nhere")
    assert find_times(folder, sorted(folder.glob("*.png"))) == (
        "times.txt has 3 lines, which are not the times of 3 images"
    )


def test_times_that_step_back_are_refused(folder: Path) -> None:
    (folder / "times.txt").write_text("0.1\n0.3\n0.2\n")
    message = refusal(folder)
    assert "times.txt" in message
    assert "000002.png" in message


def test_a_time_that_is_listed_twice_is_one_frame(folder: Path) -> None:
    (folder / "times.txt").write_text("0.1\n0.1\n0.2\n")
    source = open_source(folder)
    assert [(f.name, f.stamp_ns) for f in source] == [("000000.png", 100_000_000), ("000002.png", 200_000_000)]
    assert "1 with the time of another passed over" in source.notes


def test_there_may_be_no_list_or_one_too_large(folder: Path) -> None:
    assert find_times(folder, sorted(folder.glob("*.png"))) == ""
    with (folder / TIME_FILES[0]).open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    with pytest.raises(SourceError, match="which no list of times has"):
        find_times(folder, sorted(folder.glob("*.png")))
