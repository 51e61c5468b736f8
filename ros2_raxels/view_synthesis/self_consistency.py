"""Do views show what they were asked to show? Their poses, estimated back from the finished pictures."""

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
from ros2_raxels.view_synthesis.predictor import PredictedViews

CHECKED_WITH = 2
"""Known frames, the newest, beside which views are looked at: two tell the unit, and each more costs time."""

_LEAST_CONFIDENCE = 0.02
_LEAST_MOTION = 1e-9


def estimate_back(
    estimator: Estimator, known: Sequence[ImageArray], views: ImageArray, camera: PinholeCamera
) -> ClipEstimate:
    """Cameras of known frames, brought to the size of the views, and of the views, from their pixels alone.

    Args:
        estimator: see there.
        known: one or more (H, W, 3) RGB uint8 of any size.
        views: (T, h, w, 3).
        camera: of the views, and of the known frames at their size.

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
    """How far the poses that the views show are from those that were asked for.

    Pixels do not tell the unit, so it is the one in which all positions, known frames included, agree best.

    Args:
        estimator, known, views, camera: as for `estimate_back`; the first known frame is the origin.
        known_to_world: (K, 4, 4) optical frames.
        view_to_world: (T, 4, 4) as asked for.

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
    """What is used of `predictor.ViewPredictor`."""

    def confidence_of(self, signs: Signs) -> FloatArray:
        """(T,) probability that views are good, of `PredictedViews.signs`, checked or not."""


@dataclass(frozen=True, eq=False)
class Checked:
    """What T views were found to show, (T,) each.

    Attributes:
        rotation_rad, distance: see `self_consistency`.
        signs: of the views, with these.
        confidence: that rests on all of it.
    """

    rotation_rad: FloatArray
    distance: FloatArray
    signs: Signs
    confidence: FloatArray


def check_views(
    judge: Judge, estimator: Estimator, known: Sequence[ImageArray], known_to_world: FloatArray, views: PredictedViews
) -> Checked:
    """Look at finished views beside the newest known frames, whatever comes of it.

    Args:
        judge: that made the views.
        estimator: see there.
        known: (H, W, 3) RGB uint8, oldest first.
        known_to_world: (K, 4, 4) optical frames, in the world of the views.
        views: of which all are looked at together.
    """
    newest = slice(-CHECKED_WITH, None)
    beside, poses = known_to_world[newest], views.camera_to_world
    try:
        turned, moved = self_consistency(estimator, known[newest], beside, views.images, poses, views.camera)
    except (ValueError, np.linalg.LinAlgError):
        turned, moved = np.full((2, len(poses)), np.nan)
    signs = views.signs.checked(turned, _share_of_reach(moved, beside, poses))
    return Checked(turned, moved, signs, judge.confidence_of(signs))


def _share_of_reach(distance: FloatArray, known_to_world: FloatArray, view_to_world: FloatArray) -> FloatArray:
    """Distances (T,) over that of the furthest camera from the first known one; 0 where none moves."""
    away = np.concatenate([known_to_world, view_to_world])[:, :3, 3] - known_to_world[0, :3, 3]
    reach = float(np.linalg.norm(away, axis=1).max())
    return distance / reach if reach > _LEAST_MOTION else np.zeros_like(distance)
