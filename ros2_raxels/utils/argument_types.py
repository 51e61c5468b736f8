"""Types of command-line options that several commands share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable

_LENS_LENGTHS = tuple(4 + coefficients for coefficients in (0, 4, 5, 8, 12, 14))
_LEAST_PX, _MOST_PX = 16, 16384


def positive(text: str) -> int:
    """A whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    return _at_least(1, text)


def natural(text: str) -> int:
    """A whole number of at least 0.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    return _at_least(0, text)


def above_zero(text: str) -> float:
    """A number above 0 and below 100 000: seconds, Hz, factors.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    value = _number(text)
    if not 0 < value < 1e5:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0 and below 100000")
    return value


def share(text: str) -> float:
    """A number from 0 to 1.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    value = _number(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 0 to 1")
    return value


def _number(text: str) -> float:
    """NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def lens_px(text: str) -> tuple[float, ...]:
    """fx, fy, cx, cy in px, and OpenCV's distortion coefficients, from ``fx,fy,cx,cy[,k1,k2,p1,p2[,k3,...]]``.

    Raises:
        argparse.ArgumentTypeError: no finite numbers, as many as OpenCV never has, or a focal length that is not
            positive.
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in _LENS_LENGTHS:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be numbers fx,fy,cx,cy in px, then none or 4, 5, 8, 12 or 14 distortion coefficients "
            "k1,k2,p1,p2,k3,k4,k5,k6,s1,s2,s3,s4,tx,ty"
        )
    _check_intrinsics(text, values)
    return values


def intrinsics_px(text: str) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in px from ``fx,fy,cx,cy``.

    Raises:
        argparse.ArgumentTypeError: other than four finite numbers, or a focal length that is not positive.
    """
    try:
        fx, fy, cx, cy = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be four numbers fx,fy,cx,cy in px") from None
    _check_intrinsics(text, (fx, fy, cx, cy))
    return fx, fy, cx, cy


def size_px(text: str) -> tuple[int, int]:
    """Width and height, px, from ``WIDTHxHEIGHT``.

    Raises:
        argparse.ArgumentTypeError: it is something else, or a side is not from 16 to 16384 px.
    """
    width, _, height = text.partition("x")
    if not all(side.isdecimal() and _LEAST_PX <= int(side) <= _MOST_PX for side in (width, height)):
        raise argparse.ArgumentTypeError(
            f"{text!r} must be a width and a height from {_LEAST_PX} to {_MOST_PX} px, like 1280x720"
        )
    return int(width), int(height)


def _check_intrinsics(text: str, values: tuple[float, ...]) -> None:
    if not all(map(math.isfinite, values)) or min(values[:2]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be finite, and fx and fy positive")


def _at_least(least: int, text: str) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least {least}")
    return int(text)


def several_of(known: Iterable[str], what: str) -> Callable[[str], tuple[str, ...]]:
    """The type of an option that takes names with commas between them.

    Args:
        known: names to choose from.
        what: noun for one of them, for the message of the argparse.ArgumentTypeError about an unknown name.
    """
    choices = tuple(known)

    def read(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(filter(None, text.split(","))))
        unknown = [name for name in names or (text,) if name not in choices]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no {what}; choose from {', '.join(choices)}")
        return names

    return read
