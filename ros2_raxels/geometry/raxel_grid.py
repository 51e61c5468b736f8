"""The raxel image of a clip: its grid, and poses to raxels and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.raxels import decode_raxels

RAXEL_ROWS, RAXEL_COLUMNS = 12, 16
"""Grid of the raxel image of a frame; the camera model is smooth, so a coarse grid loses nothing."""


def clip_bearings(cameras: Sequence[PinholeCamera]) -> FloatArray:
    """Unit rays (N, rows, columns, 3) of every camera on the raxel grid."""
    known: dict[PinholeCamera, FloatArray] = {}
    for camera in cameras:
        if camera not in known:
            known[camera] = camera.bearings(RAXEL_ROWS, RAXEL_COLUMNS)
    return np.stack([known[camera] for camera in cameras])


def encode_clip(bearings: FloatArray, camera_to_first: FloatArray) -> FloatArray:
    """Raxels (..., N, rows, columns, 3) of poses (..., N, 4, 4)."""
    rotation, centre = camera_to_first[..., :3, :3], camera_to_first[..., :3, 3]
    return np.asarray(np.einsum("...nij,nrcj->...nrci", rotation, bearings) + centre[..., None, None, :])


def decode_clip(bearings: FloatArray, raxels: FloatArray) -> FloatArray:
    """Poses (H, N, 4, 4) of raxels (H, N, rows, columns, 3), with the first camera moved to the identity."""
    poses = np.array(
        [[decode_raxels(r, b).camera_to_source for r, b in zip(clip, bearings, strict=True)] for clip in raxels]
    )
    return np.asarray(np.linalg.inv(poses[:, :1]) @ poses)
