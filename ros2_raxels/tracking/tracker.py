"""Stream of frames to trajectory: states, loss and recovery, scale. Free of ROS.

A new frame is solved against the keyframes of a window, whose poses are fixed and set the scale; the inverse depths of
the tracks are solved with it. A frame that sees little of the last keyframe becomes one, and then the newest ones are
refined together. Everything found about a frame or a pair of frames is kept, nothing is computed twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.estimator import ClipEstimate, Estimator
from ros2_raxels.estimation.hypotheses import Denoiser
from ros2_raxels.estimation.inliers import FEWEST_MATCHES
from ros2_raxels.geometry.camera import PinholeCamera, ordinary_camera
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE, compounded, in_other_unit, with_unit, with_unit_variance
from ros2_raxels.geometry.poses import (
    FloatArray,
    interpolate_pose,
    inverse_pose,
    make_pose,
    relative_pose,
    rotation_angle_rad,
)
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.tracking import map_file
from ros2_raxels.tracking.frame import KeyframePose, StreamFrame, beside, scaled_about
from ros2_raxels.tracking.keyframe_map import KeyframeMap, MapSettings
from ros2_raxels.tracking.loop_closure import LoopCloser
from ros2_raxels.tracking.map_file import Keyframes
from ros2_raxels.tracking.metric_scale import MetricScale, Odometry, ScaleSource
from ros2_raxels.tracking.relocalization import MissedFrames
from ros2_raxels.tracking.resection import FrameSolve, FrameSolver, orthogonal
from ros2_raxels.tracking.types import LostPolicy, Motion, TrackedPose, TrackerSettings, TrackState
from ros2_raxels.utils.timing import timed

_LEAST_STEP = 1e-3
"""Of the scene's depth: what a camera moves at least from frame to frame where nothing else is known."""

_LEAST_TURN_RAD = 0.02
"""The same for turns."""

_LEAST_REACH = 0.2
_BLIND = 20
_BLURRED = 0.25
_LIGHT = 1.6
_MOTION_FRAMES = 10
_MOST_STEPS = 5.0
_STILL_PARALLAX, _STILL_RAD = 0.004, 0.004
_TURN_RAD, _TURN_PARALLAX = 0.02, 0.15


