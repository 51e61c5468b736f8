"""keyframe_map: what is kept, who is near, and where things are after the map was corrected."""

from __future__ import annotations

import ast
from dataclasses import replace

import numpy as np
import pytest
from keyframes_on_a_line import CAMERA, map_of, numbers, on_a_line, positions
from ros_testing import ROOT

from ros2_raxels.geometry.poses import FloatArray, make_pose, relative_pose, rotation_from_vector
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.tracks import FLOW, KEYPOINT, Evidence
from ros2_raxels.tracking.frame import Keyframe, StreamFrame, beside
from ros2_raxels.tracking.keyframe_map import KeyframeMap, Link, distance
from ros2_raxels.tracking.metric_scale import Scale, ScaleSource

NOTHING = np.zeros((6, 6))


def loop(first: int, second: int, pose: FloatArray, log_scale: float = 0.0) -> Link:
    return Link(first, second, pose, log_scale, np.diag([0.04] * 3 + [0.01] * 3), (0.0, 0.0))


def at(x: float) -> FloatArray:
    return make_pose(np.eye(3), [x, 0.0, 0.0])


# ------------------------------------------------------------------------------------------------------ what is kept


def test_the_last_keyframes_are_the_window_and_the_others_are_stored() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0, 3.0, 4.0]))
    assert numbers(keyframes.window) == [2, 3, 4]
    assert numbers(keyframes.stored) == [0, 1]
    assert [k.parent for k in keyframes.all] == [None, 0, 1, 2, 3]
    assert numbers(keyframes.all) == [0, 1, 2, 3, 4]


def test_what_becomes_of_a_copy_becomes_of_the_map_when_it_is_taken_over_and_not_before() -> None:
    """Depths that were learned meanwhile stay, in the unit of the copy, where it knows none."""
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0, 3.0, 4.0]))
    copied = keyframes.copy()
    copied.put(on_a_line([5.0], first=5)[0])
    copied.window_numbers = [3, 4, 5]
    copied.move_keyframe(4, at(4.5))
    copied.grow(4, 2.0)
    copied.drop(0, remember=True)
    copied.loops.append(loop(1, 4, at(3.0)))
    copied.know_scale(0, Scale(ScaleSource.FIXED, 2.0, 0.1))
    assert (numbers(keyframes.all), positions(keyframes.all)) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    assert (numbers(keyframes.window), keyframes.loops, keyframes.handed_on) == ([2, 3, 4], [], {})
    learned = Evidence(
        *(np.array([2]), np.array([1])), *(np.zeros((1, 3, 2)),) * 2, *(np.ones(3),) * 2, np.array([FLOW]), np.ones(3)
    )
    keyframes.learn(keyframes.window, learned, np.array([0.8]), np.array([True]))
    assert copied.keyframes[4].inverse_depth.tolist() == [0.25, pytest.approx(np.nan, nan_ok=True)]
    keyframes.take_over(copied)
    assert (numbers(keyframes.all), positions(keyframes.all)) == ([1, 2, 3, 4, 5], [1, 2, 3, 4.5, 5])
    assert (numbers(keyframes.window), len(keyframes.loops), set(keyframes.handed_on)) == ([3, 4, 5], 1, {0})
    assert keyframes.trajectories[0].scale.is_metric
    np.testing.assert_allclose(keyframes.keyframes[4].inverse_depth, [0.25, 0.4])
    np.testing.assert_array_equal(keyframes.keyframes[3].inverse_depth, [0.5, np.nan])
    # Whoever goes on with the copy does not reach the map any more.
    copied.drop(1, remember=False)
    assert numbers(keyframes.all) == [1, 2, 3, 4, 5]


def test_keyframes_stay_in_the_order_of_their_numbers() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0], first=5))
    keyframes.put(on_a_line([9.0], first=2)[0])
    assert numbers(keyframes.all) == [2, 5, 6]
    keyframes.put(replace(keyframes.keyframes[5], parent=2))
    assert numbers(keyframes.all) == [2, 5, 6]


