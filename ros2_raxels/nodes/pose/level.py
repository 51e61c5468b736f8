"""Keeps z of the frame of poses upright, by what an IMU says of gravity."""

from __future__ import annotations

import math

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.tracking.gravity import Up

_LEANS = 2.0
"""Sigmas of gravity within which the frame may be upright as it is: where the base began is level, most often."""

_UPRIGHT = 0.3
"""Sigmas within which it is left alone again."""

_SURE_RAD = math.radians(2.0)
"""Standard deviation of gravity with which nothing is turned yet."""

_AT_ONCE_RAD = math.radians(3.0)
"""What leans further is set upright in one step, which says so."""

_RATE_RAD_S = math.radians(0.2)
"""Else so fast, which is less from one frame to the next than the noise of a pose."""

_LONGEST_S = 0.2
_LEAST_VARIANCE = 5e-4**2
"""rad2, of roll and pitch: the noise of the frame itself."""


class Level:
    """A turn about horizontal axes that takes gravity to z.

    It goes about the place of the camera, so that nothing jumps far away from where the trajectory began.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next pose begins a new trajectory."""
        self.turn: FloatArray = np.eye(4)
        """4x4, from the frame as it began to the upright one."""
        self._leans, self._stamp_ns = False, 0
        self._off_rad, self._sigma_rad = math.inf, math.inf

    def see(self, up: Up | None, world: FloatArray, camera_to_world: FloatArray, stamp_ns: int) -> str:
        """A pose is to be told.

        Args:
            up: in the world of the tracker; None while that is not known.
            world: 4x4, from there to the frame of poses as it began.
            camera_to_world: 4x4, of the tracker.
            stamp_ns: of the image.

        Returns:
            By how much the frame was set upright in one step, in a line; empty where it was not.
        """
        elapsed_s, self._stamp_ns = (stamp_ns - self._stamp_ns) * 1e-9, stamp_ns
        self._off_rad = self._sigma_rad = math.inf
        if up is None or up.sigma_rad > _SURE_RAD:
            return ""
        leans = self._lean((self.turn @ world)[:3, :3] @ up.direction)
        off_rad = float(np.linalg.norm(leans))
        self._leans = off_rad > (_UPRIGHT if self._leans else _LEANS) * up.sigma_rad
        self._off_rad, self._sigma_rad = off_rad, up.sigma_rad
        if not self._leans:
            return ""
        at_once = off_rad > _AT_ONCE_RAD
        step_rad = off_rad if at_once else min(off_rad, _RATE_RAD_S * min(max(elapsed_s, 0.0), _LONGEST_S))
        here = (self.turn @ world @ camera_to_world)[:3, 3]
        rotation = rotation_from_vector(leans * (step_rad / off_rad))
        self.turn = make_pose(rotation, here - rotation @ here) @ self.turn
        self._off_rad = off_rad - step_rad
        if not at_once:
            return ""
        return f"poses are upright now, by the IMU: the frame is turned by {np.degrees(off_rad):.1f} deg"

    def bounded(self, covariance: FloatArray) -> FloatArray:
        """6x6 of (translation, rotation) of a pose that was solved, with roll and pitch known as well as gravity is."""
        most = self._sigma_rad**2 + self._off_rad**2 + _LEAST_VARIANCE
        if not math.isfinite(most):
            return covariance
        share = np.ones(6)
        share[3:5] = np.sqrt(np.minimum(most / np.maximum(np.diag(covariance)[3:5], most), 1.0))
        return share[:, None] * covariance * share

    @staticmethod
    def _lean(up: FloatArray) -> FloatArray:
        """Rotation vector (3,) about a horizontal axis that takes a unit vector to z."""
        axis = np.array([up[1], -up[0], 0.0])
        length = float(np.linalg.norm(axis))
        if length < 1e-12:
            return np.array([0.0 if up[2] > 0 else math.pi, 0.0, 0.0])
        return axis / length * math.atan2(length, float(up[2]))
