"""Readings of a sensor in a CSV file whose first line names its columns, the time among them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.utils.files import shown


def read_columns(file: Path, columns: Sequence[str], whose: str) -> FloatArray:
    """Columns of a file in the order of their names, one row a reading; the first one increases.

    Args:
        file: comma-separated.
        columns: their names; others may be there.
        whose: readings these are, for the message.

    Raises:
        SourceError: it cannot be read, has fewer than two rows, lacks a column, or a value of it is wrong.
    """
    try:
        with file.open(encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{file} cannot be read: {error}; give the {whose} readings as CSV") from error
    if len(rows) < 2:
        raise SourceError(f"{file} has {len(rows)} rows below its header, too few to tell a motion; give two or more")
    missing = [name for name in columns if name not in rows[0]]
    if missing:
        raise SourceError(f"{file} has no column {missing[0]!r}; its first line must name {', '.join(columns)}")
    values = np.array([[_number(row[name]) for name in columns] for row in rows])
    for row, column in np.argwhere(~np.isfinite(values)).tolist():
        name = columns[column]
        raise SourceError(
            f"{file}: row {row + 1}: {name} = {shown(rows[row][name])} must be a finite number; correct it"
        )
    for row in (np.flatnonzero(np.diff(values[:, 0]) <= 0) + 1).tolist():
        at = f"{columns[0]} = {values[row, 0]:g} s"
        raise SourceError(f"{file}: row {row + 1}: {at} is not after the one before; sort them")
    return values


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return np.nan
