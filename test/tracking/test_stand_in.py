"""stand_in: another camera of a rig takes the place of a dark first one; what it finds is told as the first one's."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.geometry.turns import Turn
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import Side, SolvedFrame, StreamFrame
from ros2_raxels.tracking.initializer import Waiting
from ros2_raxels.tracking.stand_in import StandIn

LENS = PinholeCamera(64, 48, 60.0, 60.0, 31.5, 23.5)
MOUNT = make_pose(rotation_from_vector(np.array([0.0, 1.2, 0.3])), (0.3, -0.1, 0.2))
RIG = Rig({"first": MountedCamera(LENS, np.eye(4)), "second": MountedCamera(LENS, MOUNT)})


@pytest.fixture(scope="module")
def looks() -> dict[bool, Features]:
    """Of an image that shows something, and of a dark one."""
    rng, matcher = np.random.default_rng(0), Matcher()
    return {
        lit: matcher.look(rng.integers(0, 255 if lit else 2, (48, 64), np.uint8).astype(np.uint8))
        for lit in (True, False)
    }


def frame(looks: dict[bool, Features], number: int, first: bool, second: bool | None) -> StreamFrame:
    """Which cameras see something; None for no image."""
    sides = {} if second is None else {"second": Side(looks[second], LENS)}
    return StreamFrame(number, number, looks[first], LENS, sides=sides)


def test_a_camera_that_goes_dark_is_waited_for_and_then_replaced(looks: dict[bool, Features]) -> None:
    by = StandIn(RIG)
    assert not by.see(frame(looks, 0, True, True), False)
    changes = [by.see(frame(looks, k, False, True), True) for k in range(1, 5)]
    assert (changes, by.name) == ([False, False, True, False], "second")
    # It stays when the first one comes back, and gives way when it is dark itself.
    assert not by.see(frame(looks, 5, True, True), True)
    changes = [by.see(frame(looks, k, True, None), True) for k in range(6, 9)]
    assert (changes, by.name) == ([False, False, True], "")


def test_where_nothing_is_collected_the_first_that_sees_is_taken_at_once(looks: dict[bool, Features]) -> None:
    by = StandIn(RIG)
    assert not by.see(frame(looks, 0, False, False), False)
    assert by.name == ""
    assert by.see(frame(looks, 1, False, True), False)
    assert by.name == "second"
    alone = StandIn(None)
    assert not alone.see(frame(looks, 0, False, None), False)
    np.testing.assert_array_equal(alone.to_leader, np.eye(4))


def test_what_it_finds_is_told_as_the_first_ones(looks: dict[bool, Features]) -> None:
    by, whole = StandIn(RIG), frame(looks, 7, False, True)
    by.see(whole, False)
    seen = by.seen_in(whole)
    assert seen is not None
    assert seen.features is looks[True]
    assert by.seen_in(frame(looks, 8, True, None)) is None
    pose: FloatArray = make_pose(rotation_from_vector(np.array([0.2, -0.1, 0.4])), (1.0, 2.0, 3.0))
    (solved,) = by.solved_of_leader([SolvedFrame(seen, pose @ RIG.to_leader("second"), np.eye(7))])
    np.testing.assert_allclose(solved.camera_to_world, pose, atol=1e-12)
    assert solved.frame is whole
    # A turn of the base is one about other axes in each camera.
    turned = rotation_from_vector(np.array([0.0, 0.3, 0.0]))
    beside = MOUNT[:3, :3].T @ turned @ MOUNT[:3, :3]
    told = by.of_leader(Waiting("", [seen], Turn(beside, 0.3, 0.0)))
    assert told.turn is not None
    np.testing.assert_allclose(told.turn.rotation, turned, atol=1e-12)
    assert list(told.given_up) == [whole]
    by.keep_only([])
    with pytest.raises(KeyError):
        by.whole([seen])
