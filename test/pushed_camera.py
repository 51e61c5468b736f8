"""A camera that is pushed about with an IMU beside it."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.recordings.imu import ImuReadings, RecordedImu
from ros2_raxels.tracking.frame import KeyframePose
from ros2_raxels.tracking.visual_inertial import GRAVITY, Alignment, InertialPath, Pose

RATE_HZ = 200
IMU_TO_CAMERA = make_pose(rotation_from_vector([0.2, -0.4, 1.0]), [0.05, -0.1, 0.2])
UP = np.array([0.1, -0.99, 0.05]) / np.linalg.norm([0.1, -0.99, 0.05])
BIAS = np.array([0.05, -0.03, 0.04])


class Drive:
    """A camera whose place (m) and turn are smooth functions of time, and an IMU beside it."""

    def __init__(self, push: float, turn: float = 0.5, seconds: float = 4.0, noise: float = 0.0) -> None:
        rng = np.random.default_rng(0)
        self.t = np.arange(round(seconds * RATE_HZ) + 1) / RATE_HZ
        fine = np.linspace(-0.01, seconds + 0.01, 20 * len(self.t))
        self.push, self.turn = push, turn
        imu = self._imu_place(fine)
        velocity = np.gradient(imu, fine, axis=0)
        acceleration = np.gradient(velocity, fine, axis=0)
        at = [np.interp(self.t, fine, column) for column in acceleration.T]
        force = np.stack(at, axis=1) + GRAVITY * UP
        axes = np.array([self._rotation(t) @ IMU_TO_CAMERA[:3, :3] for t in self.t])
        read = np.einsum("nji,nj->ni", axes, force) + BIAS + rng.normal(0, 0.05 * (noise > 0), force.shape)
        rate = np.tile(IMU_TO_CAMERA[:3, :3].T @ self._axis(), (len(self.t), 1)) * self._rate(self.t)[:, None]
        stamps_ns = (self.t * 1e9).round().astype(np.int64)
        self.imu = RecordedImu(ImuReadings(stamps_ns, rate, read), IMU_TO_CAMERA, "imu.csv")
        self._noise = noise

    @staticmethod
    def _axis() -> FloatArray:
        return np.array([0.0, 1.0, 0.0])

    def _rate(self, t: FloatArray) -> FloatArray:
        return np.asarray(self.turn * np.cos(1.5 * t))

    def _rotation(self, t: float) -> FloatArray:
        return rotation_from_vector(self._axis() * self.turn * np.sin(1.5 * t) / 1.5)

    def _camera_place(self, t: FloatArray) -> FloatArray:
        return np.stack([0.3 * t, self.push * np.sin(2.5 * t), self.push * np.cos(2.0 * t)], axis=1)

    def _imu_place(self, t: FloatArray) -> FloatArray:
        turned = np.array([self._rotation(moment) @ IMU_TO_CAMERA[:3, 3] for moment in t])
        return self._camera_place(t) + turned

    def path(self, unit_m: float, step: int = 70) -> list[Pose]:
        """What is seen of it, three times a second, in units of so many metres."""
        rng = np.random.default_rng(1)
        places = self._camera_place(self.t) / unit_m + rng.normal(0, self._noise / unit_m, (len(self.t), 3))
        return [
            (round(self.t[k] * 1e9), make_pose(self._rotation(self.t[k]), places[k]))
            for k in range(0, len(self.t), step)
        ]

    def along(self, path: list[Pose], scene_depth: float) -> Alignment | None:
        """By way of the path that a tracker keeps, in which all is told beside one keyframe."""
        kept = InertialPath(self.imu)
        for stamp_ns, pose in path:
            assert kept.see(stamp_ns, KeyframePose(0, pose, 0.0))
            assert not kept.see(stamp_ns + 10**8, KeyframePose(0, pose, 0.0))
        return kept.aligned(lambda told: told.pose, np.zeros(3), scene_depth)

    def aligned(self, unit_m: float, scene_depth_m: float = 3.0) -> Alignment:
        found = self.along(self.path(unit_m), scene_depth_m / unit_m)
        assert found is not None
        return found
