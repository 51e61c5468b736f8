"""What wheels and an IMU say of the places of the newest keyframes, for their refinement: metres without drift.

All is linear once the turns of the cameras are known, which images and gyro tell well: places, velocities, gravity, the
bias of the accelerometer, and one factor for what was seen before. What is known of the newest places is what is left
when all else is eliminated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.bundle_adjustment import PlacePrior
from ros2_raxels.geometry.poses import FloatArray, relative_pose, rotation_angle_rad
from ros2_raxels.tracking.frame import Keyframe
from ros2_raxels.tracking.inertial import Imu, Preintegrated, preintegrate
from ros2_raxels.tracking.visual_inertial import GRAVITY, VISUAL_NOISE

EARLIER = 24
"""So many keyframes before those that are refined tell of velocity and gravity."""

_SEEN_SHARE, _SEEN_NOISE = 0.01, 0.001
"""Error of a way as it was seen: such a share of it, and so much of the depth of the scene."""

_ROLLED_SHARE, _ROLLED_NOISE_M = 0.015, 0.0005
"""Error of a way by the wheels."""

_SLIP_SHARE, _SLIP_SIGMAS = 0.4, 3.0
"""A way by the wheels is left out that is off the one that is seen by such a share and so many times the noise."""

_SLIP_TURN, _SLIP_RAD = 0.2, 0.01
"""So is one whose turn is off the one that is seen, which images tell well, by such a share and so much."""

_BIAS_SIGMA, _GRAVITY_SIGMA = 0.1, 0.02
"""m/s2, of the accelerometer's bias and of what gravity weighs."""

_LOOSE = 1e-6
"""Information by which a system that leaves the origin open can be solved."""


@dataclass(frozen=True, eq=False)
class Way:
    """From one camera of a path to the next.

    Attributes:
        rolled: 4x4, the next one in the first by the wheels, m; None where they tell nothing.
        motion: by the IMU, in the axes of the first camera; None where it tells nothing.
    """

    rolled: FloatArray | None = None
    motion: Preintegrated | None = None


def place_prior(
    poses: FloatArray, ways: Sequence[Way], count: int, imu_place: FloatArray, depth_m: float, scale_sigma: float
) -> PlacePrior | None:
    """What is known of the newest places of a path.

    Args:
        poses: (N, 4, 4) camera_to_world, m, as they are known now.
        ways: N - 1, from each to the next.
        count: how many of the newest are to be refined.
        imu_place: (3,) of the IMU in the optical frame, m.
        depth_m: of the scene.
        scale_sigma: relative, of what was seen.

    Returns:
        None where neither wheels nor IMU tell of any of the newest ways.
    """
    first = len(poses) - count
    ways = [_without_slip(way, *pair, depth_m) for way, pair in zip(ways, pairwise(poses), strict=True)]
    if all(way.rolled is None and way.motion is None for way in ways[first:]):
        return None
    system = _system(poses, ways, first, imu_place, depth_m, scale_sigma)
    if any(way.motion is not None for way in ways):
        gravity = np.linalg.solve(system.matrix, system.wanted)[_GRAVITY]
        system.add(np.full(1, _GRAVITY_SIGMA), np.full(1, GRAVITY), (_GRAVITY, gravity[None] / np.linalg.norm(gravity)))
    newest = np.arange(_FIRST + 3 * first, _FIRST + 3 * len(poses))
    return system.left_of(newest, poses[first:, :3, 3])


_FACTOR, _GRAVITY, _BIAS, _FIRST = slice(0, 1), slice(1, 4), slice(4, 7), 7


def _without_slip(way: Way, before: FloatArray, after: FloatArray, depth_m: float) -> Way:
    """A way without that of the wheels where they contradict what is seen."""
    if way.rolled is None:
        return way
    seen = relative_pose(before, after)
    off_rad, turn_rad = (float(rotation_angle_rad(r)) for r in (seen[:3, :3].T @ way.rolled[:3, :3], seen[:3, :3]))
    step, rolled = seen[:3, 3], way.rolled[:3, 3]
    apart, longest = np.linalg.norm(step - rolled), max(np.linalg.norm(step), np.linalg.norm(rolled))
    noise = _SEEN_NOISE * depth_m + _ROLLED_NOISE_M
    slips = off_rad > _SLIP_RAD + _SLIP_TURN * turn_rad or apart > _SLIP_SIGMAS * noise + _SLIP_SHARE * longest
    return replace(way, rolled=None) if slips else way


