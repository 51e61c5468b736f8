"""rigs: cameras stand and look where their names say, in the axes of a robot."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.camera import ordinary_camera
from ros2_raxels.scenes.rigs import rig_of

LENS = ordinary_camera(64, 48)


def test_two_eyes_stand_beside_each_other_and_see_the_same() -> None:
    rig = rig_of("stereo", LENS)
    # The right eye, in the optical frame of the left one.
    np.testing.assert_allclose(rig.between("right", "left")[:3, 3], (0.12, 0.0, 0.0), atol=1e-12)
    np.testing.assert_allclose(rig.between("right", "left")[:3, :3], np.eye(3), atol=1e-12)
    assert rig.overlap("left", "right") > 0.8


@pytest.mark.parametrize(("name", "yaw_deg"), [("left", 50.0), ("right", -50.0)])
def test_two_that_look_to_the_sides_see_nothing_in_common(name: str, yaw_deg: float) -> None:
    rig = rig_of("sides", LENS)
    ahead = rig[name].camera_to_base[:3, 2]
    assert np.degrees(np.arctan2(ahead[1], ahead[0])) == pytest.approx(yaw_deg)
    assert np.sign(rig[name].camera_to_base[1, 3]) == np.sign(yaw_deg)
    assert rig.overlap("left", "right") < 0.05


def test_four_look_all_round_each_from_its_own_side() -> None:
    rig = rig_of("four", LENS)
    for name, direction in {"front": (1, 0), "left": (0, 1), "back": (-1, 0), "right": (0, -1)}.items():
        pose = rig[name].camera_to_base
        np.testing.assert_allclose(pose[:3, 2], (*direction, 0.0), atol=1e-12)
        np.testing.assert_allclose(pose[:3, 3], 0.12 * np.array([*direction, 0.0]), atol=1e-12)
        # Upright: y of the image points down.
        np.testing.assert_allclose(pose[:3, 1], (0.0, 0.0, -1.0), atol=1e-12)
