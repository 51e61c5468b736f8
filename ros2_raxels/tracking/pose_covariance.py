"""Covariance of a tracked pose, its terms one by one.

- *Start*: the first cameras, which set world and unit.
- *Noise* of each solve, by what its inliers miss by. Keyframes hand it on, so that it adds up along the trajectory.
- *Unit*: lengths drift from keyframe to keyframe, faster where few points are handed on, and in turns on the spot,
  where new points have no depth yet.
- *Model*: what no solve sees. Errors of the lens turn the camera by a share of what it has turned; rolling shutter,
  timing and the like are a floor.

A loop closure takes back what noise and unit have added since the known place (`LoopCloser`).

The sizes were chosen on rendered rooms and robots' drives, so that 68 and 95 % of the truths lie in the regions of
these probabilities, with world and unit of a whole trajectory aligned to the truth. A world that is held to be exact at
its first frame would be as uncertain as its drift when compared in that way, so that the floor holds from the first
pose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import RefineSettings
from ros2_raxels.estimation.clip_covariance import INFLATION
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE, at_most_unknown, compounded, with_unit
from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad, rotation_vector
from ros2_raxels.tracking.frame import Keyframe
from ros2_raxels.tracking.types import SolveQuality

_START_RAD, _LEAST_START, _MOST_START = 0.002, 0.008, 0.03
"""Standard deviations of the first cameras; lengths here are shares of the scene's depth."""

_START_PER_RAD = 0.1
"""Translation, by how far rival directions of the first cameras lie apart."""

_FLOOR_RAD, _FLOOR = 0.002, 0.0045
_TURN_SHARE = 0.003
"""Error of a turn since the start, as a share of it: half a percent of the focal length."""

_LEAST_NOISE_PX = 0.25
_NOISE_PER_MEDIAN = 1.2
"""Standard deviation of a match, by the median distance of the inliers; neighbours err alike."""

_UNIT_OF_ONE, _UNIT_PER_RAD = 0.05, 0.02
"""Standard deviation of the logarithm of the unit, from one inlier, and for a turn of one radian."""

_OTHER_UNIT = 0.5
"""The same between two trajectories, both of which begin with the depth of the scene as their unit."""


def of_first_cameras(spread_rotation_rad: float, spread_direction_rad: float, unit: float) -> FloatArray:
    """6x6 of (translation, rotation) of the first cameras.

    Args:
        spread_rotation_rad, spread_direction_rad: how far rival hypotheses lie apart.
        unit: depth of the scene.
    """
    rotation = max(spread_rotation_rad, _START_RAD)
    translation = float(np.clip(_START_PER_RAD * spread_direction_rad, _LEAST_START, _MOST_START)) * unit
    return np.diag([translation**2] * 3 + [rotation**2] * 3)


def unit_of_another_trajectory() -> float:
    """Variance of the logarithm of the unit of a trajectory that begins after a loss."""
    return _OTHER_UNIT**2


def accumulated(
    anchors: Sequence[Keyframe],
    camera_to_world: FloatArray,
    covariance: FloatArray,
    quality: SolveQuality,
    unit_is_held: bool = False,
) -> FloatArray:
    """7x7 covariance since the trajectory began of a frame that was solved against keyframes: start, noise and unit.

    Args:
        anchors: the keyframes, the newest last; its uncertainty is compounded.
        camera_to_world: 4x4, of the frame.
        covariance: 6x6 of its solve, the keyframes taken as exact; see `FrameSolve`.
        quality: of its solve, px of the working image.
        unit_is_held: whether other sensors see to it that the unit stays what it is.
    """
    last = anchors[-1]
    noise_px = max(_NOISE_PER_MEDIAN * float(np.nan_to_num(quality.residual_px)), _LEAST_NOISE_PX)
    noise = (noise_px / (INFLATION * RefineSettings().noise_px)) ** 2 * covariance
    turned_rad = float(rotation_angle_rad(last.camera_to_world[:3, :3].T @ camera_to_world[:3, :3]))
    unit = _UNIT_OF_ONE**2 / max(quality.inliers, 1) + _UNIT_PER_RAD**2 * turned_rad
    if last.depth is not None or unit_is_held:
        # A sensor tells the same unit to every keyframe.
        unit = 0.0
    return compounded(last.covariance, last.camera_to_world, camera_to_world) + with_unit(noise, unit)


def published(covariance: FloatArray, turned: FloatArray, unit: float) -> FloatArray:
    """6x6 covariance of an answer: with the error of the model, never zero, and 9999 for what is not known.

    Args:
        covariance: 6x6 since the trajectory began.
        turned: 3x3, the rotation of the camera since the world began.
        unit: depth of the scene.
    """
    if not np.isfinite(covariance).all() or covariance[0, 0] >= UNKNOWN_VARIANCE:
        return np.eye(6) * UNKNOWN_VARIANCE
    found = covariance + np.diag([(_FLOOR * unit) ** 2] * 3 + [_FLOOR_RAD**2] * 3)
    axis = _TURN_SHARE * rotation_vector(turned)
    found[3:, 3:] += np.outer(axis, axis)
    return at_most_unknown(found)
