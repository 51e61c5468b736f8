"""What context frames say of a view: a plane sweep over the depths that their points have there, and their votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.dense_points import KnownPoints
from ros2_raxels.view_synthesis.plane_sweep import depths_for, sweep

_TELLING = 0.25
"""Share of the range of a sweep: a point whose inverse depth is less certain says nothing of a view."""


@dataclass(frozen=True, eq=False)
class ViewEvidence:
    """What K context frames say of a view.

    Attributes:
        swept: (K, 4, planes, H, W) uint8, see `plane_sweep.sweep`.
        votes: (planes, H, W) see `SeenPoints.votes`.
        inverse_depths: (planes,) increasing, in 1 / unit of the world.
    """

    swept: npt.NDArray[np.uint8]
    votes: npt.NDArray[np.float32]
    inverse_depths: FloatArray


def evidence_of_view(
    points: KnownPoints,
    images: Sequence[ImageArray],
    camera_to_world: Sequence[FloatArray],
    camera: PinholeCamera,
    target_to_world: FloatArray,
    planes: int,
    alphas: Sequence[npt.NDArray[np.uint8]] | None = None,
) -> ViewEvidence:
    """Sweep context frames into a view over the depths that their points have there, and count the points' votes.

    Args:
        points: of `dense_points.find_points` for these frames, which may have had more pixels there.
        images: K context frames (H, W, 3) RGB uint8.
        camera_to_world: K poses, 4x4, of the context frames.
        camera: of all frames and of the view, without distortion.
        target_to_world: 4x4, of the view.
        planes: number of depths.
        alphas: as for `plane_sweep.sweep`.

    Raises:
        ValueError: as `plane_sweep.sweep`.
    """
    guessed = depths_for(camera, camera_to_world, target_to_world, planes)[-1]
    seen = points.seen_from(camera, target_to_world, guessed * _TELLING)
    nearest = seen.nearest()
    depths = depths_for(camera, camera_to_world, target_to_world, planes, nearest)
    swept = sweep(images, camera_to_world, camera, target_to_world, planes, nearest, alphas)
    return ViewEvidence(swept, seen.votes((camera.height, camera.width), depths), depths)
