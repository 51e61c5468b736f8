"""What is known of the motion between two frames besides what they show: by the wheels, a gyro, an accelerometer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad
from ros2_raxels.tracking.dead_reckoning import DeadReckoning
from ros2_raxels.tracking.inertial import Gyro, Imu
from ros2_raxels.tracking.metric_scale import Odometry
from ros2_raxels.tracking.path_prior import PathSensors
from ros2_raxels.tracking.wheels import Wheels

_MOST_REMARKS = 5

_WHEEL_SIGMA_RAD, _WHEEL_SHARE = 0.005, 0.03
"""Of a turn by odometry: so much, and such a share of it."""


@dataclass(frozen=True, eq=False)
class Moved:
    """A motion of the camera, as far as it is known.

    Attributes:
        rotation: 3x3, from the camera at the end to the camera at the beginning; None where not known.
        translation: (3,) of the camera at the end in the camera at the beginning, m; None where not known.
        rotation_sigma_rad, translation_sigma_m: standard deviations of both; infinite where not known.
    """

    rotation: FloatArray | None = None
    translation: FloatArray | None = None
    rotation_sigma_rad: float = float("inf")
    translation_sigma_m: float = float("inf")

    @property
    def is_whole(self) -> bool:
        """Whether turn and way are known."""
        return self.rotation is not None and self.translation is not None

    def without_translation(self) -> Moved:
        """The turn alone."""
        return Moved(self.rotation, None, self.rotation_sigma_rad)


class MotionSensors:
    """The gyro and the wheels of a robot, as far as it has them and they can be believed.

    Args:
        odometry: of the wheels.
        imu: mounted with the camera.

    Attributes:
        wheels, gyro: None where the robot has none.
        reckoning: by the accelerometer, while a camera is not seen; None without an IMU.
        remarks: what was left out since the beginning, and why, a line each.
    """

    def __init__(self, odometry: Odometry | None = None, imu: Imu | None = None) -> None:
        self._odometry, self._imu = odometry, imu
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.remarks: tuple[str, ...] = ()
        self.wheels = None if self._odometry is None else Wheels(self._odometry)
        self.gyro = None if self._imu is None else Gyro(self._imu)
        self.reckoning = None if self._imu is None else DeadReckoning(self._imu)

    @property
    def words(self) -> str:
        """What is left out and why, in a line; empty where nothing is."""
        return "; ".join(sensor.words for sensor in (self.wheels, self.gyro) if sensor is not None and sensor.words)

    def between(self, begin_ns: int, end_ns: int) -> Moved:
        """The motion from one stamp, ns, to another."""
        turned = Moved()
        if self.gyro is not None and (rotation := self.gyro.rotation(begin_ns, end_ns)) is not None:
            turn_rad = float(rotation_angle_rad(rotation))
            turned = Moved(rotation, None, self.gyro.rotation_sigma_rad(1e-9 * (end_ns - begin_ns), turn_rad))
        rolled = None if self.wheels is None else self.wheels.moved(begin_ns, end_ns)
        if self.wheels is None or rolled is None:
            return self._fallen(turned, begin_ns, end_ns)
        sigma_m = self.wheels.sigma_m(float(np.linalg.norm(rolled[:3, 3])))
        if turned.rotation is not None:
            return Moved(turned.rotation, rolled[:3, 3], turned.rotation_sigma_rad, sigma_m)
        sigma_rad = _WHEEL_SIGMA_RAD + _WHEEL_SHARE * float(rotation_angle_rad(rolled[:3, :3]))
        return Moved(rolled[:3, :3], rolled[:3, 3], sigma_rad, sigma_m)

    def _fallen(self, turned: Moved, begin_ns: int, end_ns: int) -> Moved:
        """A turn by the gyro with what the accelerometer knows of the way of a camera that is not seen."""
        if turned.rotation is None or self.gyro is None or self.reckoning is None:
            return turned
        way = self.reckoning.moved(begin_ns, end_ns, self.gyro.bias)
        return turned if way is None else replace(turned, translation=way[0], translation_sigma_m=way[1])

    def along_path(self, rolls: bool, falls: bool, scale_sigma: float) -> PathSensors | None:
        """What tells the places of keyframes; None where nothing does.

        Args:
            rolls: whether wheels may tell metres.
            falls: whether the accelerometer may.
            scale_sigma: relative standard deviation of the present unit, which is the metre.
        """
        wheels = self.wheels if rolls and self.wheels is not None and self.wheels.is_trusted else None
        gyro = self.gyro if falls and self.gyro is not None and self.gyro.is_trusted else None
        if wheels is None and gyro is None:
            return None
        return PathSensors(
            None if wheels is None else wheels.moved,
            0 if wheels is None else wheels.good_since_ns,
            None if gyro is None else self._imu,
            np.zeros(3) if gyro is None else gyro.bias,
            scale_sigma,
        )

    def jump(self, is_elsewhere: bool = True) -> None:
        """The next pose has nothing to do with the last one.

        Args:
            is_elsewhere: whether nothing is known of the motion any more; not while a pose is held.
        """
        for sensor in (self.wheels, self.gyro, self.reckoning if is_elsewhere else None):
            if sensor is not None:
                sensor.jump()

    def see_turn(self, stamp_ns: int, camera_to_world: FloatArray) -> None:
        """What the images show of a turn before there are depths; the place of the pose (4x4) says nothing."""
        if self.gyro is not None:
            self.gyro.see(stamp_ns, camera_to_world)

    def see(self, stamp_ns: int, camera_to_world: FloatArray, is_metric: bool) -> None:
        """A frame was solved there (4x4), in metres or not."""
        if self.wheels is not None:
            self.wheels.see(stamp_ns, camera_to_world, is_metric)
        self.see_turn(stamp_ns, camera_to_world)
        for sensor in (self.wheels, self.gyro):
            self.remark("" if sensor is None else sensor.words)

    def remark(self, words: str) -> None:
        """Why something is left out, in a line; empty where nothing is."""
        if words and words not in self.remarks:
            self.remarks = (*self.remarks, words)[-_MOST_REMARKS:]
