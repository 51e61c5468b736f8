"""A picture of a camera's raxels, for eyes."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.raxels import encode_raxels

_COLUMNS = 40
_CELL_PX = 8


class RaxelPicture:
    """Colours the raxels of estimated cameras on a coarse grid; keeps the bearings of the camera seen last."""

    def __init__(self) -> None:
        self._camera: Camera | None = None
        self._bearings: FloatArray = np.empty((0, 0, 3))

    def draw(self, camera: Camera, camera_to_world: FloatArray) -> np.ndarray:
        """RGB (H, W, 3) uint8: x, y, z of the raxels in the world, 128 at zero.

        A raxel lies at most ``1 + |t|`` from the origin; that is full scale, so that nothing saturates.
        """
        if camera != self._camera:
            rows = max(1, round(_COLUMNS * camera.height / camera.width))
            self._camera, self._bearings = camera, camera.bearings(rows, _COLUMNS)
        reach = 1.0 + float(np.linalg.norm(camera_to_world[:3, 3]))
        # What the lens does not see is grey.
        raxels = np.nan_to_num(encode_raxels(self._bearings, camera_to_world) / reach)
        cells = np.clip(127.5 * raxels + 128.0, 0, 255).astype(np.uint8)
        return cells.repeat(_CELL_PX, axis=0).repeat(_CELL_PX, axis=1)
