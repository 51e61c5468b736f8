"""eye: what one camera of a rig sees of keyframes, and what is solved of it, told as the first one's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from keyframes_on_a_line import on_a_line

from ros2_raxels.geometry.camera import ordinary_camera
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.eye import Eye
from ros2_raxels.tracking.frame import Side
from ros2_raxels.tracking.resection import FrameSolve
from ros2_raxels.tracking.rig_tracks import RigTracks
from ros2_raxels.tracking.types import SolveQuality

LENS = ordinary_camera(64, 48)
MOUNT = make_pose(rotation_from_vector(np.array([0.0, 0.9, 0.0])), (0.2, 0.0, -0.1))
RIG = Rig({"a": MountedCamera(LENS, np.eye(4)), "b": MountedCamera(LENS, MOUNT)})
SOLVED = FrameSolve(np.eye(4), np.diag([1e-4] * 3 + [1e-2] * 3), SolveQuality(1.0), np.zeros(0), np.zeros(0, bool))


def test_the_first_camera_sees_keyframes_as_they_are() -> None:
    keyframes = on_a_line([0.0, 1.0])
    eye = Eye(RigTracks(Matcher(), RIG).shared("b"))
    assert eye.views(keyframes) == keyframes
    np.testing.assert_array_equal(eye.pose_of(MOUNT), MOUNT)
    assert eye.as_leader(SOLVED) is SOLVED


def test_another_one_sees_them_from_its_mount_and_is_told_as_the_first_one() -> None:
    rig = RigTracks(Matcher(), RIG)
    eye = Eye(rig.shared("b"), rig, "b")
    dark, seen = on_a_line([0.0, 1.0])
    side = Side(Features(np.zeros((48, 64), np.uint8)), LENS)
    seen = replace(seen, frame=replace(seen.frame, sides={"b": side}))
    (view,) = eye.views([dark, seen])
    assert view.number == seen.number
    np.testing.assert_allclose(view.camera_to_world, seen.camera_to_world @ MOUNT)
    np.testing.assert_allclose(eye.pose_of(seen.camera_to_world), view.camera_to_world)
    found = eye.as_leader(replace(SOLVED, camera_to_world=view.camera_to_world))
    np.testing.assert_allclose(found.camera_to_world, seen.camera_to_world, atol=1e-12)
    # A turn of .1 rad about y or x moves the end of an arm of .2 m by .02 m.
    arm = view.camera_to_world[:3, 3] - seen.camera_to_world[:3, 3]
    across = np.trace(found.covariance[:3, :3]) - 3e-4
    np.testing.assert_allclose(across, 2e-2 * (arm @ arm))
