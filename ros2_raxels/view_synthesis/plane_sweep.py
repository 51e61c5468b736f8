"""Plane sweep: context frames as a target camera would see them if the scene were one plane, for many depths."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.context import check_images

LARGEST_DISPARITY = 0.35
"""Disparity on the nearest plane for the longest baseline, in image widths."""

_SPACING = 1.5
_LEAST_BASELINE = 1e-9
_LEAST_REACH, _MOST_REACH = 0.1, 8.0
"""In units of `LARGEST_DISPARITY`: below, all planes look alike; above, hardly anything stays in the image."""


def inverse_depths(camera: PinholeCamera, baseline: float, planes: int, nearest: float | None = None) -> FloatArray:
    """(planes,) inverse depths from infinity (0) inwards, denser far away, in 1 / unit of the baseline.

    The last plane is at the inverse depth `nearest` where that is known. Otherwise it is where the baseline causes a
    disparity of `LARGEST_DISPARITY`, for which no scale need be known.
    """
    guessed = LARGEST_DISPARITY * camera.width / (camera.fx * max(baseline, _LEAST_BASELINE))
    last = guessed if nearest is None else float(np.clip(nearest, guessed * _LEAST_REACH, guessed * _MOST_REACH))
    return np.asarray(np.linspace(0.0, 1.0, planes) ** _SPACING * last)


def plane_of(inverse_depth: FloatArray, inverse_depths: FloatArray) -> FloatArray:
    """Index of the plane of `inverse_depths` that each inverse depth lies on; fractional between two planes."""
    share = np.maximum(inverse_depth, 0.0) / inverse_depths[-1]
    return np.asarray(share ** (1.0 / _SPACING) * (len(inverse_depths) - 1))


def depths_for(
    camera: PinholeCamera,
    camera_to_world: Sequence[FloatArray],
    target_to_world: FloatArray,
    planes: int,
    nearest: float | None = None,
) -> FloatArray:
    """(planes,) `inverse_depths` of the sweep from cameras (4x4 each) into a target (4x4)."""
    moved = (relative_pose(pose, target_to_world) for pose in camera_to_world)
    baseline = max(float(np.linalg.norm(pose[:3, 3])) for pose in moved)
    return inverse_depths(camera, baseline, planes, nearest)


def sweep(
    images: Sequence[ImageArray],
    camera_to_world: Sequence[FloatArray],
    camera: PinholeCamera,
    target_to_world: FloatArray,
    planes: int,
    nearest: float | None = None,
    alphas: Sequence[npt.NDArray[np.uint8]] | None = None,
) -> npt.NDArray[np.uint8]:
    """Sweep context frames into a target view.

    Args:
        images: K context frames (H, W, 3) RGB uint8.
        camera_to_world: K poses, 4x4, of the context frames.
        camera: of all images and of the target, without distortion.
        target_to_world: 4x4.
        planes: number of depths.
        nearest: inverse depth of the nearest plane, see `inverse_depths`.
        alphas: (H, W) of each image, 255 where it shows anything, else 0; None where all do everywhere.

    Returns:
        (K, 4, planes, H, W) uint8: RGB, and alpha, the share of the pixel that is seen; RGB is premultiplied by it.

    Raises:
        ValueError: no image, not one pose for each, or an image that `context.check_images` refuses.
    """
    if not images or len(images) != len(camera_to_world):
        raise ValueError(f"{len(images)} images and {len(camera_to_world)} poses; give one or more images, a pose each")
    check_images(images, camera)
    moved = [relative_pose(pose, target_to_world) for pose in camera_to_world]
    depths = depths_for(camera, camera_to_world, target_to_world, planes, nearest)
    swept = np.zeros((len(images), 4, planes, camera.height, camera.width), np.uint8)
    shown = [np.full(image.shape[:2], 255, np.uint8) for image in images] if alphas is None else alphas
    for views, image, alpha, pose in zip(swept, images, shown, moved, strict=True):
        opaque = np.dstack([np.where(alpha[..., None] > 0, image, 0), alpha])
        for plane, inverse_depth in enumerate(depths):
            view = _onto_plane(opaque, camera.matrix, pose, float(inverse_depth))
            cv2.split(view, list(views[:, plane]))
    return swept


def _onto_plane(
    image: ImageArray, matrix: FloatArray, target_to_context: FloatArray, inverse_depth: float
) -> ImageArray:
    """(H, W, 4) the image as the target sees it, if all it shows is on the target's plane ``z = 1 / inverse_depth``."""
    induced = target_to_context[:3, :3].copy()
    induced[:, 2] += inverse_depth * target_to_context[:3, 3]
    homography = matrix @ induced @ np.linalg.inv(matrix)
    height, width = image.shape[:2]
    view = cv2.warpPerspective(image, homography, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    corners = np.array([[0, 0, 1], [width - 1, 0, 1], [0, height - 1, 1], [width - 1, height - 1, 1]]).T
    if (homography[2] @ corners).min() <= 0:
        y, x = np.mgrid[:height, :width]
        # What lies behind the context camera would be seen upside down.
        view[homography[2, 0] * x + homography[2, 1] * y + homography[2, 2] <= 0] = 0
    return np.asarray(view, np.uint8)
