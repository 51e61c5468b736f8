"""map_update: keyframes are made beside the frames, and no frame waits for one, whatever becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from walk import BLACK, CAMERA, FIRST_NS, HELD, LOST, STEP_NS, TRACKING, Image, Walk, states

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import (
    interpolate_pose,
    make_pose,
    relative_pose,
    rotation_angle_rad,
    rotation_from_vector,
)
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking import map_update
from ros2_raxels.tracking.background import AtOnce, StuckError
from ros2_raxels.tracking.budget import Budget
from ros2_raxels.tracking.map_update import PATIENCE_S, MappingState, MapUpdate
from ros2_raxels.tracking.mapping import Mapper
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose, TrackerSettings
from ros2_raxels.utils.right_of_way import give_way

Make = Callable[..., MapUpdate]
REAL_TIME = TrackerSettings(real_time=True)


class Workshop:
    """Stands before the real making of keyframes: what is in the way is done first."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self.gate = threading.Event()
        self.gate.set()
        self.in_the_way: list[Callable[[], object]] = []

    def __call__(self, *of: object) -> MapUpdate:
        for step in self.in_the_way:
            step()
        return self._make(*of)


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    workshop = Workshop(map_update._sketch)
    monkeypatch.setattr(map_update, "_sketch", workshop)
    yield workshop
    workshop.gate.set()


class Robot:
    """A tracker in real time, on a machine as fast as you like; what its mapping raises is noted down."""

    def __init__(self) -> None:
        self.tracker = Tracker(REAL_TIME)
        self.tracker._budget = Budget(limited=False)
        # First cameras made beside frames are the last of these tests.
        self.in_background, self.tracker._first_solver._work = self.tracker._first_solver._work, AtOnce()
        self.troubles: list[Exception] = []
        self._stamp_ns = FIRST_NS
        # However busy the machine is, patience and what keyframes take are counted in the time of the frames.
        self.tracker._maker._clock = lambda: self._stamp_ns * 1e-9
        self.tracker._maker._work._clock = self.tracker._maker._clock  # type: ignore[union-attr]

    def see(
        self, images: list[Image], wait: bool = False, camera: Camera = CAMERA, step_ns: int = STEP_NS
    ) -> list[TrackedPose]:
        """Answers; with `wait`, mapping is given all the time that it needs after each."""
        found = []
        for image in images:
            found.append(self.tracker.track(image, self._stamp_ns, camera))
            try:
                self.tracker.improve()
                if wait:
                    self.tracker._live.finish()
            except Exception as error:
                self.troubles.append(error)
            self._stamp_ns += step_ns
        return found


Begun = tuple[Robot, int]


@pytest.fixture
def begun(walk: Walk, workshop: Workshop) -> Begun:
    """A robot on its walk, whose newest keyframe waits at the gate of the workshop; and the next frame."""
    robot = Robot()
    robot.see(walk[:14], wait=True)
    workshop.in_the_way = [workshop.gate.wait]
    workshop.gate.clear()
    for k in range(14, len(walk.images)):
        if robot.see(walk[k : k + 1])[0].keyframe:
            return robot, k + 1
    raise AssertionError("no keyframe was asked for")


def is_right(walk: Walk, scale: float, found: list[TrackedPose], begin: int) -> bool:
    off, turn = walk.error(found, list(range(begin, begin + len(found))), scale)
    return set(states(found)) == {TRACKING} and off < 0.02 and turn < 1.0


def test_when_it_is_waited_for_the_answers_are_those_of_a_recording(walk: Walk, tracked: list[TrackedPose]) -> None:
    robot = Robot()
    for now, then in zip(robot.see(walk[:30], wait=True), tracked[:30], strict=True):
        np.testing.assert_array_equal(now.camera_to_world, then.camera_to_world)
        np.testing.assert_array_equal(now.covariance, then.covariance)
    assert robot.tracker.mapping.made > 2
    assert robot.troubles == []


