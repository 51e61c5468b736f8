"""Stream of frames to trajectory. Free of ROS.

The tracker is in one of four states. Each has a step that takes a frame and returns the answer and the next state::

    INITIALISING --first cameras solved--> TRACKING --frame not solved--> HELD --too many--> LOST
         ^                                    ^--------frame solved--------'                  |  |
         |                                    '--------relocalised----------------------------'  |
         '----------------------------new trajectory, `LostPolicy.RESET`-------------------------'

A frame is solved against the keyframes of a window, whose poses are fixed and set the scale; the inverse depths of the
tracks are solved with it. A frame that sees little of the last keyframe becomes one: that is done on a copy of the map,
which is taken over in one step between two frames. What was found about a frame or a pair of frames is kept, nothing is
computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.estimation.hypotheses import Denoiser
from ros2_raxels.estimation.inliers import FEWEST_MATCHES
from ros2_raxels.geometry.camera import Camera, ordinary_camera
from ros2_raxels.geometry.covariance import (
    UNKNOWN_VARIANCE,
    compounded,
    in_other_unit,
    with_unit,
    with_unit_variance,
)
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, relative_pose
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.tracking import map_file
from ros2_raxels.tracking.budget import Budget
from ros2_raxels.tracking.depth_prior import DepthPrior
from ros2_raxels.tracking.frame import (
    Keyframe,
    KeyframePose,
    Side,
    SolvedFrame,
    StreamFrame,
    beside,
    grown,
    scaled_about,
)
from ros2_raxels.tracking.image_field import ImageField, Mask
from ros2_raxels.tracking.inertial import Imu
from ros2_raxels.tracking.initializer import FirstCameras, FirstSolver, Initializer, Waiting
from ros2_raxels.tracking.keyframe_map import KeyframeMap
from ros2_raxels.tracking.map_update import KeyframeMaker, MappingState, MapStage, MapUpdate
from ros2_raxels.tracking.mapping import Mapper, MapSettings
from ros2_raxels.tracking.metric_scale import MetricScale, Odometry, Scale, ScaleSource
from ros2_raxels.tracking.missed_frames import MissedFrames
from ros2_raxels.tracking.motion_model import MotionModel
from ros2_raxels.tracking.motion_sensors import MotionSensors, Moved
from ros2_raxels.tracking.pose_covariance import accumulated, published, unit_of_another_trajectory
from ros2_raxels.tracking.resection import FrameSolve, FrameSolver
from ros2_raxels.tracking.rig_tracks import RigTracks
from ros2_raxels.tracking.step import Step
from ros2_raxels.tracking.step import between as step_between
from ros2_raxels.tracking.stereo_prior import Partner, StereoPrior, partners_of
from ros2_raxels.tracking.types import LostPolicy, Motion, SolveQuality, TrackedPose, TrackerSettings, TrackState
from ros2_raxels.tracking.visual_inertial import InertialPath
from ros2_raxels.tracking.what_is_wrong import nearly_constant, what_is_wrong
from ros2_raxels.utils.right_of_way import RightOfWay
from ros2_raxels.utils.timing import timed

_LEAST_REACH = 0.2
"""Share of the newest keyframe that coarse flow must reach for a solve from it."""

_LONG_GAP_S = 0.5
"""Between two solved frames: over a longer one a camera may have stopped and turned back."""

_SURELY_TURNED = 0.5
"""Confidence of a turn that may teach the gyro."""

_ROLLED_SIGMA, _ROLLED_CONFIDENCE = 0.03, 0.7
"""Relative error of a way by the wheels, and the confidence of a pose by them, while there are no depths."""

_STILL_RAD = 0.004
"""Motion of the image below which a camera stands, as far as anybody can tell before there are depths."""

_FOUND_AGAIN = 0.5
"""Confidence of a frame that ends a loss: nothing else tells where the camera may be."""

_FEW_LEFT = 70
"""Matches of a frame with the keyframes."""

_MOST_SKETCHED = 2
"""Keyframes: the next one waits until these are complete, since what they make of depths and poses is rough."""

_THOROUGH = "thorough"
"""Name of the look that costs as much as several frames."""

_FIRST_COVARIANCE = np.diag([0.001**2] * 3 + [0.0005**2] * 3)
"""Of the first camera in metres, which is the world and knows no error but that of its depths; m and rad."""

_BLIND = 20
"""With fewer keypoints than this there is nothing to be seen."""


@dataclass(frozen=True)
class Initialising:
    """There are no keyframes to solve against: frames are collected for the first cameras."""


@dataclass(frozen=True)
class Tracking:
    """The last frame was solved; `apart` where coarse flow reached little of the keyframes."""

    apart: bool = False


@dataclass(frozen=True)
class Held:
    """The last frames were not solved, too few of them to call it a loss.

    Attributes:
        missed: how many.
        apart: see `Tracking`, of the last frame that was solved.
    """

    missed: int
    apart: bool = False


@dataclass(frozen=True)
class Lost:
    """Frames are looked for among all keyframes.

    Attributes:
        missed: frames without a pose, without those in which nothing was to be seen after the loss.
        unseen: all of them.
    """

    missed: int
    unseen: int


State = Initialising | Tracking | Held | Lost


class Tracker:
    """Poses for a stream of frames of one camera.

    Raises nothing for bad *content* (black, blurred, unrelated images): that is a state. Raises ValueError for images
    of the wrong shape or dtype.

    Args:
        settings: see there.
        denoiser: the learned prior for the first cameras, and for frames that constant velocity explains badly; None
            leaves two-view geometry alone with them.
        odometry: what the wheels say: of the motion to expect, and of metres, where these are to come from odometry.
        mask: (height, width) of the images as given, true where they are to be used; None for everywhere.
        imu: what an IMU says of the motion to expect.
        rig: of cameras fixed to each other, whose images come together; None for one camera. Poses are the first one's.
    """

    def __init__(
        self,
        settings: TrackerSettings | None = None,
        denoiser: Denoiser | None = None,
        odometry: Odometry | None = None,
        mask: Mask | None = None,
        imu: Imu | None = None,
        rig: Rig | None = None,
    ) -> None:
        self.settings = settings or TrackerSettings()
        self._odometry = odometry
        self._sensors = MotionSensors(odometry, imu)
        self._inertial_path = None if imu is None else InertialPath(imu)
        self._denoiser = denoiser
        self._matcher = Matcher(self.settings.estimator.evidence)
        # A matcher is not for use by two threads at once either, and frames need the other core.
        beside = Matcher(self.settings.estimator.evidence, threads=1) if self.settings.real_time else self._matcher
        first_estimator = Estimator(self.settings.estimator, denoiser, beside)
        self._way = RightOfWay()
        self._first_solver = FirstSolver(first_estimator, self.settings.real_time, self._way)
        self._field = ImageField(self._matcher, mask)
        self._set_rig(rig)
        self._solver = FrameSolver(denoiser, self.settings.sure)
        # An engine is not for use by two threads at once.
        loop_solver = FrameSolver(None, self.settings.sure) if self.settings.real_time else self._solver
        self._budget = Budget(limited=self.settings.real_time)
        self._maker = KeyframeMaker(self._matcher, loop_solver, self.settings.loops, self.settings.real_time, self._way)
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next frame is the new origin."""
        self._next_number = 0
        self._camera: Camera | None = None
        self._focal_found = False
        self._depth_trouble = ""
        self._metric = MetricScale(self.settings.scale, guessed=self._rig is not None)
        self._sensors.forget()
        if self._inertial_path is not None:
            self._inertial_path.forget()
        self._use_map(KeyframeMap())
        self._begin_in(Initialising(), MotionModel(np.eye(4), np.zeros((6, 6)), 0, self._sensed))

    def use_rig(self, rig: Rig | None) -> None:
        """Forget everything, and go on with other cameras than those of the beginning; None for one camera alone."""
        self._set_rig(rig)
        self.reset()

    def _set_rig(self, rig: Rig | None) -> None:
        self._rig = rig
        self._partners = () if rig is None else partners_of(rig)
        self._side_fields = {name: ImageField(self._matcher, None) for name in (rig.others if rig else ())}

    def _use_map(self, keyframes: KeyframeMap) -> None:
        s = self.settings
        map_settings = MapSettings(s.window, s.bundle, s.stored_keyframes, s.history)
        self._map = keyframes
        rig = None if self._rig is None else RigTracks(self._matcher, self._rig)
        self._mapper = Mapper(self._matcher, map_settings, keyframes, rig)
        self._maker.forget()
        self._missed_frames = MissedFrames(self._mapper, self._solver)
        self._initializer = Initializer(s, self._first_solver, self._mapper.shared)
        self._coming: SolvedFrame | None = None

    def _begin_in(self, state: State, motion: MotionModel) -> None:
        self._state: State = state
        self._motion = motion
        self._turned: FloatArray = np.eye(4)
        self._corrected = False
        self._last_solve: tuple[int, FloatArray] | None = None

    @property
    def depth_trouble(self) -> str:
        """Why depths that come with frames are left out, in a line; empty where they are not. Any thread may ask."""
        return self._depth_trouble

    @property
    def engine_id(self) -> str:
        """What it computes with, in a line."""
        return "evidence and guidance, no denoiser" if self._denoiser is None else self._denoiser.describe()

    @property
    def camera(self) -> Camera | None:
        """Intrinsics in use, of the working image (`EvidenceSettings`); a guess until there was motion."""
        return self._camera

    def track(
        self,
        image: npt.NDArray[np.uint8],
        stamp_ns: int,
        camera: Camera | None,
        depth: DepthPrior | None = None,
        others: Mapping[str, npt.NDArray[np.uint8]] | None = None,
    ) -> TrackedPose:
        """Pose of one frame.

        Args:
            image: (height, width) or (height, width, 3) RGB, uint8.
            stamp_ns: copied into the answer.
            camera: intrinsics of this image; None lets the focal length be estimated.
            depth: what a sensor has measured of its depths; not used before there are intrinsics, nor where metres are
                to come from elsewhere (`ScaleSettings.takes_depths`).
            others: images of the other cameras of the rig at this moment, by name; those that are missing are left out.
                Not looked at without a rig.

        Raises:
            ValueError: an image of the wrong shape or dtype, or a camera or mask of another size than its image.
        """
        if camera is not None:
            camera.check_fits(image, "image")
        with self._way.taken(), self._budget.frame(stamp_ns):
            depth = depth if self.settings.scale.takes_depths and not self._depth_trouble else None
            return self._answer(image, stamp_ns, camera, depth, others or {})

    def tell_period(self, period_s: float | None) -> None:
        """Say how often frames come, s, with those that are dropped before they get here; None while nobody knows."""
        self._budget.tell_period(period_s)

    def _answer(
        self,
        image: npt.NDArray[np.uint8],
        stamp_ns: int,
        camera: Camera | None,
        depth: DepthPrior | None,
        others: Mapping[str, npt.NDArray[np.uint8]],
    ) -> TrackedPose:
        stage_s: dict[str, float] = {}
        with timed(stage_s, "improve"):
            self._catch_up()
        with timed(stage_s, "look"):
            features = self._matcher.look(image, self._field.usable(image.shape[:2], camera))
            working = None if camera is None else features.working_camera(camera)
            sides = self._look_aside(others)
            depth = depth or self._stereo_prior(features, sides)
        frame = StreamFrame(self._next_number, stamp_ns, features, self._intrinsics(features, working), depth, sides)
        self._next_number += 1
        answer, self._state = self._step(frame, camera is not None, stage_s)
        self._forget_matches()
        answer = self._completed(answer, image.shape[1] / features.grey.shape[1])
        self._tell_sensors(answer)
        if answer.state is TrackState.TRACKING and self._map.keyframes:
            self._observe_inertia(answer)
            self._observe_scale(stamp_ns)
        return answer

    def _look_aside(self, images: Mapping[str, npt.NDArray[np.uint8]]) -> dict[str, Side]:
        """The images of the other cameras of the rig."""
        rig = self._rig
        sides: dict[str, Side] = {}
        if rig is None:
            return sides
        for name, image in images.items():
            if name not in rig.others:
                raise ValueError(f"an image of camera {name!r}, which is none of the rig; give the rig of all cameras")
            camera = rig[name].camera
            camera.check_fits(image, f"image of {name!r}")
            features = self._matcher.look(image, self._side_fields[name].usable(image.shape[:2], camera))
            sides[name] = Side(features, features.working_camera(camera))
        return sides

    def _stereo_prior(self, features: Features, sides: Mapping[str, Side]) -> StereoPrior | None:
        """Depths by the cameras that see what the first one sees; None without one."""
        if self._rig is None or not self.settings.scale.takes_depths:
            return None
        leader = self._rig.leader
        partners = [
            Partner(side, self._rig.between(leader, name)) for name, side in sides.items() if name in self._partners
        ]
        return StereoPrior(features, partners) if partners else None

    @property
    def sensor_remarks(self) -> tuple[str, ...]:
        """Which other sensors were left out since the last reset, and why, a line each."""
        return self._sensors.remarks

    def _sensed(self, begin_ns: int, end_ns: int) -> Moved:
        """What wheels and gyro say of a motion; a translation only while the world is in metres."""
        moved = self._sensors.between(begin_ns, end_ns)
        return moved if self._metric.scale.is_metric else moved.without_translation()

    def _tell_sensors(self, answer: TrackedPose) -> None:
        """What is seen is what they are judged by."""
        if answer.corrected or answer.state is not TrackState.TRACKING:
            self._sensors.jump()
        if answer.state is TrackState.TRACKING and answer.has_depth:
            self._sensors.see(answer.stamp_ns, answer.camera_to_world, answer.scale.is_metric)

    def _step(self, frame: StreamFrame, has_camera: bool, stage_s: dict[str, float]) -> tuple[TrackedPose, State]:
        """What a frame does in the present state: the answer, and the next state."""
        match self._state:
            case Initialising():
                return self._initialise(frame, has_camera or self._focal_found, stage_s)
            case Tracking() as state:
                return self._follow(frame, state, stage_s)
            case Held() as state:
                return self._regain(frame, state, stage_s)
            case Lost() as state:
                return self._relocalise(frame, state, stage_s)

    def _forget_matches(self) -> None:
        """Of frames that are neither keyframes nor will become one."""
        waiting = [f.number for f in self._initializer.pending]
        waiting += [solved.frame.number for solved in (self._coming, self._maker.frame) if solved is not None]
        self._mapper.shared.forget_all_but([*self._map.keyframes, *waiting])
        if self._mapper.rig is not None:
            self._mapper.rig.forget_all_but([*self._map.keyframes, *waiting], self._map.keyframes)

    def _completed(self, answer: TrackedPose, enlarged: float) -> TrackedPose:
        """What belongs to every answer: motion, scale, and residuals in px of the image as given."""
        corrected, self._corrected = self._corrected, False
        is_tracking, window = answer.state is TrackState.TRACKING, self._map.window
        depth = self._map.unit if window else self._metric.depth_of_scene
        return replace(
            answer,
            covariance=published(answer.covariance, answer.camera_to_world[:3, :3], depth),
            solve=replace(answer.solve, residual_px=answer.solve.residual_px * enlarged),
            corrected=corrected,
            motion=self._motion.recent_motion(self._map.unit) if is_tracking and window else answer.motion,
            scale=answer.scale if answer.scale.is_metric else self._metric.scale,
            number=self._next_number - 1,
            keyframe_pose=beside(window[-1], answer.camera_to_world) if window else None,
        )

    def _intrinsics(self, features: Features, given: Camera | None) -> Camera:
        if given is not None:
            self._camera = given
        height, width = features.grey.shape
        if self._camera is None or (self._camera.height, self._camera.width) != (height, width):
            self._camera, self._focal_found = ordinary_camera(width, height), False
        return self._camera

    # -- INITIALISING

    def _initialise(
        self, frame: StreamFrame, focal_known: bool, stage_s: dict[str, float]
    ) -> tuple[TrackedPose, State]:
        if focal_known and frame.depth is not None and self._mapper.sees_depths(frame):
            return self._begin_in_metres(frame, frame.depth, stage_s), Tracking()
        found = self._initializer.see(frame, focal_known, stage_s)
        if isinstance(found, Waiting):
            if self.settings.history:
                self._missed_frames.keep(found.given_up)
            return self._wait(frame, found, stage_s), Initialising()
        begun = self._begin(found, stage_s)
        if found.frames[-1] is frame:
            return begun, Tracking()
        # They were solved while frames went on.
        answer, state = self._follow(frame, Tracking(), stage_s)
        return replace(answer, earlier=begun.earlier), state

    def _wait(self, frame: StreamFrame, waiting: Waiting, stage_s: dict[str, float]) -> TrackedPose:
        """Before the first cameras: a camera that stands, or turns on the spot, has a pose whatever the unit is.

        So has one that wheels have carried, and that in metres.
        Not after a loss, when nobody knows where it stands, and not where there is nothing to be seen.
        """
        start, unit, first = self._motion, self._metric.depth_of_scene, self._initializer.pending
        rolled = self._rolled(waiting.given_up[0], first[0]) if waiting.given_up and first else Moved()
        if rolled.is_whole:
            self._motion = start = start.carried(rolled)
        elif waiting.given_up and waiting.advance is not None:
            self._motion = start = start.turned(waiting.advance, unit)
        elif waiting.given_up:
            self._corrected = True
        turn, self._turned = waiting.turn, np.eye(4)
        if turn is None or self._map.keyframes or self._is_blind(self._initializer.pending[0]):
            return self._unsolved(frame, TrackState.INITIALISING, waiting.reason, stage_s)
        now, scale, confidence = start.turned(turn, unit), Scale(), turn.confidence
        rolled = self._rolled(first[0], frame)
        if confidence > _SURELY_TURNED:
            self._sensors.see_turn(frame.stamp_ns, now.camera_to_world)
        if rolled.is_whole:
            now, scale = start.carried(rolled), Scale(ScaleSource.ODOM, 1.0, _ROLLED_SIGMA)
            confidence = max(confidence, _ROLLED_CONFIDENCE)
        self._turned = relative_pose(start.camera_to_world, now.camera_to_world)
        motion = Motion.STILL if turn.moved_rad < _STILL_RAD else Motion.UNKNOWN
        quality = SolveQuality(confidence)
        return TrackedPose(
            frame.stamp_ns,
            now.camera_to_world,
            now.covariance,
            TrackState.TRACKING,
            quality,
            has_depth=False,
            motion=motion,
            scale=scale,
            message=waiting.reason,
            stage_s=stage_s,
        )

    def _rolled(self, first: StreamFrame, frame: StreamFrame) -> Moved:
        """From one frame to another by wheels and gyro, where metres are to come from odometry; else nothing."""
        if not self._metric.takes(ScaleSource.ODOM):
            return Moved()
        return self._sensors.between(first.stamp_ns, frame.stamp_ns)

    def _begin(self, first: FirstCameras, stage_s: dict[str, float]) -> TrackedPose:
        """Keyframes of a new trajectory, which begins where the camera is thought to be."""
        self._drop_keyframes_to_be()
        # Where the camera was said to stand or turn, how far it has moved meanwhile is no motion of one frame.
        self._corrected |= not self._map.keyframes
        stamps_ns = (first.path[0][0], first.path[-1][0])
        soon = self._inertial_path is not None and self._inertial_path.covers(*stamps_ns)
        clip, unit = first.clip, self._metric.begin(first.path, self._odometry, first.scene_depth, soon)
        self._mapper.shared.take_over(first.shared)
        other_unit = unit_of_another_trajectory() if self._map.keyframes and not self._metric.scale.is_metric else 0.0
        solved, clip_to_unit = first.placed(self._motion.camera_to_world, self._motion.covariance, unit, other_unit)
        self._mapper.begin(solved, clip, clip_to_unit, unit)
        self._camera, self._focal_found = clip.cameras[-1], True
        self._initializer = Initializer(self.settings, self._first_solver, self._mapper.shared)
        newest = solved[-1]
        moved = float(np.linalg.norm((newest.camera_to_world - self._map.origin)[:3, 3]))
        covariance, stamp_ns = newest.covariance[:6, :6], newest.frame.stamp_ns
        self._motion = MotionModel(newest.camera_to_world, covariance, stamp_ns, self._sensed)
        self._turned = np.eye(4)
        if self._inertial_path is not None:
            told = [beside(self._map.window[-1], s.camera_to_world) for s in solved]
            self._inertial_path.begin(list(zip([s.frame.stamp_ns for s in solved], told, strict=True)))
        quality = SolveQuality(
            float(clip.confidence[-1]),
            float(np.nan_to_num(clip.residual_px[-1])),
            int(clip.observations[-1]),
            int(clip.inliers[-1]),
            float(clip.spread_rotation_rad[-1]),
            moved * float(clip.spread_direction_rad[-1]),
        )
        return replace(
            self._solved(newest.frame, quality, keyframe=True, stage_s=stage_s), earlier=first.between(solved)
        )

    def _begin_in_metres(self, frame: StreamFrame, depth: DepthPrior, stage_s: dict[str, float]) -> TrackedPose:
        """One keyframe of a new trajectory, with depths that a sensor has measured, where the camera is thought to be.

        Where it has turned since the first frame that was waited with, the turn stays.
        """
        self._drop_keyframes_to_be()
        start = self._motion.camera_to_world @ self._turned
        covariance = with_unit(self._motion.covariance + _FIRST_COVARIANCE, depth.scale_sigma**2)
        unit = self._mapper.begin_from(SolvedFrame(frame, start, covariance))
        self._metric.begin_in_metres(depth.source, unit, depth.scale_sigma)
        self._leave_scale()
        self._initializer = Initializer(self.settings, self._first_solver, self._mapper.shared)
        self._motion = MotionModel(start, covariance[:6, :6], frame.stamp_ns, self._sensed)
        self._turned = np.eye(4)
        points = int(np.isfinite(self._map.window[0].inverse_depth).sum())
        quality = SolveQuality(1.0, 0.0, points, points)
        return self._solved(frame, quality, keyframe=True, stage_s=stage_s)

    # -- TRACKING and HELD

    def _follow(self, frame: StreamFrame, state: Tracking, stage_s: dict[str, float]) -> tuple[TrackedPose, State]:
        """The frame after one that was solved."""
        solved, apart = self._solve_following(frame, stage_s)
        if not self._is_good(solved) or not self._is_likely(frame, solved):
            return self._miss(frame, solved, Held(0, state.apart), stage_s)
        return self._accept(frame, solved, self._map.window, state.apart, apart, stage_s)

    def _regain(self, frame: StreamFrame, state: Held, stage_s: dict[str, float]) -> tuple[TrackedPose, State]:
        """A frame after few that were not solved: they may have been blurred, and the camera cannot be far."""
        solved, apart = self._solve_following(frame, stage_s)
        if not self._is_good(solved) or not self._is_likely(frame, solved):
            return self._miss(frame, solved, state, stage_s)
        after_gap = self._motion.since_solved_s(frame.stamp_ns) > _LONG_GAP_S
        return self._accept(frame, solved, self._map.window, state.apart, apart, stage_s, after_gap)

    def _is_good(self, solved: FrameSolve | None) -> TypeGuard[FrameSolve]:
        return solved is not None and solved.quality.confidence >= self.settings.confidence_min

    def _is_likely(self, frame: StreamFrame, solved: FrameSolve) -> bool:
        """Whether a camera that has moved as this one has can be there."""
        return self._motion.is_likely(solved.camera_to_world, frame.stamp_ns, self._map.unit)

    def _accept(
        self,
        frame: StreamFrame,
        solved: FrameSolve,
        anchors: Sequence[Keyframe],
        was_apart: bool,
        apart: bool,
        stage_s: dict[str, float],
        after_gap: bool = False,
    ) -> tuple[TrackedPose, State]:
        """The pose of a frame that was solved, and whether it is to become a keyframe."""
        if solved.quality.confidence < self.settings.sure:
            pose, spread = self._motion.steadied(solved.camera_to_world, solved.covariance, frame.stamp_ns)
            solved = replace(solved, camera_to_world=pose, covariance=spread)
        covariance = accumulated(anchors, solved.camera_to_world, solved.covariance, solved.quality)
        step = self._step_to(frame, solved, after_gap)
        self._motion.solved(solved.camera_to_world, covariance[:6, :6], frame.stamp_ns, after_gap)
        with timed(stage_s, "keyframe"):
            # Thorough looks one after the other would cost more than a keyframe that ends them.
            keyframe = self._sees_little(frame) or (apart and was_apart) or self._has_little_left(solved)
        if keyframe:
            # It replaces one that waits: the older one would be of less use by now.
            self._coming = SolvedFrame(frame, solved.camera_to_world, covariance)
        answer = replace(self._solved(frame, solved.quality, keyframe, stage_s), step=step)
        return answer, Tracking(apart and not keyframe)

    def _step_to(self, frame: StreamFrame, solved: FrameSolve, after_gap: bool) -> Step | None:
        """From the frame before, which was solved, with the turn by the gyro where there is one."""
        before, self._last_solve = self._last_solve, (frame.number, solved.covariance)
        seconds = self._motion.since_solved_s(frame.stamp_ns)
        if after_gap or before is None or before[0] != frame.number - 1 or seconds <= 0:
            return None
        motion = relative_pose(self._motion.camera_to_world, solved.camera_to_world)
        step = step_between(motion, seconds, before[1], solved.covariance, solved.camera_to_world)
        moved = self._sensed(frame.stamp_ns - round(seconds * 1e9), frame.stamp_ns).without_translation()
        return step if moved.rotation is None else step.drawn_to(moved.rotation, moved.rotation_sigma_rad)

    def _has_little_left(self, solved: FrameSolve) -> bool:
        """Whether what moves on its own leaves so little of the keyframes that a new one must come in time."""
        is_waited_for = self._coming is not None or self._maker.frame is not None
        few = solved.quality.correspondences < _FEW_LEFT
        return few and not is_waited_for and self._mapper.shared.any_doubt(self._map.window)

    def _sees_little(self, frame: StreamFrame) -> bool:
        """Whether a frame sees so little of the last keyframe that it must become one; that is done in `improve`."""
        newest, shared, window = self._coming or self._maker.frame, self._mapper.shared, self._map.window
        if newest is None:
            motion, overlap = shared.image_motion(window[-1], frame)
        else:
            # It becomes the last keyframe soon, and until then frames are not compared with it.
            motion, overlap = shared.image_motion_by_way_of(window, newest.frame, frame)
        last = window[-1].frame if newest is None else newest.frame
        since_s = (frame.stamp_ns - last.stamp_ns) * 1e-9
        # What it will be when a keyframe of this frame is there, and others are being solved against that.
        overlap -= (1.0 - overlap) * self._maker.takes_s / since_s if since_s > 0 else 0.0
        return motion > self.settings.keyframe_motion or overlap < self.settings.keyframe_overlap

    def _solve_following(self, frame: StreamFrame, stage_s: dict[str, float]) -> tuple[FrameSolve | None, bool]:
        """Where constant velocity leads, else near that; and whether coarse flow reached little of the keyframes."""
        solved = self._solve_expected(frame, stage_s)
        if solved is not None and solved.quality.confidence >= self.settings.sure:
            return solved, False
        near, apart = self._solve_near(frame, stage_s)
        if solved is not None and self._is_good(solved) and not self._is_better(near, solved):
            return solved, False
        if not self._is_good(near) and self._mapper.shared.any_doubt(self._map.window):
            # What was thought to move on its own may have been the world.
            with self._mapper.shared.trusting():
                again, apart = self._solve_near(frame, stage_s)
            near = again if again is not None and again.quality.confidence >= _FOUND_AGAIN else near
        return near, apart

    def _solve_expected(self, frame: StreamFrame, stage_s: dict[str, float]) -> FrameSolve | None:
        """Where constant velocity leads; None where next to nothing is seen there."""
        expected, window = self._motion.expected_pose(frame.stamp_ns), self._map.window
        with timed(stage_s, "evidence"):
            evidence = self._mapper.shared.expected(window, frame, expected)
            rig = self._mapper.rig
            beside = [] if rig is None else rig.expected(window, frame, expected)
        if evidence is None or len(evidence.anchor) < FEWEST_MATCHES:
            if not beside:
                return None
            evidence = self._mapper.shared.nothing(window, frame)
        with timed(stage_s, "solve"):
            solved = self._solver.solve_from([expected], window, evidence, beside=[seen.beside for seen in beside])
        if solved.quality.confidence < self.settings.sure:
            self._mapper.shared.forget_pairs(frame)
            return solved
        self._learn(window, evidence, solved)
        for seen, (inverse_depth, agrees) in zip(beside, solved.beside, strict=True):
            if rig is not None:
                rig.learn(seen, inverse_depth, agrees)
        return solved

    @staticmethod
    def _is_better(solved: FrameSolve | None, other: FrameSolve) -> bool:
        return solved is not None and solved.quality.confidence > other.quality.confidence

    def _solve_near(self, frame: StreamFrame, stage_s: dict[str, float]) -> tuple[FrameSolve | None, bool]:
        """At a glance, else thoroughly if there is time; and whether coarse flow reached little of the keyframes."""
        solved, apart = self._solve_at_a_glance(frame, stage_s)
        # A keyframe in the making shows more of this place, and a thorough look would only hold it up.
        if solved is None and not self._maker.is_due and self._budget.has_time_for(_THOROUGH):
            starts = [self._motion.expected_pose(frame.stamp_ns), self._motion.camera_to_world]
            with self._budget.paying_for(_THOROUGH):
                newest = 1 if self.settings.real_time else None
                solved = self._solve_thoroughly(frame, self._map.window, starts, stage_s, newest)
        return solved, apart

    def _solve_at_a_glance(self, frame: StreamFrame, stage_s: dict[str, float]) -> tuple[FrameSolve | None, bool]:
        """From coarse flow, and whether it reached little of the keyframes; then nothing is taken that is not sure."""
        window = self._map.window
        with timed(stage_s, "evidence"):
            evidence, reach = self._mapper.shared.glance(window, frame)
        apart = reach < self.settings.keyframe_overlap
        starts = [self._motion.expected_pose(frame.stamp_ns), self._motion.camera_to_world]
        if reach < _LEAST_REACH:
            return None, apart
        if not apart:
            return self._solve_from(frame, window, evidence, starts, stage_s), apart
        if len(evidence.anchor) < FEWEST_MATCHES:
            return None, apart
        with timed(stage_s, "solve"):
            solved = self._solver.solve_from(starts, window, evidence)
        if solved.quality.confidence < self.settings.sure:
            return None, apart
        self._learn(window, evidence, solved)
        return solved, apart

    def _solve_thoroughly(
        self,
        frame: StreamFrame,
        anchors: Sequence[Keyframe],
        starts: Sequence[FloatArray],
        stage_s: dict[str, float],
        newest: int | None = None,
    ) -> FrameSolve | None:
        with timed(stage_s, "evidence"):
            evidence = self._mapper.shared.between(anchors, frame, newest)
        return self._solve_from(frame, anchors, evidence, starts, stage_s)

    def _solve_from(
        self,
        frame: StreamFrame,
        anchors: Sequence[Keyframe],
        evidence: Evidence,
        starts: Sequence[FloatArray],
        stage_s: dict[str, float],
    ) -> FrameSolve | None:
        """From these starts and, where they explain the frame badly, from others as well."""
        with timed(stage_s, "solve"):
            newest = anchors[-1]
            step = self._motion.expected_distance(newest.camera_to_world, frame.stamp_ns, self._map.unit_of(newest))
            solved = self._solver.solve(starts, anchors, evidence, step)
        if self._is_good(solved):
            self._learn(anchors, evidence, solved)
        return solved

    def _learn(self, anchors: Sequence[Keyframe], evidence: Evidence, solved: FrameSolve) -> None:
        self._map.learn(anchors, evidence, solved.inverse_depth, solved.agrees)

    # -- LOST

    def _relocalise(self, frame: StreamFrame, state: Lost, stage_s: dict[str, float]) -> tuple[TrackedPose, State]:
        """Look for the frame near the keyframe that shows most of the same."""
        best, _ = self._mapper.most_alike(frame)
        window = self._map.window
        # Where tracking was lost a moment ago the map goes on, with the keyframe that is being made.
        is_here = best is not None and best.number in self._map.window_numbers
        anchors = window if is_here else self._mapper.around(best or window[-1])
        expected = [self._motion.expected_pose(frame.stamp_ns), self._motion.camera_to_world]
        # What was thought to move on its own may have been the world.
        with self._mapper.shared.trusting():
            solved = self._solve_thoroughly(frame, anchors, [*expected, anchors[-1].camera_to_world], stage_s)
        if solved is None or solved.quality.confidence < max(self.settings.confidence_min, _FOUND_AGAIN):
            return self._miss(frame, solved, state, stage_s)
        if not is_here:
            self._go_back_to(anchors)
        return self._accept(frame, solved, anchors, False, False, stage_s, after_gap=True)

    def _go_back_to(self, anchors: Sequence[Keyframe]) -> None:
        """A known place after a loss, in the unit of its trajectory, which may be in metres where the last was not."""
        self._drop_keyframes_to_be()
        self._leave_scale()
        left = self._map.present
        self._map.go_back_to(anchors)
        if self._map.present == left:
            self._metric.forget_lengths()
        else:
            self._metric.adopt(self._map.trajectories[self._map.present].scale)
        self._motion.jump()
        self._corrected = True

    def _miss(
        self, frame: StreamFrame, solved: FrameSolve | None, state: Held | Lost, stage_s: dict[str, float]
    ) -> tuple[TrackedPose, State]:
        """A frame without a pose, in the state that it was not solved in."""
        blind = isinstance(state, Lost) and self._is_blind(frame)
        if self.settings.history and not blind:
            self._missed_frames.keep([frame])
        # A covered lens is no new place: nothing is begun there, however long it takes.
        missed = state.missed + (0 if blind else 1)
        unseen = state.unseen + 1 if isinstance(state, Lost) else missed
        self._motion.missed(unseen, self._map.unit)
        reason = _few_agree(solved) + what_is_wrong(frame.features, self._map.window[-1].features)
        reason += "; no time for a thorough look at this rate" if self._budget.refused else ""
        if missed < self.settings.lost_frames:
            apart = state.apart if isinstance(state, Held) else False
            confidence = 0.0 if solved is None else solved.quality.confidence
            held = self._unsolved(frame, TrackState.HELD, f"pose held: {reason}", stage_s, confidence)
            return held, Held(missed, apart)
        next_state: State = Lost(missed, unseen)
        give_up = self.settings.lost_frames + self.settings.restart_frames
        if self.settings.lost_policy is LostPolicy.RESET and missed >= give_up:
            self._restart(frame)
            next_state, reason = Initialising(), "a new trajectory begins here"
        if blind:
            blank = nearly_constant(frame.features)
            reason = (
                f"nothing to be seen: {blank}" if blank else "nothing to be seen (covered lens, darkness, blank wall)"
            )
        return self._unsolved(frame, TrackState.LOST, f"lost for {missed} frames: {reason}", stage_s), next_state

    def _is_blind(self, frame: StreamFrame) -> bool:
        return len(self._matcher.keypoints(frame.features).pixels) < _BLIND

    def _restart(self, frame: StreamFrame) -> None:
        """Begin anew where the camera is thought to be; the keyframes stay, and may be found again."""
        self._drop_keyframes_to_be()
        self._leave_scale()
        self._map.end_trajectory()
        self._motion.stop()
        self._initializer = Initializer(self.settings, self._first_solver, self._mapper.shared, [frame])

    # -- answers

    def _solved(
        self, frame: StreamFrame, quality: SolveQuality, keyframe: bool, stage_s: dict[str, float]
    ) -> TrackedPose:
        pose, covariance = self._motion.camera_to_world, self._motion.covariance
        return TrackedPose(frame.stamp_ns, pose, covariance, TrackState.TRACKING, quality, keyframe, stage_s=stage_s)

    def _unsolved(
        self, frame: StreamFrame, state: TrackState, message: str, stage_s: dict[str, float], confidence: float = 0.0
    ) -> TrackedPose:
        covariance = self._motion.covariance if state is TrackState.HELD else np.eye(6) * UNKNOWN_VARIANCE
        pose, quality = self._motion.camera_to_world, SolveQuality(confidence)
        answer = TrackedPose(frame.stamp_ns, pose, covariance, state, quality, message=message, stage_s=stage_s)
        return replace(answer, has_depth=state is not TrackState.INITIALISING)

    # -- mapping

    def improve(self) -> None:
        """Do what a frame has left to be done: keyframes, refinement of the newest ones, loops.

        To be called after each frame, when its pose has been passed on. All is done then, unless the settings say real
        time: then it is left to a thread of its own, and what that has done by now is taken over. Otherwise `track`
        catches up on what was left undone.

        Raises:
            StuckError: a keyframe was given up. Frames are tracked with the map as it was.
            BaseException: whatever went wrong with one; likewise.
        """
        self._take_over_what_is_done()
        if not self._maker.is_busy:
            self._begin_mapping()
        if not self.settings.real_time:
            self._take_over_what_is_done()

    def _begin_mapping(self) -> None:
        """A keyframe to be goes first: frames see less and less of the last one."""
        if self._coming is not None and self._mapper.sketched < _MOST_SKETCHED:
            frame, self._coming = self._coming, None
            self._leave_scale()
            self._maker.begin(self._mapper, frame)
        elif self._mapper.sketched:
            self._leave_scale()
            self._maker.complete(self._mapper)
        elif self._maker.has_to_compare:
            self._maker.compare(self._mapper)

    def _catch_up(self) -> None:
        """Before a frame is looked at, which no trouble with the map may touch in real time."""
        if not self.settings.real_time:
            self.improve()
        elif self._maker.is_ready:
            self._take_over_what_is_done()

    def _take_over_what_is_done(self) -> None:
        update = self._maker.finished()
        if update is not None:
            self._take_over(update)

    def _take_over(self, update: MapUpdate) -> None:
        """Go on with the map in which a keyframe was made; the camera stays where it is beside that."""
        self._mapper.take_over(update.mapper)
        if self._mapper.depth_check.trouble and not self._depth_trouble:
            self._leave_depths_out(self._mapper.depth_check.trouble)
        if update.growth is not None:
            self._see_loop(update.growth, update.joined)
        self._follow_keyframe(update)
        if update.stage is MapStage.COMPLETE and self.settings.scale.source is ScaleSource.HEIGHT:
            self._see_ground(self._map.keyframes[update.keyframe])
        depth = None if self._depth_trouble else update.frame.frame.depth
        if depth is not None and depth.source is ScaleSource.DEPTH and not self._metric.scale.is_metric:
            # They came only after a map was begun without.
            told = self._mapper.depth_stretch(self._map.keyframes[update.keyframe], depth)
            if told is not None:
                self._metric.see_depths(depth.source, *told)

    def _leave_depths_out(self, trouble: str) -> None:
        """From here on poses are as without them, and in metres no longer."""
        self._depth_trouble = trouble
        self._metric.begin()
        self._leave_scale()
        self._corrected = True

    def _see_loop(self, growth: float, joined: bool) -> None:
        known = self._map.trajectories[self._map.present].scale
        if joined and known.is_metric:
            self._metric.adopt(known)
        else:
            self._metric.see_growth(growth)
        if self._mapper.rig is not None:
            self._mapper.rig.scale = self._mapper.rig.scale.grown(growth)
        self._motion.grow_step(growth)
        self._corrected = True

    def _follow_keyframe(self, update: MapUpdate) -> None:
        """The newest pose moves with the keyframe, and so does a frame that is to become the next one."""
        keyframe, was, newest = self._map.keyframes[update.keyframe], update.frame, self._motion
        if np.array_equal(was.camera_to_world, newest.camera_to_world):
            pose, covariance = keyframe.camera_to_world, newest.covariance
            if np.array_equal(was.covariance[:6, :6], covariance):
                covariance = keyframe.covariance[:6, :6]
        else:
            covariance = with_unit(newest.covariance, 0.0)
            pose, covariance = _moved_with(keyframe, update, newest.camera_to_world, covariance)
        newest.correct(pose, covariance[:6, :6])
        if self._coming is not None:
            pose, covariance = _moved_with(keyframe, update, self._coming.camera_to_world, self._coming.covariance)
            self._coming = replace(self._coming, camera_to_world=pose, covariance=covariance)

    def _see_ground(self, keyframe: Keyframe) -> None:
        if keyframe.parent is not None:
            parent = self._map.keyframes[keyframe.parent]
            step = relative_pose(keyframe.camera_to_world, parent.camera_to_world)[:3, 3]
            self._metric.see_ground(self._mapper.points(keyframe), step)

    def _drop_keyframes_to_be(self) -> None:
        """They were solved against a window that is left now."""
        self._coming = None
        self._maker.drop()
        self._mapper.leave_sketches()

    def _finish(self) -> None:
        """Make keyframes of all frames that are to become some, however long it takes."""
        self.improve()
        while self._maker.is_busy or self._coming is not None or self._mapper.sketched or self._maker.has_to_compare:
            self._maker.wait()
            self.improve()

    @property
    def mapping(self) -> MappingState:
        """How the making of keyframes is; any thread may ask."""
        return self._maker.state

    def _leave_scale(self) -> None:
        """Tell the map what is known of metres in the present trajectory."""
        self._map.know_scale(self._map.present, self._metric.scale)

    def _observe_inertia(self, answer: TrackedPose) -> None:
        """Learn about metres from the IMU, where nothing better tells them, once its gyro is right."""
        path, gyro, told = self._inertial_path, self._sensors.gyro, answer.keyframe_pose
        if path is None or gyro is None or told is None or not path.see(answer.stamp_ns, told):
            return
        if gyro.is_trusted and self._metric.takes(ScaleSource.IMU):
            aligned = path.aligned(self._map.place, gyro.bias, self._map.unit)
            if aligned is not None:
                self._metric.see_inertial(aligned.log_metres, aligned.sigma)

    def _observe_scale(self, stamp_ns: int) -> None:
        """Learn about metres, and make the world grow where they say so; not from turns on the spot."""
        if self._metric.takes(ScaleSource.ODOM) and self._odometry is not None:
            path = [(k.frame.stamp_ns, k.camera_to_world[:3, 3]) for k in self._mapper.recent]
            path.append((stamp_ns, self._motion.camera_to_world[:3, 3]))
            wheels = self._sensors.wheels
            if wheels is not None and wheels.is_trusted:
                path = [point for point in path if point[0] >= wheels.good_since_ns]
                self._metric.see_odometry(path, self._odometry, self._map.unit)
        rig = self._mapper.rig
        if rig is not None and rig.scale.tells and self._metric.takes(ScaleSource.STEREO):
            self._metric.be_told(-float(np.log(rig.scale.units)), rig.scale.sigma)
        if self._maker.is_at_work:
            # The map is not to grow while a copy of it is at work; it will soon.
            return
        was_metric = self._metric.scale.is_metric
        here = self._motion.camera_to_world[:3, 3].copy()
        correction = self._metric.correction(here, self._map.origin[:3, 3].copy())
        if correction is None:
            return
        factor, centre = correction
        if was_metric and self._metric.scale.source is ScaleSource.ODOM:
            # Drift: what lies further back was measured with another error of the unit.
            self._map.stretch([k.number for k in self._mapper.recent], factor, centre)
        else:
            self._map.rescale(self._map.present, factor, centre)
        if rig is not None:
            rig.scale = rig.scale.grown(factor)
        self._motion.rescale(factor, centre)
        self._corrected |= not was_metric
        # A guess that was made better is one still.
        variance = self._metric.scale.sigma**2 if rig is not None or self._metric.scale.is_metric else None
        if variance is not None:
            for keyframe in self._map.window:
                self._map.know_covariance(keyframe.number, with_unit_variance(keyframe.covariance, variance))
        if self._coming is not None:
            covariance = in_other_unit(self._coming.covariance, factor)
            covariance = covariance if variance is None else with_unit_variance(covariance, variance)
            pose = scaled_about(self._coming.camera_to_world, factor, centre)
            self._coming = replace(self._coming, camera_to_world=pose, covariance=covariance)

    # -- what is asked afterwards, and said from outside

    def pose_now(self, answer: TrackedPose) -> FloatArray:
        """camera_to_world (4x4) of an earlier answer as it is known now, after refinement and corrections.

        An answer from before a `reset` or `load_keyframes` is not to be asked for. Without `TrackerSettings.history`
        an answer whose keyframe has been thinned out stays as it was.
        """
        for own in (
            self._map.place(KeyframePose(answer.number, np.eye(4), 0.0)),
            self._missed_frames.place(answer.number),
        ):
            if own is not None:
                return own
        placed = None if answer.keyframe_pose is None else self._map.place(answer.keyframe_pose)
        return answer.camera_to_world if placed is None else placed

    def look_again(self) -> Iterator[bool]:
        """At the end of a recording: look for the missed frames among all keyframes; each time whether one was found.

        `pose_now` knows those that were. Without `TrackerSettings.history` there are none to look for.
        """
        self._finish()
        for found in self._missed_frames.look_again(self._next_number):
            self._next_number += found
            yield found

    def found_later(self, answer: TrackedPose) -> bool:
        """Whether `look_again` has found the frame of an answer that had no pose."""
        return self._missed_frames.place(answer.number) is not None

    @property
    def missed(self) -> int:
        """How many frames `look_again` has to look for."""
        return len(self._missed_frames)

    def set_pose(self, camera_to_world: FloatArray, covariance: FloatArray) -> None:
        """Say where the camera of the newest frame is: the world is moved, nothing is forgotten.

        Args:
            camera_to_world: 4x4, in the unit of the trajectory.
            covariance: 6x6 of (translation, rotation about the world's axes).
        """
        if self.settings.real_time:
            self._drop_keyframes_to_be()
        else:
            self._finish()
        # Before there are depths, motion is that of the first frame that is waited with.
        start = camera_to_world @ inverse_pose(self._turned)
        self._map.move(start @ inverse_pose(self._motion.camera_to_world))
        for keyframe in self._map.all:
            spread = with_unit(covariance, keyframe.covariance[6, 6])
            self._map.know_covariance(keyframe.number, compounded(spread, camera_to_world, keyframe.camera_to_world))
        self._motion.correct(start, covariance)
        self._motion.jump()
        self._metric.forget_path()
        self._corrected = True

    def point_up(self, up_in_camera: FloatArray) -> None:
        """Say where up is (3,), in the optical frame, for a scale from the camera's height."""
        self._metric.up_in_camera = up_in_camera / np.linalg.norm(up_in_camera)

    def save_keyframes(self, path: Path) -> int:
        """Write all keyframes to a file, whole or not at all; says how many.

        Raises:
            FileError: there are none, or the file cannot be written.
        """
        if not self.settings.real_time:
            self._finish()
        return self.keyframes_to_save(path)()

    def keyframes_to_save(self, path: Path) -> Callable[[], int]:
        """`save_keyframes` of the keyframes as they are now, to be carried out by any thread while frames go on."""
        self._leave_scale()
        known = self._map.copy()

        def save() -> int:
            map_file.save(path, known)
            return len(known.keyframes)

        return save

    def load_keyframes(self, path: Path) -> int:
        """Forget everything, take over the keyframes of a file and look for them; says how many.

        The state is LOST until a frame shows what one of them shows. With `LostPolicy.RESET` a new trajectory is begun
        if that does not come about; it is joined to the old one when a known place is seen later.

        Raises:
            FileError: the file cannot be used; nothing has changed then.
        """
        known = map_file.load(path, self._matcher)
        for keyframe in known.all:
            keyframe.features.usable = self._field.usable_in_working(keyframe.camera)
        # Frames are looked for with the learned prior, which the first cameras may be using.
        self._first_solver.wait()
        newest = known.all[-1]
        known.window_numbers = list(known.keyframes)[-self.settings.window :]
        self._use_map(known)
        self._metric.adopt(known.trajectories[known.present].scale)
        self._next_number = newest.number + 1
        self._camera, self._focal_found = newest.camera, True
        unknown = MotionModel(newest.camera_to_world, np.eye(6) * UNKNOWN_VARIANCE, 0, self._sensed)
        self._begin_in(Lost(self.settings.lost_frames, 0), unknown)
        return len(known.keyframes)


def _moved_with(
    keyframe: Keyframe, update: MapUpdate, camera_to_world: FloatArray, covariance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """A pose (4x4) and its covariance (7x7) after a frame has become a keyframe and the map has given way around it."""
    since, log_growth = relative_pose(update.frame.camera_to_world, camera_to_world), keyframe.log_growth
    log_growth -= update.log_growth
    return keyframe.camera_to_world @ grown(since, log_growth), in_other_unit(covariance, float(np.exp(log_growth)))


def _few_agree(solved: FrameSolve | None) -> str:
    inliers, correspondences = (0, 0) if solved is None else (solved.quality.inliers, solved.quality.correspondences)
    return f"{inliers} of {correspondences} matches agree"
