"""rig: where cameras of one base stand to each other, and how much they see of the same."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.poses import GeometryError, make_pose, rotation_from_vector
from ros2_raxels.geometry.rig import MountedCamera, Rig

LENS = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)


def turned(yaw_rad: float, x_m: float) -> MountedCamera:
    return MountedCamera(LENS, make_pose(rotation_from_vector(np.array([0.0, yaw_rad, 0.0])), (x_m, 0.0, 0.0)))


def test_where_cameras_stand_to_each_other() -> None:
    rig = Rig({"left": turned(0.0, 0.0), "right": turned(0.1, 0.12)})
    assert (rig.names, rig.leader, rig.others) == (("left", "right"), "left", ("right",))
    assert rig.baseline_m("left", "right") == pytest.approx(0.12)
    np.testing.assert_allclose(rig.to_leader("right"), rig["right"].camera_to_base, atol=1e-15)
    np.testing.assert_allclose(rig.between("left", "right") @ rig.to_leader("right"), np.eye(4), atol=1e-15)


def test_overlap_is_the_share_of_the_field_that_both_see() -> None:
    # A scene ten baselines away is seen a tenth of the focal length further left: 25.6 of 320 px leave the image.
    assert Rig({"a": turned(0, 0), "b": turned(0, 0.12)}).overlap("a", "b") == pytest.approx(1 - 25.6 / 320, abs=0.02)
    assert Rig({"a": turned(-0.9, -0.1), "b": turned(0.9, 0.1)}).overlap("a", "b") == 0.0


def test_lenses_of_a_rig_may_differ() -> None:
    fisheye = FisheyeCamera(320, 240, 100.0, 100.0, 159.5, 119.5)
    rig = Rig({"wide": MountedCamera(fisheye, np.eye(4)), "narrow": turned(0.0, 0.1)})
    assert rig.overlap("narrow", "wide") == 1.0
    assert 0.1 < rig.overlap("wide", "narrow") < 0.5


def test_a_camera_that_was_entered_twice_is_named() -> None:
    with pytest.raises(GeometryError, match="'left' and 'right' of the rig are mounted in the same place"):
        Rig({"left": turned(0.2, 0.1), "right": turned(0.2, 0.1)})
    with pytest.raises(GeometryError, match="no camera"):
        Rig({})


def test_a_rig_goes_to_other_processes_as_it_is() -> None:
    rig = Rig({"a": turned(0.0, 0.0), "b": turned(0.4, 0.1)})
    there, here = multiprocessing.Pipe()
    with there, here:
        there.send(rig)
        found = here.recv()
    assert found.names == ("a", "b")
    np.testing.assert_array_equal(found.between("a", "b"), rig.between("a", "b"))
    assert found["b"].camera == rig["b"].camera
