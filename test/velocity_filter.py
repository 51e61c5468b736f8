"""A filter with the equations of robot_localization's EKF: pose and velocity of a body that keeps its velocity."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector, skew

VELOCITY_NOISE = np.repeat([0.5, 0.5], 3) ** 2
"""(m/s)^2/s and (rad/s)^2/s: how a hand changes its velocity."""


class VelocityFilter:
    """Takes velocities in the axes of the body; pose and velocity with one covariance.

    Attributes:
        pose: 4x4, body to world.
        velocity: (6,) linear and angular, in the axes of the body.
        covariance: 12x12 of (place in the world, turn about the body's axes, velocity).
    """

    def __init__(self) -> None:
        self.pose: FloatArray = np.eye(4)
        self.velocity: FloatArray = np.zeros(6)
        self.covariance: FloatArray = np.diag([1e-9] * 6 + [1.0] * 6)

    def predict(self, seconds: float) -> None:
        """The body has gone on."""
        turn = self.pose[:3, :3]
        linear, angular = self.velocity[:3], self.velocity[3:]
        onward = np.eye(12)
        onward[:3, 3:6], onward[:3, 6:9] = -turn @ skew(linear) * seconds, turn * seconds
        onward[3:6, 3:6], onward[3:6, 9:] = rotation_from_vector(-angular * seconds), np.eye(3) * seconds
        self.covariance = onward @ self.covariance @ onward.T
        self.covariance[6:, 6:] += np.diag(VELOCITY_NOISE) * seconds
        place = self.pose[:3, 3] + turn @ linear * seconds
        self.pose = make_pose(turn @ rotation_from_vector(angular * seconds), place)

    def update(self, velocity: FloatArray, covariance: FloatArray) -> FloatArray:
        """Take a velocity (6,) with its covariance; says by how many of its sigmas each state (12,) has stepped."""
        before = np.sqrt(np.diag(self.covariance))
        spread = self.covariance[6:, 6:] + covariance
        gain = np.linalg.solve(spread, self.covariance[6:]).T
        step = gain @ (velocity - self.velocity)
        self.covariance = self.covariance - gain @ self.covariance[6:]
        self.velocity = self.velocity + step[6:]
        self.pose = make_pose(self.pose[:3, :3] @ rotation_from_vector(step[3:6]), self.pose[:3, 3] + step[:3])
        return np.asarray(np.abs(step) / before)
