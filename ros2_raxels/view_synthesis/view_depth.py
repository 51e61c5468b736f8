"""Depth of a view: the plane that the sweep network chose for each pixel, and the match of known frames around it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.recordings.image_codec import ImageArray

Float32Array = npt.NDArray[np.float32]

_OFFSETS_PX = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
"""Disparities that are tried around the chosen depth, for the frame furthest from the view: the planes of the sweep lie
as far apart."""

_WINDOW_PX = 9
_DOUBT = 0.3
"""Variance, in squared grey levels, that an offset of one px must save: without texture nothing is moved."""

LARGEST_ERROR = 0.05
"""Of a depth, as a share of it, where what counts is how far off a depth is that is the right one: the network's other
planes are a doubt about which is right, not a width."""

_LEAST_WEIGHT = 0.05
_NOTHING = 1e-6
_LEAST_BASELINE = 1e-9
_IN_FRONT = 1e-4


class Projection:
    """Where the pixels of a view lie in a known frame, for any depth.

    Args:
        camera: of both, without distortion.
        target_to_frame: 4x4.
    """

    def __init__(self, camera: PinholeCamera, target_to_frame: FloatArray) -> None:
        matrix = camera.matrix
        turned = (matrix @ target_to_frame[:3, :3] @ np.linalg.inv(matrix)).astype(np.float32)
        x, y = np.arange(camera.width, dtype=np.float32), np.arange(camera.height, dtype=np.float32)[:, None]
        self._far = [row[0] * x + row[1] * y + row[2] for row in turned]
        self._shift = (matrix @ target_to_frame[:3, 3]).astype(np.float32)
        self._last = (camera.width - 0.5, camera.height - 0.5)

    def at(self, inverse_depth: Float32Array) -> tuple[Float32Array, Float32Array, npt.NDArray[np.bool_]]:
        """Column and row in the frame, px, and whether that is inside its image; (H, W) each.

        Args:
            inverse_depth: (H, W) in the view.
        """
        across, down, ahead = (far + inverse_depth * shift for far, shift in zip(self._far, self._shift, strict=True))
        scale = 1.0 / np.maximum(ahead, _IN_FRONT)
        column, row = across * scale, down * scale
        inside = (ahead > _IN_FRONT) & (column > -0.5) & (column < self._last[0]) & (row > -0.5) & (row < self._last[1])
        return column, row, inside


def shown_at(mask: npt.NDArray[np.uint8], column: Float32Array, row: Float32Array) -> npt.NDArray[np.bool_]:
    """Whether a mask, 0 where its frame shows nothing, lets pixels (H, W) of it be used."""
    return np.asarray(cv2.remap(mask, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE) > 0)


def chosen_depth(log_planes: Float32Array, inverse_depths: FloatArray) -> tuple[Float32Array, Float32Array]:
    """(H, W) inverse depth of the likeliest place for each pixel, between the planes around it, and its standard error.

    The error includes the doubt about which plane is right; see `LARGEST_ERROR`.

    Args:
        log_planes: (planes, H, W) log of the probability that a pixel lies on each plane.
        inverse_depths: (planes,) of the planes, increasing.
    """
    share = np.pad(np.exp(log_planes.astype(np.float32)), ((1, 1), (0, 0), (0, 0)))
    three = share[:-2] + share[1:-1] + share[2:]
    plane = three.argmax(axis=0)
    depths = np.pad(inverse_depths.astype(np.float32), 1, mode="edge")
    total = np.zeros(plane.shape, np.float32)
    for beside in range(3):
        total += np.take_along_axis(share, plane[None] + beside, axis=0)[0] * depths[plane + beside]
    found = total / np.maximum(np.take_along_axis(three, plane[None], axis=0)[0], _NOTHING)
    found = np.asarray(cv2.medianBlur(found, 3), np.float32)
    apart = depths[1:-1, None, None] - found
    spread = np.sqrt((share[1:-1] * apart * apart).sum(axis=0))
    return found, np.asarray(spread, np.float32)


def matched_depth(
    inverse_depth: Float32Array,
    weights: Sequence[Float32Array],
    images: Sequence[ImageArray],
    camera: PinholeCamera,
    target_to_frames: Sequence[FloatArray],
    seen: Sequence[npt.NDArray[np.uint8]] | None = None,
) -> Float32Array:
    """(H, W) the inverse depth near the given one at which known frames agree best.

    Args:
        inverse_depth: (H, W) of the view.
        weights: K of (H, W), how much each frame counts.
        images: K known frames (H, W, 3) RGB uint8.
        camera: of all frames and of the view, without distortion.
        target_to_frames: K of 4x4.
        seen: K of (H, W), 0 where a frame shows nothing of the scene; None where all do everywhere.
    """
    unit = 1.0 / (camera.fx * max(_LEAST_BASELINE, *(float(np.linalg.norm(pose[:3, 3])) for pose in target_to_frames)))
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    projections = [Projection(camera, pose) for pose in target_to_frames]
    costs = np.array(
        [
            _variance(np.maximum(inverse_depth + np.float32(offset * unit), 0.0), weights, greys, projections, seen)
            + _DOUBT * offset**2
            for offset in _OFFSETS_PX
        ]
    )
    best = costs.argmin(axis=0)
    inner = best.clip(1, len(_OFFSETS_PX) - 2)
    before, at, after = (np.take_along_axis(costs, (inner + k)[None], axis=0)[0] for k in (-1, 0, 1))
    # The lowest point of the parabola through three costs.
    between = ((before - after) / (2.0 * (before - 2.0 * at + after) + _NOTHING)).clip(-0.5, 0.5) * (best == inner)
    moved = np.interp(best + between, np.arange(len(_OFFSETS_PX)), _OFFSETS_PX) * unit
    return np.asarray(np.maximum(inverse_depth + moved, 0.0), np.float32)


def _variance(
    inverse_depth: Float32Array,
    weights: Sequence[Float32Array],
    greys: Sequence[ImageArray],
    projections: Sequence[Projection],
    masks: Sequence[npt.NDArray[np.uint8]] | None,
) -> Float32Array:
    """(H, W) of the grey levels that the frames show there, around each pixel."""
    count, total, squares = (np.full(inverse_depth.shape, least, np.float32) for least in (_NOTHING, 0.0, 0.0))
    for index, (weight, grey, projection) in enumerate(zip(weights, greys, projections, strict=True)):
        column, row, inside = projection.at(inverse_depth)
        if masks is not None:
            inside &= shown_at(masks[index], column, row)
        seen = cv2.remap(grey, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        share = (weight + _LEAST_WEIGHT) * inside
        count += share
        total += share * seen
        squares += share * seen * seen
    mean = total / count
    return np.asarray(cv2.blur(squares / count - mean * mean, (_WINDOW_PX, _WINDOW_PX)), np.float32)


def towards_frames(camera_to_world: Sequence[FloatArray], target_to_world: FloatArray) -> list[FloatArray]:
    """4x4 from a view to each of the known frames."""
    return [relative_pose(pose, target_to_world) for pose in camera_to_world]
