"""Where the camera is, how it has been moving, and where it should be next."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

import numpy as np

from ros2_raxels.geometry.covariance import in_other_unit, with_unit
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
"""Over a gap the last step is extrapolated so many times at most, if the camera may have stopped."""

_GOES_ON_S = 1.0
"""For so long a camera may go on as before while nothing is seen."""

_SURELY_TURNED = 0.5
"""Confidence of a turn that is believed while nothing else tells where the camera is."""

_UNSEEN_TURN = 0.5
"""Standard deviation of a turn that went on unseen, as a share of it."""

_OFF_PER_STEP, _OFF_PER_S, _OFF_RAD_PER_S = 3.0, 1.5, 2.0
"""How far off its expected pose a camera can be: in steps, and in units and rad for each second."""

_CARRIED_S, _CARRIED = 2.0, 0.1
"""So long, and while they are right to such a share of the unit, sensors carry the camera over a gap."""

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
        step: 4x4, motion between the last two solved frames, in the camera; identity where there was a gap.
    """

    def __init__(
        self,
        camera_to_world: FloatArray,
        covariance: FloatArray,
        stamp_ns: int = 0,
        sensed: MovedBetween | None = None,
    ) -> None:
        self.camera_to_world = camera_to_world
        self.covariance = covariance
        self._sensed = sensed
        self.step: FloatArray = np.eye(4)
        self._step_ns, self._solved_ns, self._placed_ns, self._seen_ns = 0, stamp_ns, stamp_ns, stamp_ns
        self._recent: deque[tuple[int, FloatArray]] = deque(maxlen=_RECENT_FRAMES)
        self._unseen: FloatArray = np.zeros(2)
        self._is_carried = False

    def expected_pose(self, stamp_ns: int) -> FloatArray:
        """Where constant velocity leads (4x4); over a gap of frames further than from one to the next.

        What other sensors know of the motion is taken from them.
        """
        return self._expected(stamp_ns, self._moved(stamp_ns))

    def expected_poses(self, stamp_ns: int) -> list[FloatArray]:
        """The same (4x4) and, over a gap, first where a camera is that has gone on all the time as before."""
        moved, elapsed_ns = self._moved(stamp_ns), stamp_ns - self._placed_ns
        expected = self._expected(stamp_ns, moved)
        if elapsed_ns <= _MOST_STEPS * self._step_ns or elapsed_ns > 1e9 * _GOES_ON_S or moved.is_whole:
            return [expected]
        return [self._expected(stamp_ns, moved, np.inf), expected]

    def steadied(
        self, camera_to_world: FloatArray, covariance: FloatArray, stamp_ns: int
    ) -> tuple[FloatArray, FloatArray]:
        """A pose (4x4) of a frame that the image tells badly, and its covariance (6x6), with what sensors know."""
        moved = self._moved(stamp_ns)
        sigma = np.repeat([moved.translation_sigma_m, moved.rotation_sigma_rad], 3)
        return drawn_to(camera_to_world, covariance, self._expected(stamp_ns, moved), sigma)

    def _moved(self, stamp_ns: int) -> Moved:
        return Moved() if self._sensed is None or not self._placed_ns else self._sensed(self._placed_ns, stamp_ns)

    def _steps(self, stamp_ns: int, since_ns: int | None = None) -> float:
        """How many of the last step lie between two stamps; the earlier one is by default that of the known place."""
        elapsed_ns = stamp_ns - (self._placed_ns if since_ns is None else since_ns)
        return elapsed_ns / self._step_ns if elapsed_ns > 0 and self._step_ns > 0 else 1.0

    def _expected(self, stamp_ns: int, moved: Moved, most_steps: float = _MOST_STEPS) -> FloatArray:
        steps = min(self._steps(stamp_ns), most_steps)
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
        poses = np.array([pose for _, pose in self._recent])
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
        self._step_ns, self._solved_ns, self._placed_ns = stamp_ns - self._placed_ns, stamp_ns, stamp_ns
        self._seen_ns = stamp_ns
        self.camera_to_world, self.covariance = camera_to_world, covariance
        self._recent.append((stamp_ns, camera_to_world))
        self._unseen, self._is_carried = np.zeros(2), True

    def missed(self, stamp_ns: int, unit: float, turn: Turn | None = None) -> None:
        """A frame was not solved.

        How the camera has moved since the last solve is known by what else tells it. What nothing tells is taken from
        how it moved before: it may have moved as fast as ever of late, and goes on to err the same way, so that
        standard deviations are added up.

        Args:
            stamp_ns: of the frame.
            unit: of the trajectory.
            turn: since the frame before, as its image tells; None where it does not.
        """
        sensed = self._moved(stamp_ns)
        moved = self._moved_unseen(sensed, stamp_ns, turn)
        self._is_carried = self._is_carried and sensed.rotation is not None
        unseen: FloatArray = self._unseen + self._steps(stamp_ns, self._seen_ns) * self._pace(unit)
        if moved.rotation is not None:
            unseen[1] = self._unseen[1] + moved.rotation_sigma_rad
            self.step = make_pose(moved.rotation, self._steps(stamp_ns) * self._heading(moved.rotation))
            way: FloatArray = np.zeros(3)
            if moved.translation is not None:
                way, unseen[0] = moved.translation, self._unseen[0] + moved.translation_sigma_m
            elif sensed.rotation is not None and self.since_solved_s(stamp_ns) < _GOES_ON_S:
                way = self.step[:3, 3]
            self.camera_to_world = orthogonal(self.camera_to_world @ make_pose(moved.rotation, way))
            self._step_ns, self._placed_ns = max(stamp_ns - self._placed_ns, 1), stamp_ns
        unseen = np.asarray(np.maximum(self._told(stamp_ns, unseen), self._unseen), float)
        self.covariance = self.covariance + np.diag(np.repeat(unseen**2 - self._unseen**2, 3))
        self._unseen, self._seen_ns = unseen, stamp_ns

    def _told(self, stamp_ns: int, unseen: FloatArray) -> FloatArray:
        """(2,) standard deviations of place and turn since the last solve, where sensors tell the whole of that."""
        since = Moved() if self._sensed is None or not self._is_carried else self._sensed(self._solved_ns, stamp_ns)
        told = np.array([since.translation_sigma_m, since.rotation_sigma_rad])
        return np.where(np.isfinite(told), told, unseen)

    def is_carried(self, stamp_ns: int, unit: float) -> bool:
        """Whether it is known so well where the camera has come since the last solve that it is not lost.

        Sensors must have told how it has turned all the time.
        """
        is_recent = self.since_solved_s(stamp_ns) < _CARRIED_S
        return self._is_carried and is_recent and float(self._unseen[0]) < _CARRIED * unit

    def _moved_unseen(self, sensed: Moved, stamp_ns: int, turn: Turn | None) -> Moved:
        """What is known of the motion since the camera was last placed, without a solve."""
        if sensed.rotation is not None:
            return sensed
        if turn is not None and turn.confidence > _SURELY_TURNED:
            return Moved(turn.rotation, None, float(np.sqrt(turn.covariance(1.0)[3, 3])))
        if self._step_ns * _MOST_STEPS < stamp_ns - self._seen_ns < 1e9 * _GOES_ON_S:
            gone_on = interpolate_pose(np.eye(4), self.step, self._steps(stamp_ns))[:3, :3]
            sigma_rad = _UNSEEN_TURN * float(rotation_angle_rad(gone_on))
            return Moved(gone_on, None, max(sigma_rad, _LEAST_TURN_RAD))
        return Moved()

    def _pace(self, unit: float) -> FloatArray:
        """(2,) most that the camera may move in the time of the last step, in units of length and rad."""
        steps = [(self._step_ns, self.step)]
        for (begin_ns, before), (end_ns, after) in itertools.pairwise(self._recent):
            steps.append((end_ns - begin_ns, relative_pose(before, after)))
        found = np.array([_LEAST_STEP * unit, _LEAST_TURN_RAD])
        for lasts_ns, step in steps:
            rate = max(self._step_ns, 1) / max(lasts_ns, 1)
            lengths = np.linalg.norm(step[:3, 3]), rotation_angle_rad(step[:3, :3])
            found = np.maximum(found, rate * np.array(lengths, float))
        return found

    def stop(self) -> None:
        """Nothing is known of the motion any more."""
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
        self.camera_to_world, self.covariance = camera_to_world, covariance

    def rescale(self, factor: float, centre: FloatArray) -> None:
        """The world has become `factor` times as large about a point (3,)."""
        self.camera_to_world = scaled_about(self.camera_to_world, factor, centre)
        self.covariance = in_other_unit(with_unit(self.covariance, 0.0), factor)[:6, :6]
        self.grow_step(factor)

    def grow_step(self, factor: float) -> None:
        """Lengths around the camera have become `factor` times as large."""
        self.step = scaled_about(self.step, factor, np.zeros(3))
        self.jump()

    def recent_motion(self, unit: float) -> Motion:
        """What the camera has been doing over the last frames: parallax is the distance over the depth of the scene."""
        if len(self._recent) < 2:
            return Motion.UNKNOWN
        moved = relative_pose(self._recent[0][1], self._recent[-1][1])
        parallax, turn_rad = float(np.linalg.norm(moved[:3, 3])) / unit, float(rotation_angle_rad(moved[:3, :3]))
        if parallax < _STILL_PARALLAX and turn_rad < _STILL_RAD:
            return Motion.STILL
        turned = turn_rad > _TURN_RAD and parallax < _TURN_PARALLAX * turn_rad
        return Motion.TURNING if turned else Motion.MOVING
