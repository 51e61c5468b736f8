"""How the camera has moved from one solved frame to the next, and the velocity that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_vector, skew
from ros2_raxels.tracking.sensor_prior import drawn_to

_COMMON = 0.94
"""Share of the variance that two solves in a row have in common: they see the same points, with the same wrong depths.

By steps of rendered drives (`robot_spin`, `robot_course`), whose velocities lie inside their regions rather too often.
"""


@dataclass(frozen=True, eq=False)
class Step:
    """A motion between two frames, told apart from what has corrected the world meanwhile.

    Attributes:
        motion: 4x4, the camera now in the camera before; unit of the trajectory.
        seconds: between the two.
        covariance: 6x6 of (translation, rotation), in the axes of the camera now.
    """

    motion: FloatArray
    seconds: float
    covariance: FloatArray

    def drawn_to(self, rotation: FloatArray, sigma_rad: float) -> Step:
        """With what a gyro says of the turn (3x3)."""
        expected = make_pose(rotation, self.motion[:3, 3])
        sigma = np.repeat([np.inf, sigma_rad], 3)
        # About the axes of before and of now: the turn of one step is small.
        motion, covariance = drawn_to(self.motion, self.covariance, expected, sigma)
        return Step(motion, self.seconds, covariance)

    def velocity(self, child_in_camera: FloatArray, scale_sigma: float) -> tuple[FloatArray, FloatArray]:
        """(6,) of (linear, angular) of something fixed to the camera, in its axes, unit/s and rad/s; and 6x6 of that.

        Args:
            child_in_camera: 4x4, its pose in the optical frame; unit of the trajectory.
            scale_sigma: relative standard deviation of the unit.
        """
        # The motion backwards is told in the axes of now.
        linear = self.motion[:3, :3].T @ self.motion[:3, 3] / self.seconds
        angular = rotation_vector(self.motion[:3, :3]) / self.seconds
        lever, axes = child_in_camera[:3, 3], child_in_camera[:3, :3].T
        jacobian = np.zeros((6, 6))
        jacobian[:3, :3], jacobian[:3, 3:], jacobian[3:, 3:] = axes, -axes @ skew(lever), axes
        found = jacobian @ np.concatenate([linear, angular])
        covariance = jacobian @ self.covariance @ jacobian.T / self.seconds**2
        covariance[:3, :3] += scale_sigma**2 * np.outer(found[:3], found[:3])
        return found, np.minimum(covariance, UNKNOWN_VARIANCE)


def between(
    motion: FloatArray, seconds: float, before: FloatArray, now: FloatArray, camera_to_world: FloatArray
) -> Step:
    """A step between two frames that were solved against keyframes, whose own errors it does not have.

    Args:
        motion: see `Step`.
        seconds: likewise.
        before, now: 6x6 covariances of both solves, the keyframes taken as exact: (translation, rotation about the
            world's axes). Most of their errors they have in common (`_COMMON`).
        camera_to_world: 4x4, of the camera now.
    """
    axes = np.kron(np.eye(2), camera_to_world[:3, :3].T)
    return Step(motion, seconds, (1.0 - _COMMON) * axes @ (before + now) @ axes.T)
