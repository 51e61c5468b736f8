"""rig_tracks: depths of the others follow the map and its copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rig_walk import LENS, RigWalk, sides, stereo

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import Keyframe, Side, StreamFrame
from ros2_raxels.tracking.rig_tracks import RigTracks, side_frame


@pytest.fixture(scope="module")
def walk() -> RigWalk:
    return sides()


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher()


def keyframes(walk: RigWalk, matcher: Matcher, indices: list[int]) -> list[Keyframe]:
    """Of the truth, in metres; the depths of the first camera are of no interest."""
    leader, found = walk.rig["left"], []
    for k in indices:
        side = Side(matcher.look(walk.images[k]["right"]), walk.rig["right"].camera)
        frame = StreamFrame(
            k, walk.stamp_ns(k), matcher.look(walk.images[k]["left"]), leader.camera, sides={"right": side}
        )
        pose = walk.base_to_world[k] @ leader.camera_to_base
        found.append(Keyframe(frame, pose, np.zeros((7, 7)), np.zeros(0)))
    return found


def test_depths_beside_are_those_of_the_room(walk: RigWalk, matcher: Matcher) -> None:
    rig = RigTracks(matcher, walk.rig)
    known = keyframes(walk, matcher, [0, 1, 2])
    rig.begin(known)
    (view, *_) = rig.views("right", known)
    np.testing.assert_allclose(view.camera_to_world, walk.base_to_world[0] @ walk.rig["right"].camera_to_base)
    seen = np.isfinite(view.inverse_depth)
    assert seen.mean() > 0.5
    # The room is 5 m wide, and the robot stands in it.
    assert 0.15 < np.median(view.inverse_depth[seen]) < 2.0


def test_a_frame_finds_what_is_seen_beside_and_a_copy_goes_its_own_way(walk: RigWalk, matcher: Matcher) -> None:
    rig = RigTracks(matcher, walk.rig)
    known = keyframes(walk, matcher, [0, 1, 2])
    rig.begin(known)
    (new,) = keyframes(walk, matcher, [3])
    (seen,) = rig.expected(known, new.frame, new.camera_to_world)
    assert seen.name == "right"
    assert len(seen.beside.evidence.anchor) > 60
    np.testing.assert_allclose(seen.beside.to_leader, walk.rig.to_leader("right"))
    copy = rig.copy(matcher)
    sure = np.ones(len(seen.beside.evidence.anchor), bool)
    rig.learn(seen, np.full(len(sure), 0.5), sure)
    mine, others = (r.views("right", known)[0].inverse_depth for r in (rig, copy))
    assert (mine == 0.5).sum() > (others == 0.5).sum() == 0
    # The copy's depths win, and what was learned here alone stays.
    rig.take_over(copy)
    after = rig.views("right", known)[0].inverse_depth
    np.testing.assert_array_equal(after, np.where(np.isfinite(others), others, mine))


def test_a_camera_that_sees_what_the_first_one_sees_follows_fewer_points_unless_that_is_dark(matcher: Matcher) -> None:
    pair = stereo()
    rig, known = RigTracks(matcher, pair.rig), keyframes(pair, matcher, [0, 1, 2])
    rig.begin(known)
    (new,) = keyframes(pair, matcher, [3])
    dark = replace(new.frame, features=matcher.look(np.zeros((180, 240), np.uint8)))
    both, alone = (
        len(rig.expected(known, frame, new.camera_to_world)[0].beside.evidence.anchor) for frame in (new.frame, dark)
    )
    assert 60 < both < 0.8 * alone


@pytest.mark.parametrize(
    ("overlaps", "dark", "found"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_keypoints_are_left_out_of_a_camera_that_sees_what_the_first_one_sees(
    matcher: Matcher, overlaps: bool, dark: bool, found: bool
) -> None:
    pair = stereo() if overlaps else sides()
    rig, known = RigTracks(matcher, pair.rig), keyframes(pair, matcher, [0, 1])
    rig.begin(known)
    (new,) = keyframes(pair, matcher, [2])
    if dark:
        new = replace(new, frame=replace(new.frame, features=matcher.look(np.zeros((180, 240), np.uint8))))
    rig.measure(known, new)
    matches = rig.shared("right").known_of(new.number)
    assert {pair: m.keypoints is not None for pair, m in matches.items()} == {(0, 2): found, (1, 2): found}
    assert all(np.isfinite(m.flow_back[:, 0]).mean() > 0.3 for m in matches.values())


def test_depths_follow_a_world_that_grows(walk: RigWalk, matcher: Matcher) -> None:
    rig = RigTracks(matcher, walk.rig)
    known = keyframes(walk, matcher, [0, 1])
    rig.begin(known)
    (before, _) = rig.views("right", known)
    grown = [Keyframe(k.frame, k.camera_to_world, k.covariance, k.inverse_depth, log_growth=np.log(2)) for k in known]
    (after, _) = rig.views("right", grown)
    np.testing.assert_allclose(after.inverse_depth, before.inverse_depth / 2)
    rig.forget_all_but([1], {1: known[1]})
    assert np.isnan(rig.views("right", known)[0].inverse_depth).all()


def test_a_moment_without_an_image_is_passed_over(walk: RigWalk, matcher: Matcher) -> None:
    rig = RigTracks(matcher, walk.rig)
    known = keyframes(walk, matcher, [0, 1, 2])
    blind = Keyframe(StreamFrame(9, 9, known[0].features, LENS), np.eye(4), np.zeros((7, 7)), np.zeros(0))
    assert [v.number for v in rig.views("right", [*known, blind])] == [0, 1, 2]
    assert rig.expected([blind], known[0].frame, np.eye(4)) == []
    assert side_frame(known[1].frame, "right").number == 1
    assert isinstance(known[1].frame.sides["right"].camera, PinholeCamera)
