"""A camera that turns with a gyro beside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.recordings.imu import ImuReadings, RecordedImu
from ros2_raxels.tracking.inertial import Gyro

RATE_HZ = 200
PERIOD_NS = 1_000_000_000 // RATE_HZ
BIAS = np.array([0.02, -0.01, 0.015])


class Turning:
    """A camera that turns this way and that for some seconds; readings with a bias, and what is seen at 10 Hz."""

    def __init__(self, seconds: float = 8.0, still_s: float = 0.0) -> None:
        self.stamps_ns = np.arange(round(seconds * RATE_HZ), dtype=np.int64) * PERIOD_NS
        t = self.stamps_ns * 1e-9
        self.rate = np.stack([0.4 * np.sin(t), 0.8 * np.cos(2 * t), 0.5 * np.sin(3 * t)], axis=1)
        self.rate[t < still_s] = 0.0
        self.poses = [np.eye(3)]
        for before, after in zip(self.rate[:-1], self.rate[1:], strict=True):
            self.poses.append(self.poses[-1] @ rotation_from_vector((before + after) / 2 * PERIOD_NS * 1e-9))

    def imu(self, wrong: Callable[[FloatArray], FloatArray] = lambda rate: rate, shift_ns: int = 0) -> RecordedImu:
        """With white noise, a bias, and what else is wrong with it."""
        rng = np.random.default_rng(0)
        read = wrong(self.rate) + BIAS + rng.normal(0, 3e-3, self.rate.shape)
        readings = ImuReadings(self.stamps_ns + shift_ns, read, np.tile([0.0, 0.0, 9.8], (len(read), 1)))
        return RecordedImu(readings, np.eye(4), "imu.csv")

    def gyro(self, wrong: Callable[[FloatArray], FloatArray] = lambda rate: rate, shift_ns: int = 0) -> Gyro:
        """Of which nothing is known yet."""
        return Gyro(self.imu(wrong, shift_ns))

    def shown(self, gyro: Gyro, noise_rad: float = 1e-3) -> Gyro:
        """A gyro that has been told all of what is seen."""
        rng = np.random.default_rng(1)
        for k in range(0, len(self.stamps_ns), RATE_HZ // 10):
            seen = self.poses[k] @ rotation_from_vector(rng.normal(0, noise_rad, 3))
            gyro.see(int(self.stamps_ns[k]), make_pose(seen, np.zeros(3)))
        return gyro
