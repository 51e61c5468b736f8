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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.estimation.hypotheses import Denoiser
from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE, with_unit
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.geometry.rig import Rig, overlap
from ros2_raxels.geometry.turns import Turn
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking import map_file
from ros2_raxels.tracking.answers import few_agree, solved_answer, unsolved_answer
from ros2_raxels.tracking.budget import Budget
from ros2_raxels.tracking.depth_prior import DepthPrior
from ros2_raxels.tracking.doubt import odds
from ros2_raxels.tracking.frame import Keyframe, KeyframePose, SolvedFrame, StreamFrame
from ros2_raxels.tracking.frame_maker import FrameMaker
from ros2_raxels.tracking.frame_search import FrameSearch
from ros2_raxels.tracking.image_field import Mask
from ros2_raxels.tracking.inertial import Imu
from ros2_raxels.tracking.initializer import FirstSolver
from ros2_raxels.tracking.keyframe_map import KeyframeMap
from ros2_raxels.tracking.learned_look import LearnedLook
from ros2_raxels.tracking.live_map import LiveMap
from ros2_raxels.tracking.map_update import KeyframeMaker, MappingState
from ros2_raxels.tracking.metres import Metres
from ros2_raxels.tracking.metric_scale import MetricScale, Odometry
from ros2_raxels.tracking.missed_frames import MissedFrames
from ros2_raxels.tracking.motion_sensors import MotionSensors
from ros2_raxels.tracking.pose_covariance import accumulated, miss_rad
from ros2_raxels.tracking.resection import FrameSolve, FrameSolver
from ros2_raxels.tracking.start import Start
from ros2_raxels.tracking.step import Step
from ros2_raxels.tracking.step import between as step_between
from ros2_raxels.tracking.types import LostPolicy, TrackedPose, TrackerSettings, TrackState
from ros2_raxels.tracking.what_is_wrong import nearly_constant, what_is_wrong
from ros2_raxels.utils.right_of_way import RightOfWay
from ros2_raxels.utils.timing import timed

_LONG_GAP_S = 0.5
"""Between two solved frames: over a longer one a camera may have stopped and turned back."""

_LAST_OVERLAP = 0.35
"""With the last keyframe: with less, frames are found no more as they should be."""

_FEW_LEFT = 70
"""Matches of a frame with the keyframes."""

