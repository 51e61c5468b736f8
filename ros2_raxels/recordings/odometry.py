"""Odometry of a recording: where the base was by its wheels, from a CSV file or from messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ros2_raxels.geometry.frame_tree import bare
from ros2_raxels.geometry.poses import (
    FloatArray,
    interpolate_pose,
    make_pose,
    rotation_from_quaternion,
    rotation_from_vector,
)
from ros2_raxels.recordings.csv_readings import read_columns
from ros2_raxels.recordings.source import SourceError

ODOMETRY_FILE = "odom.csv"

_COLUMNS = ("t", "x", "y", "yaw")
_GAP_NS = 500_000_000
"""Between two readings further apart than this the base may have been anywhere."""

_LATEST_NS = 5_000_000_000
"""Readings that begin this much later than the frames are still of the same drive."""


class BasePoses:
    """Where a base was, between readings.

    Args:
        stamps_ns: N, ascending.
        poses: N 4x4 of the base in the odometry's frame, m.
    """

    def __init__(self, stamps_ns: Sequence[int], poses: Sequence[FloatArray]) -> None:
        self._stamps_ns, self._poses = np.array(stamps_ns, np.int64), poses

    def at(self, stamp_ns: int) -> FloatArray | None:
        """4x4, m, at a stamp, between the readings around it; None outside them or in a gap."""
        after = int(np.searchsorted(self._stamps_ns, stamp_ns))
        if after == len(self._stamps_ns):
            return None
        if self._stamps_ns[after] == stamp_ns:
            return self._poses[after]
        if after == 0 or self._stamps_ns[after] - self._stamps_ns[after - 1] > _GAP_NS:
            return None
        begin, end = (int(self._stamps_ns[k]) for k in (after - 1, after))
        return interpolate_pose(self._poses[after - 1], self._poses[after], (stamp_ns - begin) / (end - begin))

    def seen_from(self, mount: FloatArray) -> Callable[[int], FloatArray | None]:
        """The same of a camera that is mounted on the base; `mount` is its camera_to_base, 4x4, m."""

        def camera_to_odom(stamp_ns: int) -> FloatArray | None:
            base_to_odom = self.at(stamp_ns)
            return None if base_to_odom is None else base_to_odom @ mount

        return camera_to_odom

    def check_covers(self, first_ns: int, where: str) -> None:
        """See that readings are of the drive that the first frame, ns, is of.

        Raises:
            SourceError: they are of another time.
        """
        begin, end = int(self._stamps_ns[0]), int(self._stamps_ns[-1])
        if not begin - _LATEST_NS < first_ns < end:
            raise SourceError(
                f"{where} covers {begin * 1e-9:.10g} to {end * 1e-9:.10g} s, and frames begin at "
                f"{first_ns * 1e-9:.10g} s; give both one clock"
            )


# ----------------------------------------------------------------------------------------------------------------- CSV


def read_wheels(file: Path) -> BasePoses:
    """Of a file whose first line names its columns, t (s), x, y (m) and yaw (rad) among them.

    Raises:
        SourceError: it cannot be read, lacks a column, or a value of it is wrong.
    """
    values = read_columns(file, _COLUMNS, "wheels'").tolist()
    poses = [make_pose(rotation_from_vector((0.0, 0.0, yaw)), (x, y, 0.0)) for _, x, y, yaw in values]
    return BasePoses([round(row[0] * 1e9) for row in values], poses)


# ------------------------------------------------------------------------------------------------------------ messages


def base_poses(messages: Iterable[tuple[int, Any]], where: str) -> tuple[BasePoses, str]:
    """Of nav_msgs/Odometry messages with their stamps, ns; and the name of their base frame.

    Stamps that do not increase, and poses that are none, are passed over.

    Raises:
        SourceError: there are fewer than two good ones.
    """
    stamps_ns: list[int] = []
    poses: list[FloatArray] = []
    base = ""
    for stamp_ns, message in messages:
        p, q = message.pose.pose.position, message.pose.pose.orientation
        place, turn = np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])
        good = np.isfinite(place).all() and abs(np.linalg.norm(turn) - 1.0) < 1e-2
        if good and (not stamps_ns or stamp_ns > stamps_ns[-1]):
            stamps_ns.append(stamp_ns)
            poses.append(make_pose(rotation_from_quaternion(turn), place))
            base = bare(message.child_frame_id)
    if len(poses) < 2:
        raise SourceError(
            f"{where} holds {len(poses)} poses that can be used (finite, with a unit quaternion), and two are needed; "
            "record it again, or leave --odom out"
        )
    return BasePoses(stamps_ns, poses), base
