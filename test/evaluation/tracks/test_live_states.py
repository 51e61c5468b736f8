"""live_states: poses of the camera or the base, as the pose node would publish them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ros2_raxels.evaluation.tracks.live_states import LiveStates
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, inverse_pose, make_pose, relative_pose, rotation_from_vector
from ros2_raxels.tracking.metric_scale import Scale, ScaleSource
from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackState

MOUNT = OPTICAL_TO_BODY.copy()
MOUNT[:3, 3] = (0.2, 0.0, 0.5)
COVARIANCE = np.diag([1e-4, 2e-4, 3e-4, 1e-6, 2e-6, 3e-6])
POSE = make_pose(rotation_from_vector((0.1, 0.4, -0.2)), (0.3, -0.1, 1.0))
METRES = Scale(ScaleSource.ODOM, 1.0, 0.01)


def answer(state: TrackState = TrackState.TRACKING, **changes: object) -> TrackedPose:
    return replace(TrackedPose(70, POSE, COVARIANCE, state, SolveQuality(0.9), scale=METRES), **changes)  # type: ignore[arg-type]


def test_without_a_mount_poses_are_the_camera_s_as_answered() -> None:
    state = LiveStates().of(answer())
    assert (state.stamp_ns, state.state, state.confidence, state.metric) == (70, "TRACKING", 0.9, True)
    doubtful = LiveStates().of(answer(credibility=0.5, stated=0.3))
    assert (doubtful.confidence, doubtful.stated) == (0.45, 0.3)
    assert state.pose is POSE
    assert state.covariance is COVARIANCE
    assert not LiveStates().of(answer(scale=Scale())).metric


def test_with_a_mount_they_are_the_base_s_and_begin_at_its_first_pose() -> None:
    states = LiveStates(MOUNT)
    first = states.of(answer(camera_to_world=np.eye(4))).pose
    assert first is not None
    np.testing.assert_allclose(first, np.eye(4), atol=1e-12)
    later = states.of(answer())
    assert later.pose is not None
    assert later.covariance is not None
    np.testing.assert_allclose(later.pose, MOUNT @ POSE @ inverse_pose(MOUNT), atol=1e-12)
    np.testing.assert_allclose(relative_pose(MOUNT @ POSE, later.pose), inverse_pose(MOUNT), atol=1e-12)
    # Turned into the axes of the base's world, and wider by what the rotation moves the base at the lever arm.
    assert np.trace(later.covariance[:3, :3]) > np.trace(COVARIANCE[:3, :3])
    assert np.trace(later.covariance[3:, 3:]) == pytest.approx(np.trace(COVARIANCE[3:, 3:]))


@pytest.mark.parametrize("mount", [None, MOUNT])
def test_before_the_first_pose_there_is_none(mount: np.ndarray | None) -> None:
    unknown = np.eye(6) * UNKNOWN_VARIANCE
    states = LiveStates(mount)
    assert states.of(answer(TrackState.INITIALISING, covariance=unknown)).pose is None
    # A tracker that knows where it is while it waits for motion says so by its covariance.
    assert states.of(answer(TrackState.INITIALISING)).pose is not None
    assert states.of(answer(TrackState.LOST, covariance=unknown)).pose is not None
    assert states.of(answer(TrackState.HELD)).pose is not None
