"""Where the second camera of a stereo pair stands, by the camera_info of both. Free of ROS."""

from __future__ import annotations

from typing import Any

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, GeometryError, make_pose, nearest_rotation


def stereo_mount(first: Any, second: Any, rectified: bool) -> FloatArray | None:
    """second_to_first (4x4, m) as P and R of two CameraInfo of a calibrated pair tell it; None where they do not.

    Args:
        first, second: messages with `p` (12) and `r` (9).
        rectified: whether the images are rectified; then R has been applied to them.
    """
    p, q = (np.asarray(info.p, float).reshape(3, 4) for info in (first, second))
    if not (p[0, 0] > 0 and q[0, 0] > 0):
        return None
    # Both along x of the rectified frames: P says how far the projection of each is from that of the left one.
    baseline_m = p[0, 3] / p[0, 0] - q[0, 3] / q[0, 0]
    if not np.isfinite(baseline_m) or baseline_m == 0.0:
        return None
    try:
        turns = [np.eye(3) if rectified else _rotation(info.r) for info in (first, second)]
    except GeometryError:
        return None
    return make_pose(turns[0].T @ turns[1], turns[0].T @ np.array([baseline_m, 0.0, 0.0]))


def _rotation(r: Any) -> FloatArray:
    """R (9) as a rotation (3, 3); zeros, which drivers send for none, are the identity."""
    matrix = np.asarray(r, float).reshape(3, 3)
    return np.eye(3) if not matrix.any() else nearest_rotation(matrix)
