"""How a trajectory begins: what is answered while there are no depths, and the first keyframes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ros2_raxels.geometry.covariance import with_unit
from ros2_raxels.geometry.poses import relative_pose
from ros2_raxels.tracking.answers import solved_answer, unsolved_answer
from ros2_raxels.tracking.depth_prior import DepthPrior
from ros2_raxels.tracking.frame import SolvedFrame, StreamFrame, beside
from ros2_raxels.tracking.frame_maker import FrameMaker
from ros2_raxels.tracking.initializer import FirstCameras, FirstSolver, Initializer, Waiting
from ros2_raxels.tracking.live_map import LiveMap
from ros2_raxels.tracking.metres import Metres
from ros2_raxels.tracking.metric_scale import Scale, ScaleSource
from ros2_raxels.tracking.motion_sensors import Moved
from ros2_raxels.tracking.pose_covariance import unit_of_another_trajectory
from ros2_raxels.tracking.stand_in import StandIn
from ros2_raxels.tracking.types import Motion, SolveQuality, TrackedPose, TrackerSettings, TrackState

_SURELY_TURNED = 0.5
"""Confidence of a turn that may teach the gyro."""

_ROLLED_SIGMA, _ROLLED_CONFIDENCE = 0.03, 0.7
"""Relative error of a way by the wheels, and the confidence of a pose by them, while there are no depths."""

_STILL_RAD = 0.004
"""Motion of the image below which a camera stands, as far as anybody can tell before there are depths."""

_FIRST_COVARIANCE = np.diag([0.001**2] * 3 + [0.0005**2] * 3)
"""Of the first camera in metres, which is the world and knows no error but that of its depths; m and rad."""


@dataclass(frozen=True, eq=False)
class Started:
    """What a frame brought about before there are keyframes to solve it against.

    Attributes:
        answer: of the frame; where `is_of_frame` is false of the newest one of the first cameras.
        has_begun: whether there are keyframes now.
        is_of_frame: false where the first cameras were solved while frames went on: this one is to be solved still.
        since: frames on the way from the first cameras to this one.
    """

    answer: TrackedPose
    has_begun: bool
    is_of_frame: bool = True
    since: Sequence[StreamFrame] = ()


class Start:
    """Begins trajectories.

    Args:
        live: the map.
        metres: what tells them.
        frames: where intrinsics are kept.
        solver: of first cameras.
        settings: of the tracker.
        is_blind: whether nothing is to be seen in a frame.
        give_up: told of frames that will not be among the first cameras.
    """

    def __init__(
        self,
        live: LiveMap,
        metres: Metres,
        frames: FrameMaker,
        solver: FirstSolver,
        settings: TrackerSettings,
        is_blind: Callable[[StreamFrame], bool],
        give_up: Callable[[Iterable[StreamFrame]], None],
    ) -> None:
        self._live, self._metres, self._frames, self._settings = live, metres, frames, settings
        self._solver, self._is_blind, self._give_up = solver, is_blind, give_up
        self.collect_from([])

    @property
    def waiting(self) -> Sequence[StreamFrame]:
        """Frames that are collected for the first cameras."""
        return self._initializer.pending

    def collect_from(self, frames: Sequence[StreamFrame]) -> None:
        """Collect anew, these first."""
        rig = self._live.mapper.rig
        self._by = StandIn(None if rig is None else rig.rig)
        self._collect(frames)

    def _collect(self, frames: Sequence[StreamFrame]) -> None:
        rig, name = self._live.mapper.rig, self._by.name
        shared = rig.shared(name) if rig is not None and name else self._live.mapper.shared
        self._initializer = Initializer(self._settings, self._solver, shared, frames)

    def see(self, frame: StreamFrame, focal_known: bool, stage_s: dict[str, float]) -> Started:
        """A frame while there are no keyframes to solve it against."""
        if focal_known and frame.depth is not None and self._live.mapper.sees_depths(frame):
            return Started(self._begin_in_metres(frame, frame.depth, stage_s), True)
        if self._by.see(frame, bool(self._initializer.pending)):
            self._collect([])
        seen = self._by.seen_in(frame)
        if seen is None:
            reason = f"no image of camera {self._by.name!r}, by which first cameras are sought"
            return Started(self._wait(frame, Waiting(reason), stage_s), False)
        found = self._initializer.see(seen, focal_known or bool(self._by.name), stage_s)
        if isinstance(found, Waiting):
            waiting = self._by.of_leader(found)
            self._by.keep_only(self._initializer.pending)
            self._give_up(waiting.given_up)
            return Started(self._wait(frame, waiting, stage_s), False)
        since, is_of_frame = self._by.whole(found.since), found.frames[-1].number == frame.number
        return Started(self._begin(found, stage_s), True, is_of_frame, since)

    def _wait(self, frame: StreamFrame, waiting: Waiting, stage_s: dict[str, float]) -> TrackedPose:
        """Before the first cameras: a camera that stands, or turns on the spot, has a pose whatever the unit is.

        So has one that wheels have carried, and that in metres.
        Not after a loss, when nobody knows where it stands, and not where there is nothing to be seen.
        """
        live = self._live
        unit, first = live.metric.depth_of_scene, self._initializer.pending
        self._advance(waiting, first, unit)
        start, turn, live.turned = live.motion, waiting.turn, np.eye(4)
        if turn is None or live.keyframes.keyframes or self._is_blind(first[0]):
            return unsolved_answer(start, frame, TrackState.INITIALISING, waiting.reason, stage_s)
        turned, scale, confidence = start.turned(turn, unit), Scale(), turn.confidence
        rolled, now = self._metres.rolled(first[0].stamp_ns, frame.stamp_ns), turned
        if rolled.is_whole:
            now, scale = start.carried(rolled), Scale(ScaleSource.ODOM, 1.0, _ROLLED_SIGMA)
            confidence = max(confidence, _ROLLED_CONFIDENCE)
        live.turned = relative_pose(start.camera_to_world, now.camera_to_world)
        answer = TrackedPose(
            frame.stamp_ns,
            now.camera_to_world,
            now.covariance,
            TrackState.TRACKING,
            SolveQuality(confidence),
            has_depth=False,
            motion=Motion.STILL if turn.moved_rad < _STILL_RAD else Motion.UNKNOWN,
            scale=scale,
            message=waiting.reason,
            stage_s=stage_s,
        )
        if turn.confidence > _SURELY_TURNED:
            self._metres.see_turn(frame.stamp_ns, turned.camera_to_world)
        return answer

    def _advance(self, waiting: Waiting, first: Sequence[StreamFrame], unit: float) -> None:
        """Motion goes on from another frame where the first one was given up."""
        if not waiting.given_up:
            return
        live = self._live
        rolled = self._metres.rolled(waiting.given_up[0].stamp_ns, first[0].stamp_ns) if first else Moved()
        if rolled.is_whole:
            live.motion = live.motion.carried(rolled)
        elif waiting.advance is not None:
            live.motion = live.motion.turned(waiting.advance, unit)
        else:
            live.is_corrected = True

    def _begin(self, first: FirstCameras, stage_s: dict[str, float]) -> TrackedPose:
        """Keyframes of a new trajectory, which begins where the camera is thought to be."""
        live, clip = self._live, first.clip
        live.drop_keyframes_to_be()
        # Where the camera was said to stand or turn, how far it has moved meanwhile is no motion of one frame.
        live.is_corrected |= not live.keyframes.keyframes
        unit = self._metres.begin(first.path, first.scene_depth)
        if live.mapper.rig is not None and self._by.name:
            live.mapper.rig.shared(self._by.name).take_over(first.shared)
        else:
            live.mapper.shared.take_over(first.shared)
            self._frames.know(clip.cameras[-1])
        unit_variance = self._unit_variance()
        start = live.motion.camera_to_world @ self._by.to_leader
        placed, clip_to_unit = first.placed(start, live.motion.covariance, unit, unit_variance)
        solved = self._by.solved_of_leader(placed)
        live.mapper.begin(solved, clip, clip_to_unit, unit, self._by.name)
        self.collect_from([])
        before, newest = solved[-2:]
        moved = float(np.linalg.norm((newest.camera_to_world - live.keyframes.origin)[:3, 3]))
        live.begin_motion(before.camera_to_world, before.covariance[:6, :6], before.frame.stamp_ns)
        # Frames may have gone on for long meanwhile: what comes next is not where the newest of these were.
        live.motion.solved(newest.camera_to_world, newest.covariance[:6, :6], newest.frame.stamp_ns, after_gap=False)
        told = [(s.frame.stamp_ns, beside(live.keyframes.window[-1], s.camera_to_world)) for s in solved]
        self._metres.begin_inertia(told)
        quality = SolveQuality(
            float(clip.confidence[-1]),
            float(np.nan_to_num(clip.residual_px[-1])),
            int(clip.observations[-1]),
            int(clip.inliers[-1]),
            float(clip.spread_rotation_rad[-1]),
            moved * float(clip.spread_direction_rad[-1]),
        )
        answer = solved_answer(live.motion, newest.frame, quality, keyframe=True, stage_s=stage_s)
        return replace(answer, earlier=first.between(solved))

    def _unit_variance(self) -> float:
        """Of the logarithm of the unit of a trajectory that begins: in metres, or compared with the one before."""
        scale = self._live.metric.scale
        if scale.is_metric:
            return scale.sigma**2
        return unit_of_another_trajectory() if self._live.keyframes.keyframes else 0.0

    def _begin_in_metres(self, frame: StreamFrame, depth: DepthPrior, stage_s: dict[str, float]) -> TrackedPose:
        """One keyframe of a new trajectory, with depths that a sensor has measured, where the camera is thought to be.

        Where it has turned since the first frame that was waited with, the turn stays.
        """
        live = self._live
        live.drop_keyframes_to_be()
        start = live.motion.camera_to_world @ live.turned
        covariance = with_unit(live.motion.covariance + _FIRST_COVARIANCE, depth.scale_sigma**2)
        unit = live.mapper.begin_from(SolvedFrame(frame, start, covariance))
        live.metric.begin_in_metres(depth.source, unit, depth.scale_sigma)
        live.leave_scale()
        self.collect_from([])
        live.begin_motion(start, covariance[:6, :6], frame.stamp_ns)
        points = int(np.isfinite(live.keyframes.window[0].inverse_depth).sum())
        quality = SolveQuality(1.0, 0.0, points, points)
        return solved_answer(live.motion, frame, quality, keyframe=True, stage_s=stage_s)
