"""Where the second camera of a stereo pair stands, by the camera_info of both. Free of ROS."""

from __future__ import annotations

from typing import Any

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, GeometryError, make_pose, nearest_rotation, rotation_angle_rad

_OFF_MM, _OFF_SHARE, _TURN_DEG = 3.0, 0.05, 2.0
"""Up to here, of the baseline, a drawing of the robot and a calibration may differ."""


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


def contradiction(mount: FloatArray, by_projection: FloatArray) -> str:
    """How two mounts of the second camera of a pair (4x4, m) differ by more than calibrations do; empty if not.

    Args:
        mount: by TF, which is gone by.
        by_projection: of `stereo_mount`.
    """
    apart = [1e3 * float(np.linalg.norm(m[:3, 3])) for m in (mount, by_projection)]
    turn_deg = float(np.degrees(rotation_angle_rad(mount[:3, :3].T @ by_projection[:3, :3])))
    off_mm = 1e3 * float(np.linalg.norm(mount[:3, 3] - by_projection[:3, 3]))
    if off_mm < max(_OFF_MM, _OFF_SHARE * apart[1]) and turn_deg < _TURN_DEG:
        return ""
    return (
        f"TF puts them {apart[0]:.1f} mm apart and P of their camera_info {apart[1]:.1f} mm, in places {off_mm:.1f} mm "
        f"and {turn_deg:.2f} deg apart; TF is gone by: correct the one that is wrong"
    )
