"""Metres from what comes beside the images: wheels, an IMU, and the turns of a rig."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.tracking.dead_reckoning import Weight
from ros2_raxels.tracking.frame import KeyframePose
from ros2_raxels.tracking.gravity import Gravity, Seen, Up
from ros2_raxels.tracking.inertial import Imu
from ros2_raxels.tracking.live_map import LiveMap
from ros2_raxels.tracking.metric_scale import Odometry, ScaleSource
from ros2_raxels.tracking.motion_sensors import MotionSensors, Moved
from ros2_raxels.tracking.path_prior import PathSensors
from ros2_raxels.tracking.types import Motion, TrackedPose, TrackState
from ros2_raxels.tracking.visual_inertial import GRAVITY, InertialPath


class Metres:
    """Learns about metres from frames that were solved, and makes the map grow where they say so.

    Args:
        live: the map.
        sensors: the gyro and the wheels, which are judged by what is seen as well.
        odometry: of the wheels; None without them.
        imu: None without one.
    """

    def __init__(self, live: LiveMap, sensors: MotionSensors, odometry: Odometry | None, imu: Imu | None) -> None:
        self._live, self._sensors, self._odometry = live, sensors, odometry
        self._inertial = None if imu is None else InertialPath(imu)
        self._gravity = None if imu is None else Gravity(imu)

    def observe(self, answer: TrackedPose) -> Up | None:
        """A frame was answered, solved or not; says which way is up, if that is known."""
        self._tell_sensors(answer)
        up = self._observe_gravity(answer)
        if answer.state is TrackState.TRACKING and self._live.keyframes.keyframes:
            self._observe_inertia(answer)
            self._observe_wheels(answer.stamp_ns)
            self._observe_rig()
            if self._live.mapper.follows_sensors:
                # Closer to what they say than lengths of keyframes that were refined before.
                self._live.metric.leave_as_it_is()
            self._live.grow()
            self._live.mapper.path_sensors, self._live.mapper.up = self._path_sensors(), up
        return up

    def _observe_gravity(self, answer: TrackedPose) -> Up | None:
        gravity, gyro = self._gravity, self._sensors.gyro
        if gravity is None or gyro is None:
            return None
        if answer.state in (TrackState.LOST, TrackState.INITIALISING):
            # Another world may begin.
            gravity.jump()
        if answer.state is TrackState.TRACKING:
            told = answer.keyframe_pose if answer.has_depth else None
            sigma = answer.scale.sigma if answer.scale.is_metric and answer.has_depth else None
            stands = answer.motion is Motion.STILL
            seen = Seen(answer.stamp_ns, answer.camera_to_world, told, sigma, stands)
            bias = gyro.bias if gyro.is_trusted else None
            gravity.see(seen, self._live.keyframes.place, bias, self._live.keyframes.unit)
            self._sensors.remark(gravity.words)
        up = None if gyro.words else gravity.up
        if up is not None:
            self._live.metric.up_in_camera = answer.camera_to_world[:3, :3].T @ up.direction
            self._reckon(answer, gravity, up)
        return up

    def _reckon(self, answer: TrackedPose, gravity: Gravity, up: Up) -> None:
        """From here an IMU carries the camera on, should it not be seen."""
        reckoning = self._sensors.reckoning
        if reckoning is None or answer.state is not TrackState.TRACKING:
            return
        if not answer.has_depth or not answer.scale.is_metric:
            reckoning.jump()
            return
        down = -GRAVITY * self._live.metric.up_in_camera
        sigma = float(np.hypot(GRAVITY * up.sigma_rad, gravity.bias_sigma))
        weight = Weight(down, gravity.bias, sigma)
        reckoning.see(answer.stamp_ns, answer.camera_to_world, weight, self._live.keyframes.unit)

    def _path_sensors(self) -> PathSensors | None:
        """What holds the unit of keyframes to come, where it is the metre by what moves."""
        metric = self._live.metric
        if not metric.scale.is_metric or metric.scale.source not in (ScaleSource.ODOM, ScaleSource.IMU):
            return None
        falls = self._gravity is not None and self._gravity.is_trusted
        return self._sensors.along_path(metric.takes(ScaleSource.ODOM), falls, metric.scale.sigma)

    def see_turn(self, stamp_ns: int, camera_to_world: FloatArray) -> None:
        """What the images show of a turn, which ends at a pose (4x4), before there are depths."""
        self._sensors.see_turn(stamp_ns, camera_to_world)

    def rolled(self, begin_ns: int, end_ns: int) -> Moved:
        """The motion between two stamps by wheels and gyro, where metres may come from odometry; else nothing."""
        return self._sensors.between(begin_ns, end_ns) if self._live.metric.takes(ScaleSource.ODOM) else Moved()

    def begin(self, path: Sequence[tuple[int, FloatArray]], scene_depth: float) -> float:
        """A trajectory begins with these stamps, ns, and places (3,) in a unit of their own; says what unit to use.

        Args:
            path: see above.
            scene_depth: of the first of them, in the same unit.
        """
        soon = self._inertial is not None and self._inertial.covers(path[0][0], path[-1][0])
        return self._live.metric.begin(path, self._odometry, scene_depth, soon)

    def begin_inertia(self, frames: Sequence[tuple[int, KeyframePose]]) -> None:
        """The first frames of a trajectory, by their stamps, ns."""
        if self._inertial is not None:
            self._inertial.begin(frames)

    def _tell_sensors(self, answer: TrackedPose) -> None:
        """What is seen is what they are judged by."""
        if answer.corrected or answer.state is not TrackState.TRACKING:
            self._sensors.jump(answer.corrected or answer.state is not TrackState.HELD)
        if answer.state is TrackState.TRACKING and answer.has_depth:
            self._sensors.see(answer.stamp_ns, answer.camera_to_world, answer.scale.is_metric)

    def _observe_inertia(self, answer: TrackedPose) -> None:
        """By the IMU, where nothing better tells metres, once its gyro is right."""
        path, gyro, told, metric = self._inertial, self._sensors.gyro, answer.keyframe_pose, self._live.metric
        if path is None or gyro is None or told is None or not path.see(answer.stamp_ns, told):
            return
        if self._gravity is None or not self._gravity.is_trusted:
            return
        if gyro.is_trusted and metric.takes(ScaleSource.IMU):
            aligned = path.aligned(self._live.keyframes.place, gyro.bias, self._live.keyframes.unit)
            if aligned is not None:
                metric.see_inertial(aligned.log_metres, aligned.sigma)

    def _observe_wheels(self, stamp_ns: int) -> None:
        """Not from turns on the spot."""
        live, wheels = self._live, self._sensors.wheels
        if self._odometry is None or wheels is None or not wheels.is_trusted:
            return
        if live.metric.takes(ScaleSource.ODOM):
            path = [(k.frame.stamp_ns, k.camera_to_world[:3, 3]) for k in live.mapper.recent]
            path.append((stamp_ns, live.motion.camera_to_world[:3, 3]))
            path = [point for point in path if point[0] >= wheels.good_since_ns]
            live.metric.see_odometry(path, self._odometry, live.keyframes.unit)

    def _observe_rig(self) -> None:
        """Of cameras that see nothing in common."""
        rig, metric = self._live.mapper.rig, self._live.metric
        if rig is not None and rig.scale.tells and metric.takes(ScaleSource.STEREO):
            metric.be_told(-float(np.log(rig.scale.units)), rig.scale.sigma)
