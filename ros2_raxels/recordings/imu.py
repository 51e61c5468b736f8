"""Readings of an IMU: from a CSV file or from messages, in the axes of the camera that it is mounted with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.frame_tree import bare
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.csv_readings import read_columns
from ros2_raxels.recordings.source import SourceError

IMU_FILE = "imu.csv"

_COLUMNS = ("t", "gx", "gy", "gz", "ax", "ay", "az")
_GAP_NS = 50_000_000
"""Between two readings further apart than this anything may have happened, and so it may after the newest one."""

_SATURATED = 4
"""So many readings in a row of one and the same value, the largest of all, are none."""

_MOVES_RAD_S, _PUSHED_M_S2 = 0.5, 15.0
"""What repeats below this is what an IMU reads that stands and rounds; no accelerometer ends below 2 g."""


@dataclass(frozen=True, eq=False)
class ImuReadings:
    """Readings in order.

    Attributes:
        stamps_ns: (N,) int64, ascending.
        turn_rate: (N, 3) rad/s, about the axes of the readings.
        acceleration: (N, 3) m/s2, without gravity: at rest it is upwards, and 9.81.
    """

    stamps_ns: npt.NDArray[np.int64]
    turn_rate: FloatArray
    acceleration: FloatArray

    def between(self, begin_ns: int, end_ns: int) -> ImuReadings | None:
        """Those of a time, interpolated at both its ends; None where some are missing, or are saturated."""
        first = int(np.searchsorted(self.stamps_ns, begin_ns, side="right")) - 1
        last = int(np.searchsorted(self.stamps_ns, end_ns, side="left"))
        if first < 0 or begin_ns >= end_ns:
            return None
        around = self.stamps_ns[first : last + 1]
        if np.diff(around, append=max(end_ns, int(around[-1]))).max() > _GAP_NS or self._saturated(first, last + 1):
            return None
        inner = around[(around > begin_ns) & (around < end_ns)]
        stamps_ns = np.concatenate([[begin_ns], inner, [end_ns]]).astype(np.int64)
        return ImuReadings(stamps_ns, *(self._at(stamps_ns, values) for values in (self.turn_rate, self.acceleration)))

    def turned(self, rotation: FloatArray) -> ImuReadings:
        """The same about other axes; `rotation` (3x3) takes the present ones there."""
        return ImuReadings(self.stamps_ns, self.turn_rate @ rotation.T, self.acceleration @ rotation.T)

    def _at(self, stamps_ns: npt.NDArray[np.int64], values: FloatArray) -> FloatArray:
        # Seconds since the first one: as floats, stamps of the clock on the wall have no nanoseconds.
        times, known = (1e-9 * (s - self.stamps_ns[0]).astype(float) for s in (stamps_ns, self.stamps_ns))
        return np.stack([np.interp(times, known, column) for column in values.T], axis=-1)

    def _saturated(self, first: int, last: int) -> bool:
        ends = ((self.turn_rate, _MOVES_RAD_S), (self.acceleration, _PUSHED_M_S2))
        return any(_stays(values[first:last], least) for values, least in ends)


def _stays(values: FloatArray, least: float) -> bool:
    """Whether one of some readings (N, 3) repeats that is further from 0 than the least."""
    if len(values) < _SATURATED:
        return False
    same = (np.abs(np.diff(values, axis=0)) < 1e-12) & (np.abs(values[1:]) > least)
    run = np.lib.stride_tricks.sliding_window_view(same, _SATURATED - 1, axis=0)
    return bool(run.all(axis=-1).any())


class RecordedImu:
    """An IMU that is mounted with a camera.

    Args:
        readings: in the axes of the IMU.
        imu_to_camera: 4x4, m; to the optical frame.
        where: names it in messages.
    """

    def __init__(self, readings: ImuReadings, imu_to_camera: FloatArray, where: str) -> None:
        self._readings = readings.turned(imu_to_camera[:3, :3])
        self.place: FloatArray = imu_to_camera[:3, 3]
        self._where = where

    def between(self, begin_ns: int, end_ns: int) -> ImuReadings | None:
        """Readings in the axes of the camera; see `ImuReadings.between`."""
        return self._readings.between(begin_ns, end_ns)

    def why_silent(self, stamp_ns: int) -> str:
        """Why there are none at a stamp, ns, in a line."""
        begin, end = (1e-9 * int(self._readings.stamps_ns[k]) for k in (0, -1))
        if begin <= stamp_ns * 1e-9 <= end:
            return f"{self._where} has a gap or is saturated at {stamp_ns * 1e-9:.10g} s"
        return (
            f"{self._where} covers {begin:.10g} to {end:.10g} s, and not {stamp_ns * 1e-9:.10g} s; give both one clock"
        )


# ----------------------------------------------------------------------------------------------------------------- CSV


def read_imu(file: Path) -> ImuReadings:
    """Of a file whose first line names its columns: t (s), gx, gy, gz (rad/s) and ax, ay, az (m/s2) among them.

    Raises:
        SourceError: it cannot be read, lacks a column, or a value of it is wrong.
    """
    values = read_columns(file, _COLUMNS, "IMU's")
    return ImuReadings((values[:, 0] * 1e9).round().astype(np.int64), values[:, 1:4], values[:, 4:7])


# ------------------------------------------------------------------------------------------------------------ messages


def imu_readings(messages: Iterable[tuple[int, Any]], where: str) -> tuple[ImuReadings, str]:
    """Of sensor_msgs/Imu messages with their stamps, ns; and the name of their frame.

    Stamps that do not increase, and values that are not finite, are passed over.

    Raises:
        SourceError: there are fewer than two good ones.
    """
    stamps_ns: list[int] = []
    values: list[tuple[float, ...]] = []
    frame = ""
    for stamp_ns, message in messages:
        reading = reading_of(message)
        if np.isfinite(reading).all() and (not stamps_ns or stamp_ns > stamps_ns[-1]):
            stamps_ns.append(stamp_ns)
            values.append(reading)
            frame = bare(message.header.frame_id)
    if len(values) < 2:
        raise SourceError(
            f"{where} holds {len(values)} readings that can be used (finite), and two are needed; record it again, or "
            "leave --imu out"
        )
    table = np.array(values)
    return ImuReadings(np.array(stamps_ns, np.int64), table[:, :3], table[:, 3:]), frame


def reading_of(message: Any) -> tuple[float, ...]:
    """Turn rate x, y, z (rad/s) and acceleration x, y, z (m/s2) of a sensor_msgs/Imu."""
    w, a = message.angular_velocity, message.linear_acceleration
    return (w.x, w.y, w.z, a.x, a.y, a.z)
