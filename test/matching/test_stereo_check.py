"""stereo_check: the residual of a rendered pair, and the turn by which one of its cameras was put wrong."""

from __future__ import annotations

import numpy as np
import pytest
from rig_walk import LENS, stereo

from ros2_raxels.geometry.poses import FloatArray, inverse_pose, make_pose, rotation_from_vector
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.stereo_check import StereoCheck, check_stereo

MATCHER = Matcher()


def checked(left: str = "left", right: str = "right", wrong_deg: tuple[float, float, float] = (0, 0, 0)) -> StereoCheck:
    walk = stereo()
    here, there = (MATCHER.look(walk.images[0][name]) for name in (left, right))
    wrong = make_pose(rotation_from_vector(np.radians(wrong_deg)), np.zeros(3))
    mount: FloatArray = wrong @ walk.rig.between("left", "right")
    return check_stereo(here, LENS, there, LENS, mount, np.asarray(MATCHER.grid((180, 240))))


def test_a_pair_that_stands_as_is_said() -> None:
    found = checked()
    assert found.points > 0.6 * found.asked
    assert found.off_px < 0.1
    assert (found.is_sure, found.contradicts) == (True, False)


@pytest.mark.parametrize("wrong", [(0.5, 0.0, 0.0), (0.0, 0.0, -0.6), (-0.4, 0.0, 0.5)])
def test_the_turn_that_is_wrong_is_found(wrong: tuple[float, float, float]) -> None:
    found = checked(wrong_deg=wrong)
    assert found.contradicts
    assert found.off_px > 0.6
    assert found.left_px < 0.12
    np.testing.assert_allclose(found.turn_deg, -np.array(wrong), atol=0.06)


def test_exchanged_cameras_are_told_from_bad_ones() -> None:
    found = checked("right", "left")
    assert (found.exchanged, found.contradicts) == (True, True)


def test_where_nothing_is_seen_nothing_is_said() -> None:
    grey = MATCHER.look(np.full((180, 240), 90, np.uint8))
    mount = inverse_pose(make_pose(np.eye(3), (0.12, 0, 0)))
    found = check_stereo(grey, LENS, grey, LENS, mount, np.asarray(MATCHER.grid((180, 240))))
    assert (found.points, found.is_sure, found.contradicts) == (0, False, False)
    assert found.words("a", "b") == f"'a' and 'b' see 0 of {found.asked} points in common, too few to compare them"
    assert inverse_pose(mount)[0, 3] == 0.12
