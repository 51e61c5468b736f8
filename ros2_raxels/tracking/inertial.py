"""The IMU: its readings between two stamps as one motion, and the bias of its gyro, learned from the eyes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, rotation_from_vector, rotation_vector, skew
from ros2_raxels.recordings.imu import ImuReadings


class Imu(Protocol):
    """What is asked of an IMU that is mounted with the camera."""

    @property
    def place(self) -> FloatArray:
        """(3,) where it is in the optical frame, m."""

    def between(self, begin_ns: int, end_ns: int) -> ImuReadings | None:
        """Readings from one stamp, ns, to another in the axes of the camera; None where some are missing."""

    def why_silent(self, stamp_ns: int) -> str:
        """Why there are none at a stamp, ns, in a line."""


# ------------------------------------------------------------------------------------------------------ preintegration


@dataclass(frozen=True)
class ImuNoise:
    """White noise of the readings; defaults are of a cheap IMU.

    Attributes:
        turn_rate: rad/s/sqrt(Hz).
        acceleration: m/s2/sqrt(Hz).
    """

    turn_rate: float = 5e-4
    acceleration: float = 5e-3


@dataclass(frozen=True, eq=False)
class Preintegrated:
    """What readings say of the motion between two stamps, in the axes of the first, whatever gravity and velocity are.

    Attributes:
        duration_s: between the stamps.
        rotation: 3x3, from the axes at the end to those at the beginning.
        velocity: (3,) change of velocity but for gravity, m/s.
        position: (3,) change of position but for gravity and the velocity at the beginning, m.
        covariance: 9x9 of (rotation, velocity, position); of the rotation about the axes at the end.
        by_gyro_bias: (9, 3) how these change with the bias of the gyro, rad/s.
        by_accelerometer_bias: (9, 3) likewise, m/s2.
    """

    duration_s: float
    rotation: FloatArray
    velocity: FloatArray
    position: FloatArray
    covariance: FloatArray
    by_gyro_bias: FloatArray
    by_accelerometer_bias: FloatArray


def preintegrate(
    readings: ImuReadings, gyro_bias: FloatArray, accelerometer_bias: FloatArray, noise: ImuNoise | None = None
) -> Preintegrated:
    """One motion of many readings (Forster et al., On-Manifold Preintegration, 2017), with those between two averaged.

    Args:
        readings: in the axes of the body.
        gyro_bias: (3,) rad/s, subtracted.
        accelerometer_bias: (3,) m/s2, subtracted.
        noise: of the readings.
    """
    noise = noise or ImuNoise()
    rotation: FloatArray = np.eye(3)
    velocity, position = np.zeros(3), np.zeros(3)
    covariance, by_bias = np.zeros((9, 9)), np.zeros((9, 6))
    steps_s, turns = _steps_s(readings), _turns(readings, gyro_bias)
    accelerations = (readings.acceleration[1:] + readings.acceleration[:-1]) / 2.0 - accelerometer_bias
    for dt, acceleration, (half, whole) in zip(steps_s, accelerations, turns, strict=True):
        middle = rotation @ half
        pushed, lever = middle @ acceleration, -middle @ skew(acceleration) @ half.T
        onward, driven = np.eye(9), np.zeros((9, 6))
        onward[:3, :3] = whole.T
        onward[3:6, :3], onward[6:, :3] = lever * dt, lever * dt**2 / 2.0
        onward[6:, 3:6] = np.eye(3) * dt
        driven[:3, :3] = -np.eye(3) * dt
        driven[3:6, :3], driven[6:, :3] = -lever * dt**2 / 2.0, -lever * dt**3 / 4.0
        driven[3:6, 3:], driven[6:, 3:] = -middle * dt, -middle * dt**2 / 2.0
        density = np.repeat([noise.turn_rate**2, noise.acceleration**2], 3) / dt
        covariance = onward @ covariance @ onward.T + (driven * density) @ driven.T
        by_bias = onward @ by_bias + driven
        position = position + velocity * dt + pushed * dt**2 / 2.0
        velocity = velocity + pushed * dt
        rotation = rotation @ whole
    return Preintegrated(float(steps_s.sum()), rotation, velocity, position, covariance, by_bias[:, :3], by_bias[:, 3:])


@dataclass(frozen=True, eq=False)
class Integrated:
    """As `Preintegrated`, without what tells how far it can be trusted.

    Attributes:
        rotation, velocity, position: see there.
    """

    rotation: FloatArray = field(default_factory=lambda: np.eye(3))
    velocity: FloatArray = field(default_factory=lambda: np.zeros(3))
    position: FloatArray = field(default_factory=lambda: np.zeros(3))


def integrate(
    readings: ImuReadings,
    gyro_bias: FloatArray,
    accelerometer_bias: FloatArray,
    before: Integrated | None = None,
) -> Integrated:
    """The motion of `preintegrate` alone, in a tenth of the time; it goes on from one that ends where they begin."""
    before = before or Integrated()
    rotation, velocity, position = before.rotation, before.velocity, before.position
    accelerations = (readings.acceleration[1:] + readings.acceleration[:-1]) / 2.0 - accelerometer_bias
    for dt, acceleration, (half, whole) in zip(
        _steps_s(readings), accelerations, _turns(readings, gyro_bias), strict=True
    ):
        pushed = rotation @ half @ acceleration
        position = position + velocity * dt + pushed * dt**2 / 2.0
        velocity = velocity + pushed * dt
        rotation = rotation @ whole
    return Integrated(rotation, velocity, position)


def turned(readings: ImuReadings, gyro_bias: FloatArray) -> FloatArray:
    """The rotation (3x3) alone, in less time still."""
    rotation: FloatArray = np.eye(3)
    for _, whole in _turns(readings, gyro_bias):
        rotation = rotation @ whole
    return rotation


def _steps_s(readings: ImuReadings) -> FloatArray:
    """(N - 1,) from each reading to the next."""
    return np.asarray(1e-9 * np.diff(readings.stamps_ns).astype(float))


def _turns(readings: ImuReadings, gyro_bias: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Half of the turn (3x3) from each reading to the next, and the whole of it."""
    rates = (readings.turn_rate[1:] + readings.turn_rate[:-1]) / 2.0 - gyro_bias
    turns = rates * _steps_s(readings)[:, None]
    # Half of the turn of a step goes before what accelerates in it.
    return zip(rotation_from_vector(turns / 2.0), rotation_from_vector(turns), strict=True)


