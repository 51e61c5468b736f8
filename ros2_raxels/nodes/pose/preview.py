"""A picture of the raxels of a camera, or of all cameras of a rig, for eyes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.raxels import encode_raxels

_COLUMNS = 40
_CELL_PX = 8
_GREY = 128

Posed = tuple[Camera, FloatArray]
"""A camera, and its camera_to_world (4x4)."""


class RaxelPicture:
    """Colours the raxels of estimated cameras on a coarse grid; keeps the bearings of the cameras seen last."""

    def __init__(self) -> None:
        self._bearings: dict[Camera, FloatArray] = {}

    def draw(self, *cameras: Posed) -> np.ndarray:
        """RGB (H, W, 3) uint8: x, y, z of the raxels in the world, 128 at zero; of several cameras side by side.

        A raxel lies at most ``1 + |t|`` from the origin. That of the camera furthest from there is full scale, so that
        nothing saturates, and equal colours are equal points.
        """
        self._bearings = {camera: self._bearings_of(camera) for camera, _ in cameras}
        reach = 1.0 + max(float(np.linalg.norm(pose[:3, 3])) for _, pose in cameras)
        return _side_by_side([self._cells(camera, pose, reach) for camera, pose in cameras])

    def _bearings_of(self, camera: Camera) -> FloatArray:
        known = self._bearings.get(camera)
        rows = max(1, round(_COLUMNS * camera.height / camera.width))
        return camera.bearings(rows, _COLUMNS) if known is None else known

    def _cells(self, camera: Camera, camera_to_world: FloatArray, reach: float) -> np.ndarray:
        # What the lens does not see is grey.
        raxels = np.nan_to_num(encode_raxels(self._bearings[camera], camera_to_world) / reach)
        cells = np.clip(127.5 * raxels + _GREY, 0, 255).astype(np.uint8)
        return cells.repeat(_CELL_PX, axis=0).repeat(_CELL_PX, axis=1)


def _side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of any height in a row, with grey between and below them."""
    height = max(len(picture) for picture in pictures)
    row = []
    for picture in pictures:
        low = np.full((height - len(picture), picture.shape[1], 3), _GREY, np.uint8)
        gap = np.full((height, _CELL_PX, 3), _GREY, np.uint8)
        row += [gap, np.concatenate([picture, low])]
    return np.concatenate(row[1:], axis=1)
