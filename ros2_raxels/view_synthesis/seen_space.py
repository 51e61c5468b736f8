"""Which space known frames have shown: free up to the surfaces that they see, and never seen behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.view_synthesis.view_depth import LARGEST_ERROR, Float32Array

_STRIDE_PX = 2
"""Of the pixels whose points are kept: neighbours tell the same."""

_LEAST_INVERSE_DEPTH = 1e-6
_NEARLY = 0.99
_IN_FRONT = 1e-6


@dataclass(frozen=True, eq=False)
class FrameDepths:
    """Depths of K known frames.

    Attributes:
        camera: of all of them at the size of the depths, without distortion.
        camera_to_world: (K, 4, 4) optical frames.
        inverse_depth: (K, h, w) in 1 / unit of the world.
        error: (K, h, w) standard error of the inverse depth, at most `LARGEST_ERROR` of it.
    """

    camera: PinholeCamera
    camera_to_world: FloatArray
    inverse_depth: Float32Array
    error: Float32Array


@dataclass(frozen=True, eq=False)
class SeenSpace:
    """Space as K known frames show it.

    Attributes:
        frames: their depths.
        points: (P, 3) on surfaces, in the world.
        error: (P,) standard error of their places along the line of sight.
        distance: (P,) from the camera that saw them.
    """

    frames: FrameDepths
    points: FloatArray
    error: FloatArray
    distance: FloatArray

    @classmethod
    def of(cls, frames: FrameDepths) -> SeenSpace:
        """From depths; what is infinitely far away is no surface."""
        rays = frames.camera.bearings()
        rays = (rays / rays[..., 2:])[::_STRIDE_PX, ::_STRIDE_PX].reshape(-1, 3)
        points, errors, distances = [], [], []
        for pose, inverse_depth, error in zip(frames.camera_to_world, frames.inverse_depth, frames.error, strict=True):
            near = inverse_depth[::_STRIDE_PX, ::_STRIDE_PX].reshape(-1).astype(float)
            kept = near > _LEAST_INVERSE_DEPTH
            depth = 1.0 / near[kept]
            local = rays[kept] * depth[:, None]
            points.append(local @ pose[:3, :3].T + pose[:3, 3])
            distances.append(np.linalg.norm(local, axis=1))
            errors.append(distances[-1] * depth * error[::_STRIDE_PX, ::_STRIDE_PX].reshape(-1)[kept])
        return cls(frames, np.concatenate(points), np.concatenate(errors), np.concatenate(distances))

    @property
    def unsure(self) -> float:
        """Share of the pixels whose depth is as uncertain as it can be: nothing tells the likely ones apart."""
        inverse_depth, error = self.frames.inverse_depth, self.frames.error
        near = inverse_depth > _LEAST_INVERSE_DEPTH
        return float((near & (error >= _NEARLY * LARGEST_ERROR * inverse_depth)).sum() / max(1, near.sum()))

    def has_seen(self, points: FloatArray) -> npt.NDArray[np.bool_]:
        """(N,) whether any frame has looked at or through each of the points (N, 3) of the world."""
        camera, found = self.frames.camera, np.zeros(len(points), bool)
        for pose, inverse_depth, error in zip(
            self.frames.camera_to_world, self.frames.inverse_depth, self.frames.error, strict=True
        ):
            local = (points - pose[:3, 3]) @ pose[:3, :3]
            ahead = np.maximum(local[:, 2], _IN_FRONT)
            column = np.rint(camera.fx * local[:, 0] / ahead + camera.cx).clip(-1, camera.width).astype(int)
            row = np.rint(camera.fy * local[:, 1] / ahead + camera.cy).clip(-1, camera.height).astype(int)
            inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
            inside &= local[:, 2] > _IN_FRONT
            at = (row[inside], column[inside])
            found[inside] |= 1.0 / ahead[inside] >= inverse_depth[at] - error[at]
        return found