# ------------------------------------------------------------------------------------------------------------ the gyro

_COMPARED_NS = 400_000_000
"""Time over which a turn by the gyro is compared with the one that is seen."""

_LONGEST_NS = 700_000_000
"""Over a longer gap little is seen of both ends."""

_SILENT_NS = 2_000_000_000
_SEEN_SIGMA_RAD = 0.006
"""Of a turn that is seen, from one frame to another."""

_TURN_SIGMA_RAD, _TURN_SHARE = 0.0002, 0.004
"""Of a turn by the gyro: so much by its noise, and such a share of it by its scale, its mount and the stamps."""

_BIAS_SIGMA = 0.05
"""rad/s, of the bias of a gyro of which nothing is known: 3 degrees a second."""

_WANDER = 5e-4
"""rad/s/sqrt(s), of the bias."""

_CONTRADICTION = 5.0
"""Sigmas."""

_RECENT = 8
_ENOUGH_WRONG, _ENOUGH_RIGHT = 5, 2
"""Of the recent comparisons: with so many wrong ones the gyro is not believed, and with so many right ones in a row."""

_TURNS_RAD_S = 0.1
_DEGREES = 180.0 / np.pi


class Gyro:
    """Turns by a gyro whose bias is learned, and which is not believed where the eyes contradict it again and again.

    Args:
        imu: see there.

    Attributes:
        bias: (3,) rad/s, as it is known now.
        variance: 3x3 of it.
        words: why the gyro is left out, in a line; empty while it is not.
    """

    def __init__(self, imu: Imu) -> None:
        self._imu = imu
        self.bias: FloatArray = np.zeros(3)
        self.variance: FloatArray = np.eye(3) * _BIAS_SIGMA**2
        self._last: tuple[int, FloatArray] | None = None
        self._agreed: deque[bool] = deque(maxlen=_RECENT)
        self._rates: deque[tuple[FloatArray, FloatArray]] = deque(maxlen=_RECENT)
        self._trusted = False
        self._silent_since = 0
        self.words = ""

    @property
    def is_trusted(self) -> bool:
        """Whether what is seen has confirmed it."""
        return self._trusted

    def rotation(self, begin_ns: int, end_ns: int) -> FloatArray | None:
        """3x3, from the camera at the end to the camera at the beginning; None where that is not known."""
        readings = self._imu.between(begin_ns, end_ns) if self._trusted else None
        return None if readings is None else turned(readings, self.bias)

    def rotation_sigma_rad(self, duration_s: float, turn_rad: float) -> float:
        """Standard deviation of a turn of so much over some time."""
        drift = float(np.sqrt(np.linalg.eigvalsh(self.variance)[-1])) * duration_s
        return float(np.sqrt(_TURN_SIGMA_RAD**2 + (_TURN_SHARE * turn_rad) ** 2 + drift**2))

    def rate(self, stamp_ns: int, period_ns: int) -> FloatArray | None:
        """(3,) rad/s about the axes of the camera, over the time before a stamp; None where that is not known."""
        readings = self._imu.between(stamp_ns - period_ns, stamp_ns) if self._trusted else None
        return None if readings is None else rotation_vector(turned(readings, self.bias)) / (period_ns * 1e-9)

    def jump(self) -> None:
        """The next pose has nothing to do with the last one."""
        self._last = None

    def see(self, stamp_ns: int, camera_to_world: FloatArray) -> None:
        """A frame was solved there (4x4)."""
        if self._last is None or not 0 < stamp_ns - self._last[0] < _LONGEST_NS:
            self._last = (stamp_ns, camera_to_world[:3, :3])
            return
        begin_ns, before = self._last
        if stamp_ns - begin_ns < _COMPARED_NS:
            return
        self._last = (stamp_ns, camera_to_world[:3, :3])
        readings = self._imu.between(begin_ns, stamp_ns)
        if readings is None:
            self._silent_since = self._silent_since or begin_ns
            if not self._trusted and stamp_ns - self._silent_since > _SILENT_NS:
                self.words = f"the IMU is left out: {self._imu.why_silent(stamp_ns)}"
            return
        self._silent_since = 0
        self._compare(readings, before.T @ camera_to_world[:3, :3])

    def _compare(self, readings: ImuReadings, seen: FloatArray) -> None:
        duration_s = 1e-9 * float(readings.stamps_ns[-1] - readings.stamps_ns[0])
        off = rotation_vector(seen.T @ turned(readings, self.bias)) / duration_s
        self.variance = self.variance + np.eye(3) * _WANDER**2 * duration_s
        spread = self.variance + np.eye(3) * (_SEEN_SIGMA_RAD / duration_s) ** 2
        agrees = bool(off @ np.linalg.solve(spread, off) < _CONTRADICTION**2)
        self._agreed.append(agrees)
        self._rates.append((readings.turn_rate.mean(axis=0), rotation_vector(seen) / duration_s))
        if agrees:
            gain = np.linalg.solve(spread, self.variance).T
            self.bias = self.bias + gain @ off
            self.variance = (np.eye(3) - gain) @ self.variance
        self._judge()

    def _judge(self) -> None:
        recent = list(self._agreed)
        if recent.count(False) >= _ENOUGH_WRONG:
            self.bias, self.variance = np.zeros(3), np.eye(3) * _BIAS_SIGMA**2
            if self._trusted or not self.words:
                self.words = f"the IMU is left out: {self._what_is_wrong()}"
            self._trusted = False
        elif len(recent) >= _ENOUGH_RIGHT and all(recent[-_ENOUGH_RIGHT:]) and (self._trusted or not self.words):
            self._trusted = True
        elif len(recent) == _RECENT and all(recent):
            self._trusted, self.words = True, ""

    def _what_is_wrong(self) -> str:
        """How the turn rates differ from what is seen, in words."""
        by_gyro, seen = (np.array(rates) for rates in zip(*self._rates, strict=True))
        turns = np.linalg.norm(seen, axis=1) > _TURNS_RAD_S
        if not turns.any():
            said = float(np.median(np.linalg.norm(by_gyro, axis=1)))
            return f"its gyro says {said:.2g} rad/s while the camera does not turn; calibrate its bias"
        lengths = [float(np.median(np.linalg.norm(rates[turns], axis=1))) for rates in (by_gyro, seen)]
        ratio = lengths[0] / max(lengths[1], 1e-9)
        if 0.5 * _DEGREES < ratio < 2.0 * _DEGREES:
            return f"its gyro says {ratio:.0f} times what is seen, as if in deg/s; publish rad/s"
        if 0.7 < ratio < 1.4:
            return (
                "its gyro turns about other axes than what is seen; correct the transform from camera to IMU, or axes"
            )
        return f"its gyro says {ratio:.2g} times what is seen; look at its unit, its axes and its clock"
