"""Do views show the poses they were asked for? Camera poses estimated back from the finished images tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from ros2_raxels.estimation.estimator import ClipEstimate, Estimator
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose, rotation_angle_rad
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.confidence import Signs
from ros2_raxels.view_synthesis.prediction import PredictedViews

CHECKED_WITH = 2
"""Number of context frames, the newest, that poses are estimated with: two fix the scale, and each costs time."""

_LEAST_CONFIDENCE = 0.02
_LEAST_MOTION = 1e-9


def estimate_back(
    estimator: Estimator, known: Sequence[ImageArray], views: ImageArray, camera: PinholeCamera
) -> ClipEstimate:
    """Camera poses of context frames and views, from their pixels alone.

    Args:
        estimator: see there.
        known: K context frames, one or more, (H, W, 3) RGB uint8 of any size; brought to the size of the views.
        views: (T, h, w, 3) RGB uint8.
        camera: of the views, and of the context frames at the size of the views.

    Returns:
        The estimate of K + T frames, context first.

    Raises:
        ValueError: as `Estimator.estimate`.
    """
    size = (camera.width, camera.height)
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in known]
    return estimator.estimate([*small, *views], [camera] * (len(small) + len(views)))


def self_consistency(
    estimator: Estimator,
    known: Sequence[ImageArray],
    known_to_world: FloatArray,
    views: ImageArray,
    view_to_world: FloatArray,
    camera: PinholeCamera,
) -> tuple[FloatArray, FloatArray]:
    """How far the poses that views show are from the poses asked for.

    Pixels do not show the scale, so it is fitted by least squares to all positions, those of the context included.

    Args:
        estimator, known, views, camera: as for `estimate_back`; the first context frame is the origin.
        known_to_world: (K, 4, 4) optical frames.
        view_to_world: (T, 4, 4) optical frames, as asked for.

    Returns:
        (T,) angles between rotations, rad, and (T,) distances between positions in the world's unit; NaN for a view
        whose pose could not be estimated.

    Raises:
        ValueError: as `Estimator.estimate`.
    """
    clip = estimate_back(estimator, known, views, camera)
    asked = relative_pose(known_to_world[0], np.concatenate([known_to_world, view_to_world]))
    found = clip.camera_to_first
    at, there = found[:, :3, 3], asked[:, :3, 3]
    reach = float((at * at).sum())
    unit = max(0.0, float((at * there).sum())) / reach if reach > _LEAST_MOTION else 0.0
    rotation = rotation_angle_rad(relative_pose(asked, found)[:, :3, :3])
    distance = np.linalg.norm(unit * at - there, axis=1)
    unknown = ~(clip.confidence > _LEAST_CONFIDENCE)
    made = slice(len(known), None)
    return (np.where(unknown, np.nan, rotation)[made], np.where(unknown, np.nan, distance)[made])


class Judge(Protocol):
    """The part of `predictor.ViewPredictor` that weighs signs."""

    def confidence_of(self, signs: Signs) -> FloatArray:
        """(T,) probability that views are good; `signs` are `PredictedViews.signs`, checked or not."""


@dataclass(frozen=True, eq=False)
class Checked:
    """What the check of T views found, (T,) each.

    Attributes:
        rotation_rad, distance: from the pose asked for, see `self_consistency`.
        signs: of the views, these two included.
        confidence: 0 to 1, from all signs.
    """

    rotation_rad: FloatArray
    distance: FloatArray
    signs: Signs
    confidence: FloatArray


def check_views(
    judge: Judge,
    estimator: Estimator,
    known: Sequence[ImageArray],
    known_to_world: FloatArray,
    views: PredictedViews,
    own: Sequence[int] = (),
) -> Checked:
    """Estimate the poses of finished views back, and weigh their signs again. Never fails: what is unknown is NaN.

    Args:
        judge: the predictor that made the views.
        estimator: see there.
        known: K context frames (H, W, 3) RGB uint8, oldest first; the newest two are used.
        known_to_world: (K, 4, 4) optical frames, in the world of the views.
        views: are estimated together.
        own: which of the context frames the camera of the views took itself, where it is one of several: of the others
            none is used, since they may look elsewhere. Empty where it took none, or where there is no other.
    """
    newest = list(own or range(len(known)))[-CHECKED_WITH:]
    beside, poses = known_to_world[newest], views.camera_to_world
    try:
        images = [known[k] for k in newest]
        turned, moved = self_consistency(estimator, images, beside, views.images, poses, views.camera)
    except (ValueError, np.linalg.LinAlgError):
        turned, moved = np.full((2, len(poses)), np.nan)
    signs = views.signs.checked(turned, _share_of_reach(moved, beside, poses))
    return Checked(turned, moved, signs, judge.confidence_of(signs))


def _share_of_reach(distance: FloatArray, known_to_world: FloatArray, view_to_world: FloatArray) -> FloatArray:
    """Distances (T,) over that between the first context frame and the furthest camera; 0 where none moves."""
    away = np.concatenate([known_to_world, view_to_world])[:, :3, 3] - known_to_world[0, :3, 3]
    reach = float(np.linalg.norm(away, axis=1).max())
    return distance / reach if reach > _LEAST_MOTION else np.zeros_like(distance)
