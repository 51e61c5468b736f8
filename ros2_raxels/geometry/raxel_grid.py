"""The raxel image of a clip: its grid, and the poses that its raxels hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.geometry.raxels import decode_raxels

RAXEL_ROWS, RAXEL_COLUMNS = 12, 16
"""Grid of the raxel image of a frame; the camera model is smooth, so a coarse grid loses nothing."""


def clip_bearings(cameras: Sequence[Camera]) -> FloatArray:
    """Unit rays (N, rows, columns, 3) of every camera on the raxel grid, in its own frame.

    Of a lens that is not flat they are those of the pinhole in its middle: the model knows pinholes alone, and every
    ray of them lies in the field of the lens. The same holds for the plane of its evidence, see `see_through`.
    """
    known: dict[Camera, FloatArray] = {}
    for camera in cameras:
        if camera not in known:
            flat = camera if camera.is_flat else camera.pinhole
            known[camera] = flat.bearings(RAXEL_ROWS, RAXEL_COLUMNS)
    return np.stack([known[camera] for camera in cameras])


def decode_clip(bearings: FloatArray, raxels: FloatArray) -> FloatArray:
    """camera_to_first (..., N, 4, 4) of the raxels (..., N, rows, columns, 3) of a clip, whatever their source frame.

    Args:
        bearings: (N, rows, columns, 3), see `clip_bearings`.
        raxels: of N frames in one source frame.
    """
    poses = decode_raxels(raxels, bearings)
    return relative_pose(poses[..., :1, :, :], poses)
