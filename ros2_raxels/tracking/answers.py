"""What is answered for a frame, by what is known of the camera's motion."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.tracking.frame import StreamFrame
from ros2_raxels.tracking.motion_model import MotionModel
from ros2_raxels.tracking.resection import FrameSolve
from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackState


def solved_answer(
    motion: MotionModel, frame: StreamFrame, quality: SolveQuality, keyframe: bool, stage_s: dict[str, float]
) -> TrackedPose:
    """Of a frame that was solved, whose pose the motion knows already."""
    pose, covariance = motion.camera_to_world, motion.covariance
    return TrackedPose(frame.stamp_ns, pose, covariance, TrackState.TRACKING, quality, keyframe, stage_s=stage_s)


def unsolved_answer(
    motion: MotionModel,
    frame: StreamFrame,
    state: TrackState,
    message: str,
    stage_s: dict[str, float],
    confidence: float = 0.0,
) -> TrackedPose:
    """Of a frame that was not: where it is thought to be, with a covariance that says what that is worth."""
    covariance = motion.covariance if state is TrackState.HELD else np.eye(6) * UNKNOWN_VARIANCE
    pose, quality = motion.camera_to_world, SolveQuality(confidence)
    has_depth = state is not TrackState.INITIALISING
    return TrackedPose(
        frame.stamp_ns, pose, covariance, state, quality, has_depth=has_depth, message=message, stage_s=stage_s
    )


def few_agree(solved: FrameSolve | None) -> str:
    """Why a frame was not solved, by its matches."""
    inliers, correspondences = (0, 0) if solved is None else (solved.quality.inliers, solved.quality.correspondences)
    return f"{inliers} of {correspondences} matches agree"