def test_a_keyframe_in_the_making_delays_no_frame(walk: Walk, scale: float, workshop: Workshop, begun: Begun) -> None:
    """It does not come to an end while frames go by, for a third of a second, and another one is asked for."""
    robot, begin = begun
    made, known = robot.tracker.mapping.made, list(robot.tracker._live.keyframes.keyframes)
    meanwhile = robot.see(walk[begin : begin + 5])
    assert is_right(walk, scale, meanwhile, begin)
    assert not any(found.corrected for found in meanwhile)
    assert robot.tracker.mapping.busy_s > 0
    assert list(robot.tracker._live.keyframes.keyframes) == known
    # When the image has moved as far again, and not with each frame.
    assert sum(found.keyframe for found in meanwhile) == 1
    workshop.gate.set()
    robot.tracker._live.finish()
    assert is_right(walk, scale, robot.see(walk[begin + 5 : begin + 13], wait=True), begin + 5)
    assert robot.tracker.mapping.made >= made + 2
    assert robot.troubles == []


def test_the_camera_does_not_jump_when_a_keyframe_is_taken_over(walk: Walk, workshop: Workshop, begun: Begun) -> None:
    robot, begin = begun
    robot.see(walk[begin : begin + 4])
    before = robot.tracker._live.motion.camera_to_world.copy()
    workshop.gate.set()
    robot.tracker._live.finish()
    moved = relative_pose(before, robot.tracker._live.motion.camera_to_world)
    # What bundle adjustment has found, of a scene whose depth is 1.
    assert 0 < np.linalg.norm(moved[:3, 3]) < 0.003


def test_a_frame_that_waits_to_become_a_keyframe_moves_with_the_map(
    walk: Walk, scale: float, workshop: Workshop, begun: Begun
) -> None:
    """A loop is closed meanwhile, which turns the map, puts it elsewhere and doubles it."""
    robot, begin = begun
    tracker, first = robot.tracker, begin - 1
    waiting = [begin + k for k, found in enumerate(robot.see(walk[begin : begin + 5])) if found.keyframe]
    there, make = make_pose(rotation_from_vector([0.0, 1.0, 0.0]), [5.0, 0.0, -3.0]), workshop._make

    def make_and_move(*of: object) -> MapUpdate:
        workshop._make = make
        update = make(*of)
        keyframes = update.mapper.keyframes
        keyframes.rescale(keyframes.present, 2.0, np.zeros(3))
        keyframes.move(there)
        return replace(update, growth=2.0)

    workshop._make = make_and_move
    workshop.gate.set()
    tracker._live.finish()
    assert sorted(tracker._live.keyframes.keyframes)[-2:] == [first, waiting[0]]
    poses = [tracker._live.keyframes.keyframes[k].camera_to_world for k in (first, waiting[0])]
    truth, step = relative_pose(walk.poses[first], walk.poses[waiting[0]]), relative_pose(*poses)
    assert np.linalg.norm(0.5 * scale * step[:3, 3] - truth[:3, 3]) < 0.1 * np.linalg.norm(truth[:3, 3])
    assert np.degrees(rotation_angle_rad(step[:3, :3].T @ truth[:3, :3])) < 0.5
    assert robot.troubles == []


def test_mapping_that_is_stuck_is_given_up_after_a_while_and_begun_anew(
    walk: Walk, scale: float, workshop: Workshop, begun: Begun
) -> None:
    robot, begin = begun
    made, before_s = robot.tracker.mapping.made, robot.tracker._maker._work._clock()  # type: ignore[union-attr]
    robot.tracker._maker._work._clock = lambda: before_s + PATIENCE_S + 1.0  # type: ignore[union-attr]
    workshop.in_the_way = []
    assert is_right(walk, scale, robot.see(walk[begin : begin + 4]), begin)
    assert [type(error) for error in robot.troubles] == [StuckError]
    assert "not come to an end in 10 s" in str(robot.troubles[0])
    assert robot.tracker.mapping.stuck == 1
    assert is_right(walk, scale, robot.see(walk[begin + 4 : begin + 16], wait=True), begin + 4)
    assert robot.tracker.mapping.made > made
    assert len(robot.troubles) == 1