class Tracker:
    """Poses for a stream of frames of one camera.

    Raises nothing for bad *content* (black, blurred, unrelated images): that is a state. Raises ValueError for images
    of the wrong shape or dtype.

    Args:
        settings: see there.
        denoiser: the learned prior for the first cameras, and for frames that constant velocity explains badly; None
            leaves two-view geometry alone with them.
        odometry: where the scale is to come from odometry, what that says.
    """

    def __init__(
        self,
        settings: TrackerSettings | None = None,
        denoiser: Denoiser | None = None,
        odometry: Odometry | None = None,
    ) -> None:
        self.settings = settings or TrackerSettings()
        self._odometry = odometry
        self._denoiser = denoiser
        self._estimator = Estimator(self.settings.estimator, denoiser)
        self._matcher = self._estimator.matcher
        self._solver = FrameSolver(denoiser, self.settings.sure)
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next frame is the new origin."""
        self._next_number = 0
        self._camera: PinholeCamera | None = None
        self._focal_found = False
        self._metric = MetricScale(self.settings.scale)
        self._pending: list[StreamFrame] = []
        self._use_new_map()
        self._stand_at(np.eye(4), np.zeros((6, 6)))

    def _use_new_map(self) -> None:
        s = self.settings
        self._map = KeyframeMap(self._matcher, MapSettings(s.window, s.bundle, s.stored_keyframes, s.history))
        self._loops = LoopCloser(self._map, self._solver, self._matcher)
        self._missed_frames = MissedFrames(self._map, self._solver)
        self._coming: StreamFrame | None = None

    def _stand_at(self, pose: FloatArray, covariance: FloatArray) -> None:
        """Begin there, with nothing known of the motion."""
        self._pose, self._covariance = pose, covariance
        self._motion: FloatArray = np.eye(4)
        self._motion_ns = self._solved_ns = 0
        self._lately: deque[FloatArray] = deque(maxlen=_MOTION_FRAMES)
        self._bad_frames = self._unseen_frames = 0
        self._was_apart = False
        self._corrected = False

    @property
    def engine_id(self) -> str:
        """What it computes with, in a line."""
        return "evidence and guidance, no denoiser" if self._denoiser is None else self._denoiser.describe()

    @property
    def camera(self) -> PinholeCamera | None:
        """Intrinsics in use, of the image that is worked on (`EvidenceSettings`); a guess until there was motion."""
        return self._camera

    def track(
        self,
        image: npt.NDArray[np.uint8],
        stamp_ns: int,
        camera: PinholeCamera | None,
    ) -> TrackedPose:
        """Pose of one frame.

        Args:
            image: (height, width) or (height, width, 3) RGB, uint8.
            stamp_ns: copied into the answer.
            camera: intrinsics of this image; None lets the focal length be estimated.

        Raises:
            ValueError: an image of the wrong shape or dtype, or a camera of another size than its image.
        """
        if camera is not None and image.shape[:2] != (camera.height, camera.width):
            raise ValueError(
                f"image is {image.shape[1]}x{image.shape[0]} px but its camera is {camera.width}x{camera.height} px; "
                "use the calibration of this resolution"
            )
        stage_s: dict[str, float] = {}
        with timed(stage_s, "improve"):
            self.improve()
        with timed(stage_s, "look"):
            features = self._matcher.look(image)
            camera = None if camera is None else features.working_camera(camera)
        frame = StreamFrame(self._next_number, stamp_ns, features, self._intrinsics(features, camera), self._pose)
        self._next_number += 1
        if not self._map.window:
            answer = self._initialise(frame, stamp_ns, camera is not None, stage_s)
        else:
            answer = self._follow(frame, stamp_ns, stage_s)
        self._map.forget_all_but((*self._pending, *(() if self._coming is None else (self._coming,))))
        answer = self._completed(answer, image.shape[1] / features.grey.shape[1])
        if answer.state is TrackState.TRACKING:
            self._observe_scale(stamp_ns)
        return answer

    def _completed(self, answer: TrackedPose, enlarged: float) -> TrackedPose:
        """What belongs to every answer: motion, scale, and residuals in px of the image as given."""
        corrected, self._corrected = self._corrected, False
        return replace(
            answer,
            residual_px=answer.residual_px * enlarged,
            corrected=corrected,
            motion=self._recent_motion() if answer.state is TrackState.TRACKING else Motion.UNKNOWN,
            scale=self._metric.scale,
            number=self._next_number - 1,
            keyframe_pose=beside(self._map.window[-1], answer.camera_to_world) if self._map.window else None,
        )

    def pose_now(self, answer: TrackedPose) -> FloatArray:
        """camera_to_world (4x4) of an earlier answer, as it is known by now: keyframes have been refined and corrected.

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
        """At the end of a recording: look for the frames that were missed among all keyframes; each time whether found.

        `pose_now` knows those that were. Without `TrackerSettings.history` there are none to look for.
        """
        self.improve()
        for found in self._missed_frames.look_again(self._next_number):
            self._next_number += found
            yield found

    @property
    def missed(self) -> int:
        """How many frames `look_again` has to look for."""
        return len(self._missed_frames)

    def improve(self) -> None:
        """Make a keyframe of the last frame if it is to be one, refine the newest ones together, look for loops.

        To be called when there is time, after the pose has been passed on; `track` catches up on what was left undone.
        """
        frame, self._coming = self._coming, None
        if frame is None:
            return
        before = self._map.window[-1]
        self._map.add(frame)
        if self.settings.scale.source is ScaleSource.HEIGHT:
            step = relative_pose(frame.camera_to_world, before.camera_to_world)[:3, 3]
            self._metric.see_ground(self._map.shared.points(frame), step)
        grown = self._close_loops(frame) if self.settings.loops else None
        if grown is not None:
            self._motion = scaled_about(self._motion, grown, np.zeros(3))
            self._lately.clear()
            self._corrected = True
        self._pose, self._covariance = frame.camera_to_world, frame.covariance[:6, :6]

    def _close_loops(self, frame: StreamFrame) -> float | None:
        """Factor by which distances around the newest keyframe have grown; None when no loop was closed."""
        self._leave_scale()
        before = len(self._map.trajectories)
        grown = self._loops.close(frame)
        if grown is None:
            return None
        joined = self._map.trajectories[self._map.present].scale
        if len(self._map.trajectories) < before and joined.is_metric:
            self._metric.adopt(joined)
        else:
            self._metric.see_growth(grown)
        return grown

    def _leave_scale(self) -> None:
        """Tell the map what is known of metres in the present trajectory."""
        self._map.trajectories[self._map.present].scale = self._metric.scale

    def set_pose(self, camera_to_world: FloatArray, covariance: FloatArray) -> None:
        """Say where the camera of the newest frame is: the world is moved, nothing is forgotten.

        Args:
            camera_to_world: 4x4, in the unit of the trajectory.
            covariance: 6x6 of (translation, rotation about the world's axes).
        """
        self.improve()
        self._map.move(camera_to_world @ inverse_pose(self._pose))
        for frame in self._pending:
            frame.camera_to_world = camera_to_world
        for frame in self._map.all:
            spread = with_unit(covariance, frame.covariance[6, 6])
            frame.covariance = compounded(spread, camera_to_world, frame.camera_to_world)
        self._pose, self._covariance = camera_to_world, covariance
        self._metric.forget_path()
        self._lately.clear()
        self._corrected = True

    def point_up(self, up_in_camera: FloatArray) -> None:
        """Say where up is (3,), in the optical frame, for a scale from the camera's height."""
        self._metric.up_in_camera = up_in_camera / np.linalg.norm(up_in_camera)

    def save_keyframes(self, path: Path) -> int:
        """Write all keyframes to a file, whole or not at all; says how many.

        Raises:
            FileError: there are none, or the file cannot be written.
        """
        self.improve()
        frames = self._map.all
        self._leave_scale()
        map_file.save(path, Keyframes(frames, self._map.loops, self._map.trajectories))
        return len(frames)

    def load_keyframes(self, path: Path) -> int:
        """Forget everything, take over the keyframes of a file and look for them; says how many.

        The state is LOST until a frame shows what one of them shows. With `LostPolicy.RESET` a new trajectory is begun
        if that does not come about; it is joined to the old one when known ground is seen later.

        Raises:
            FileError: the file cannot be used; nothing has changed then.
        """
        known = map_file.load(path, self._matcher)
        frames = known.frames
        self._use_new_map()
        self._map.restore(frames, known.loops, known.trajectories)
        self._metric.adopt(known.trajectories[self._map.present].scale)
        self._pending, self._next_number = [], frames[-1].number + 1
        self._camera, self._focal_found = frames[-1].camera, True
        self._stand_at(frames[-1].camera_to_world, np.eye(6) * UNKNOWN_VARIANCE)
        self._bad_frames = self.settings.lost_frames
        return len(frames)

    def _intrinsics(self, features: Features, given: PinholeCamera | None) -> PinholeCamera:
        if given is not None:
            self._camera = given
        height, width = features.grey.shape
        if self._camera is None or (self._camera.height, self._camera.width) != (height, width):
            self._camera, self._focal_found = ordinary_camera(width, height), False
        return self._camera

    # -- start

    def _initialise(
        self, frame: StreamFrame, stamp_ns: int, focal_known: bool, stage_s: dict[str, float]
    ) -> TrackedPose:
        if not self._pending:
            self._pending.append(frame)
            return self._unsolved(stamp_ns, TrackState.INITIALISING, "first frame; waiting for motion", stage_s)
        with timed(stage_s, "evidence"):
            motion, overlap = self._map.shared.image_motion(self._pending[0], frame)
        waiting = len(self._pending)
        self._pending.append(frame)
        enough = self.settings.start_motion / (4.0 if waiting >= self.settings.start_frames else 1.0)
        if overlap < 0.15 and waiting == 1:
            enough = 0.0
        if motion < enough and overlap > 0.3:
            self._pending = _spread_out(self._pending, self.settings.start_frames)
            reason = f"image moved {100 * motion:.1f} % of its width; {100 * enough:.1f} % needed to start"
            return self._unsolved(stamp_ns, TrackState.INITIALISING, reason, stage_s)
        return self._start(frame, stamp_ns, focal_known or self._focal_found, stage_s)

    def _start(self, frame: StreamFrame, stamp_ns: int, focal_known: bool, stage_s: dict[str, float]) -> TrackedPose:
        chosen = _spread_out(self._pending, self.settings.window + 1)
        cameras = [f.camera for f in chosen] if focal_known else None
        with timed(stage_s, "solve"):
            clip = self._estimator.estimate_seen([f.features for f in chosen], cameras)
        confidence = float(clip.confidence[-1])
        if confidence < self.settings.confidence_min:
            # The oldest frames may no longer overlap with the newest: start again from the middle.
            half = len(self._pending) // 2
            if self.settings.history:
                self._missed_frames.keep(self._pending[:half])
            self._pending = self._pending[half:]
            reason = f"first cameras are too uncertain (confidence {confidence:.2f}); move sideways, not only turn"
            return self._unsolved(stamp_ns, TrackState.INITIALISING, reason, stage_s)
        self._camera, self._focal_found = clip.cameras[-1], True
        self._place(chosen, clip, self._metric.begin())
        earlier = _between(self._pending[:-1], chosen)
        self._pending = []
        self._stand_at(frame.camera_to_world, chosen[-1].covariance[:6, :6])
        self._solved_ns = stamp_ns
        return TrackedPose(
            stamp_ns,
            self._pose,
            self._covariance,
            TrackState.TRACKING,
            confidence,
            float(np.nan_to_num(clip.residual_px[-1])),
            int(clip.observations[-1]),
            int(clip.inliers[-1]),
            float(clip.spread_rotation_rad[-1]),
            float(np.linalg.norm((frame.camera_to_world - self._map.origin)[:3, 3]) * clip.spread_direction_rad[-1]),
            True,
            earlier=earlier,
            stage_s=stage_s,
        )

    def _place(self, frames: Sequence[StreamFrame], clip: ClipEstimate, unit: float) -> None:
        """Clip units to world units: the median depth becomes `unit`, also where a trajectory restarts."""
        depth = clip.inverse_depth[(clip.evidence.anchor == 0) & (clip.inverse_depth > 0)]
        scale = unit * (float(np.median(depth)) if len(depth) else 1.0)
        first_to_world = frames[0].camera_to_world
        covariance = with_unit(self._covariance + _isotropic(clip, unit), 0.0)
        for frame, pose, camera in zip(frames, clip.camera_to_first, clip.cameras, strict=True):
            moved = make_pose(pose[:3, :3], pose[:3, 3] * scale)
            frame.camera_to_world, frame.camera, frame.covariance = first_to_world @ moved, camera, covariance
        self._map.begin(frames, unit)
        self._map.shared.learn(frames, clip.evidence, clip.inverse_depth / scale, clip.inverse_depth > 0)

    # -- following

    def _follow(self, frame: StreamFrame, stamp_ns: int, stage_s: dict[str, float]) -> TrackedPose:
        lost = self._bad_frames >= self.settings.lost_frames
        anchors = self._known_ground(frame) if lost else self._map.window
        solved, apart = self._solve_expected(frame, stage_s), False
        if solved is None and not lost:
            solved, apart = self._solve_at_a_glance(frame, stage_s)
        if solved is None:
            solved = self._solve_thoroughly(frame, anchors, stage_s)
        if solved is None or solved.confidence < self.settings.confidence_min:
            return self._missed(frame, stamp_ns, solved, stage_s)
        if lost:
            self._go_back_to(anchors)
        self._motion = inverse_pose(self._pose) @ solved.camera_to_world if self._bad_frames == 0 else np.eye(4)
        self._motion_ns, self._solved_ns = stamp_ns - self._solved_ns, stamp_ns
        self._bad_frames = self._unseen_frames = 0
        frame.camera_to_world = solved.camera_to_world
        frame.covariance = _accumulated(anchors, frame, solved.covariance)
        self._pose, self._covariance = frame.camera_to_world, frame.covariance[:6, :6]
        self._lately.append(self._pose)
        with timed(stage_s, "keyframe"):
            keyframe = self._is_keyframe(frame, apart)
        return TrackedPose(
            stamp_ns,
            self._pose,
            self._covariance,
            TrackState.TRACKING,
            solved.confidence,
            solved.residual_px,
            solved.correspondences,
            solved.inliers,
            solved.spread_rotation_rad,
            solved.spread_translation,
            keyframe,
            stage_s=stage_s,
        )

    def _is_keyframe(self, frame: StreamFrame, apart: bool) -> bool:
        """Whether it sees so little of the last keyframe that it must become one; that is done in `improve`."""
        motion, overlap = self._map.shared.image_motion(self._map.window[-1], frame)
        keyframe = motion > self.settings.keyframe_motion or overlap < self.settings.keyframe_overlap
        # Thorough looks one after the other would cost more than a keyframe that ends them.
        keyframe |= apart and self._was_apart
        self._was_apart = apart and not keyframe
        if keyframe:
            self._coming = frame
        return keyframe

    def _expected_pose(self, stamp_ns: int) -> FloatArray:
        """Where constant velocity leads; over a gap of frames further than from one to the next."""
        elapsed_ns = stamp_ns - self._solved_ns
        steps = elapsed_ns / self._motion_ns if elapsed_ns > 0 and self._motion_ns > 0 else 1.0
        return orthogonal(self._pose @ interpolate_pose(np.eye(4), self._motion, min(steps, _MOST_STEPS)))

    def _expected_step(self, anchor: StreamFrame, stamp_ns: int) -> float:
        """How far constant velocity leads away from a keyframe."""
        step = float(np.linalg.norm(anchor.camera_to_world[:3, 3] - self._expected_pose(stamp_ns)[:3, 3]))
        return max(step, _LEAST_STEP * self._map.unit_of(anchor))

    def _solve_expected(self, frame: StreamFrame, stage_s: dict[str, float]) -> FrameSolve | None:
        """Where constant velocity leads; None unless what is seen there agrees with it well."""
        if self._bad_frames:
            return None
        expected, window, shared = self._expected_pose(frame.stamp_ns), self._map.window, self._map.shared
        with timed(stage_s, "evidence"):
            evidence = shared.expected(window, frame, expected)
        if evidence is None or len(evidence.anchor) < FEWEST_MATCHES:
            return None
        with timed(stage_s, "solve"):
            solved = self._solver.solve_from([expected], window, evidence)
        if solved.confidence < self.settings.sure:
            shared.forget_pairs(frame)
            return None
        shared.learn(window, evidence, solved.inverse_depth, solved.agrees)
        return solved

    def _solve_at_a_glance(self, frame: StreamFrame, stage_s: dict[str, float]) -> tuple[FrameSolve | None, bool]:
        """From coarse flow, and whether frame and keyframes are apart; None where they are and it is not sure."""
        window = self._map.window
        with timed(stage_s, "evidence"):
            evidence, reach = self._map.shared.glance(window, frame)
        apart = reach < self.settings.keyframe_overlap
        if reach < _LEAST_REACH:
            return None, apart
        return self._solve_from_evidence(frame, window, evidence, stage_s, alone=apart), apart

    def _solve_thoroughly(
        self, frame: StreamFrame, anchors: Sequence[StreamFrame], stage_s: dict[str, float]
    ) -> FrameSolve | None:
        with timed(stage_s, "evidence"):
            evidence = self._map.shared.between(anchors, frame)
        return self._solve_from_evidence(frame, anchors, evidence, stage_s)

    def _solve_from_evidence(
        self,
        frame: StreamFrame,
        anchors: Sequence[StreamFrame],
        evidence: Evidence,
        stage_s: dict[str, float],
        alone: bool = False,
    ) -> FrameSolve | None:
        """From constant velocity, standing still and, after a loss, known ground.

        `alone` tries no others, and takes nothing that is not sure.
        """
        starts = [self._expected_pose(frame.stamp_ns), self._pose]
        if self._bad_frames >= self.settings.lost_frames:
            starts.append(anchors[-1].camera_to_world)
        with timed(stage_s, "solve"):
            if alone:
                enough = len(evidence.anchor) >= FEWEST_MATCHES
                solved = self._solver.solve_from(starts, anchors, evidence) if enough else None
            else:
                step = self._expected_step(anchors[-1], frame.stamp_ns)
                solved = self._solver.solve(starts, anchors, evidence, step)
        if alone and solved is not None and solved.confidence < self.settings.sure:
            return None
        if solved is not None and solved.confidence >= self.settings.confidence_min:
            self._map.shared.learn(anchors, evidence, solved.inverse_depth, solved.agrees)
        return solved

    # -- loss

    def _missed(
        self, frame: StreamFrame, stamp_ns: int, solved: FrameSolve | None, stage_s: dict[str, float]
    ) -> TrackedPose:
        blind = self._bad_frames >= self.settings.lost_frames and self._is_blind(frame)
        if self.settings.history and not blind:
            self._missed_frames.keep([frame])
        # A covered lens is no new place: nothing is begun there, however long it takes.
        self._bad_frames += 0 if blind else 1
        self._unseen_frames += 1
        self._covariance = self._covariance + self._growth(self._unseen_frames)
        confidence = solved.confidence if solved else 0.0
        reason = f"{solved.inliers if solved else 0} of {solved.correspondences if solved else 0} matches agree"
        reason += _what_is_wrong(frame, self._map.window[-1])
        if self._bad_frames < self.settings.lost_frames:
            return self._unsolved(stamp_ns, TrackState.HELD, f"pose held: {reason}", stage_s, confidence)
        give_up = self.settings.lost_frames + self.settings.restart_frames
        if self.settings.lost_policy is LostPolicy.RESET and self._bad_frames >= give_up:
            self._restart(frame)
            reason = "a new trajectory begins here"
        if blind:
            reason = "nothing to be seen (covered lens, darkness, blank wall)"
        return self._unsolved(stamp_ns, TrackState.LOST, f"lost for {self._bad_frames} frames: {reason}", stage_s)

    def _growth(self, frames: int) -> FloatArray:
        """6x6 covariance that the last of so many frames without a solve adds.

        The velocity is what is not known, so the standard deviation grows with the frames and not with their root; the
        motion before the loss is the best guess of how fast.
        """
        step = max(float(np.linalg.norm(self._motion[:3, 3])), _LEAST_STEP * self._map.unit)
        turn_rad = max(float(rotation_angle_rad(self._motion[:3, :3])), _LEAST_TURN_RAD)
        return (2 * frames - 1) * np.diag([step**2] * 3 + [turn_rad**2] * 3)

    def _is_blind(self, frame: StreamFrame) -> bool:
        return len(self._matcher.keypoints(frame.features).pixels) < _BLIND

    def _restart(self, frame: StreamFrame) -> None:
        """Begin anew where the camera is thought to be; what was known stays, and may be found again."""
        self._leave_scale()
        self._map.end_trajectory()
        self._motion = np.eye(4)
        self._lately.clear()
        self._pending = [frame]

    def _known_ground(self, frame: StreamFrame) -> list[StreamFrame]:
        """The keyframe that shows most of what the frame shows, and its neighbours."""
        best, _ = self._map.like(frame)
        return self._map.around(best or self._map.window[-1])

    def _go_back_to(self, anchors: Sequence[StreamFrame]) -> None:
        """Known ground after a loss, in the unit of its trajectory, which may be in metres where the last was not."""
        self._leave_scale()
        left = self._map.present
        self._map.go_back_to(anchors)
        if self._map.present == left:
            self._metric.forget_lengths()
        else:
            self._metric.adopt(self._map.trajectories[self._map.present].scale)
        self._lately.clear()
        self._corrected = True

    def _unsolved(
        self, stamp_ns: int, state: TrackState, message: str, stage_s: dict[str, float], confidence: float = 0.0
    ) -> TrackedPose:
        covariance = self._covariance if state is TrackState.HELD else np.eye(6) * UNKNOWN_VARIANCE
        return TrackedPose(stamp_ns, self._pose, covariance, state, confidence, message=message, stage_s=stage_s)

    # -- motion and scale

    def _recent_motion(self) -> Motion:
        """Over the last frames: parallax is the distance over the depth of the scene."""
        if len(self._lately) < 2:
            return Motion.UNKNOWN
        moved = relative_pose(self._lately[0], self._lately[-1])
        parallax, turn = float(np.linalg.norm(moved[:3, 3])) / self._map.unit, float(rotation_angle_rad(moved[:3, :3]))
        if parallax < _STILL_PARALLAX and turn < _STILL_RAD:
            return Motion.STILL
        return Motion.TURNING if turn > _TURN_RAD and parallax < _TURN_PARALLAX * turn else Motion.MOVING

    def _observe_scale(self, stamp_ns: int) -> None:
        """Learn about metres, and make the world grow where they say so; not from turns on the spot."""
        if self.settings.scale.source is ScaleSource.ODOM and self._odometry is not None:
            self._metric.see_odometry(stamp_ns, self._pose, self._odometry, self._map.unit)
        was_metric = self._metric.scale.is_metric
        correction = self._metric.correction(self._pose[:3, 3].copy(), self._map.origin[:3, 3].copy())
        if correction is None:
            return
        factor, centre = correction
        self._map.rescale(factor, centre)
        self._pose = scaled_about(self._pose, factor, centre)
        if self._coming is not None:
            self._coming.camera_to_world = self._pose
            self._coming.covariance = in_other_unit(self._coming.covariance, factor)
        self._motion = scaled_about(self._motion, factor, np.zeros(3))
        self._lately.clear()
        self._corrected |= not was_metric
        variance = self._metric.scale.sigma**2
        for frame in (*self._map.window, *(() if self._coming is None else (self._coming,))):
            frame.covariance = with_unit_variance(frame.covariance, variance)
        self._covariance = in_other_unit(with_unit(self._covariance, 0.0), factor)[:6, :6]


