"""Times of images by the dates that their cameras wrote into their EXIF."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ros2_raxels.recordings.image_header import EXIF_BYTES, exif_date

_DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_SECOND_NS = 10**9


@dataclass(frozen=True)
class ExifTimes:
    """The times of a folder's images.

    Attributes:
        stamps_ns: one for each image that was asked for, all different, since 1970.
        words: where they are from, and what was guessed of them.
    """

    stamps_ns: list[int]
    words: str


@dataclass(frozen=True)
class _Date:
    """Of one image: local time of its camera, ns; digits of the fraction of the second; offset from UTC, ns."""

    local_ns: int
    digits: int
    offset_ns: int | None


def times_of_exif(images: Sequence[Path]) -> ExifTimes | str:
    """Times of images by DateTimeOriginal, with SubSecTimeOriginal and OffsetTimeOriginal where they are there.

    Images that share a date, as those of a burst share a second, are spread evenly over its last digit in the order in
    which they are given.

    Args:
        images: in the order of their names.

    Returns:
        The times, or in words why there are none; empty where no image has a date.
    """
    dates = [date for date in map(_date, images) if date is not None]
    if not dates:
        return ""
    if len(dates) < len(images):
        return f"EXIF dates are not used: {len(images) - len(dates)} of {len(images)} images have none"
    if len(dates) > 1 and len({date.local_ns for date in dates}) == 1:
        return f"EXIF dates are not used: all {len(dates)} images have the same"
    offsets = [date.offset_ns for date in dates if date.offset_ns is not None]
    in_utc = len(offsets) == len(dates)
    ahead_ns = offsets if in_utc else [0] * len(dates)
    dates_ns = [date.local_ns - offset_ns for date, offset_ns in zip(dates, ahead_ns, strict=True)]
    stamps_ns, shared = _spread(dates_ns, _resolution_ns(dates))
    words = "times from EXIF dates" + ("" if in_utc else ", local time taken for UTC")
    return ExifTimes(stamps_ns, words + (f", {shared} of which others share: spread evenly" if shared else ""))


def _date(image: Path) -> _Date | None:
    with image.open("rb") as opened:
        found = exif_date(opened.read(EXIF_BYTES))
    match = _DATE.match(found[0]) if found else None
    if found is None or match is None:
        return None
    try:
        year, month, day, hour, minute, second = map(int, match.groups())
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.timezone.utc)
    except ValueError:
        # Cameras whose clock was never set write zeros.
        return None
    fraction = found[1] if found[1].isdecimal() else ""
    local_ns = int(moment.timestamp()) * _SECOND_NS + int(fraction[:9].ljust(9, "0"))
    return _Date(local_ns, min(len(fraction), 9), _offset_ns(found[2]))


def _offset_ns(text: str) -> int | None:
    match = _OFFSET.fullmatch(text)
    if match is None:
        return None
    minutes = 60 * int(match[2]) + int(match[3])
    return (minutes if match[1] == "+" else -minutes) * 60 * _SECOND_NS


def _resolution_ns(dates: Sequence[_Date]) -> int:
    """The step of the dates; the second where fractions are missing, or all 0."""
    if all(date.local_ns % _SECOND_NS == 0 for date in dates):
        return _SECOND_NS
    return int(10 ** (9 - max(date.digits for date in dates)))


def _spread(dates_ns: Sequence[int], resolution_ns: int) -> tuple[list[int], int]:
    """A time for each date, in its order, and how many share their date with others."""
    counts, seen, stamps_ns = Counter(dates_ns), Counter[int](), []
    for date_ns in dates_ns:
        stamps_ns.append(date_ns + resolution_ns * seen[date_ns] // counts[date_ns])
        seen[date_ns] += 1
    return stamps_ns, sum(count for count in counts.values() if count > 1)
