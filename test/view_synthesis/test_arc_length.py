"""arc_length: poses at even distances along a path, whatever the spacing of its poses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from views_scene import shifted

from ros2_raxels.view_synthesis.arc_length import along_arc


def test_poses_are_at_even_distances_whatever_the_path_has():
    path = np.array([shifted(0), shifted(0.1), shifted(0.1), shifted(1.0, turn_deg=(0, 90, 0))])
    found = along_arc(path, 5)
    np.testing.assert_allclose(found[:, 0, 3], [0, 0.25, 0.5, 0.75, 1.0], atol=1e-12)
    turn = np.degrees(np.arctan2(found[:, 0, 2], found[:, 2, 2]))
    np.testing.assert_allclose(turn, [0, 15, 40, 65, 90], atol=1e-9)


def test_a_path_that_only_turns_is_spread_over_its_poses_and_a_single_pose_is_the_last():
    path = np.array([shifted(turn_deg=(0, 0, 0)), shifted(turn_deg=(0, 40, 0))])
    found = along_arc(path, 3)
    np.testing.assert_allclose(np.degrees(np.arctan2(found[:, 0, 2], found[:, 2, 2])), [0, 20, 40], atol=1e-9)
    np.testing.assert_allclose(along_arc(path, 1)[0], path[1], atol=1e-12)
    np.testing.assert_allclose(along_arc(path[:1], 2), path[[0, 0]], atol=1e-12)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.integers(1, 9))
def test_any_path_keeps_its_first_and_last_position(places: list[float], count: int):
    path = np.array([shifted(x) for x in places])
    found = along_arc(path, count)
    assert found.shape == (count, 4, 4)
    assert found[-1, 0, 3] == pytest.approx(places[-1], abs=1e-9)
    if count > 1:
        assert found[0, 0, 3] == pytest.approx(places[0], abs=1e-9)
        length = np.abs(np.diff(places)).sum()
        assert (np.abs(np.diff(found[:, 0, 3])) <= length / (count - 1) + 1e-6).all()
