"""Covariance of a tracked pose, its terms one by one.

- *Start*: the first cameras, which set world and unit.
- *Noise* of each solve, by what its inliers miss by.
- *Drift* from keyframe to keyframe, by the same and by how few points are handed on: of rotation, place and unit.
  Keyframes hand it on, so that it adds up along the trajectory. Where most of a keyframe is in doubt (`doubt`), what is
  solved with may be what moves: then all of the motion since, and the unit, may be wrong.
- *Focal length*: how far it may be wrong, times what that makes of all turns and of the way since (`by_focal`).
- *Model*: what no solve sees (lens, rolling shutter, timing, matches that err alike). Each stream shows how large it
  is: by what inliers miss by, and by how far loop closures find the camera from where it was thought to be.

A loop closure takes back what noise and drift have added since the known place (`LoopCloser`).

A world that is held to be exact at its first frame would be as uncertain as its drift when it is compared with the
truth along the whole way, so that the error of the model holds from the first pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import chdtr

from ros2_raxels.estimation.bundle_adjustment import RefineSettings
from ros2_raxels.estimation.clip_covariance import INFLATION
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE, at_most_unknown, compounded, with_unit
from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad
from ros2_raxels.tracking.frame import Keyframe
from ros2_raxels.tracking.types import STATED_PLACE, STATED_RAD, SolveQuality


@dataclass(frozen=True)
class CovarianceSizes:
    """Sizes of the terms. Where they come from, and what regions hold with them, stands in ``docs/honesty.md``.

    A *miss* is the angle by which the inliers of a solve miss, their median. Lengths are shares of the scene's depth.

    Attributes:
        noise: times what the inliers of a solve leave open.
        drift_rotation, drift_place: from one keyframe to the next, rad and units per rad of miss, where a hundred
            points are handed on; with half as many twice as much.
        drift_unit: of the logarithm of the unit, likewise, however many points there are.
        turn_unit: the same for a turn of one radian, where new points have no depth yet.
        measured: times drift of rotation and place where another sensor tells depths or unit: what drifts otherwise is
            first of all the depths.
        model_rotation, model_place: rad and units per rad of miss, at every pose.
        loop: times what loop closures of this stream have found the camera off by.
        before_loops: for so many loops the model counts that says nothing of them.
        off_axis: of what a wrong focal length makes of turns and of the way, the share that goes in other directions.
    """

    noise: float = 1.0
    drift_rotation: float = 2.4
    drift_place: float = 3.8
    drift_unit: float = 4.0
    turn_unit: float = 0.005
    measured: float = 0.2
    model_rotation: float = 3.0
    model_place: float = 6.0
    loop: float = 1.2
    before_loops: float = 0.5
    off_axis: float = 0.3


SIZES = CovarianceSizes()
"""In use everywhere."""

_START_RAD, _LEAST_START, _MOST_START = 0.0005, 0.002, 0.03
"""Standard deviations of the first cameras; lengths here are shares of the scene's depth."""

_START_PER_RAD = 0.1
"""Translation, by how far rival directions of the first cameras lie apart."""

_ENOUGH_POINTS, _FEWEST_POINTS = 100.0, 10.0
"""Inliers: so many hand on a pose well; fewer count as no fewer than the second."""

_LEAST_MISS_RAD = 2e-4
"""Less is not measured: a twentieth of a pixel."""

_USUAL_MISS_RAD, _SMOOTHING = 5e-4, 0.1
"""Of streams, before anything is solved; and the weight of the newest solve."""

_HANDED_ON = 0.015
"""Standard deviation, in units and rad, of place and rotation from a keyframe whose depths older ones tell without a
match: where depths are vague, a camera that moves and one that turns see the same."""

_OTHER_UNIT = 0.5
"""Standard deviation of the logarithm of the unit between two trajectories, both of which begin with the depth of the
scene as their unit."""


@dataclass(frozen=True)
class ModelError:
    """What a stream shows of the errors that no solve sees.

    Attributes:
        miss_rad: by which the inliers of late miss.
        solves: how many were seen.
    """

    miss_rad: float = _USUAL_MISS_RAD
    solves: int = 0

    def seen(self, miss_rad: float) -> ModelError:
        """After another solve."""
        weight = max(_SMOOTHING, 1.0 / (self.solves + 1))
        squared = (1.0 - weight) * self.miss_rad**2 + weight * miss_rad**2
        return replace(self, miss_rad=float(np.sqrt(squared)), solves=self.solves + 1)

    def covariance(self, unit: float, drift_seen: Sequence[tuple[float, float]]) -> FloatArray:
        """6x6 of (translation, rotation), the same in all directions.

        Args:
            unit: depth of the scene.
            drift_seen: by which loop closures found the camera off, in units of length and rad.
        """
        place, rotation = SIZES.model_place * self.miss_rad, SIZES.model_rotation * self.miss_rad
        variance = SIZES.before_loops * np.array([place**2, rotation**2])
        for off in drift_seen:
            variance += SIZES.loop**2 * np.square(off) / 3.0
        variance /= SIZES.before_loops + len(drift_seen)
        return np.diag(np.repeat(variance * [unit**2, 1.0], 3))