def test_a_second_trajectory_keeps_the_first_and_grows_alone() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0, 3.0]), on_a_line([10.0, 11.0, 12.0, 13.0], first=20))
    assert numbers(keyframes.window) == [21, 22, 23]
    assert numbers(keyframes.all) == [0, 1, 2, 3, 20, 21, 22, 23]
    newest = keyframes.keyframes[23]
    assert keyframes.keyframes[20].parent is None
    assert set(numbers(keyframes.lately(newest, 3))) == {21, 22, 23}
    assert set(numbers(keyframes.lately(newest, 100))) == {20, 21, 22, 23}
    np.testing.assert_array_equal(keyframes.origin, at(10.0))
    keyframes.rescale(20, 2.0, np.array([10.0, 0.0, 0.0]))
    assert positions(keyframes.all) == [0, 1, 2, 3, 10, 12, 14, 16]
    assert (keyframes.unit, keyframes.unit_of(keyframes.all[0])) == (2.0, 1.0)


def test_a_trajectory_of_which_no_keyframe_is_left_is_forgotten() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0]), on_a_line([10.0, 11.0], first=10))
    keyframes.end_trajectory()
    for number in (0, 1):
        keyframes.drop(number, remember=False)
    keyframes.begin(on_a_line([50.0, 60.0], first=30), 1.0, window=3)
    assert set(keyframes.trajectories) == {10, 30}


# ------------------------------------------------------------------------------------------------------- who is near


def test_after_a_recovery_what_was_seen_lately_is_there_and_not_where_tracking_was_lost() -> None:
    keyframes = map_of(on_a_line([float(k) for k in range(10)]))
    keyframes.go_back_to(keyframes.all[1:4])
    assert numbers(keyframes.stored) == [0, 4, 5, 6, 7, 8, 9]
    (found,) = on_a_line([3.5], first=20)
    keyframes.put(replace(found, parent=3))
    keyframes.window_numbers = [2, 3, 20]
    newest = keyframes.keyframes[20]
    assert set(numbers(keyframes.lately(newest, 2))) == {2, 3, 20}
    assert numbers(keyframes.way(keyframes.keyframes[0], newest)) == [0, 1, 2, 3, 20]
    # The trajectory did not come along there.
    assert numbers(keyframes.way(keyframes.keyframes[8], newest)) == [8, 9, 20]
    assert numbers(keyframes.before(newest, 2)) == [2, 3]


def test_the_neighbours_of_a_keyframe_are_those_nearest_in_space() -> None:
    keyframes = map_of(on_a_line([0.0, 5.0, 1.0, 9.0, 0.5, 7.0]))
    best = keyframes.keyframes[2]
    assert numbers(keyframes.around(best, 3)) == [0, 2, 4]
    assert numbers(keyframes.around(best, 3, besides=[keyframes.keyframes[4]])) == [0, 1, 2]


def test_of_keyframes_on_one_spot_only_one_counts_unless_there_are_no_others() -> None:
    """The distances between them are noise, and would set the scale."""
    keyframes = map_of(on_a_line([0.0, 3.0, 1.0, 1.01, 1.02, 1.03, 2.0]))
    there = keyframes.keyframes
    assert numbers(keyframes.around(there[3], 3)) == [0, 3, 6]
    assert numbers(keyframes.around(there[3], 3, besides=[there[k] for k in (0, 1, 6)])) == [2, 3, 4]


def test_only_keyframes_whose_place_is_known_count_as_near() -> None:
    """A trajectory begun anew stands where nobody knows, until a loop joins it."""
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0, 3.0]), on_a_line([0.1, 1.1, 2.1, 3.1], first=20))
    assert keyframes.joined(keyframes.all[0]) == {0, 1, 2, 3}
    assert numbers(keyframes.around(keyframes.keyframes[21], 3)) == [20, 21, 22]
    keyframes.loops.append(loop(3, 23, at(0.1)))
    assert keyframes.joined(keyframes.all[0]) == {0, 1, 2, 3, 20, 21, 22, 23}
    assert len(set(numbers(keyframes.around(keyframes.keyframes[21], 3))) & {0, 1, 2, 3}) > 0


