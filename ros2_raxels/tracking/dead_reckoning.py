"""Where an IMU carries a camera that is not seen: on from its last velocity, with gravity and biases as they are known.

Metres are needed: what an accelerometer reads says nothing of a world in another unit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.tracking.inertial import Imu, Integrated, integrate
from ros2_raxels.tracking.visual_inertial import VISUAL_NOISE, seen_sigma

_LOOKS_BACK_NS, _LEAST_NS = 350_000_000, 150_000_000
"""Time over which a velocity is seen: over a longer one the accelerometer tells less well what it was at the end."""

_COASTS_NS = 100_000_000
"""Over a shorter time without a solve, constant velocity is as good."""


@dataclass(frozen=True, eq=False)
class Weight:
    """What an accelerometer reads besides changes of velocity.

    Attributes:
        gravity: (3,) m/s2, downwards, in the axes of the camera.
        bias: (3,) m/s2 of the accelerometer.
        sigma: standard deviation of both together, m/s2.
    """

    gravity: FloatArray
    bias: FloatArray
    sigma: float


@dataclass(frozen=True, eq=False)
class _Start:
    """From where a camera is carried.

    Attributes:
        stamp_ns: of the last frame that was solved.
        velocity: (3,) of the IMU then, in the axes of the camera, m/s.
        sigma: standard deviation of that, m/s.
    """

    stamp_ns: int
    velocity: FloatArray
    sigma: float


class DeadReckoning:
    """The way of a camera since the last frame that was solved.

    Args:
        imu: mounted with the camera.
    """

    def __init__(self, imu: Imu) -> None:
        self._imu = imu
        self._points: deque[tuple[int, FloatArray]] = deque()
        self.jump()

    def jump(self) -> None:
        """The next pose has nothing to do with the last one."""
        self._points.clear()
        self._weight: Weight | None = None
        self._depth_m = 0.0
        self._forget_way()

    def _forget_way(self) -> None:
        self._start: _Start | None = None
        self._ways: dict[int, Integrated] = {}

    def see(self, stamp_ns: int, camera_to_world: FloatArray, weight: Weight, depth_m: float) -> None:
        """A frame was solved there (4x4, m).

        Args:
            stamp_ns: of it.
            camera_to_world: see above.
            weight: in the axes of the camera then.
            depth_m: of the scene.
        """
        self._points.append((stamp_ns, camera_to_world))
        while stamp_ns - self._points[0][0] > _LOOKS_BACK_NS:
            self._points.popleft()
        self._weight, self._depth_m = weight, depth_m
        self._forget_way()

    def moved(self, begin_ns: int, end_ns: int, gyro_bias: FloatArray) -> tuple[FloatArray, float] | None:
        """Translation (3,) of the camera at the end in the camera at the beginning, m, and its standard deviation.

        None before the last frame that was solved, soon after it, and where something is not known.
        """
        weight = self._weight
        if weight is None or end_ns - self._points[-1][0] < _COASTS_NS or begin_ns < self._points[-1][0]:
            return None
        self._start = self._start or self._seen_start(weight, gyro_bias)
        if self._start is None:
            return None
        places = [self._place(at_ns, self._start, weight, gyro_bias) for at_ns in (begin_ns, end_ns)]
        if places[0] is None or places[1] is None:
            return None
        (turn, begin), (_, end) = places[0], places[1]
        seconds = (end_ns - self._start.stamp_ns) * 1e-9
        noise = VISUAL_NOISE.acceleration**2 * seconds**3 / 3.0
        variance = (self._start.sigma * seconds) ** 2 + (weight.sigma * seconds**2 / 2.0) ** 2 + noise
        return turn.T @ (end - begin), float(np.sqrt(variance))

    def _seen_start(self, weight: Weight, gyro_bias: FloatArray) -> _Start | None:
        """The velocity by the newest poses, with what the accelerometer says of its changes since the first of them."""
        (begin_ns, before), (end_ns, now) = self._points[0], self._points[-1]
        readings = None if end_ns - begin_ns < _LEAST_NS else self._imu.between(begin_ns, end_ns)
        if readings is None:
            return None
        seconds, motion = (end_ns - begin_ns) * 1e-9, relative_pose(before, now)
        turn, way = motion[:3, :3], integrate(readings, gyro_bias, weight.bias)
        moved = motion[:3, 3] + turn @ self._imu.place - self._imu.place
        # Half of what gravity adds to the velocity is in the mean velocity already.
        velocity = (moved - way.position) / seconds + way.velocity + turn @ weight.gravity * seconds / 2.0
        seen = np.sqrt(2.0) * seen_sigma(motion[:3, 3], self._depth_m) / seconds
        return _Start(end_ns, turn.T @ velocity, float(np.hypot(seen, weight.sigma * seconds / 2.0)))

    def _place(
        self, at_ns: int, start: _Start, weight: Weight, gyro_bias: FloatArray
    ) -> tuple[FloatArray, FloatArray] | None:
        """Turn (3x3) and place (3,) of the camera at a stamp in that of the start."""
        way = self._way(at_ns, start.stamp_ns, weight.bias, gyro_bias)
        if way is None:
            return None
        seconds, arm = (at_ns - start.stamp_ns) * 1e-9, self._imu.place
        fallen = start.velocity * seconds + weight.gravity * seconds**2 / 2.0 + way.position
        return way.rotation, arm + fallen - way.rotation @ arm

    def _way(self, at_ns: int, start_ns: int, bias: FloatArray, gyro_bias: FloatArray) -> Integrated | None:
        """From the start to a stamp; it goes on from the newest one that was asked for before that."""
        if at_ns == start_ns:
            return Integrated()
        if at_ns not in self._ways:
            since_ns = max((known_ns for known_ns in self._ways if known_ns < at_ns), default=start_ns)
            readings = self._imu.between(since_ns, at_ns)
            if readings is None:
                return None
            self._ways[at_ns] = integrate(readings, gyro_bias, bias, self._ways.get(since_ns))
        return self._ways[at_ns]