class _System:
    """Normal equations of rows ``matrix @ unknown = wanted``, and the square of what is wanted.

    Args:
        size: number of unknowns.
    """

    def __init__(self, size: int) -> None:
        self.matrix: FloatArray = np.eye(size) * _LOOSE
        self.wanted: FloatArray = np.zeros(size)
        self.square = 0.0

    def add(self, sigma: FloatArray, value: FloatArray, *blocks: tuple[slice, FloatArray]) -> None:
        """Rows (K, ...) with their standard deviations (K,), which give a value (K,)."""
        self.square += float(((value / sigma) ** 2).sum())
        for at, block in blocks:
            weighted = block.T / sigma**2
            self.wanted[at] += weighted @ value
            for beside, other in blocks:
                self.matrix[at, beside] += weighted @ other

    def left_of(self, kept: npt.NDArray[np.integer], places: FloatArray) -> PlacePrior:
        """What is known of some unknowns, which are offsets from places, when all others are at their best."""
        others = np.setdiff1d(np.arange(len(self.wanted)), kept)
        cross = self.matrix[np.ix_(others, kept)]
        gain = np.linalg.solve(self.matrix[np.ix_(others, others)], np.column_stack([cross, self.wanted[others]]))
        information = self.matrix[np.ix_(kept, kept)] - cross.T @ gain[:, :-1]
        pull = cross.T @ gain[:, -1] - self.wanted[kept]
        cost = max(self.square - float(self.wanted[others] @ gain[:, -1]), 0.0)
        return PlacePrior(places, cost, pull, (information + information.T) / 2.0)


def _system(
    poses: FloatArray,
    ways: Sequence[Way],
    first: int,
    imu_place: FloatArray,
    depth_m: float,
    scale_sigma: float,
) -> _System:
    """For (factor of what was seen less 1, gravity, bias, offsets of places, velocities of the IMU)."""
    count = len(poses)
    system = _System(_FIRST + 6 * count)

    def place(i: int) -> slice:
        return slice(_FIRST + 3 * i, _FIRST + 3 * i + 3)

    def velocity(i: int) -> slice:
        return place(count + i)

    eye = np.eye(3)
    system.add(np.full(1, scale_sigma), np.zeros(1), (_FACTOR, np.eye(1)))
    system.add(np.full(3, _BIAS_SIGMA), np.zeros(3), (_BIAS, eye))
    arms = poses[:, :3, :3] @ imu_place
    for i, way in enumerate(ways):
        turn, step = poses[i, :3, :3], poses[i + 1, :3, 3] - poses[i, :3, 3]
        onward = ((place(i), -eye), (place(i + 1), eye))
        if i <= first:
            sigma = np.full(3, _SEEN_NOISE * depth_m + _SEEN_SHARE * float(np.linalg.norm(step)))
            system.add(sigma, np.zeros(3), *onward, (_FACTOR, -step[:, None]))
        if way.rolled is not None:
            rolled = way.rolled[:3, 3]
            sigma = np.full(3, _ROLLED_NOISE_M + _ROLLED_SHARE * float(np.linalg.norm(rolled)))
            system.add(sigma, turn @ rolled - step, *onward)
        if way.motion is not None:
            motion, dt, sigma = way.motion, way.motion.duration_s, np.sqrt(np.diag(way.motion.covariance))
            by_bias = motion.by_accelerometer_bias
            driven = turn @ motion.position - arms[i + 1] + arms[i] - step
            gone = ((velocity(i), -dt * eye), (_GRAVITY, -(dt**2 / 2.0) * eye), (_BIAS, -turn @ by_bias[6:]))
            system.add(sigma[6:], driven, *onward, *gone)
            faster = ((velocity(i), -eye), (velocity(i + 1), eye), (_GRAVITY, -dt * eye))
            system.add(sigma[3:6], turn @ motion.velocity, *faster, (_BIAS, -turn @ by_bias[3:6]))
    return system


# ------------------------------------------------------------------------------------------------- of a map's keyframes


@dataclass(frozen=True, eq=False)
class PathSensors:
    """Wheels and IMU as they can be believed now, for whoever makes keyframes, in whatever thread.

    Attributes:
        moved: by the wheels, see `Wheels.moved`; None where they tell nothing.
        moved_since_ns: not before this stamp.
        imu: None where it tells nothing of places.
        gyro_bias: (3,) rad/s.
        scale_sigma: relative standard deviation of the present unit, which is the metre.
    """

    moved: Callable[[int, int], FloatArray | None] | None
    moved_since_ns: int
    imu: Imu | None
    gyro_bias: FloatArray
    scale_sigma: float

    def prior(self, frames: Sequence[Keyframe], count: int, depth_m: float) -> PlacePrior | None:
        """What they say of the places of the newest keyframes; see `place_prior`.

        Args:
            frames: in order, of which the first ones are not to be refined.
            count: how many are.
            depth_m: of the scene.
        """
        stamps_ns = [keyframe.frame.stamp_ns for keyframe in frames]
        ways = [self._way(*pair) for pair in pairwise(stamps_ns)]
        poses = np.array([keyframe.camera_to_world for keyframe in frames])
        imu_place = np.zeros(3) if self.imu is None else self.imu.place
        return place_prior(poses, ways, count, imu_place, depth_m, self.scale_sigma)

    def _way(self, begin_ns: int, end_ns: int) -> Way:
        rolled = self.moved(begin_ns, end_ns) if self.moved is not None and begin_ns >= self.moved_since_ns else None
        readings = None if self.imu is None or end_ns <= begin_ns else self.imu.between(begin_ns, end_ns)
        motion = None if readings is None else preintegrate(readings, self.gyro_bias, np.zeros(3), VISUAL_NOISE)
        return Way(rolled, motion)