_OUT_OF_SIGHT = 0.35
"""Share of the newest keyframe that is still to be seen; with less a frame cannot be solved against it."""

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

    Attributes:
        map_remark: what of the map that was loaded last is not used, in a line; empty where all of it is.
    """

    def __init__(
        self,
        settings: TrackerSettings | None = None,
        denoiser: Denoiser | None = None,
        odometry: Odometry | None = None,
        mask: Mask | None = None,
        imu: Imu | None = None,
        rig: Rig | None = None,
        learned: LearnedLook | None = None,
    ) -> None:
        self.settings = settings or TrackerSettings()
        self._learned = learned
        self._odometry, self._imu, self._rig = odometry, imu, rig
        self._sensors = MotionSensors(odometry, imu)
        self._denoiser = denoiser
        self._matcher = Matcher(self.settings.estimator.evidence)
        # A matcher is not for use by two threads at once either, and frames need the other core.
        beside = Matcher(self.settings.estimator.evidence, threads=1) if self.settings.real_time else self._matcher
        first_estimator = Estimator(self.settings.estimator, denoiser, beside)
        self._way = RightOfWay()
        self._first_solver = FirstSolver(first_estimator, self.settings.real_time, self._way)
        self._frames = FrameMaker(self._matcher, mask, rig)
        self._solver = FrameSolver(denoiser, self.settings.sure)
        # An engine is not for use by two threads at once.
        loop_solver = FrameSolver(None, self.settings.sure) if self.settings.real_time else self._solver
        self._budget = Budget(limited=self.settings.real_time)
        self._maker = KeyframeMaker(
            self._matcher, loop_solver, self.settings.loops, self.settings.real_time, self._way, learned=learned
        )
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next frame is the new origin."""
        self._loaded: Path | None = None
        self.map_remark = ""
        self._next_number = 0
        self._frames.forget()
        self._sensors.forget()
        metric = MetricScale(self.settings.scale)
        self._go_on_in(KeyframeMap(), metric, Initialising(), np.eye(4), np.zeros((6, 6)))

    def use_rig(self, rig: Rig | None) -> None:
        """Forget everything, and go on with other cameras than those of the beginning; None for one camera alone.

        A map that was loaded is read again with these cameras.

        Raises:
            FileError: its file cannot be used any more.
        """
        self._rig, loaded = rig, self._loaded
        self._frames.use_rig(rig)
        self.reset()
        if loaded is not None:
            self.load_keyframes(loaded)

    def use_mask(self, mask: Mask | None, camera: str = "") -> None:
        """Use other pixels from the next image on.

        Args:
            mask: (height, width) of the images as given, true where they are to be used; None for everywhere.
            camera: of the rig, by name; empty for the first one.
        """
        self._frames.use_mask(mask, camera)

    def _go_on_in(
        self,
        keyframes: KeyframeMap,
        metric: MetricScale,
        state: State,
        camera_to_world: FloatArray,
        covariance: FloatArray,
    ) -> None:
        """In a map, with what is known of metres, in a state and at a pose (4x4) with its covariance (6x6)."""
        start = camera_to_world, covariance
        live = LiveMap(self.settings, self._matcher, self._maker, self._rig, metric, self._sensors, keyframes, start)
        self._live, self._state = live, state
        # It takes a second: no frame of a camera waits for that.
        learned = None if self.settings.real_time else self._learned
        self._search = FrameSearch(live, self._solver, self._budget, self.settings, learned)
        self._metres = Metres(live, self._sensors, self._odometry, self._imu)
        self._missed_frames = MissedFrames(live.mapper, self._solver)
        self._start = Start(
            live, self._metres, self._frames, self._first_solver, self.settings, self._is_blind, self._keep_missed
        )
        self._last_solve: tuple[int, FloatArray] | None = None
        self._last_seen: StreamFrame | None = None
        self._last_accepted: SolvedFrame | None = None

    @property
    def depth_trouble(self) -> str:
        """Why depths that come with frames are left out, in a line; empty where they are not. Any thread may ask."""
        return self._live.depth_trouble

    @property
    def lens_trouble(self) -> str:
        """What is wrong with how images are taken, in a line; empty where nothing is known. Any thread may ask."""
        mapper = self._live.mapper
        return "; ".join(
            filter(None, [mapper.focal_check.trouble(self._frames.stated_px), mapper.shutter_check.trouble])
        )

    @property
    def engine_id(self) -> str:
        """What it computes with, in a line."""
        return "evidence and guidance, no denoiser" if self._denoiser is None else self._denoiser.describe()

    @property
    def camera(self) -> Camera | None:
        """Intrinsics in use, of the working image (`EvidenceSettings`); a guess until there was motion."""
        return self._frames.in_use

    @property
    def sensor_remarks(self) -> tuple[str, ...]:
        """Which other sensors were left out since the last reset, and why, a line each."""
        return self._sensors.remarks

    @property
    def mapping(self) -> MappingState:
        """How the making of keyframes is; any thread may ask."""
        return self._maker.state

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
            self._live.catch_up()
        with timed(stage_s, "look"):
            takes_depths = self.settings.scale.takes_depths
            depth = depth if takes_depths and not self._live.depth_trouble else None
            self._frames.zoom = float(np.exp(self._live.mapper.focal_check.log_correction))
            frame = self._frames.make(self._next_number, image, stamp_ns, camera, depth, others, takes_depths)
        self._next_number += 1
        answer, self._state = self._step(frame, camera is not None, stage_s)
        self._last_seen = frame
        self._live.forget_matches(self._start.waiting)
        # Residuals are told in px of the image as given.
        residual_px = answer.solve.residual_px * image.shape[1] / frame.features.grey.shape[1]
        answer = replace(answer, solve=replace(answer.solve, residual_px=residual_px), number=frame.number)
        answer = self._live.completed(answer, self._frames.stated_px is not None)
        return replace(answer, up=self._metres.observe(answer))

    def _step(self, frame: StreamFrame, has_camera: bool, stage_s: dict[str, float]) -> tuple[TrackedPose, State]:
        """What a frame does in the present state: the answer, and the next state."""
        match self._state:
            case Initialising():
                return self._initialise(frame, has_camera or self._frames.is_focal_found, stage_s)
            case Tracking() as state:
                return self._follow(frame, state, stage_s)
            case Held() as state:
                return self._regain(frame, state, stage_s)
            case Lost() as state:
                return self._relocalise(frame, state, stage_s)

    # -- INITIALISING

    def _initialise(
        self, frame: StreamFrame, focal_known: bool, stage_s: dict[str, float]
    ) -> tuple[TrackedPose, State]:
        started = self._start.see(frame, focal_known, stage_s)
        if not started.has_begun:
            return started.answer, Initialising()
        if started.is_of_frame:
            return started.answer, Tracking()
        answer, state = self._follow(frame, Tracking(), stage_s)
        if not isinstance(state, Tracking):
            for on_the_way in started.since:
                self._follow(on_the_way, Tracking(), stage_s)
            answer, state = self._follow(frame, Tracking(), stage_s)
        return replace(answer, earlier=started.answer.earlier), state

    # -- TRACKING and HELD

    def _follow(self, frame: StreamFrame, state: Tracking, stage_s: dict[str, float]) -> tuple[TrackedPose, State]:
        """The frame after one that was solved."""
        solved, apart = self._search.following(frame, stage_s)
        found = self._believed(frame, solved)
        if found is None and self._makes_keyframe_of_last(frame):
            solved, apart = self._search.following(frame, stage_s)
            found = self._believed(frame, solved)
        if found is None:
            return self._miss(frame, solved, Held(0, state.apart), stage_s)
        return self._accept(frame, found, self._live.keyframes.window, state.apart, apart, stage_s)

    def _believed(self, frame: StreamFrame, solved: FrameSolve | None) -> FrameSolve | None:
        if not self._search.is_good(solved) or not self._is_likely(frame, solved):
            return None
        return solved

    def _makes_keyframe_of_last(self, frame: StreamFrame) -> bool:
        """Let the frame before become a keyframe since this one was not found; whether it is one now.

        Where images come far apart, older keyframes show little of the next one, and depths of that little are unknown.
        """
        last, live, in_making = self._last_accepted, self._live, self._maker.frame
        newest = live.keyframes.window[-1].number if in_making is None else in_making.frame.number
        if last is None or live.coming is not None or last.frame.number <= newest or self._is_blind(frame):
            return False
        # The world may have been corrected since.
        covariance = with_unit(live.motion.covariance, last.covariance[6, 6])
        live.coming = SolvedFrame(last.frame, live.motion.camera_to_world, covariance, live.motion.velocity)
        live.catch_up()
        return live.keyframes.window[-1].number == last.frame.number

    def _regain(self, frame: StreamFrame, state: Held, stage_s: dict[str, float]) -> tuple[TrackedPose, State]:
        """A frame after few that were not solved: they may have been blurred, and the camera cannot be far."""
        solved, apart = self._search.following(frame, stage_s)
        found = self._believed(frame, solved)
        if found is not None:
            after_gap = self._live.motion.since_solved_s(frame.stamp_ns) > _LONG_GAP_S
            return self._accept(frame, found, self._live.keyframes.window, state.apart, apart, stage_s, after_gap)
        if state.missed >= self.settings.lost_frames and not self._is_blind(frame):
            # Carried by other sensors for so long that the window may be out of sight.
            known, anchors, is_elsewhere = self._search.anywhere(frame, stage_s)
            if self._search.ends_loss(known) and self._is_likely(frame, known):
                return self._come_back(frame, known, anchors, is_elsewhere, stage_s)
        return self._miss(frame, solved, state, stage_s)

    def _is_likely(self, frame: StreamFrame, solved: FrameSolve) -> bool:
        """Whether a camera that has moved as this one has can be there."""
        return self._live.motion.is_likely(solved.camera_to_world, frame.stamp_ns, self._live.keyframes.unit)

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
            pose, spread = self._live.motion.steadied(solved.camera_to_world, solved.covariance, frame.stamp_ns)
            solved = replace(solved, camera_to_world=pose, covariance=spread)
        unit = self._live.keyframes.unit_of(anchors[-1])
        is_held = self._live.mapper.follows_sensors
        doubted = odds(self._live.mapper.shared.doubted(anchors[-1]))
        covariance = accumulated(
            anchors, solved.camera_to_world, solved.covariance, solved.quality, unit, is_held, doubted
        )
        self._live.model_error = self._live.model_error.seen(miss_rad(anchors[-1], solved.quality))
        step = self._step_to(frame, solved, after_gap)
        self._live.motion.solved(solved.camera_to_world, covariance[:6, :6], frame.stamp_ns, after_gap)
        with timed(stage_s, "keyframe"):
            # Thorough looks one after the other would cost more than a keyframe that ends them.
            keyframe = self._sees_little(frame) or (apart and was_apart) or self._has_little_left(solved)
        self._last_accepted = SolvedFrame(frame, solved.camera_to_world, covariance, self._live.motion.velocity)
        if keyframe:
            # It replaces one that waits: the older one would be of less use by now.
            self._live.coming = self._last_accepted
        if self._live.coming is not None and self._would_come_late(frame):
            self._live.hurry()
        quality = replace(solved.quality, confidence=solved.quality.confidence * (1.0 - doubted))
        answer = replace(solved_answer(self._live.motion, frame, quality, keyframe, stage_s), step=step)
        return answer, Tracking(apart and not keyframe)

    def _step_to(self, frame: StreamFrame, solved: FrameSolve, after_gap: bool) -> Step | None:
        """From the frame before, which was solved, with the turn by the gyro where there is one."""
        before, self._last_solve = self._last_solve, (frame.number, solved.covariance)
        seconds = self._live.motion.since_solved_s(frame.stamp_ns)
        is_first = after_gap or before is None or before[0] != frame.number - 1 or seconds <= 0
        if before is None or is_first or self._live.is_corrected:
            # In a world that has been corrected, points and keyframes have moved under the camera as well.
            return None
        motion = relative_pose(self._live.motion.camera_to_world, solved.camera_to_world)
        step = step_between(motion, seconds, before[1], solved.covariance, solved.camera_to_world)
        moved = self._live.sensed(frame.stamp_ns - round(seconds * 1e9), frame.stamp_ns).without_translation()
        return step if moved.rotation is None else step.drawn_to(moved.rotation, moved.rotation_sigma_rad)

    def _has_little_left(self, solved: FrameSolve) -> bool:
        """Whether what moves on its own leaves so little of the keyframes that a new one must come in time."""
        is_waited_for = self._live.coming is not None or self._maker.frame is not None
        few = solved.quality.correspondences < _FEW_LEFT
        return few and not is_waited_for and self._live.mapper.shared.any_doubt(self._live.keyframes.window)

    def _would_come_late(self, frame: StreamFrame) -> bool:
        """Whether a keyframe that waits for others to be completed would come when the image has moved on too far."""
        left_s = self._live.maker.left_s
        if not left_s:
            return False
        last = self._live.keyframes.window[-1]
        _, overlap = self._live.mapper.image_motion(None, frame, self.settings.keyframe_overlap)
        since_s = (frame.stamp_ns - last.frame.stamp_ns) * 1e-9
        return overlap - (1.0 - overlap) * (left_s + self._live.maker.takes_s) / since_s < _LAST_OVERLAP

    def _sees_little(self, frame: StreamFrame) -> bool:
        """Whether a frame sees so little of the last keyframe that it must become one; that is done in `improve`."""
        newest = self._live.coming or self._maker.frame
        coming = None if newest is None else newest.frame
        motion, overlap = self._live.mapper.image_motion(coming, frame, self.settings.keyframe_overlap)
        last = coming or self._live.keyframes.window[-1].frame
        since_s = (frame.stamp_ns - last.stamp_ns) * 1e-9
        # What it will be when a keyframe of this frame is there, and others are being solved against that.
        overlap -= (1.0 - overlap) * self._maker.takes_s / since_s if since_s > 0 else 0.0
        return motion > self.settings.keyframe_motion or overlap < self.settings.keyframe_overlap

    # -- LOST

    def _relocalise(self, frame: StreamFrame, state: Lost, stage_s: dict[str, float]) -> tuple[TrackedPose, State]:
        """Look for the frame near the keyframe that shows most of the same."""
        solved, anchors, is_elsewhere = self._search.anywhere(frame, stage_s)
        if not self._search.ends_loss(solved):
            return self._miss(frame, solved, state, stage_s)
        return self._come_back(frame, solved, anchors, is_elsewhere, stage_s)

    def _come_back(
        self,
        frame: StreamFrame,
        solved: FrameSolve,
        anchors: Sequence[Keyframe],
        is_elsewhere: bool,
        stage_s: dict[str, float],
    ) -> tuple[TrackedPose, State]:
        """A frame was found among all keyframes."""
        if is_elsewhere:
            self._live.go_back_to(anchors)
        return self._accept(frame, solved, anchors, False, False, stage_s, after_gap=True)

    def _miss(
        self, frame: StreamFrame, solved: FrameSolve | None, state: Held | Lost, stage_s: dict[str, float]
    ) -> tuple[TrackedPose, State]:
        """A frame without a pose, in the state that it was not solved in."""
        blind = isinstance(state, Lost) and self._is_blind(frame)
        if not blind:
            self._keep_missed([frame])
        # A covered lens is no new place: nothing is begun there, however long it takes.
        # A look for a lost camera takes long, and time is what decides, not how many of them there was time for.
        passed = self._budget.periods if isinstance(state, Lost) else 1
        missed = state.missed + (0 if blind else passed)
        unseen = state.unseen + passed if isinstance(state, Lost) else missed
        self._live.motion.missed(frame.stamp_ns, self._live.keyframes.unit, self._turn_to(frame))
        reason = few_agree(solved) + what_is_wrong(frame.features, self._live.keyframes.window[-1].features)
        reason += "; no time for a thorough look at this rate" if self._budget.refused else ""
        is_carried = isinstance(state, Held) and self._live.motion.is_carried(frame.stamp_ns, self._live.keyframes.unit)
        if missed < self.settings.lost_frames or is_carried:
            apart = state.apart if isinstance(state, Held) else False
            confidence = 0.0 if solved is None else solved.quality.confidence
            held = unsolved_answer(
                self._live.motion, frame, TrackState.HELD, f"pose held: {reason}", stage_s, confidence
            )
            if is_carried and missed >= self.settings.lost_frames and self._is_out_of_sight(frame):
                # It is known where the camera is, so that what comes next need not wait for a known place.
                self._restart(frame)
                return held, Initialising()
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
        return unsolved_answer(
            self._live.motion, frame, TrackState.LOST, f"lost for {missed} frames: {reason}", stage_s
        ), next_state

    def _is_out_of_sight(self, frame: StreamFrame) -> bool:
        """Whether a camera that sees something has been carried away from all that the last keyframe shows."""
        last = self._live.keyframes.window[-1]
        if self.settings.lost_policy is not LostPolicy.RESET or self._is_blind(frame):
            return False
        if what_is_wrong(frame.features, last.features):
            return False
        away = relative_pose(self._live.motion.camera_to_world, last.camera_to_world)
        return overlap(last.camera, frame.camera, away, self._live.keyframes.unit) < _OUT_OF_SIGHT

    def _turn_to(self, frame: StreamFrame) -> Turn | None:
        """Since the frame before, as far as both images are alike enough to tell."""
        before = self._last_seen
        if before is None or before.features.grey.shape != frame.features.grey.shape:
            return None
        if what_is_wrong(frame.features, before.features):
            return None
        return self._live.mapper.shared.turn(before, frame)

    def _keep_missed(self, frames: Iterable[StreamFrame]) -> None:
        if self.settings.history:
            self._missed_frames.keep(frames)

    def _is_blind(self, frame: StreamFrame) -> bool:
        return len(self._matcher.keypoints(frame.features).pixels) < _BLIND

    def _restart(self, frame: StreamFrame) -> None:
        """Begin anew where the camera is thought to be; the keyframes stay, and may be found again."""
        self._live.leave_trajectory()
        self._start.collect_from([frame])

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
        self._live.improve()

    # -- what is asked afterwards, and said from outside

    def pose_now(self, answer: TrackedPose) -> FloatArray:
        """camera_to_world (4x4) of an earlier answer as it is known now, after refinement and corrections.

        An answer from before a `reset` or `load_keyframes` is not to be asked for. Without `TrackerSettings.history`
        an answer whose keyframe has been thinned out stays as it was.
        """
        for own in (
            self._live.keyframes.place(KeyframePose(answer.number, np.eye(4), 0.0)),
            self._missed_frames.place(answer.number),
        ):
            if own is not None:
                return own
        placed = None if answer.keyframe_pose is None else self._live.keyframes.place(answer.keyframe_pose)
        return answer.camera_to_world if placed is None else placed

    def look_again(self) -> Iterator[bool]:
        """At the end of a recording: look for the missed frames among all keyframes; each time whether one was found.

        `pose_now` knows those that were. Without `TrackerSettings.history` there are none to look for.
        """
        self._live.finish()
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
            self._live.drop_keyframes_to_be()
        else:
            self._live.finish()
        self._live.move(camera_to_world, covariance)

    def point_up(self, up_in_camera: FloatArray) -> None:
        """Say where up is (3,), in the optical frame, for a scale from the camera's height."""
        self._live.metric.up_in_camera = up_in_camera / np.linalg.norm(up_in_camera)

    def save_keyframes(self, path: Path) -> int:
        """Write all keyframes to a file, whole or not at all; says how many.

        Raises:
            FileError: there are none, or the file cannot be written.
        """
        if not self.settings.real_time:
            self._live.finish()
        return self.keyframes_to_save(path)()

    def keyframes_to_save(self, path: Path) -> Callable[[], int]:
        """`save_keyframes` of the keyframes as they are now, to be carried out by any thread while frames go on."""
        self._live.leave_scale()
        known, rig = self._live.keyframes.copy(), self._live.mapper.rig
        sides = None if rig is None else rig.copy(self._matcher)

        def save() -> int:
            map_file.save(path, known, sides)
            return len(known.keyframes)

        return save

    def load_keyframes(self, path: Path) -> int:
        """Forget everything, take over the keyframes of a file and look for them; says how many.

        The state is LOST until a frame shows what one of them shows. With `LostPolicy.RESET` a new trajectory is begun
        if that does not come about; it is joined to the old one when a known place is seen later.

        Raises:
            FileError: the file cannot be used; nothing has changed then.
        """
        loaded = map_file.load_all(path, self._matcher, self._rig)
        known, self._loaded, self.map_remark = loaded.keyframes, path, loaded.sides.remark
        for keyframe in known.all:
            self._frames.mask_again(keyframe.features, keyframe.camera)
        # Frames are looked for with the learned prior, which the first cameras may be using.
        self._first_solver.wait()
        newest, metric = known.all[-1], self._live.metric
        known.window_numbers = list(known.keyframes)[-self.settings.window :]
        metric.adopt(known.trajectories[known.present].scale)
        self._next_number = newest.number + 1
        self._frames.zoom = 1.0
        self._frames.know(newest.camera)
        lost, anywhere = Lost(self.settings.lost_frames, 0), np.eye(6) * UNKNOWN_VARIANCE
        self._go_on_in(known, metric, lost, newest.camera_to_world, anywhere)
        if self._live.mapper.rig is not None:
            loaded.sides.given_to(self._live.mapper.rig)
        return len(known.keyframes)
