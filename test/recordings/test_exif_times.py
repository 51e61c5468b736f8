"""exif_times: when images were taken by their EXIF, also where dates have whole seconds, are equal or missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings_rig import picture, with_date, write_image

from ros2_raxels.recordings.exif_times import ExifTimes, times_of_exif
from ros2_raxels.recordings.open import open_source

S = 10**9
NOON_NS = 1_717_156_800 * S
"""2024-05-31 12:00:00 UTC."""


def photo(path: Path, seed: int = 0, date: str = "", fraction: str = "", offset: str = "") -> Path:
    """A JPEG taken on 31 May 2024 at this time of the day."""
    write_image(path, picture(seed))
    if date:
        path.write_bytes(with_date(path.read_bytes(), f"2024:05:31 {date}", fraction, offset))
    return path


def photos(folder: Path, *dates: tuple[str, ...]) -> list[Path]:
    return [photo(folder / f"IMG_{index:04d}.jpg", index, *date) for index, date in enumerate(dates)]


def test_fraction_and_offset_make_a_time(tmp_path: Path) -> None:
    images = photos(tmp_path, ("14:00:00", "5", "+02:00"), ("14:00:00", "625", "+02:00"), ("07:30:01", "0", "-04:30"))
    found = times_of_exif(images)
    assert found == ExifTimes([NOON_NS + S // 2, NOON_NS + 625 * 10**6, NOON_NS + S], "times from EXIF dates")


def test_without_an_offset_local_time_is_taken_for_utc_with_a_word(tmp_path: Path) -> None:
    found = times_of_exif(photos(tmp_path, ("12:00:00", "1", "+02:00"), ("12:00:00", "2")))
    words = "times from EXIF dates, local time taken for UTC"
    assert found == ExifTimes([NOON_NS + S // 10, NOON_NS + S // 5], words)


def test_images_of_one_second_are_spread_over_it_with_a_word(tmp_path: Path) -> None:
    found = times_of_exif(photos(tmp_path, ("12:00:00", "00"), ("12:00:00", "00"), ("12:00:01", "00")))
    assert isinstance(found, ExifTimes)
    assert found.stamps_ns == [NOON_NS, NOON_NS + S // 2, NOON_NS + S]
    assert found.words.endswith(", 2 of which others share: spread evenly")


def test_images_of_one_tenth_of_a_second_stay_in_it(tmp_path: Path) -> None:
    found = times_of_exif(photos(tmp_path, ("12:00:00", "1"), ("12:00:00", "1"), ("12:00:00", "2")))
    assert isinstance(found, ExifTimes)
    assert found.stamps_ns == [NOON_NS + 100 * 10**6, NOON_NS + 150 * 10**6, NOON_NS + 200 * 10**6]


@pytest.mark.parametrize(
    ("dates", "words"),
    [
        ([("12:00:00",), (), ("12:00:02",)], "EXIF dates are not used: 1 of 3 images have none"),
        ([("12:00:00",), ("12:00:00",)], "EXIF dates are not used: all 2 images have the same"),
        ([("12:00:00",), ("99:00:00",)], "EXIF dates are not used: 1 of 2 images have none"),
        ([(), ()], ""),
    ],
)
def test_dates_that_tell_no_times_are_not_used_with_a_word(
    tmp_path: Path, dates: list[tuple[str, ...]], words: str
) -> None:
    assert times_of_exif(photos(tmp_path, *dates)) == words


def test_a_folder_takes_its_times_from_exif_where_names_tell_none(tmp_path: Path) -> None:
    """A counter that went round from 9999 to 1: the order is that of time."""
    photo(tmp_path / "IMG_9999.jpg", 0, "12:00:00", "000", "+00:00")
    photo(tmp_path / "IMG_0001.jpg", 1, "12:00:00", "125", "+00:00")
    source = open_source(tmp_path)
    assert [(f.name, f.stamp_ns) for f in source] == [("IMG_9999.jpg", NOON_NS), ("IMG_0001.jpg", NOON_NS + S // 8)]
    assert source.rate_hz == pytest.approx(8.0)
    assert source.notes == ("2 IMG_*.jpg", "in the order of time", "times from EXIF dates")


def test_a_rate_that_is_given_and_ignored_exif_outrank_the_dates(tmp_path: Path) -> None:
    photos(tmp_path, ("12:00:00", "1"), ("12:00:09", "2"))
    given = open_source(tmp_path, rate_hz=10.0)
    assert [frame.stamp_ns for frame in given] == [0, S // 10]
    assert given.notes == ("2 IMG_*.jpg", "in the order of the numbers", "no times, 10 Hz given")
    assert [frame.stamp_ns for frame in open_source(tmp_path, ignore_exif=True)] == [0, round(S / 30)]


def test_a_folder_whose_dates_tell_nothing_says_so(tmp_path: Path) -> None:
    photos(tmp_path, ("12:00:00",), ("12:00:00",))
    source = open_source(tmp_path)
    assert [frame.stamp_ns for frame in source] == [0, round(S / 30)]
    assert "EXIF dates are not used: all 2 images have the same" in source.notes