def test_a_turn_of_a_radian_is_as_far_as_a_unit() -> None:
    turned = make_pose(rotation_from_vector([0.0, 0.5, 0.0]), [0.0, 3.0, 4.0])
    np.testing.assert_allclose(distance(np.array([turned, np.eye(4)]), np.array([2.0, 1.0])), [2.5 + 0.5, 0.0])


# --------------------------------------------------------------------------------------------------- what is dropped


def test_a_first_keyframe_that_goes_leaves_one_trajectory_behind() -> None:
    """Both that were measured against it stay together, and a loop that led to it leads to its heir, once."""
    keyframes = map_of(on_a_line([0.0, 0.01, 5.0, 6.0]), window=1)
    keyframes.put(replace(keyframes.keyframes[2], parent=0))
    keyframes.loops = [loop(0, 3, at(6.0)), loop(0, 1, at(0.01))]
    keyframes.drop(0, remember=False)
    assert [k.parent for k in keyframes.all] == [None, 1, 2]
    (left,) = keyframes.loops
    assert (left.first, left.second) == (1, 3)
    # As measured, told from the heir, which stands a centimetre further.
    np.testing.assert_allclose(left.pose, at(5.99))
    assert keyframes.joined(keyframes.keyframes[3]) == {1, 2, 3}


def test_a_loop_whose_second_end_is_dropped_goes_on_with_its_parent() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0, 3.0]), window=1)
    keyframes.loops = [loop(0, 2, at(2.2), 0.1)]
    keyframes.grow(0, 2.0)
    keyframes.drop(2, remember=False)
    (left,) = keyframes.loops
    assert (left.first, left.second, left.log_growth) == (0, 1, (pytest.approx(np.log(2.0)), 0.0))
    # Lengths around the first have doubled since; the second stood a unit beyond its parent.
    np.testing.assert_allclose(left.pose, at(2 * 2.2 - 1.0))
    assert left.log_scale == pytest.approx(0.1 + np.log(2.0))


@pytest.mark.parametrize("remember", [True, False])
def test_what_stood_beside_a_keyframe_that_is_gone_is_found_through_a_long_chain_of_heirs(remember: bool) -> None:
    blank, nothing = Features(np.zeros((120, 160), np.uint8)), np.zeros(0)
    begun = [Keyframe(StreamFrame(k, k, blank, CAMERA), at(k), np.zeros((7, 7)), nothing) for k in range(1501)]
    keyframes = map_of(begun, window=1)
    placed = beside(keyframes.keyframes[1400], make_pose(np.eye(3), [1400.0, 2.0, 0.0]))
    for number in range(1499, 0, -1):
        keyframes.drop(number, remember)
    keyframes.rescale(0, 2.0, np.zeros(3))
    found = keyframes.place(placed)
    if not remember:
        assert found is None
        return
    assert found is not None
    np.testing.assert_allclose(found[:3, 3], [2800.0, 4.0, 0.0], rtol=1e-9)


# -------------------------------------------------------------------------------------------------- what is corrected


def test_lengths_that_grow_take_their_covariance_and_depths_along() -> None:
    (keyframe,) = on_a_line([1.0])
    velocity = np.array([0.1, 0.2, 0.3, 1.0, 2.0, 3.0])
    keyframes = map_of([replace(keyframe, covariance=np.diag([0.1] * 3 + [0.2] * 3 + [0.3]), velocity=velocity)])
    keyframes.rescale(0, 2.0, np.zeros(3))
    (grown,) = keyframes.all
    np.testing.assert_allclose(grown.covariance, np.diag([0.4] * 3 + [0.2] * 3 + [0.3]))
    np.testing.assert_allclose(grown.inverse_depth, [0.25, np.nan])
    np.testing.assert_allclose(grown.velocity, [0.1, 0.2, 0.3, 2.0, 4.0, 6.0])
    assert grown.log_growth == pytest.approx(np.log(2.0))
    # Nobody else's keyframe has changed.
    np.testing.assert_allclose(keyframe.inverse_depth, [0.5, np.nan])


