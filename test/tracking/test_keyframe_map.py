"""keyframe_map and places: which keyframes are kept, and which of them shows a place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose, relative_pose, rotation_from_vector
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import StreamFrame, Trajectory, beside, scaled_about
from ros2_raxels.tracking.keyframe_map import KeyframeMap, MapSettings
from ros2_raxels.tracking.metric_scale import Scale, ScaleSource
from ros2_raxels.tracking.place_index import PlaceIndex

CAMERA = PinholeCamera(160, 120, 150.0, 150.0, 79.5, 59.5)
MATCHER = Matcher()


def picture(seed: int) -> np.ndarray:
    """Blobs of all sizes, a place of its own for each seed."""
    rng = np.random.default_rng(seed)
    noise = sum(
        cv2.resize(rng.normal(0, 1, (n, n)), (160, 120), interpolation=cv2.INTER_CUBIC) for n in (6, 12, 24, 48)
    )
    return cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def frames(positions: list[float], first: int = 0) -> list[StreamFrame]:
    """Keyframes on a line, each of another place."""
    return [
        StreamFrame(first + k, first + k, Features(picture(first + k)), CAMERA, make_pose(np.eye(3), [x, 0.0, 0.0]))
        for k, x in enumerate(positions)
    ]


def numbers(keyframes: KeyframeMap) -> list[int]:
    return [f.number for f in keyframes.all]


# ---------------------------------------------------------------------------------------------------------- places


def test_most_votes_go_to_the_place_itself_also_shifted_and_in_other_light() -> None:
    index = PlaceIndex()
    for number in range(6):
        index.add(number, MATCHER.keypoints(Features(picture(number))))
    shifted = np.roll(picture(3), (4, -9), axis=(0, 1))
    seen = MATCHER.keypoints(Features((0.7 * shifted + 20).astype(np.uint8)))
    votes = index.votes(seen)
    assert sorted(votes) == list(range(6))
    assert max(votes, key=lambda n: votes[n]) == 3
    assert votes[3] > 15
    assert votes[3] > 5 * max(count for number, count in votes.items() if number != 3)
    index.forget(3)
    assert 3 not in index
    assert sorted(index.votes(seen)) == [0, 1, 2, 4, 5]


def test_nothing_is_known_without_keyframes_and_nothing_seen_without_keypoints() -> None:
    index = PlaceIndex()
    blank = MATCHER.keypoints(Features(np.zeros((120, 160), np.uint8)))
    assert index.votes(MATCHER.keypoints(Features(picture(0)))) == {}
    index.add(0, blank)
    index.add(1, MATCHER.keypoints(Features(picture(1))))
    assert index.votes(blank) == {}
    assert index.votes(MATCHER.keypoints(Features(picture(1))))[0] == 0


# ------------------------------------------------------------------------------------------------------------ the map


def test_the_last_keyframes_are_the_window_and_the_others_are_stored() -> None:
    keyframes = KeyframeMap(MATCHER, MapSettings())
    begun = frames([0.0, 1.0, 2.0, 3.0, 4.0])
    keyframes.begin(begun, 1.0)
    assert keyframes.window == begun[2:]
    assert keyframes.stored == begun[:2]
    assert [f.parent for f in begun] == [None, 0, 1, 2, 3]
    assert numbers(keyframes) == [0, 1, 2, 3, 4]


def test_those_go_first_whose_neighbours_are_close() -> None:
    """And who was measured against one that goes is from then on taken as measured against the one before."""
    keyframes = KeyframeMap(MATCHER, MapSettings(stored=5))
    begun = frames([0.0, 1.0, 2.0, 2.1, 3.0, 4.0, 4.05, 5.0, 6.0, 7.0])
    keyframes.begin(begun, 1.0)
    assert [f.number for f in keyframes.stored] == [0, 1, 2, 4, 6]
    by_number = {f.number: f for f in keyframes.all}
    assert by_number[4].parent == 2
    assert by_number[6].parent == 4
    frame, votes = keyframes.like(StreamFrame(99, 0, Features(picture(3)), CAMERA, np.eye(4)))
    assert frame is None or frame.number != 3
    assert votes < 5


def test_a_keyframe_is_found_by_what_it_shows_and_its_neighbours_by_where_they_are() -> None:
    keyframes = KeyframeMap(MATCHER, MapSettings())
    keyframes.begin(frames([0.0, 5.0, 1.0, 9.0, 0.5, 7.0]), 1.0)
    asked = StreamFrame(99, 0, Features(picture(2)), CAMERA, np.eye(4))
    best, votes = keyframes.like(asked)
    assert best is not None
    assert best.number == 2
    assert votes > 50
    assert [f.number for f in keyframes.around(best)] == [0, 2, 4]
    assert [f.number for f in keyframes.around(best, besides=[keyframes.all[4]])] == [0, 1, 2]
    other, _ = keyframes.like(asked, besides=[best])
    assert other is None or other.number != 2


def test_of_keyframes_on_one_spot_only_one_counts_unless_there_are_no_others() -> None:
    """The distances between them are noise, and would set the scale."""
    keyframes = KeyframeMap(MATCHER, MapSettings())
    keyframes.begin(frames([0.0, 3.0, 1.0, 1.01, 1.02, 1.03, 2.0]), 1.0)
    by_number = {f.number: f for f in keyframes.all}
    assert [f.number for f in keyframes.around(by_number[3])] == [0, 3, 6]
    assert [f.number for f in keyframes.around(by_number[3], besides=[by_number[k] for k in (0, 1, 6)])] == [2, 3, 4]


def test_a_second_trajectory_keeps_the_first_and_grows_alone() -> None:
    keyframes = KeyframeMap(MATCHER, MapSettings())
    old = frames([0.0, 1.0, 2.0, 3.0])
    keyframes.begin(old, 1.0)
    keyframes.end_trajectory()
    new = frames([10.0, 11.0, 12.0, 13.0], first=20)
    keyframes.begin(new, 1.0)
    assert keyframes.window == new[1:]
    assert numbers(keyframes) == [0, 1, 2, 3, 20, 21, 22, 23]
    assert new[0].parent is None
    assert {f.number for f in keyframes.lately(new[3], 3)} == {21, 22, 23}
    assert {f.number for f in keyframes.lately(new[3], 100)} == {20, 21, 22, 23}
    np.testing.assert_array_equal(keyframes.origin, new[0].camera_to_world)
    keyframes.rescale(2.0, np.array([10.0, 0.0, 0.0]))
    assert [f.camera_to_world[0, 3] for f in keyframes.all] == [0, 1, 2, 3, 10, 12, 14, 16]
    assert keyframes.unit == 2.0


def test_after_a_recovery_what_was_seen_lately_is_there_and_not_where_it_was_lost() -> None:
    keyframes = KeyframeMap(MATCHER, MapSettings())
    old = frames([float(k) for k in range(10)])
    keyframes.begin(old, 1.0)
    keyframes.go_back_to(old[1:4])
    (found,) = frames([3.5], first=20)
    found.parent = 3
    keyframes.stored.append(old[1])
    keyframes.window = [*old[2:4], found]
    assert {f.number for f in keyframes.lately(found, 2)} == {2, 3, 20}
    assert [f.number for f in keyframes.way(old[0], found)] == [0, 1, 2, 3, 20]
    # No way along which it came leads from there.
    assert [f.number for f in keyframes.way(old[8], found)] == [8, 9, 20]


def test_a_loop_between_trajectories_moves_the_new_one_alone() -> None:
    """Its last keyframe is found a quarter turn away from where it was thought to be, and twice as large."""
    keyframes = KeyframeMap(MATCHER, MapSettings())
    old, new = frames([0.0, 1.0, 2.0, 3.0]), frames([10.0, 11.0, 12.0, 13.0], first=20)
    keyframes.begin(old, 1.0)
    keyframes.begin(new, 1.0)
    new[3].inverse_depth, new[3].covariance = np.array([0.5, np.nan]), 0.1 * np.eye(7)
    found = make_pose(rotation_from_vector([0.0, 0.0, np.pi / 2]), [1.0, 1.0, 0.0])
    grown = keyframes.close_loop(new[3], old[1], found, float(np.log(2.0)))
    assert grown == pytest.approx(2.0, rel=1e-3)
    assert [f.camera_to_world[0, 3] for f in old] == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=5e-3)
    np.testing.assert_allclose(new[3].camera_to_world, found, atol=1e-3)
    # The others keep their places beside it, at twice the distance.
    expected = [make_pose(np.eye(3), [-2.0 * k, 0.0, 0.0]) for k in range(4)]
    for frame, place in zip(reversed(new), expected, strict=True):
        np.testing.assert_allclose(relative_pose(new[3].camera_to_world, frame.camera_to_world), place, atol=1e-2)
    np.testing.assert_allclose(new[3].inverse_depth, [0.25, np.nan], rtol=1e-3)
    assert keyframes.joined(new[3]) == {f.number for f in (*old, *new)}
    # Twice as large, and twice as uncertain.
    np.testing.assert_allclose(np.diag(new[3].covariance), [0.4] * 3 + [0.1] * 4, rtol=1e-3)


METRIC = Scale(ScaleSource.ODOM, 3.0, 0.02)


@pytest.mark.parametrize(
    ("old_is_metric", "new_is_metric"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_two_trajectories_that_a_loop_joins_begin_where_the_old_one_did_in_the_better_unit(
    old_is_metric: bool, new_is_metric: bool
) -> None:
    """What is one long in the new trajectory is two long in the old one."""
    keyframes = KeyframeMap(MATCHER, MapSettings())
    old, between, new = frames([1.0, 2.0, 3.0]), frames([40.0, 41.0, 42.0], first=10), frames([7.0, 8.0, 9.0], first=20)
    for begun, unit, is_metric in ((old, 5.0, old_is_metric), (between, 1.0, True), (new, 0.5, new_is_metric)):
        keyframes.begin(begun, unit)
        keyframes.trajectories[begun[0].number].scale = METRIC if is_metric else Scale()
    between[1].inverse_depth = np.array([0.5])
    grown = keyframes.close_loop(new[2], old[2], make_pose(np.eye(3), [3.0, 0.0, 0.0]), float(np.log(2.0)))
    # Metres that only the new one has make the old one half as large, and the new one no larger.
    factor = 0.5 if new_is_metric and not old_is_metric else 1.0
    assert grown == pytest.approx(2.0 * factor, rel=1e-3)
    assert [f.camera_to_world[0, 3] for f in old] == pytest.approx([1.0, 1.0 + factor, 1.0 + 2.0 * factor], abs=5e-3)
    assert [f.camera_to_world[0, 3] for f in new] == pytest.approx(
        [1.0 - 2.0 * factor, 1.0, 1.0 + 2.0 * factor], abs=5e-3
    )
    assert {f.trajectory for f in (*old, *new)} == {0}
    assert (keyframes.present, set(keyframes.trajectories)) == (0, {0, 10})
    assert keyframes.unit == pytest.approx(5.0 * factor, rel=1e-3)
    scale = keyframes.trajectories[0].scale
    assert scale.is_metric == (old_is_metric or new_is_metric)
    if scale.is_metric:
        assert scale.metres_per_unit == pytest.approx(3.0 if old_is_metric else 0.5, rel=1e-3)
    # The loop has nothing to do with the one in between.
    assert [f.camera_to_world[0, 3] for f in between] == [40.0, 41.0, 42.0]
    assert [f.grown for f in between] == [0.0] * 3
    assert keyframes.trajectories[10] == Trajectory(1.0, METRIC)


def test_back_on_an_older_trajectory_its_unit_holds_and_it_alone_grows() -> None:
    keyframes = KeyframeMap(MATCHER, MapSettings())
    old, new = frames([0.0, 1.0, 2.0, 3.0]), frames([10.0, 11.0, 12.0], first=20)
    keyframes.begin(old, 5.0)
    keyframes.begin(new, 1.0)
    keyframes.go_back_to(old[1:])
    (added,) = frames([4.0], first=30)
    keyframes.add(added)
    assert (keyframes.present, keyframes.unit, keyframes.unit_of(new[0]), added.trajectory) == (0, 5.0, 1.0, 0)
    np.testing.assert_array_equal(keyframes.origin, old[0].camera_to_world)
    keyframes.rescale(2.0, np.zeros(3))
    assert [f.camera_to_world[0, 3] for f in keyframes.all] == [0.0, 2.0, 4.0, 6.0, 10.0, 11.0, 12.0, 8.0]
    (missed,) = frames([11.5], first=40)
    keyframes.insert(missed, new[:2])
    assert missed.trajectory == 20


def test_a_trajectory_of_which_no_keyframe_is_left_is_forgotten() -> None:
    keyframes = KeyframeMap(MATCHER, MapSettings())
    first, second = frames([0.0, 1.0]), frames([10.0, 11.0], first=10)
    keyframes.begin(first, 1.0)
    keyframes.begin(second, 1.0)
    keyframes.end_trajectory()
    for frame in first:
        keyframes._drop(frame)
    keyframes.begin(frames([50.0, 60.0], first=30), 1.0)
    assert set(keyframes.trajectories) == {10, 30}


def test_lengths_that_grow_take_their_covariance_and_depths_along() -> None:
    keyframes = KeyframeMap(MATCHER, MapSettings())
    (frame,) = frames([1.0])
    frame.covariance, frame.inverse_depth = np.diag([0.1] * 3 + [0.2] * 3 + [0.3]), np.array([0.5])
    keyframes.begin([frame], 1.0)
    keyframes.rescale(2.0, np.zeros(3))
    np.testing.assert_allclose(frame.covariance, np.diag([0.4] * 3 + [0.2] * 3 + [0.3]))
    np.testing.assert_allclose(frame.inverse_depth, [0.25])


def test_only_keyframes_whose_place_is_known_count_as_near() -> None:
    """A trajectory begun anew stands where nobody knows, until a loop joins it."""
    keyframes = KeyframeMap(MATCHER, MapSettings())
    old, new = frames([0.0, 1.0, 2.0, 3.0]), frames([0.1, 1.1, 2.1, 3.1], first=20)
    keyframes.begin(old, 1.0)
    keyframes.begin(new, 1.0)
    assert keyframes.joined(old[0]) == {0, 1, 2, 3}
    assert [f.number for f in keyframes.around(new[1])] == [20, 21, 22]
    keyframes.close_loop(new[3], old[3], new[3].camera_to_world, 0.0)
    assert keyframes.joined(old[0]) == {0, 1, 2, 3, 20, 21, 22, 23}
    assert len({f.number for f in keyframes.around(new[1])} & {0, 1, 2, 3}) > 0


def test_after_going_back_keyframes_are_measured_along_the_way_that_led_there() -> None:
    keyframes = KeyframeMap(MATCHER, MapSettings(window=2, bundle=4))
    begun = frames([0.0, 1.0, 2.0, 3.0, 9.0, 10.0])
    keyframes.begin(begun, 1.0)
    keyframes.go_back_to(begun[2:4])
    assert [f.number for f in keyframes.stored] == [0, 1, 4, 5]
    asked: list[list[int]] = []
    keyframes.shared.measure = lambda others, frame: asked.append([f.number for f in others])  # type: ignore[method-assign]
    (frame,) = frames([3.5], first=6)
    keyframes.add(frame)
    assert asked == [[0, 1, 2, 3]]
    assert frame.parent == 3


def test_a_first_keyframe_that_goes_leaves_one_trajectory_behind() -> None:
    """Both that were measured against it stay together, and a loop that led to it leads to its heir, once."""
    keyframes = KeyframeMap(MATCHER, MapSettings(window=1, stored=2))
    begun = frames([0.0, 0.01, 5.0, 6.0])
    keyframes.window, (begun[1].parent, begun[2].parent, begun[3].parent) = [begun[3]], (0, 0, 2)
    keyframes.stored = begun[:3]
    keyframes.loops = {(0, 3), (1, 3)}
    keyframes._drop(begun[0])
    assert [f.parent for f in begun[1:]] == [None, 1, 2]
    assert keyframes.loops == {(1, 3)}
    assert keyframes.joined(begun[3]) == {1, 2, 3}


@pytest.mark.parametrize("history", [True, False])
def test_what_stood_beside_a_keyframe_that_is_gone_is_found_through_a_long_chain_of_heirs(history: bool) -> None:
    keyframes = KeyframeMap(MATCHER, MapSettings(window=1, stored=10_000, history=history))
    blank = Features(np.zeros((120, 160), np.uint8))
    poses = [make_pose(np.eye(3), [float(k), 0.0, 0.0]) for k in range(1501)]
    begun = [StreamFrame(k, k, blank, CAMERA, pose) for k, pose in enumerate(poses)]
    keyframes.begin(begun, 1.0)
    dropped = beside(begun[1400], make_pose(np.eye(3), [1400.0, 2.0, 0.0]))
    for frame in reversed(begun[1:1500]):
        keyframes._drop(frame)
    keyframes.rescale(2.0, np.zeros(3))
    found = keyframes.place(dropped)
    if not history:
        assert found is None
        return
    assert found is not None
    np.testing.assert_allclose(found[:3, 3], [2800.0, 4.0, 0.0], rtol=1e-9)


def test_moving_the_world_moves_all_of_it_rigidly() -> None:
    keyframes = KeyframeMap(MATCHER, MapSettings())
    begun = frames([0.0, 1.0, 2.0, 3.0])
    keyframes.begin(begun, 1.0)
    before: FloatArray = np.array([f.camera_to_world for f in begun])
    motion = make_pose(rotation_from_vector([0.1, 0.2, 0.3]), [4.0, 5.0, 6.0])
    keyframes.move(motion)
    np.testing.assert_allclose([f.camera_to_world for f in begun], motion @ before, atol=1e-12)


def test_scaled_about_a_point_that_point_stays() -> None:
    pose = make_pose(rotation_from_vector([0.1, 0.2, 0.3]), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(scaled_about(pose, 3.0, np.array([1.0, 2.0, 3.0])), pose)
    np.testing.assert_allclose(scaled_about(pose, 3.0, np.zeros(3))[:3, 3], [3.0, 6.0, 9.0])