def _accumulated(anchors: Sequence[StreamFrame], frame: StreamFrame, covariance: FloatArray) -> FloatArray:
    """7x7 since the trajectory began, of a frame that was solved with a covariance (6, 6) against keyframes."""
    last = anchors[-1]
    # What the frame adds to what is known of the unit: the error of a baseline over its length.
    baseline = max(float(np.linalg.norm(frame.camera_to_world[:3, 3] - a.camera_to_world[:3, 3])) for a in anchors)
    unit = min(float(np.trace(covariance[:3, :3])) / max(baseline, 1e-9) ** 2, 1.0)
    return compounded(last.covariance, last.camera_to_world, frame.camera_to_world) + with_unit(covariance, unit)


def _what_is_wrong(frame: StreamFrame, last: StreamFrame) -> str:
    """Likely reasons in the image itself, in words; empty for none."""
    seen, known = frame.features.grey.astype(np.float32), last.features.grey.astype(np.float32)
    light = float((seen.mean() + 1.0) / (known.mean() + 1.0))
    if not 1.0 / _LIGHT < light < _LIGHT:
        return f"; the image is {light:.2g} times as bright as the last keyframe"
    sharpness = float(_edges(seen) / max(_edges(known), 1e-6))
    if sharpness < _BLURRED:
        return f"; the image is blurred ({100 * sharpness:.0f} % of the last keyframe's edges)"
    return ""


