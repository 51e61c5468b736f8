"""answers: what is said of frames that were solved, and of those that were not."""

from __future__ import annotations

import numpy as np
import pytest
from walk import BLACK, CAMERA, HELD, INITIALISING, LOST, TRACKING

from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import FloatArray, make_pose
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.answers import few_agree, solved_answer, unsolved_answer
from ros2_raxels.tracking.frame import StreamFrame
from ros2_raxels.tracking.motion_model import MotionModel
from ros2_raxels.tracking.motion_sensors import Moved
from ros2_raxels.tracking.types import SolveQuality, TrackState

POSE, COVARIANCE = make_pose(np.eye(3), [1.0, 2.0, 3.0]), np.diag([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


@pytest.fixture(scope="module")
def frame() -> StreamFrame:
    return StreamFrame(7, 42, Matcher().look(BLACK), CAMERA)


@pytest.fixture
def motion() -> MotionModel:
    return MotionModel(POSE, COVARIANCE, 42, lambda _begin_ns, _end_ns: Moved())


def test_a_solved_frame_is_where_the_motion_says(motion: MotionModel, frame: StreamFrame) -> None:
    quality = SolveQuality(0.8)
    answer = solved_answer(motion, frame, quality, True, {"look": 0.001})
    np.testing.assert_array_equal(answer.camera_to_world, POSE)
    np.testing.assert_array_equal(answer.covariance, COVARIANCE)
    assert (answer.stamp_ns, answer.state, answer.solve, answer.keyframe) == (42, TRACKING, quality, True)
    assert answer.stage_s == {"look": 0.001}


@pytest.mark.parametrize(
    ("state", "has_depth", "covariance"),
    [
        (HELD, True, COVARIANCE),
        (LOST, True, np.eye(6) * UNKNOWN_VARIANCE),
        (INITIALISING, False, np.eye(6) * UNKNOWN_VARIANCE),
    ],
)
def test_an_unsolved_frame_says_what_its_pose_is_worth(
    motion: MotionModel, frame: StreamFrame, state: TrackState, has_depth: bool, covariance: FloatArray
) -> None:
    answer = unsolved_answer(motion, frame, state, "dark", {}, 0.2)
    np.testing.assert_array_equal(answer.camera_to_world, POSE)
    np.testing.assert_array_equal(answer.covariance, covariance)
    assert (answer.state, answer.message, answer.has_depth) == (state, "dark", has_depth)
    assert answer.solve.confidence == 0.2


def test_what_agrees_is_counted() -> None:
    assert few_agree(None) == "0 of 0 matches agree"
