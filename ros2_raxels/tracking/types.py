"""What the tracker is told and what it answers."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

from ros2_raxels.estimation.bundle_adjustment import RefineSettings
from ros2_raxels.estimation.estimator import EstimatorSettings
from ros2_raxels.geometry.poses import (
    FloatArray,
)
from ros2_raxels.matching.tracks import EvidenceSettings
from ros2_raxels.tracking.frame import KeyframePose
from ros2_raxels.tracking.gravity import Up
from ros2_raxels.tracking.metric_scale import Scale, ScaleSettings
from ros2_raxels.tracking.step import Step

_STREAM = EstimatorSettings(
    evidence=EvidenceSettings(keypoint_reach=0.5),
    # The first cameras fix depths and scale for all that follow; wrong matches within a px or two would bend them.
    refine=RefineSettings(widths_px=(6.0, 4.0, 3.0, 2.0, 1.0, 0.6), iterations=14),
    moving=False,
)


class TrackState(enum.IntEnum):
    """Values equal ``raxels_interfaces/msg/PoseStatus.STATE_*``."""

    WAITING = 0
    INITIALISING = 1
    TRACKING = 2
    HELD = 3
    LOST = 4


class Motion(enum.IntEnum):
    """What the camera has been doing; values equal ``raxels_interfaces/msg/PoseStatus.MOTION_*``."""

    UNKNOWN = 0
    STILL = 1
    TURNING = 2
    MOVING = 3


class LostPolicy(str, enum.Enum):
    """What happens while tracking is lost. Under all of them a frame that shows a known place ends the loss."""

    STOP = "stop"
    """No pose."""
    HOLD = "hold"
    """The last pose, with unknown covariance."""
    RESET = "reset"
    """The same, and after a while a new trajectory is begun where the last one ended."""


STATED_PLACE, STATED_RAD = 0.1, math.radians(2.0)
"""Error within which a pose is by its confidence: a share of the scene's depth, and an angle."""


@dataclass(frozen=True)
class SolveQuality:
    """How well the evidence agrees with a pose.

    Attributes:
        confidence: 0 (a guess) to 1: share of the correspondences that agree, less where those are few.
        residual_px: median reprojection error of the inliers; NaN without any.
        correspondences, inliers: how many the solve was given, and how many agree with it.
        spread_rotation_rad, spread_translation: largest distance to a rival hypothesis that explains the frame almost
            as well; translation in pose units.
    """

    confidence: float = 0.0
    residual_px: float = 0.0
    correspondences: int = 0
    inliers: int = 0
    spread_rotation_rad: float = 0.0
    spread_translation: float = 0.0


@dataclass(frozen=True)
class TrackedPose:
    """The answer for one frame.

    Attributes:
        stamp_ns: the image's stamp, as given.
        camera_to_world: 4x4; world is the optical frame of the first frame that the trajectory could start from.
        covariance: 6x6 of (x, y, z, rotation about world x, y, z), in pose units and rad; 9999 on the diagonal of
            what is not known.
        state: see `TrackState`; TRACKING is the only state in which the pose is a fresh estimate. Before there are
            depths it is TRACKING while the camera stands or turns, as far as the images tell.
        solve: how well the frame was solved, residuals in px of the image as given.
        keyframe: whether this frame is to become one; in real time a newer one may take its place.
        corrected: the world has been corrected since the last frame (loop, scale, first depths, a pose set from
            outside): the step from the last pose to this one is no motion.
        motion: what the camera has been doing over the last frames.
        has_depth: whether there are points whose depths are known. A camera that stands or turns has a pose before.
        scale: whether poses are in metres.
        number: of the frame in the stream.
        keyframe_pose: the pose told beside a keyframe; None before there is one. See `Tracker.pose_now`.
        earlier: (stamp_ns, camera_to_world) of the frames before the first depths, as they are known now.
        up: against gravity, by an IMU; None while that is not known.
        step: from the frame before, where both were solved one after the other; None otherwise.
        credibility: probability, by the covariance, that the pose is within `stated` and `STATED_RAD`.
        stated: error of the place that the confidence speaks of, in pose units.
        message: why the state is not TRACKING, or why there are no depths yet, in words; empty otherwise.
        stage_s: wall time of each stage ("look", "evidence", "solve", ...), s.
    """

    stamp_ns: int
    camera_to_world: FloatArray
    covariance: FloatArray
    state: TrackState
    solve: SolveQuality = SolveQuality()
    keyframe: bool = False
    corrected: bool = False
    motion: Motion = Motion.UNKNOWN
    has_depth: bool = True
    scale: Scale = field(default_factory=Scale)
    number: int = 0
    keyframe_pose: KeyframePose | None = None
    earlier: tuple[tuple[int, FloatArray], ...] = ()
    up: Up | None = None
    step: Step | None = None
    credibility: float = 1.0
    stated: float = STATED_PLACE
    message: str = ""
    stage_s: dict[str, float] = field(default_factory=dict)

    @property
    def confidence(self) -> float:
        """Probability that the pose is within the stated error: that of the solve, times that of its covariance."""
        return self.solve.confidence * self.credibility


@dataclass(frozen=True)
class TrackerSettings:
    """What a user may tune; defaults are for a robot.

    Attributes:
        confidence_min: below it a frame counts as not tracked.
        sure: above it the first solve of a frame is taken without trying other starts.
        lost_frames: so many frames in a row below `confidence_min` mean LOST.
        window: keyframes that a new frame is solved against.
        bundle: newest keyframes that are refined together.
        start_motion: image motion, as a share of the image width, after which the first cameras are solved.
        start_frames: they are solved after so many frames too, if the image moved by a quarter of that.
        keyframe_motion: image motion since the last keyframe, as a share of the image width, that makes a new one.
        keyframe_overlap: so does seeing less than this share of the last keyframe.
        stored_keyframes: older keyframes kept for recovery after a loss.
        restart_frames: after so many frames LOST, in which there was something to be seen, a new trajectory is begun
            where the last one ended, if `lost_policy` says so.
        lost_policy: see there.
        scale: where metres come from.
        loops: whether loop closures correct drift.
        history: whether `Tracker.pose_now` knows all answers, and `Tracker.look_again` the frames that were missed;
            memory then grows with the length of the recording.
        real_time: whether frames come at their own rate. Then keyframes are made by a thread of their own while frames
            go on; otherwise between two frames, so that the answers are the same each time.
        estimator: the stages below.
    """

    confidence_min: float = 0.2
    sure: float = 0.6
    lost_frames: int = 5
    window: int = 3
    bundle: int = 7
    start_motion: float = 0.05
    start_frames: int = 20
    keyframe_motion: float = 0.08
    keyframe_overlap: float = 0.5
    stored_keyframes: int = 300
    restart_frames: int = 30
    lost_policy: LostPolicy = LostPolicy.RESET
    scale: ScaleSettings = field(default_factory=ScaleSettings)
    loops: bool = True
    history: bool = False
    real_time: bool = False
    estimator: EstimatorSettings = _STREAM
