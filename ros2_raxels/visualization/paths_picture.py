"""Candidate paths drawn into an image: coloured by how surely they are free, with a cross where they are not."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.recordings.image_codec import ImageArray

FREE_RGB, BLOCKED_RGB = (0x5E, 0xF2, 0xB8), (0xFF, 0x5F, 0x6D)
"""Of a path that is surely free, and of one that surely is not; between them the colours are mixed."""

_ZOOM = 2
_NEAREST = 0.05
_SUBPIXEL_BITS = 4
_CROSS_PX = 9


def draw_paths(
    image: ImageArray,
    camera: PinholeCamera,
    camera_to_world: FloatArray,
    paths: Sequence[FloatArray],
    free: Sequence[float],
    hits: Sequence[int | None],
) -> ImageArray:
    """(2 H, 2 W, 3) RGB uint8.

    Args:
        image: (H, W, 3) RGB uint8.
        camera: of the image, without distortion.
        camera_to_world: 4x4, optical frame.
        paths: places (N, 3) along each, in the world.
        free: stated probability of each.
        hits: index of the place of each that meets something; None where none does.
    """
    size = (_ZOOM * camera.width, _ZOOM * camera.height)
    drawn = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC))
    larger, to_camera = camera.resized(*size), inverse_pose(camera_to_world)
    for path, share, hit in zip(paths, free, hits, strict=True):
        local = path @ to_camera[:3, :3].T + to_camera[:3, 3]
        ahead = local[:, 2] > _NEAREST
        colour = tuple(np.rint(share * np.array(FREE_RGB) + (1.0 - share) * np.array(BLOCKED_RGB)).tolist())
        line = np.rint(larger.project(local[ahead]) * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.polylines(drawn, [line], False, colour, 2, cv2.LINE_AA, _SUBPIXEL_BITS)
        if hit is not None and ahead[hit]:
            at = np.rint(larger.project(local[hit : hit + 1])[0]).astype(int).tolist()
            cv2.drawMarker(drawn, at, colour, cv2.MARKER_TILTED_CROSS, _CROSS_PX, 2, cv2.LINE_AA)
    return drawn