def test_a_loop_is_told_in_the_units_of_now() -> None:
    first, second = on_a_line([0.0, 1.0])
    measured = loop(0, 1, at(3.0), 0.2)
    now = measured.between(replace(first, log_growth=np.log(2.0)), replace(second, log_growth=np.log(4.0)))
    np.testing.assert_allclose(now.pose, at(6.0))
    assert now.log_scale == pytest.approx(0.2 + np.log(2.0) - np.log(4.0))
    np.testing.assert_allclose(np.diag(now.covariance), [0.16] * 3 + [0.01] * 3)


def test_moving_the_world_moves_all_of_it_rigidly() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0, 3.0]))
    before: FloatArray = np.array([k.camera_to_world for k in keyframes.all])
    motion = make_pose(rotation_from_vector([0.1, 0.2, 0.3]), [4.0, 5.0, 6.0])
    keyframes.move(motion)
    after: FloatArray = np.array([k.camera_to_world for k in keyframes.all])
    np.testing.assert_allclose(after, motion @ before, atol=1e-12)
    np.testing.assert_allclose(relative_pose(after[0], after), before, atol=1e-12)


def test_depths_are_learned_from_flow_that_is_sure() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0]))
    anchor, index = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    kind = np.array([FLOW, KEYPOINT, FLOW, FLOW])
    nothing = np.zeros((4, 2, 2))
    evidence = Evidence(anchor, index, nothing, nothing, np.ones(2), np.ones((4, 2)), kind, np.ones((4, 2)))
    sure = np.array([True, True, False, True])
    keyframes.learn(keyframes.all, evidence, np.array([0.1, 0.2, 0.3, 0.4]), sure)
    np.testing.assert_allclose(keyframes.keyframes[0].inverse_depth, [0.1, np.nan])
    np.testing.assert_allclose(keyframes.keyframes[1].inverse_depth, [0.5, 0.4])


def test_only_the_map_writes_keyframes() -> None:
    """They are frozen; the one array that is written in place is written in one place."""
    with pytest.raises(AttributeError):
        on_a_line([0.0])[0].parent = 3  # type: ignore[misc]
    writers = {
        path.name
        for path in (ROOT / "ros2_raxels" / "tracking").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Subscript) and ast.unparse(target.value).endswith(".inverse_depth")
    }
    # A new keyframe is measured before the map has it.
    assert writers == {"mapping.py"}


def test_a_new_map_is_empty() -> None:
    keyframes = KeyframeMap()
    assert (keyframes.all, keyframes.window, keyframes.stored, keyframes.unit) == ([], [], [], 1.0)


# ---------------------------------------------------------------------------------------- another focal length, loops


def test_through_a_longer_focal_length_cameras_have_turned_less_and_gone_further_ahead() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0]))
    step = make_pose(rotation_from_vector([0.0, 0.3, 0.0]), [0.2, 0.0, 1.0])
    keyframes.move_keyframe(1, step)
    keyframes.move_keyframe(2, step @ step)
    keyframes.loops.append(loop(0, 2, step))
    keyframes.settle([1])
    depths = keyframes.keyframes[1].inverse_depth.copy()
    keyframes.zoom(float(np.log(1.1)))
    expected = make_pose(rotation_from_vector([0.0, 0.3 / 1.1, 0.0]), [0.2, 0.0, 1.1])
    np.testing.assert_allclose(keyframes.keyframes[0].camera_to_world, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(keyframes.keyframes[2].camera_to_world, expected @ expected, atol=1e-12)
    for link in (keyframes.loops[0], keyframes.steps[1]):
        np.testing.assert_allclose(link.pose, expected, atol=1e-12)
    assert [k.camera.fx for k in keyframes.all] == pytest.approx([1.1 * CAMERA.fx] * 3)
    np.testing.assert_allclose(keyframes.keyframes[1].inverse_depth, depths / 1.1)


def test_a_camera_came_by_its_parents_and_by_loops_without_the_detour() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
    assert numbers(keyframes.came_by(keyframes.keyframes[5])) == [0, 1, 2, 3, 4, 5]
    keyframes.loops.append(loop(1, 4, at(0.1)))
    assert numbers(keyframes.came_by(keyframes.keyframes[5])) == [0, 1, 4, 5]
