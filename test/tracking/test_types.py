"""types: what an answer makes of its parts."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackState


@pytest.mark.parametrize(("solve", "credibility", "confidence"), [(0.9, 1.0, 0.9), (0.9, 0.5, 0.45), (0.0, 1.0, 0.0)])
def test_a_pose_is_right_if_its_solve_is_and_what_it_was_solved_against(
    solve: float, credibility: float, confidence: float
) -> None:
    pose, covariance = np.eye(4), np.zeros((6, 6))
    answer = TrackedPose(1, pose, covariance, TrackState.TRACKING, SolveQuality(solve), credibility=credibility)
    assert answer.confidence == pytest.approx(confidence)