@pytest.mark.parametrize("end", [ZeroDivisionError("nobody foresaw this"), SystemExit("killed")])
def test_mapping_that_dies_costs_a_keyframe_and_no_pose(
    walk: Walk, scale: float, workshop: Workshop, begun: Begun, end: BaseException
) -> None:
    def die() -> None:
        raise end

    robot, begin = begun
    made = robot.tracker.mapping.made
    workshop.in_the_way += [die]
    workshop.gate.set()
    robot.tracker._maker.wait()
    workshop.in_the_way = []
    assert is_right(walk, scale, robot.see(walk[begin : begin + 14], wait=True), begin)
    assert [str(end) in str(trouble) for trouble in robot.troubles] == [True]
    assert robot.tracker.mapping.failed == 1
    assert robot.tracker.mapping.made > made


def test_what_was_in_the_making_when_the_world_was_moved_is_not_taken_over(
    walk: Walk, workshop: Workshop, begun: Begun
) -> None:
    robot, begin = begun
    known = list(robot.tracker._live.keyframes.keyframes)
    there = make_pose(rotation_from_vector([0.0, 1.0, 0.0]), [5.0, 0.0, -3.0])
    robot.tracker.set_pose(there, np.eye(6) * 1e-4)
    workshop.gate.set()
    robot.tracker._maker.wait()
    (found,) = robot.see(walk[begin : begin + 1])
    assert list(robot.tracker._live.keyframes.keyframes) == known
    assert found.corrected
    assert np.linalg.norm(relative_pose(there, found.camera_to_world)[:3, 3]) < 0.1
    # The next frame that sees little becomes one in its place.
    robot.see(walk[begin + 1 : begin + 8], wait=True)
    assert len(robot.tracker._live.keyframes.keyframes) > len(known)
    assert robot.troubles == []


def test_after_a_reset_nothing_of_before_is_taken_over(walk: Walk, workshop: Workshop, begun: Begun) -> None:
    robot, _ = begun
    robot.tracker.reset()
    workshop.gate.set()
    robot.tracker._maker.wait()
    again = robot.see(walk[30:42], wait=True)
    fresh = Robot().see(walk[30:42], wait=True)
    np.testing.assert_array_equal(again[-1].camera_to_world, fresh[-1].camera_to_world)
    assert robot.troubles == []


def test_a_loss_while_a_keyframe_is_in_the_making_ends_at_a_known_place(
    walk: Walk, workshop: Workshop, begun: Begun
) -> None:
    robot, begin = begun
    assert states(robot.see([BLACK] * 6)) == [HELD] * 4 + [LOST] * 2
    assert states(robot.see(walk[begin : begin + 3]))[-1] is TRACKING
    workshop.gate.set()
    robot.tracker._maker.wait()
    assert set(states(robot.see(walk[begin + 3 : begin + 10], wait=True))) == {TRACKING}
    assert robot.troubles == []


def test_keyframes_are_written_as_they_were_when_that_was_asked_for_while_frames_go_on(
    walk: Walk, workshop: Workshop, begun: Begun, tmp_path: Path
) -> None:
    robot, begin = begun
    known = [keyframe.camera_to_world for keyframe in robot.tracker._live.keyframes.all]
    save = robot.tracker.keyframes_to_save(tmp_path / "room.safetensors")
    assert robot.tracker.mapping.busy_s > 0
    workshop.gate.set()
    robot.see(walk[begin : begin + 3], wait=True)
    assert len(robot.tracker._live.keyframes.keyframes) > len(known)
    assert save() == len(known)
    other = Tracker()
    assert other.load_keyframes(tmp_path / "room.safetensors") == len(known)
    np.testing.assert_array_equal([keyframe.camera_to_world for keyframe in other._live.keyframes.all], known)


