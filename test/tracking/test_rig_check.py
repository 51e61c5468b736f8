"""rig_check: a pair that agrees, one that was exchanged, and one that stands otherwise than is said, in words."""

from __future__ import annotations

import numpy as np
import pytest
from rig_walk import RigWalk, sides, stereo

from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.tracking.rig_check import rig_remarks


@pytest.fixture(scope="module")
def walk() -> RigWalk:
    return stereo()


def test_a_good_pair_states_its_residual(walk: RigWalk) -> None:
    (words,) = rig_remarks(walk.rig, walk.images[0])
    assert words.endswith("px off (epipolar residual)")
    assert "points that 'left' and 'right' see lie 0.0" in words


def test_exchanged_images_are_told(walk: RigWalk) -> None:
    swapped = {"left": walk.images[0]["right"], "right": walk.images[0]["left"]}
    (words,) = rig_remarks(walk.rig, swapped)
    assert words.startswith("the images of 'left' and 'right' are exchanged")


def test_a_camera_that_is_upside_down_is_told(walk: RigWalk) -> None:
    turned = np.ascontiguousarray(walk.images[0]["right"][::-1, ::-1])
    (words,) = rig_remarks(walk.rig, {"left": walk.images[0]["left"], "right": turned})
    assert words.startswith("the images of 'right' are upside down, by what 'left' shows; turn them in its driver")


def test_a_camera_that_is_turned_is_told_with_the_turn(walk: RigWalk) -> None:
    right = walk.rig["right"]
    turned = right.camera_to_base @ make_pose(rotation_from_vector(np.radians([0.5, 0.0, -0.4])), np.zeros(3))
    rig = Rig({"left": walk.rig["left"], "right": MountedCamera(right.camera, turned)})
    (words,) = rig_remarks(rig, walk.images[0])
    assert "'right' does not stand where its calibration says; points turned by (0.5" in words
    assert words.endswith("calibrate the cameras again")


def test_cameras_that_see_nothing_in_common_say_nothing() -> None:
    assert list(rig_remarks(sides().rig, sides().images[0])) == []
    assert list(rig_remarks(stereo().rig, {"left": stereo().images[0]["left"]})) == []
