"""What the names of a folder's images say: which kinds there are, their order, and times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_NO_PICTURE = re.compile(
    r"(?i)(?<![a-z])(depth|disp|disparity|mask|masks|label|labels|semantic|semantics|seg|instance|normal|normals|conf"
    r"|confidence)(?![a-z])"
)
_DECIMAL = re.compile(r"(?<![\d.])(\d+)\.(\d+)(?![\d.])")
_WHOLE = re.compile(r"(?<!\d)([1-9]\d{8,18})(?!\d)")
_PARTED = re.compile(r"(?<!\d)([1-9]\d{9})[_-](\d{3,9})(?!\d)")
_LEAST_STEP_NS = 2_000_000
"""Between pictures: no camera is faster, but a counter behind a second is."""

_UNITS_NS = {10: 10**9, 13: 10**6, 16: 10**3, 17: 1, 18: 1, 19: 1}
"""Nanoseconds of the unit of a time since 1970, by its digits: s, ms, us, ns."""

_UNIT_NAMES = {10**9: "s", 10**6: "ms", 10**3: "us", 1: "ns"}


def pattern(name: str) -> str:
    """A file's name with its numbers as ``*``: files of one kind share it."""
    return re.sub(r"\d+", "*", name)


def is_no_picture(name: str) -> bool:
    """Whether a name says that the file holds depth, labels or the like."""
    return bool(_NO_PICTURE.search(re.sub(r"[\d_]", " ", name)))


def frame_numbers(stem: str) -> tuple[int, ...]:
    """All numbers of a name, by which two kinds of pictures of one moment are told."""
    return tuple(int(digits) for digits in re.findall(r"\d+", stem))


def natural_key(file: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Numbers by value, so that frame_2 comes before frame_10; the name itself where that ties."""
    parts = re.split(r"(\d+)", file.stem.lower())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts], file.name


def times_of_names(stems: Sequence[str]) -> tuple[list[int], str] | None:
    """The times that names are made of, and their unit; None when they are not times.

    Read are seconds with any number of decimals (1305031102.175304, or 1700000000.82 whose zeros were dropped), whole
    seconds, milliseconds, microseconds and nanoseconds since 1970, and seconds with a whole number of any of these
    behind them (1700000000_123456789, or 1700000000-23456 whose zeros were dropped), with words before or behind.

    Args:
        stems: names without suffix, in any order.

    Returns:
        nanoseconds, one a name, and the unit's name.
    """
    decimals = [_DECIMAL.search(stem) for stem in stems]
    if any(decimals):
        return _seconds(stems, decimals)
    if parted := _seconds_and_parts([_PARTED.search(stem) for stem in stems]):
        return parted
    found = [_WHOLE.search(stem) for stem in stems]
    digits = {len(match[1]) for match in found if match}
    if not all(found) or len(digits) != 1 or not digits <= _UNITS_NS.keys():
        return None
    unit_ns = _UNITS_NS[digits.pop()]
    times = [int(match[1]) * unit_ns for match in found if match]
    return (times, _UNIT_NAMES[unit_ns]) if _are_times(times) else None


def _seconds(stems: Sequence[str], decimals: Sequence[re.Match[str] | None]) -> tuple[list[int], str] | None:
    times = []
    for stem, match in zip(stems, decimals, strict=True):
        whole = _WHOLE.fullmatch(stem)
        if match:
            times.append(int(match[1]) * 10**9 + int(match[2][:9].ljust(9, "0")))
        elif whole and len(whole[1]) == 10:
            times.append(int(whole[1]) * 10**9)
        else:
            return None
    # 7.1 to 7.12 are parts that are counted, not times: as times, 7.1 and 7.10 would be one.
    return (times, "s") if _are_times(times) else None


def _seconds_and_parts(found: Sequence[re.Match[str] | None]) -> tuple[list[int], str] | None:
    parts = [(int(match[1]), int(match[2]), len(match[2])) for match in found if match]
    if not parts or len(parts) < len(found):
        return None
    # The longest has all of its digits.
    digits = next(count for count in (3, 6, 9) if count >= max(length for _, _, length in parts))
    times = [second * 10**9 + part * 10 ** (9 - digits) for second, part, _ in parts]
    apart = max(times) - min(times)
    if not _are_times(times) or apart < _LEAST_STEP_NS * (len(set(times)) - 1):
        return None
    return times, {3: "s and ms", 6: "s and us", 9: "s and ns"}[digits]


def _are_times(times: Sequence[int]) -> bool:
    """Whether nearly all differ: a number that stays is a date or a serial number."""
    return len(set(times)) >= 0.5 * len(times) and (len(times) == 1 or len(set(times)) > 1)
