"""What an IMU can tell of the scale of a drive at best: the Cramer-Rao bound, by the information filter of its motion.

All is linear for a camera whose turns are known: its place and velocity, both in the unit of what is seen, the bias of
the accelerometer, gravity, and the units in a metre, by which the readings are multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry.poses import FloatArray

RATE_HZ = 30
ARM = np.array([0.15, 0.0, 0.45])
"""(3,) of the camera on the robot, m."""

_BIAS, _WEIGHT = 0.1, 0.03
"""m/s2, standard deviations before anything is seen: of each axis of the bias, and of what gravity weighs."""


@dataclass(frozen=True)
class Sensors:
    """What camera and accelerometer err by.

    Attributes:
        place_m: of a place that is seen, from image to image anew.
        force: of the accelerometer, m/s2/sqrt(Hz).
    """

    place_m: float
    force: float = 0.0035


def spin(seconds: float) -> tuple[FloatArray, FloatArray]:
    """Speed, m/s, and turn rate, rad/s, (N,) of a drive like `robot_spin`: a curve, a turn on the spot, a curve."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    drives = (t < 4.0) | (t > 12.0)
    speed = 0.3 * np.clip(np.minimum.reduce([t / 0.3, np.abs(t - 4.3) / 0.3, np.abs(t - 12.0) / 0.3]), 0.0, 1.0)
    return np.where(drives | (t < 4.3), speed, 0.0), np.radians(np.where(drives, 14.0, 45.0))


def scale_sigmas(speed: FloatArray, turn_rate: FloatArray, sensors: Sensors) -> FloatArray:
    """(N,) relative standard deviation of the scale after each image of a drive that is seen in metres.

    Args:
        speed: (N,) m/s, forwards.
        turn_rate: (N,) rad/s, about the vertical.
        sensors: see there.
    """
    dt = 1.0 / RATE_HZ
    yaw = np.cumsum(turn_rate) * dt
    ahead = np.stack([np.cos(yaw), np.sin(yaw), np.zeros_like(yaw)], axis=1)
    push = np.gradient(speed[:, None] * ahead, dt, axis=0)
    up = np.array([0.0, 0.0, 1.0])
    place, velocity, bias, gravity, units = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12), 12
    covariance = np.diag([1e2] * 6 + [_BIAS**2] * 3 + [1e2] * 3 + [1e2])
    weighs = np.zeros((1, 13))
    weighs[0, gravity], weighs[0, units] = up, 9.81
    covariance = _told(covariance, weighs, _WEIGHT**2)
    found = []
    for k in range(len(speed)):
        axes = np.column_stack([ahead[k], np.cross(up, ahead[k]), up])
        onward = np.eye(13)
        onward[place, velocity] = np.eye(3) * dt
        # Gravity pulls down, and the accelerometer reads the push against it.
        onward[velocity, units], onward[velocity, bias] = (push[k] + 9.81 * up) * dt, -axes * dt
        onward[velocity, gravity] = np.eye(3) * dt
        seen = np.zeros((3, 13))
        seen[:, place], seen[:, units] = np.eye(3), axes @ ARM
        covariance = _told(covariance, seen, sensors.place_m**2)
        found.append(float(np.sqrt(covariance[units, units])))
        covariance = onward @ covariance @ onward.T
        covariance[velocity, velocity] += np.eye(3) * sensors.force**2 * dt
    return np.array(found)


def _told(covariance: FloatArray, matrix: FloatArray, variance: float) -> FloatArray:
    spread = matrix @ covariance @ matrix.T + np.eye(len(matrix)) * variance
    gain = np.linalg.solve(spread, matrix @ covariance).T
    left = np.eye(len(covariance)) - gain @ matrix
    return np.asarray(left @ covariance @ left.T + variance * gain @ gain.T)