def _edges(grey: FloatArray) -> float:
    return float(np.diff(grey, axis=1).var() + np.diff(grey, axis=0).var())


def _between(frames: Sequence[StreamFrame], solved: Sequence[StreamFrame]) -> tuple[tuple[int, FloatArray], ...]:
    """Poses of all frames by time between the solved ones: they lie a few frames apart, where motion is smooth."""
    poses = []
    for frame in frames:
        after = next((s for s in solved if s.number >= frame.number), solved[-1])
        before = next((s for s in reversed(solved) if s.number <= frame.number), solved[0])
        gap = max(after.stamp_ns - before.stamp_ns, 1)
        share = min(max((frame.stamp_ns - before.stamp_ns) / gap, 0.0), 1.0)
        poses.append((frame.stamp_ns, interpolate_pose(before.camera_to_world, after.camera_to_world, share)))
    return tuple(poses)


def _spread_out(frames: Sequence[StreamFrame], count: int) -> list[StreamFrame]:
    """At most `count` of them, evenly spread in time, the first and last among them."""
    if len(frames) <= count:
        return list(frames)
    return [frames[k] for k in np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))]


def _isotropic(clip: ClipEstimate, unit: float) -> FloatArray:
    """Covariance of the first solve: the spread of its hypotheses, and at least a percent of the scene's depth."""
    rotation = max(float(clip.spread_rotation_rad.max()), 0.005)
    translation = max(0.01, 0.1 * float(clip.spread_direction_rad.max())) * unit
    return np.diag([translation**2] * 3 + [rotation**2] * 3)
