"""Times of images from the text file that a data set has beside them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ros2_raxels.recordings.image_names import times_of_names
from ros2_raxels.recordings.source import SourceError

TIME_FILES = ("times.txt", "timestamps.txt", "rgb.txt", "data.csv", "timestamps.csv", "times.csv")
"""Looked for beside the images, then in the folder above."""

_DATE = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?")
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class TimeList:
    """The times of a recording's images.

    Attributes:
        file: they are from.
        stamps_ns: one for each image that was asked for.
    """

    file: Path
    stamps_ns: list[int]


def find_times(folder: Path, images: Sequence[Path]) -> TimeList | str:
    """Times of images by a list beside them or in the folder above.

    A list either names the images (``time name``, in either order, by blanks or commas), or has one line for each image
    (``time``, ``number time ...`` or a date with time). Where the list is longer and the names are numbers, they are
    those of its lines.

    Args:
        folder: of the images.
        images: in order.

    Returns:
        The times, or in words why there are none; empty where there is no list.

    Raises:
        SourceError: the list cannot be read.
    """
    why = ""
    # As the user wrote it, where that names the folder above.
    above = folder.resolve().parent if folder.name in ("", "..") or not folder.parent.name else folder.parent
    for file in (where / name for where in (folder, above) for name in TIME_FILES):
        if not file.is_file():
            continue
        lines = _lines(file)
        stamps_ns = _by_name(lines, images) or _by_line(lines, images)
        if stamps_ns is not None:
            return TimeList(file, stamps_ns)
        why = why or f"{file.name} has {len(lines)} lines, which are not the times of {len(images)} images"
    return why


def _lines(file: Path) -> list[list[str]]:
    """The fields of each line that is no comment; a date and its time are one field."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise SourceError(f"{file} has {file.stat().st_size} bytes, which no list of times has; move it away")
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}; check its permissions") from error
    text = _DATE.sub(lambda date: f"{date[1]}T{date[2]}.{date[3] or '0'}", text)
    return [re.split(r"[,\s]+", line.strip()) for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]


def _by_name(lines: list[list[str]], images: Sequence[Path]) -> list[int] | None:
    times: dict[str, str] = {}
    for fields in lines:
        for name, time in (fields[1::-1], fields[:2]) if len(fields) > 1 else ():
            if Path(name).suffix.lower() == images[0].suffix.lower():
                times[Path(name).name] = time
    if not all(image.name in times for image in images):
        return None
    return _nanoseconds([times[image.name] for image in images])


def _by_line(lines: list[list[str]], images: Sequence[Path]) -> list[int] | None:
    # The TUM mono sets have the number of the image before its time, and its exposure behind.
    column = 1 if lines and len(lines[0]) > 1 and lines[0][0].isdecimal() and "." in lines[0][1] else 0
    if any(len(fields) <= column for fields in lines):
        return None
    values = [fields[column] for fields in lines]
    if len(values) > len(images) and all(image.stem.isdecimal() for image in images):
        numbers = [int(image.stem) for image in images]
        if max(numbers) < len(values):
            values = [values[number] for number in numbers]
    return _nanoseconds(values) if len(values) == len(images) else None


def _nanoseconds(values: list[str]) -> list[int] | None:
    """Dates, seconds (also like 1.5e-01), or whole numbers since 1970 of any unit."""
    if whole := times_of_names(values) if all(value.isdecimal() for value in values) else None:
        return whole[0]
    stamps_ns = []
    for value in values:
        stamp_ns = _date_ns(value) or _seconds_ns(value)
        if stamp_ns is None:
            return None
        stamps_ns.append(stamp_ns)
    return stamps_ns


def _date_ns(value: str) -> int | None:
    date = re.fullmatch(r"(\S+T\S+)\.(\d{1,9})", value)
    if date is None:
        return None
    try:
        begun = datetime.datetime.fromisoformat(date[1]).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    return int(begun.timestamp()) * 10**9 + int(date[2].ljust(9, "0"))


def _seconds_ns(value: str) -> int | None:
    plain = re.fullmatch(r"(\d+)(?:\.(\d*))?", value)
    if plain:
        return int(plain[1]) * 10**9 + int((plain[2] or "")[:9].ljust(9, "0"))
    try:
        seconds = float(value)
    except ValueError:
        return None
    return round(seconds * 1e9) if abs(seconds) < 1e11 else None
