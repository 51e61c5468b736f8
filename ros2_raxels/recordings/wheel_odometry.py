"""Wheel odometry of a recording: poses of the base on its plane, from a CSV file of times, places and headings."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.utils.files import shown

ODOMETRY_FILE = "odom.csv"

_COLUMNS = ("t", "x", "y", "yaw")
_GAP_NS = 500_000_000
"""Between two readings further apart than this the base may have been anywhere."""


class WheelOdometry:
    """Where a base was by its wheels.

    Args:
        times_s: (N,) ascending, on the clock of the frames.
        places: (N, 3) x, y, m, and heading, rad, in the odometry's own frame.
    """

    def __init__(self, times_s: FloatArray, places: FloatArray) -> None:
        self._times_ns = np.round(times_s * 1e9).astype(np.int64)
        self._x, self._y, self._yaw = places[:, 0], places[:, 1], np.unwrap(places[:, 2])

    @classmethod
    def read(cls, file: Path) -> WheelOdometry:
        """Of a file whose first line names its columns, t (s), x, y (m) and yaw (rad) among them.

        Raises:
            SourceError: it cannot be read, lacks a column, or a value of it is wrong.
        """
        try:
            with file.open(encoding="utf-8", newline="") as text:
                rows = list(csv.DictReader(text))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{file} cannot be read: {error}; give the wheels' readings as CSV") from error
        if len(rows) < 2:
            raise SourceError(f"{file} has {len(rows)} rows below its header; it takes two readings at least")
        missing = [name for name in _COLUMNS if name not in rows[0]]
        if missing:
            raise SourceError(f"{file} has no column {missing[0]!r}; its first line must name {', '.join(_COLUMNS)}")
        values = np.array(
            [[_number(row[name], f"{file}: row {k}: {name}") for name in _COLUMNS] for k, row in enumerate(rows, 1)]
        )
        later = np.diff(values[:, 0]) > 0
        if not later.all():
            row = int(np.argmin(later)) + 2
            raise SourceError(f"{file}: row {row}: t = {values[row - 1, 0]:g} s is not after the one before; sort them")
        return cls(values[:, 0], values[:, 1:])

    @property
    def covers_s(self) -> tuple[float, float]:
        """Times of the first and the last reading, s."""
        return float(self._times_ns[0]) * 1e-9, float(self._times_ns[-1]) * 1e-9

    def base_to_odom(self, stamp_ns: int) -> FloatArray | None:
        """4x4, m, at a stamp, between the readings around it; None outside them or in a gap."""
        after = int(np.searchsorted(self._times_ns, stamp_ns))
        if after == len(self._times_ns):
            return None
        is_between = self._times_ns[after] != stamp_ns
        if is_between and (after == 0 or self._times_ns[after] - self._times_ns[after - 1] > _GAP_NS):
            return None
        x, y, yaw = (float(np.interp(stamp_ns, self._times_ns, of)) for of in (self._x, self._y, self._yaw))
        return make_pose(rotation_from_vector((0.0, 0.0, yaw)), (x, y, 0.0))


def _number(text: object, where: str) -> float:
    try:
        value = float(str(text))
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise SourceError(f"{where} = {shown(text)} must be a finite number; correct it")
    return value
