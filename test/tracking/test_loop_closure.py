"""loop_closure: drift that was put in by hand is taken out, a place that looks alike is no loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from keyframes_on_a_line import map_of, on_a_line
from learned_rig import FakeGraphs
from walk import BLACK, CAMERA, FIRST_NS, STEP_NS, Image, follow

from ros2_raxels.geometry.poses import (
    FloatArray,
    make_pose,
    rotation_angle_rad,
    rotation_from_vector,
)
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.depth_prior import PointDepths
from ros2_raxels.tracking.frame import Keyframe, scaled_about
from ros2_raxels.tracking.gravity import Up
from ros2_raxels.tracking.keyframe_map import Link
from ros2_raxels.tracking.learned_look import LearnedLook
from ros2_raxels.tracking.loop_closure import LoopCloser, _is_drift, _is_no_return, leans
from ros2_raxels.tracking.metric_scale import ScaleSource
from ros2_raxels.tracking.resection import FrameSolve, FrameSolver
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackerSettings

NO_DEPTHS = PointDepths(np.zeros((1, 2)), np.full(1, np.nan), np.full(1, np.nan), ScaleSource.STEREO, 0.01)
"""Of a sensor that has seen nothing."""


@pytest.fixture(scope="module")
def rounds() -> list[Image]:
    """Once round the loop and a second more, at 8 Hz."""
    room, poses = furnished_room(3), handheld_loop(7.0, 8.0, seed=1)
    poses = np.concatenate([poses, poses[:8]])
    return [render(room, CAMERA, pose)[0] for pose in poses]


def results_of(patch: pytest.MonkeyPatch, name: str) -> list[object]:
    """What a method of the closer gives from now on."""
    found: list[object] = []
    method = getattr(LoopCloser, name)

    def told(*given: object) -> object:
        found.append(method(*given))
        return found[-1]

    patch.setattr(LoopCloser, name, told)
    return found


def bend(tracker: Tracker) -> FloatArray:
    """Bend all keyframes but the first ones, scale included, as drift bends them; their poses (N, 4, 4) then."""
    centre, keyframes = np.array([1.0, 0.5, -2.0]), tracker._live.keyframes
    for k, keyframe in enumerate(keyframes.all):
        share = max(0.0, (k - 3) / len(keyframes.all))
        turn = rotation_from_vector([0.0, 0.03 * share, 0.0])
        about = make_pose(turn, centre - turn @ centre)
        pose = scaled_about(about @ keyframe.camera_to_world, 1.0 + 0.1 * share, centre)
        depths = keyframe.inverse_depth / (1.0 + 0.1 * share)
        keyframes.put(replace(keyframe, camera_to_world=pose, inverse_depth=depths))
    return np.array([f.camera_to_world for f in keyframes.all])


def test_a_loop_takes_out_drift_that_was_put_in_by_hand(rounds: list[Image], monkeypatch: pytest.MonkeyPatch) -> None:
    """After one round all keyframes are bent, scale included, as drift bends them; then the first place is seen."""
    tracker = Tracker(TrackerSettings(loops=False))
    follow(tracker, rounds)
    tracker.improve()
    keyframes = tracker._live.keyframes.all
    assert len(keyframes) > 14
    straight = np.array([f.camera_to_world for f in keyframes])

    bent = bend(tracker)
    keyframes = tracker._live.keyframes.all

    uncertain = np.trace(keyframes[-1].covariance[:3, :3])

    def closed_loops() -> list[float | None]:
        closer = LoopCloser(tracker._solver, tracker._matcher)
        return [closer.close(tracker._live.mapper, keyframes[-1]) for _ in range(4)]

    with monkeypatch.context() as patch:
        # One old keyframe alone, whose depths nobody has measured, does not tell how far away it is.
        patch.setattr(type(tracker._live.mapper), "around", lambda _, known, besides=(): [known])
        measured = results_of(patch, "_measure")
        assert closed_loops() == [None] * 4
    assert measured
    assert set(measured) == {None}
    growth = closed_loops()
    (factor,) = [g for g in growth if g is not None]
    keyframes = tracker._live.keyframes.all
    assert factor == pytest.approx(1 / (1.0 + 0.1 * (len(keyframes) - 4) / len(keyframes)), rel=0.05)
    closed = np.array([f.camera_to_world for f in keyframes])
    before, after = (np.linalg.norm(p[:, :3, 3] - straight[:, :3, 3], axis=1) for p in (bent, closed))
    assert before.max() > 0.1
    assert after.max() < 0.35 * before.max()
    assert after[-1] < 0.03
    assert np.degrees(rotation_angle_rad(closed[-1, :3, :3].T @ straight[-1, :3, :3])) < 1.0
    # It is known as well as the place where it was found, and better than the way there was.
    assert np.trace(keyframes[-1].covariance[:3, :3]) < 0.8 * uncertain
    # By how far it was off is what the map remembers of its drift.
    ((place, turn_rad),) = tracker._live.keyframes.drift_seen
    assert place == pytest.approx(np.linalg.norm((bent - closed)[-1, :3, 3]) / tracker._live.keyframes.unit, rel=0.3)
    assert turn_rad == pytest.approx(rotation_angle_rad(bent[-1, :3, :3].T @ closed[-1, :3, :3]), rel=0.3)
    (loop,) = tracker._live.keyframes.loops
    assert loop.second == keyframes[-1].number
    # With what its solve left open, in the place of a constant.
    assert 0.0 < np.sqrt(np.trace(loop.covariance[:3, :3])) < 0.05
    assert 0.0 < np.sqrt(np.trace(loop.covariance[3:, 3:])) < 0.05


def test_where_the_first_camera_of_a_rig_is_dark_another_one_closes_the_loop(rounds: list[Image]) -> None:
    mounts = {name: MountedCamera(CAMERA, make_pose(np.eye(3), (x, 0.0, 0.0))) for name, x in (("a", 0.0), ("b", 0.1))}
    tracker = Tracker(TrackerSettings(loops=False), rig=Rig(mounts))
    for k, image in enumerate(rounds):
        tracker.track(BLACK, FIRST_NS + k * STEP_NS, CAMERA, others={"b": image})
        tracker.improve()
    straight = np.array([f.camera_to_world for f in tracker._live.keyframes.all])
    bent, keyframes = bend(tracker), tracker._live.keyframes
    # What that camera has measured of depths is bent with the keyframes.
    rig, count = tracker._live.mapper.rig, len(keyframes.all)
    assert rig is not None
    for k, view in enumerate(rig.views("b", keyframes.all)):
        rig.know("b", view.number, view.inverse_depth / (1.0 + 0.1 * max(0.0, (k - 3) / count)))
    closer = LoopCloser(tracker._solver, tracker._matcher)
    growth = [closer.close(tracker._live.mapper, keyframes.all[-1]) for _ in range(4)]
    assert [g is not None for g in growth].count(True) == 1
    closed = np.array([f.camera_to_world for f in keyframes.all])
    before, after = (np.linalg.norm(p[:, :3, 3] - straight[:, :3, 3], axis=1) for p in (bent, closed))
    assert after[-1] < 0.3 * before[-1]


def test_a_place_that_only_looks_alike_is_no_loop(rounds: list[Image]) -> None:
    """The same picture, when the camera has come far since: nothing may move."""
    tracker = Tracker(TrackerSettings(loops=False))
    follow(tracker, rounds)
    tracker.improve()
    keyframes = tracker._live.keyframes.all
    for keyframe in keyframes[-3:]:
        tracker._live.keyframes.move_keyframe(
            keyframe.number, make_pose(np.eye(3), [0.0, 0.0, 40.0]) @ keyframe.camera_to_world
        )
    keyframes = tracker._live.keyframes.all
    far = [f.camera_to_world for f in keyframes]
    closer = LoopCloser(tracker._solver, tracker._matcher)
    assert {closer.close(tracker._live.mapper, keyframes[-1]) for _ in range(8)} == {None}
    np.testing.assert_array_equal(far, [f.camera_to_world for f in tracker._live.keyframes.all])


class SettlesOnAnother(FrameSolver):
    """Where the place is looked for among all starts it takes furniture for its like that stands a little elsewhere.

    From the one start that it is given it finds what is there.

    Args:
        off: 4x4, the camera as found in the camera as it is.
    """

    def __init__(self, off: FloatArray) -> None:
        super().__init__(None, 0.7)
        self._off = off

    def solve(
        self, starts: Sequence[FloatArray], anchors: Sequence[Keyframe], evidence: Evidence, step: float
    ) -> FrameSolve | None:
        solved = super().solve(starts, anchors, evidence, step)
        return solved and replace(solved, camera_to_world=solved.camera_to_world @ self._off)


def test_furniture_that_stands_in_two_places_is_no_loop(rounds: list[Image]) -> None:
    """The old place, seen from the new keyframe, and other keyframes of the old place must say the same."""
    tracker = Tracker(TrackerSettings(loops=False))
    follow(tracker, rounds)
    tracker.improve()
    before = np.array([k.camera_to_world for k in tracker._live.keyframes.all])
    for turn_deg, shift, closed in ((0.2, 0.005, True), (2.5, 0.0, False), (0.0, 0.15, False)):
        off = make_pose(rotation_from_vector([0.0, np.radians(turn_deg), 0.0]), [shift, 0.0, 0.0])
        mapper = tracker._live.mapper.aside(tracker._matcher)
        closer = LoopCloser(SettlesOnAnother(off), tracker._matcher)
        growth = [closer.close(mapper, mapper.keyframes.all[-1]) for _ in range(4)]
        assert any(g is not None for g in growth) == closed
        assert len(mapper.keyframes.loops) == closed
        same = np.array_equal(before, [k.camera_to_world for k in mapper.keyframes.all])
        assert same != closed


class SeesNothingInCommon(Matcher):
    """To which a known place is another one, as in other light."""

    def common_keypoints(self, a: Features, b: Features) -> int:
        return 0


def test_learned_keypoints_tell_a_place_that_others_do_not(rounds: list[Image]) -> None:
    tracker = Tracker(TrackerSettings(loops=False))
    follow(tracker, rounds)
    tracker.improve()
    for learned in (None, LearnedLook(LearnedMatcher(FakeGraphs()))):
        mapper = tracker._live.mapper.aside(tracker._matcher)
        closer = LoopCloser(tracker._solver, SeesNothingInCommon(tracker._matcher.settings), learned)
        growth = [g for _ in range(4) if (g := closer.close(mapper, mapper.keyframes.all[-1])) is not None]
        if learned is None:
            assert not growth
            continue
        assert growth == [pytest.approx(1.0, abs=0.05)]
        (loop,) = mapper.keyframes.loops
        assert loop.second == mapper.keyframes.all[-1].number


@pytest.mark.parametrize(
    ("off", "log_scale", "is_drift"),
    [
        (make_pose(np.eye(3), [0.1, 0.0, 0.0]), 0.0, True),
        (make_pose(np.eye(3), [0.8, 0.0, 0.0]), 0.0, False),
        (make_pose(rotation_from_vector([0.0, 0.05, 0.0]), np.zeros(3)), 0.1, True),
        (make_pose(rotation_from_vector([0.0, 0.2, 0.0]), np.zeros(3)), 0.0, False),
        (np.eye(4), 4.0, True),
    ],
)
def test_a_loop_may_find_the_camera_off_by_what_can_have_come_of_drift(
    off: FloatArray, log_scale: float, is_drift: bool
) -> None:
    """The newest keyframe is known to .02 more than the first, in translation and rad, after three units of way."""
    frames = on_a_line([0.0, 1.0, 2.0, 3.0])
    frames[0] = replace(frames[0], covariance=np.zeros((7, 7)))
    frames[3] = replace(frames[3], covariance=0.02**2 * np.eye(7))
    keyframes = map_of(frames)
    pose = frames[3].camera_to_world @ off
    loop = Link(0, 3, pose, log_scale, np.diag([1e-6] * 6), (0.0, 0.0))
    assert _is_drift(keyframes, loop) == is_drift
    # Where nobody knows the way between two places, a loop may find anything.
    apart = map_of(frames[:2], frames[2:])
    assert _is_drift(apart, loop)


@pytest.mark.parametrize(
    ("turn", "is_leaning"),
    [([0.0, 0.3, 0.0], False), ([0.04, 0.0, 0.0], False), ([0.1, 0.0, 0.0], True), ([0.0, 0.3, 0.1], True)],
)
def test_a_loop_that_tilts_the_camera_against_gravity_is_none(turn: list[float], is_leaning: bool) -> None:
    """Known to .014 rad; y points down, and about that a loop may turn the camera by as much as drift allows."""
    frames = on_a_line([0.0, 1.0, 2.0, 3.0])
    frames[3] = replace(frames[3], covariance=0.01**2 * np.eye(7))
    off = make_pose(rotation_from_vector(turn), np.zeros(3))
    loop = Link(0, 3, frames[3].camera_to_world @ off, 0.0, np.zeros((6, 6)), (0.0, 0.0))
    up = Up(np.array([0.0, -1.0, 0.0]), 0.01)
    assert leans(map_of(frames), loop, up) == is_leaning
    # Nothing is known of gravity, or of how the older trajectory leans.
    assert not leans(map_of(frames), loop, None)
    assert not leans(map_of(frames[:2], frames[2:]), loop, up)


@pytest.mark.parametrize(
    ("places", "apart", "is_no_return"),
    [
        # Out and back: the way of four units ends where it began, or half a way from there; or it has just turned.
        ([0.0, 1.0, 2.0, 1.0, 0.0], 0.3, False),
        ([0.0, 1.0, 2.0, 3.0, 2.0], 2.0, False),
        ([0.0, 1.0, 2.0, 3.0, 2.8], 2.8, True),
        # Straight on, and what was seen at the beginning is seen still.
        ([0.0, 1.0, 2.0, 3.0, 4.0], 4.0, True),
        # On the spot there is hardly any way.
        ([0.0, 0.02, 0.04, 0.06, 0.08], 0.08, False),
    ],
)
def test_what_is_seen_from_afar_all_the_way_is_no_loop(places: list[float], apart: float, is_no_return: bool) -> None:
    frames = on_a_line(places)
    loop = Link(0, 4, make_pose(np.eye(3), [apart, 0.0, 0.0]), 0.0, np.diag([1e-6] * 6), (0.0, 0.0))
    assert _is_no_return(map_of(frames), loop) == is_no_return
    # Where nobody knows the way between two places, all there is to know is the loop.
    assert not _is_no_return(map_of(frames[:2], frames[2:]), loop)


@pytest.mark.parametrize("depth", [NO_DEPTHS, None], ids=["measured depths", "images alone"])
def test_a_loop_that_is_less_sure_than_the_way_is_none(rounds: list[Image], depth: PointDepths | None) -> None:
    """The same bent keyframes that a loop straightens otherwise, known to a tenth of a millimetre."""
    tracker = Tracker(TrackerSettings(loops=False))
    follow(tracker, rounds)
    tracker.improve()
    for sure, closed in ((1e-8, False), (1.0, True)):
        for k, keyframe in enumerate(tracker._live.keyframes.all):
            frame = replace(keyframe.frame, depth=depth)
            tracker._live.keyframes.put(replace(keyframe, frame=frame, covariance=np.eye(7) * sure * k))
        closer = LoopCloser(tracker._solver, tracker._matcher)
        growth = [closer.close(tracker._live.mapper, tracker._live.keyframes.all[-1]) for _ in range(4)]
        assert any(g is not None for g in growth) == closed
