"""Poses at even distances along a path."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, interpolate_pose


def along_arc(poses: FloatArray, count: int) -> FloatArray:
    """(count, 4, 4) poses at even distances along a path of (N, 4, 4), from its first pose to its last.

    Where the path does not move, they are evenly spaced over its poses. A single one is the last pose.
    """
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    if arc[-1] <= 0.0:
        arc = np.arange(len(poses), dtype=float)
    wanted = np.linspace(0.0, arc[-1], count) if count > 1 else arc[-1:]
    at = np.interp(wanted, arc, np.arange(len(poses)))
    found = []
    for place in at:
        before = min(int(place), max(0, len(poses) - 2))
        after = min(before + 1, len(poses) - 1)
        found.append(interpolate_pose(poses[before], poses[after], float(place - before)))
    return np.array(found)
