"""Observations through the lenses of their cameras: on the plane z = 1, or as rays where no plane holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray


@dataclass(frozen=True)
class LensRays:
    """What a plane z = 1 with one focal length does not tell of P tracks over N frames.

    Attributes:
        ray: (P, N, 3) of depth 1: on the plane z = 1 of a flat camera, of length 1 for any other; NaN where the track
            was not found.
        scale_px: (P, N) px that a unit beside the ray makes up, see `Camera.scale_px`.
        is_flat: (N,) see `Camera.is_flat`.
    """

    ray: FloatArray
    scale_px: FloatArray
    is_flat: npt.NDArray[np.bool_]

    @cached_property
    def turn(self) -> FloatArray | None:
        """(P, N, 3, 3) rotations from the camera to the frame in which an observation is compared.

        It looks along the ray; that of a flat camera, and of what was not found, is the camera's. None where all are.
        """
        if self.is_flat.all():
            return None
        along = np.isfinite(self.ray[..., :1]) & ~self.is_flat[:, None]
        return looking_along(np.where(along, self.ray, (0.0, 0.0, 1.0)))

    @cached_property
    def compared(self) -> FloatArray:
        """(P, N, 2) where an observation lies on the plane z = 1 of that frame; NaN where the track was not found."""
        return np.asarray(self.ray[..., :2] * self.is_flat[:, None])


def looking_along(rays: FloatArray) -> FloatArray:
    """Rotations (..., 3, 3) from a frame to those whose z is along unit rays (..., 3); identity for z itself."""
    x, y, z = np.moveaxis(rays, -1, 0)
    # Without a branch, and exact wherever the ray points (Duff and others 2017).
    sign = np.where(z < 0, -1.0, 1.0)
    a = -1.0 / (sign + z)
    b = x * y * a
    first = np.stack([1.0 + sign * x * x * a, sign * b, -sign * x], axis=-1)
    second = np.stack([b, sign + y * y * a, -y], axis=-1)
    return np.stack([first, second, rays], axis=-2)


def see_through(pixels: FloatArray, cameras: Sequence[Camera]) -> tuple[FloatArray, FloatArray, LensRays | None]:
    """Pixels (P, N, 2), NaN where a track was not found, through each of N cameras.

    Returns:
        Where they are on the plane z = 1 (P, N, 2), through a camera that is not flat only as far as a pinhole of its
        focal length would see them; focal lengths (N,) beside the axis, px; and rays, None where all cameras are
        pinholes without distortion, of which the plane tells everything.
    """
    focal_px = np.array([np.sqrt(camera.fx * camera.fy) for camera in cameras])
    if not any(camera.is_distorted for camera in cameras):
        plane = [_plain(pixels[:, j], camera) for j, camera in enumerate(cameras)]
        return np.stack(plane, axis=1), focal_px, None
    ray, scale_px = np.full((*pixels.shape[:2], 3), np.nan), np.full(pixels.shape[:2], np.nan)
    for j, camera in enumerate(cameras):
        seen = np.isfinite(pixels[:, j, 0])
        ray[seen, j] = camera.rays(pixels[seen, j])
        scale_px[seen, j] = camera.scale_px(ray[seen, j])
    plane = [ray[:, j, :2] if camera.is_flat else _central(ray[:, j], camera) for j, camera in enumerate(cameras)]
    is_flat = np.array([camera.is_flat for camera in cameras])
    return np.stack(plane, axis=1), focal_px, LensRays(ray, scale_px, is_flat)


def _plain(pixels: FloatArray, camera: Camera) -> FloatArray:
    return np.asarray((pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy))


def _central(ray: FloatArray, camera: Camera) -> FloatArray:
    """Rays (P, 3) on the plane z = 1 (P, 2), as far as they fall on the image of the central pinhole; NaN beyond."""
    pixels = camera.pinhole.project(np.where(np.isfinite(ray), ray, 0.0))
    inside = np.asarray(((pixels > -0.5) & (pixels < (camera.width - 0.5, camera.height - 0.5))).all(axis=1))
    return np.where(inside[:, None], _plain(pixels, camera), np.nan)
