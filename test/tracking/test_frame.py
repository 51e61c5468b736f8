"""frame: poses beside a keyframe, and what becomes of them when lengths grow."""

from __future__ import annotations

import numpy as np
from keyframes_on_a_line import on_a_line

from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.tracking.frame import beside, grown, scaled_about


def test_a_pose_beside_a_keyframe_is_told_in_its_axes() -> None:
    (keyframe,) = on_a_line([2.0], first=7)
    placed = beside(keyframe, make_pose(np.eye(3), [2.0, 1.0, 3.0]))
    assert (placed.keyframe, placed.log_growth) == (7, 0.0)
    np.testing.assert_allclose(placed.pose, make_pose(np.eye(3), [0.0, 1.0, 3.0]))


def test_scaled_about_a_point_that_point_stays() -> None:
    pose = make_pose(rotation_from_vector([0.1, 0.2, 0.3]), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(scaled_about(pose, 3.0, pose[:3, 3]), pose)
    np.testing.assert_allclose(scaled_about(pose, 3.0, np.zeros(3))[:3, 3], [3.0, 6.0, 9.0])
    np.testing.assert_array_equal(scaled_about(pose, 3.0, np.ones(3))[:3, :3], pose[:3, :3])


def test_a_relative_pose_grows_by_the_exponential_of_its_growth() -> None:
    pose = make_pose(rotation_from_vector([0.1, 0.2, 0.3]), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(grown(pose, np.log(2.0))[:3, 3], [2.0, 4.0, 6.0])
    np.testing.assert_array_equal(grown(pose, np.log(2.0))[:3, :3], pose[:3, :3])