def test_a_camera_that_changes_its_resolution_while_a_keyframe_is_in_the_making_is_followed(
    walk: Walk, scale: float, workshop: Workshop, begun: Begun
) -> None:
    robot, begin = begun
    small = [cv2.resize(image, (256, 192), interpolation=cv2.INTER_AREA) for image in walk[begin : begin + 12]]
    camera = CAMERA.resized(256, 192)
    found = robot.see(small[:4], camera=camera)
    workshop.gate.set()
    found += robot.see(small[4:], wait=True, camera=camera)
    assert is_right(walk, scale, found, begin)
    assert robot.troubles == []


def test_a_camera_that_speeds_up_from_15_to_90_hz_is_followed(walk: Walk, scale: float) -> None:
    robot = Robot()
    robot.see(walk[:19], wait=True)
    # Steps come before the image that they lead to.
    between = [interpolate_pose(walk.poses[k], walk.poses[k + 1], share / 6) for k in (19, 20) for share in range(6)]
    room = furnished_room(3)
    robot.see(walk[19:20], wait=True, step_ns=STEP_NS // 6)
    fast = robot.see([render(room, CAMERA, pose)[0] for pose in between[1:]], wait=True, step_ns=STEP_NS // 6)
    assert set(states(fast)) == {TRACKING}
    truth = relative_pose(walk.poses[0], np.array(between[1:]))[:, :3, 3]
    off = np.array([found.camera_to_world[:3, 3] for found in fast]) * scale - truth
    assert np.linalg.norm(off, axis=1).max() < 0.02 * walk.depth_m
    assert is_right(walk, scale, robot.see(walk[21:23], wait=True), 21)
    assert robot.troubles == []


def test_what_is_stuck_holds_up_no_exit_of_the_process(begun: Begun) -> None:
    robot, _ = begun
    assert robot.tracker.mapping.busy_s > 0
    making = [thread for thread in threading.enumerate() if thread.name == "raxels-mapping"]
    assert making
    assert all(thread.daemon for thread in making)


def test_the_state_of_mapping_is_told_in_words_where_the_map_falls_behind() -> None:
    assert MappingState(made=3, busy_s=0.4).trouble == ""
    assert MappingState(busy_s=3.21).trouble.startswith("a keyframe has been in the making for 3.2 s; poses go on")
    assert MappingState(5, 2, 1).values() == {
        "keyframes made": "5",
        "keyframes failed": "2",
        "keyframes given up": "1",
    }


def test_frames_go_on_while_the_first_cameras_are_solved(
    walk: Walk, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take ten frames; poses go on from them as if they had been there when the last of their frames came."""
    robot, gate, solve = Robot(), threading.Event(), Estimator.estimate_seen
    robot.tracker._first_solver._work = robot.in_background
    monkeypatch.setattr(Estimator, "estimate_seen", lambda *of, **named: gate.wait(60.0) and solve(*of, **named))
    before: list[TrackedPose] = []
    while not robot.tracker._first_solver.is_busy:
        before += robot.see(walk[len(before) : len(before) + 1])
    begun = len(before)
    meanwhile = robot.see(walk[begun : begun + 10])
    assert not any(found.has_depth for found in meanwhile)
    gate.set()
    robot.tracker._first_solver.wait()
    after = robot.see(walk[begun + 10 : begun + 20], wait=True)
    assert is_right(walk, scale, after, begun + 10)
    assert [stamp for stamp, _ in after[0].earlier] == [FIRST_NS + k * STEP_NS for k in range(begun - 1)]
    assert robot.troubles == []


def test_frames_go_on_from_a_sketch_of_a_keyframe_before_it_is_complete(
    walk: Walk, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, complete = threading.Event(), map_update._complete
    robot = Robot()
    robot.see(walk[:14], wait=True)
    made = robot.tracker.mapping.made
    monkeypatch.setattr(map_update, "_complete", lambda *of: (gate.wait(60.0), complete(*of))[1])
    begin = next(k for k in range(14, 30) if robot.see(walk[k : k + 1])[0].keyframe)
    robot.tracker._maker.wait()
    meanwhile = robot.see(walk[begin + 1 : begin + 5])
    assert robot.tracker._live.keyframes.window[-1].number == begin
    assert robot.tracker.mapping.made == made
    assert is_right(walk, scale, meanwhile, begin + 1)
    gate.set()
    robot.tracker._live.finish()
    assert robot.tracker.mapping.made > made
    assert is_right(walk, scale, robot.see(walk[begin + 5 : begin + 9], wait=True), begin + 5)
    assert robot.troubles == []


def test_what_can_wait_is_put_off_for_a_keyframe_that_cannot_and_done_later(
    walk: Walk, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keyframe is being completed, which takes for ever, while two more are asked for one after the other."""
    complete, tried = map_update._complete, []
    begun = threading.Event()

    def held_up(mapper: Mapper) -> MapUpdate:
        tried.append(mapper.sketched)
        begun.set()
        while len(tried) == 1:
            give_way()
        return complete(mapper)

    robot = Robot()
    robot.see(walk[:14], wait=True)
    made, live = robot.tracker.mapping.made, robot.tracker._live
    monkeypatch.setattr(map_update, "_complete", held_up)
    first = next(k for k in range(14, 30) if robot.see(walk[k : k + 1])[0].keyframe)
    robot.tracker._maker.wait()
    live.improve()
    assert begun.wait(60.0)
    # The image moves on by several frames at a time, and each of them sees little of the one before.
    skipped = [*walk[first + 5 : first + 15 : 5]]
    found = [robot.see([image], step_ns=5 * STEP_NS)[0] for image in skipped]
    assert [answer.keyframe for answer in found] == [True, True]
    robot.tracker._maker.wait()
    live.finish()
    # Where other work delays the images, the last of them finds the others completed, and is completed on its own.
    assert tried in ([1, 2], [1, 2, 1])
    assert sorted(live.keyframes.keyframes)[-len(tried)] == first
    assert robot.tracker.mapping.made == made + len(tried) - 1
    assert is_right(walk, scale, robot.see(walk[first + 10 : first + 14], wait=True), first + 10)
    assert robot.troubles == []


def test_what_has_to_end_before_the_next_keyframe_is_told_by_how_long_it_took_of_late(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, complete = threading.Event(), map_update._complete
    robot = Robot()
    robot.see(walk[:14], wait=True)
    monkeypatch.setattr(map_update, "_complete", lambda *of: (gate.wait(60.0), complete(*of))[1])
    next(k for k in range(14, 30) if robot.see(walk[k : k + 1])[0].keyframe)
    maker, live = robot.tracker._maker, robot.tracker._live
    assert maker.left_s == 0.0, "a sketch is in the making"
    maker.wait()
    live.improve()
    maker._completing_s, maker._clock = 0.3, lambda: maker._stage_begun_s + 0.1
    assert maker.left_s == pytest.approx(0.2)
    maker._clock = lambda: maker._stage_begun_s + 5.0
    assert 0.0 < maker.left_s < 0.1
    gate.set()
    maker.wait()
    live.improve()
    assert maker._completing_s == pytest.approx(0.3 + 0.3 * (5.0 - 0.3))


def test_the_longer_keyframes_take_the_earlier_they_are_asked_for(walk: Walk) -> None:
    asked = []
    for takes_s in (0.0, 1.0):
        robot = Robot()
        robot.see(walk[:14], wait=True)
        robot.tracker._maker._takes_s = takes_s
        asked.append(next(k for k in range(14, 30) if robot.see(walk[k : k + 1])[0].keyframe))
    assert asked[1] < asked[0]
