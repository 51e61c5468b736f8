"""Where the camera is, how it has been moving, and where it should be next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from ros2_raxels.geometry.covariance import compounded, in_other_unit, with_unit
from ros2_raxels.geometry.poses import (
    FloatArray,
    interpolate_pose,
    inverse_pose,
    make_pose,
    orthogonal,
    relative_pose,
    rotation_angle_rad,
    rotation_from_vector,
    rotation_vector,
)
from ros2_raxels.geometry.turns import Turn
from ros2_raxels.tracking.frame import scaled_about
from ros2_raxels.tracking.motion_sensors import Moved
from ros2_raxels.tracking.sensor_prior import drawn_to
from ros2_raxels.tracking.types import Motion

_LEAST_STEP = 1e-3
"""Of the unit: what a camera moves at least from frame to frame where nothing else is known."""

_LEAST_TURN_RAD = 0.02
"""The same for turns."""

_MOST_STEPS = 5.0
"""Over a gap the last step is extrapolated so many times at most."""

_OFF_PER_STEP, _OFF_PER_S, _OFF_RAD_PER_S = 3.0, 1.5, 2.0
"""How far off its expected pose a camera can be: in steps, and in units and rad for each second."""

_CARRIED_S, _CARRIED = 2.0, 0.1
"""So long, and while they are right to such a share of the unit, other sensors carry the camera over a gap."""

_RECENT_FRAMES = 10
_STILL_PARALLAX, _STILL_RAD = 0.004, 0.004
_TURN_RAD, _TURN_PARALLAX = 0.02, 0.15

MovedBetween = Callable[[int, int], Moved]
"""What other sensors say of the motion from one stamp, ns, to another; translation in the unit of the world."""


class MotionModel:
    """Constant velocity from the last two solved frames, and an uncertainty that grows while none is solved.

    Args:
        camera_to_world: 4x4, where the camera is.
        covariance: 6x6 of (translation, rotation about the world's axes).
        stamp_ns: of the frame that was solved there; 0 where none was.
        sensed: see there; None where nothing but the images tells of the motion.

    Attributes:
        camera_to_world, covariance: as they are known now.
        newest: 4x4, where the camera of the newest frame is thought to be, solved or not.
        step: 4x4, motion between the last two solved frames, in the camera; identity where there was a gap.
    """

    def __init__(
        self,
        camera_to_world: FloatArray,
        covariance: FloatArray,
        stamp_ns: int = 0,
        sensed: MovedBetween | None = None,
    ) -> None:
        self.camera_to_world = self.newest = camera_to_world
        self.covariance = self._solved_covariance = covariance
        self._sensed = sensed
        self.step: FloatArray = np.eye(4)
        self._step_ns, self._solved_ns = 0, stamp_ns
        self._recent: deque[FloatArray] = deque(maxlen=_RECENT_FRAMES)

    def expected_pose(self, stamp_ns: int) -> FloatArray:
        """Where constant velocity leads (4x4); over a gap of frames further than from one to the next.

        What other sensors know of the motion is taken from them.
        """
        return self._expected(stamp_ns, self._moved(stamp_ns))

    def steadied(
        self, camera_to_world: FloatArray, covariance: FloatArray, stamp_ns: int
    ) -> tuple[FloatArray, FloatArray]:
        """A pose (4x4) of a frame that the image tells badly, and its covariance (6x6), with what sensors know."""
        moved = self._moved(stamp_ns)
        sigma = np.repeat([moved.translation_sigma_m, moved.rotation_sigma_rad], 3)
        return drawn_to(camera_to_world, covariance, self._expected(stamp_ns, moved), sigma)

    def _moved(self, stamp_ns: int) -> Moved:
        return Moved() if self._sensed is None or not self._solved_ns else self._sensed(self._solved_ns, stamp_ns)

    def _expected(self, stamp_ns: int, moved: Moved) -> FloatArray:
        elapsed_ns = stamp_ns - self._solved_ns
        steps = elapsed_ns / self._step_ns if elapsed_ns > 0 and self._step_ns > 0 else 1.0
        steps = min(steps, _MOST_STEPS)
        if moved.rotation is None:
            motion = interpolate_pose(np.eye(4), self.step, steps)
        else:
            motion = make_pose(moved.rotation, steps * self._heading(moved.rotation))
        if moved.translation is not None:
            motion[:3, 3] = moved.translation
        return orthogonal(self.camera_to_world @ motion)

    def _heading(self, rotation: FloatArray) -> FloatArray:
        """Translation (3,) of a step that goes the way of the last one in a camera that turns by a rotation (3x3)."""
        half, half_before = (
            rotation_from_vector(rotation_vector(turn) / 2.0) for turn in (rotation, self.step[:3, :3])
        )
        return np.asarray(half @ half_before.T @ self.step[:3, 3])

    def is_likely(self, camera_to_world: FloatArray, stamp_ns: int, unit: float) -> bool:
        """Whether a camera that has moved as this one has can be at a pose (4x4); always before there are two steps.

        What it may be off by grows with the steps of late and with the time since the last solve.
        """
        if len(self._recent) < 3 or stamp_ns <= self._solved_ns:
            return True
        poses = np.array(self._recent)
        steps = relative_pose(poses[:-1], poses[1:])
        longest = float(np.linalg.norm(steps[:, :3, 3], axis=1).max())
        widest_rad = float(rotation_angle_rad(steps[:, :3, :3]).max())
        expected = relative_pose(self.camera_to_world, self.expected_pose(stamp_ns))
        found = relative_pose(self.camera_to_world, camera_to_world)
        elapsed_s = self.since_solved_s(stamp_ns)
        off = float(np.linalg.norm(found[:3, 3] - expected[:3, 3])) / unit
        off_rad = float(rotation_angle_rad(expected[:3, :3].T @ found[:3, :3]))
        most = _OFF_PER_STEP * max(longest, float(np.linalg.norm(expected[:3, 3]))) / unit + _OFF_PER_S * elapsed_s
        turn_rad = max(widest_rad, float(rotation_angle_rad(expected[:3, :3])))
        most_rad = _OFF_PER_STEP * turn_rad + _OFF_RAD_PER_S * elapsed_s
        return off <= most and off_rad <= most_rad

    @property
    def velocity(self) -> FloatArray | None:
        """(6,) turn, rad/s, and translation, 1/s, about the camera's axes, over the last step; None after a gap."""
        if self._step_ns <= 0 or np.array_equal(self.step, np.eye(4)):
            return None
        turn, moved = rotation_vector(self.step[:3, :3]), self.step[:3, :3].T @ self.step[:3, 3]
        return np.concatenate([turn, moved]) / (self._step_ns * 1e-9)

    def since_solved_s(self, stamp_ns: int) -> float:
        """Time since the last frame that was solved, s."""
        return (stamp_ns - self._solved_ns) * 1e-9

    def expected_distance(self, other: FloatArray, stamp_ns: int, unit: float) -> float:
        """How far constant velocity leads away from another pose (4x4); at least a little of the unit."""
        away = float(np.linalg.norm(other[:3, 3] - self.expected_pose(stamp_ns)[:3, 3]))
        return max(away, _LEAST_STEP * unit)

    def solved(self, camera_to_world: FloatArray, covariance: FloatArray, stamp_ns: int, after_gap: bool) -> None:
        """The next frame was solved; `after_gap` where the one before it was not."""
        self.step = np.eye(4) if after_gap else inverse_pose(self.camera_to_world) @ camera_to_world
        self._step_ns, self._solved_ns = stamp_ns - self._solved_ns, stamp_ns
        self.correct(camera_to_world, covariance)
        self._recent.append(camera_to_world)

    def missed(self, frames: int, unit: float) -> None:
        """The last of so many frames in a row was not solved.

        The velocity is what is not known, so the standard deviation grows with the frames and not with their root; the
        motion before the gap is the best guess of how fast.
        """
        length = max(float(np.linalg.norm(self.step[:3, 3])), _LEAST_STEP * unit)
        turn_rad = max(float(rotation_angle_rad(self.step[:3, :3])), _LEAST_TURN_RAD)
        growth = (2 * frames - 1) * np.diag([length**2] * 3 + [turn_rad**2] * 3)
        self.covariance = self.covariance + growth

    def held(self, stamp_ns: int) -> tuple[FloatArray, FloatArray]:
        """Where a frame that was not solved is thought to be (4x4), and the covariance (6x6) of that.

        Carried on by what other sensors know of the motion since, as far as they know it; else the last pose, with what
        `missed` says.
        """
        moved = self._moved(stamp_ns)
        if moved.rotation is None:
            return self.newest, self.covariance
        step = np.zeros(3) if moved.translation is None else moved.translation
        self.newest = orthogonal(self.camera_to_world @ make_pose(moved.rotation, step))
        variance = np.repeat([moved.translation_sigma_m**2, moved.rotation_sigma_rad**2], 3)
        if moved.translation is None:
            # How far the camera has come in a turn that is known is known no better than without it.
            variance[:3] = np.diag(self.covariance - self._solved_covariance)[:3]
        carried = compounded(with_unit(self._solved_covariance, 0.0), self.camera_to_world, self.newest)[:6, :6]
        return self.newest, np.asarray(carried + np.diag(variance))

    def is_carried(self, stamp_ns: int, unit: float) -> bool:
        """Whether other sensors tell so well where the camera has come that a frame that shows something is solved."""
        moved, elapsed_s = self._moved(stamp_ns), self.since_solved_s(stamp_ns)
        return moved.is_whole and elapsed_s < _CARRIED_S and moved.translation_sigma_m < _CARRIED * unit

    def stop(self) -> None:
        """Nothing is known of the motion any more; the camera is where it was last thought to be."""
        self.correct(self.newest, self.covariance)
        self.step = np.eye(4)
        self._recent.clear()

    def turned(self, turn: Turn, scene_depth: float) -> MotionModel:
        """Of a camera that has turned on the spot since, as far as can be told; depth in the unit of the world."""
        pose = self.camera_to_world @ make_pose(turn.rotation, np.zeros(3))
        axes = np.kron(np.eye(2), self.camera_to_world[:3, :3])
        return MotionModel(pose, self.covariance + axes @ turn.covariance(scene_depth) @ axes.T, 0, self._sensed)

    def carried(self, moved: Moved) -> MotionModel:
        """Of a camera that has moved since, as sensors know it, with rotation and translation."""
        assert moved.rotation is not None
        assert moved.translation is not None
        pose = self.camera_to_world @ make_pose(moved.rotation, moved.translation)
        spread = np.diag(np.repeat([moved.translation_sigma_m**2, moved.rotation_sigma_rad**2], 3))
        return MotionModel(pose, self.covariance + spread, 0, self._sensed)

    def jump(self) -> None:
        """The world has changed around the camera: steps from earlier poses to the next are no motion."""
        self._recent.clear()

    def correct(self, camera_to_world: FloatArray, covariance: FloatArray) -> None:
        """The newest pose is known better, or said from outside."""
        self.camera_to_world = self.newest = camera_to_world
        self.covariance = self._solved_covariance = covariance

    def rescale(self, factor: float, centre: FloatArray) -> None:
        """The world has become `factor` times as large about a point (3,)."""
        covariance = in_other_unit(with_unit(self.covariance, 0.0), factor)[:6, :6]
        self.correct(scaled_about(self.camera_to_world, factor, centre), covariance)
        self.grow_step(factor)

    def grow_step(self, factor: float) -> None:
        """Lengths around the camera have become `factor` times as large."""
        self.step = scaled_about(self.step, factor, np.zeros(3))
        self.jump()

    def recent_motion(self, unit: float) -> Motion:
        """What the camera has been doing over the last frames: parallax is the distance over the depth of the scene."""
        if len(self._recent) < 2:
            return Motion.UNKNOWN
        moved = relative_pose(self._recent[0], self._recent[-1])
        parallax, turn_rad = float(np.linalg.norm(moved[:3, 3])) / unit, float(rotation_angle_rad(moved[:3, :3]))
        if parallax < _STILL_PARALLAX and turn_rad < _STILL_RAD:
            return Motion.STILL
        turned = turn_rad > _TURN_RAD and parallax < _TURN_PARALLAX * turn_rad
        return Motion.TURNING if turned else Motion.MOVING