def miss_rad(keyframe: Keyframe, quality: SolveQuality) -> float:
    """By which the inliers of a solve against a keyframe miss; residuals in px of the working image."""
    return max(float(np.nan_to_num(quality.residual_px)) / keyframe.camera.fx, _LEAST_MISS_RAD)


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
    unit: float,
    unit_is_held: bool = False,
    doubted: float = 0.0,
) -> FloatArray:
    """7x7 covariance since the trajectory began of a frame that was solved against keyframes: start, noise and drift.

    Args:
        anchors: the keyframes, the newest last; its uncertainty is compounded.
        camera_to_world: 4x4, of the frame.
        covariance: 6x6 of its solve, the keyframes taken as exact; see `FrameSolve`.
        quality: of its solve, px of the working image.
        unit: depth of the scene.
        unit_is_held: whether other sensors see to it that the unit stays what it is.
        doubted: 0 to 1, how little it is known whether the frame was solved with the world; see `doubt.odds`.
    """
    last = anchors[-1]
    residual_px = float(np.nan_to_num(quality.residual_px))
    noise = (SIZES.noise * residual_px / (INFLATION * RefineSettings().noise_px)) ** 2 * covariance
    turned_rad = float(rotation_angle_rad(last.camera_to_world[:3, :3].T @ camera_to_world[:3, :3]))
    drift = _drift(miss_rad(last, quality), quality.inliers, turned_rad, unit)
    if last.depth is not None or unit_is_held:
        # A sensor tells the same unit to every keyframe.
        drift[6, 6] = 0.0
        drift *= SIZES.measured**2
    elif last.handed_on is not None:
        told = [(_HANDED_ON * unit) ** 2] * 3 + [_HANDED_ON**2] * 3
        drift += np.diag([*told, last.handed_on.scale_sigma**2])
    if doubted:
        drift += doubted**2 * _of_another_motion(last.camera_to_world, camera_to_world, turned_rad)
    return compounded(last.covariance, last.camera_to_world, camera_to_world) + with_unit(noise, 0.0) + drift


def _of_another_motion(before: FloatArray, after: FloatArray, turned_rad: float) -> FloatArray:
    """7x7, of a camera (4x4) beside something that moves: all of its motion may be wrong, and so may the unit."""
    length = float(np.linalg.norm(after[:3, 3] - before[:3, 3]))
    return np.diag([length**2] * 3 + [turned_rad**2] * 3 + [_OTHER_UNIT**2])


def _drift(missed_rad: float, inliers: int, turned_rad: float, unit: float) -> FloatArray:
    """7x7, from one keyframe to the next."""
    weak = missed_rad * _ENOUGH_POINTS / max(inliers, _FEWEST_POINTS)
    place, rotation = (SIZES.drift_place * unit * weak) ** 2, (SIZES.drift_rotation * weak) ** 2
    return np.diag(
        [place] * 3 + [rotation] * 3 + [(SIZES.drift_unit * missed_rad) ** 2 + SIZES.turn_unit**2 * turned_rad]
    )


def credibility(covariance: FloatArray, unit: float) -> float:
    """Probability that a pose is within the stated error, `STATED_PLACE` and `STATED_RAD`, by its covariance (6x6).

    Args:
        covariance: as it is published.
        unit: depth of the scene.
    """
    variances = np.trace(covariance[:3, :3]) / 3.0, np.trace(covariance[3:, 3:]) / 3.0
    place, turn = (STATED_PLACE * unit) ** 2 / variances[0], STATED_RAD**2 / variances[1]
    return float(chdtr(3, place) * chdtr(3, turn))


def by_focal(poses: FloatArray, before: FloatArray | None = None) -> FloatArray:
    """(6,) what a focal length makes of the last of some poses, by its logarithm: of place and rotation.

    Through one that is too short a camera seems to turn too much and to move too little along its axis. What it has
    turned too much all the way since leads elsewhere.

    Args:
        poses: (N, 4, 4) camera_to_world along the way, oldest first, each less than half a turn from the next.
        before: (6,) the same of the way to the first of them; None where it begins there.
    """
    before = np.zeros(6) if before is None else before
    if len(poses) < 2:
        return before
    rotations, steps = poses[:, :3, :3], np.diff(poses[:, :3, 3], axis=0)
    turns = Rotation.from_matrix(rotations[1:] @ np.swapaxes(rotations[:-1], 1, 2)).as_rotvec()
    middle = before[3:] + np.cumsum(turns, axis=0) - turns / 2.0
    axes = rotations[:-1, :, 2]
    along = axes * (axes * steps).sum(axis=1, keepdims=True)
    here = [(np.cross(middle, steps) - along).sum(axis=0), turns.sum(axis=0)]
    return np.asarray(before + np.concatenate(here))


def of_focal(moved: FloatArray, mean_square: float) -> FloatArray:
    """6x6 of (translation, rotation) by what a focal length makes of a pose (6,), see `by_focal`.

    Args:
        moved: see there.
        mean_square: of the logarithm of the true focal length over the one in use.
    """
    lengths = np.repeat([moved[:3] @ moved[:3], moved[3:] @ moved[3:]], 3) / 3.0
    return np.asarray(mean_square * (np.outer(moved, moved) + SIZES.off_axis**2 * np.diag(lengths)))


def published(covariance: FloatArray, focal: FloatArray, model: FloatArray) -> FloatArray:
    """6x6 covariance of an answer: with the errors of camera and model, never zero, and 9999 for what is not known.

    Args:
        covariance: 6x6 since the trajectory began.
        focal: 6x6; see `of_focal`.
        model: 6x6; see `ModelError`.
    """
    if not np.isfinite(covariance).all() or covariance[0, 0] >= UNKNOWN_VARIANCE:
        return np.eye(6) * UNKNOWN_VARIANCE
    return at_most_unknown(covariance + focal + model)
