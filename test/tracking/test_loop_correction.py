"""loop_correction: how keyframes give way to a loop, how trajectories are joined, which loops are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from keyframes_on_a_line import map_of, on_a_line, positions

from ros2_raxels.geometry.poses import FloatArray, make_pose, relative_pose, rotation_from_vector
from ros2_raxels.tracking import loop_correction
from ros2_raxels.tracking.keyframe_map import KeyframeMap, Link, Trajectory
from ros2_raxels.tracking.loop_correction import close_loop
from ros2_raxels.tracking.metric_scale import Scale, ScaleSource
from ros2_raxels.tracking.pose_graph import Edge, relax

METRIC = Scale(ScaleSource.ODOM, 3.0, 0.02)
SURE = np.diag([1e-4] * 6)


def measured(
    keyframes: KeyframeMap,
    first: int,
    second: int,
    camera_to_world: FloatArray,
    log_scale: float = 0.0,
    covariance: FloatArray = SURE,
) -> Link:
    """The second keyframe was found there, in the world as it is around the first."""
    known, found = keyframes.keyframes[first], keyframes.keyframes[second]
    pose = relative_pose(known.camera_to_world, camera_to_world)
    return Link(first, second, pose, log_scale, covariance, (known.log_growth, found.log_growth))


def at(x: float, y: float = 0.0) -> FloatArray:
    return make_pose(np.eye(3), [x, y, 0.0])


def test_a_loop_between_trajectories_moves_the_new_one_alone() -> None:
    """Its last keyframe is found a quarter turn away from where it was thought to be, and twice as large."""
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0, 3.0]), on_a_line([10.0, 11.0, 12.0, 13.0], first=20, variance=0.1))
    found = make_pose(rotation_from_vector([0.0, 0.0, np.pi / 2]), [1.0, 1.0, 0.0])
    effect = close_loop(keyframes, measured(keyframes, 1, 23, found, float(np.log(2.0))))
    assert effect is not None
    assert effect.growth == pytest.approx(2.0, rel=1e-3)
    assert positions(keyframes.all[:4]) == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=5e-3)
    newest = keyframes.keyframes[23]
    np.testing.assert_allclose(newest.camera_to_world, found, atol=1e-3)
    # The others keep their places beside it, at twice the distance.
    for k in range(4):
        place = relative_pose(newest.camera_to_world, keyframes.keyframes[23 - k].camera_to_world)
        np.testing.assert_allclose(place, at(-2.0 * k), atol=1e-2)
    np.testing.assert_allclose(newest.inverse_depth, [0.25, np.nan], rtol=1e-3)
    assert keyframes.joined(newest) == set(keyframes.keyframes)
    # Twice as large, and twice as uncertain.
    np.testing.assert_allclose(np.diag(newest.covariance), [0.4] * 3 + [0.1] * 4, rtol=1e-3)


@pytest.mark.parametrize(
    ("old_is_metric", "new_is_metric"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_two_trajectories_that_a_loop_joins_begin_where_the_old_one_did_in_the_better_unit(
    old_is_metric: bool, new_is_metric: bool
) -> None:
    """What is one long in the new trajectory is two long in the old one."""
    old, between, new = on_a_line([1.0, 2.0, 3.0]), on_a_line([40.0, 41.0, 42.0], 10), on_a_line([7.0, 8.0, 9.0], 20)
    keyframes = map_of(old, between, new, units=[5.0, 1.0, 0.5])
    for number, is_metric in ((0, old_is_metric), (10, True), (20, new_is_metric)):
        keyframes.know_scale(number, METRIC if is_metric else Scale())
    effect = close_loop(keyframes, measured(keyframes, 2, 22, at(3.0), float(np.log(2.0))))
    assert effect is not None
    # Metres that only the new one has make the old one half as large, and the new one no larger.
    factor = 0.5 if new_is_metric and not old_is_metric else 1.0
    assert effect.growth == pytest.approx(2.0 * factor, rel=1e-3)
    begun = [keyframes.keyframes[n] for n in (0, 1, 2)]
    joined = [keyframes.keyframes[n] for n in (20, 21, 22)]
    assert positions(begun) == pytest.approx([1.0, 1.0 + factor, 1.0 + 2.0 * factor], abs=5e-3)
    assert positions(joined) == pytest.approx([1.0 - 2.0 * factor, 1.0, 1.0 + 2.0 * factor], abs=5e-3)
    assert {k.trajectory for k in (*begun, *joined)} == {0}
    assert (keyframes.present, set(keyframes.trajectories)) == (0, {0, 10})
    assert keyframes.unit == pytest.approx(5.0 * factor, rel=1e-3)
    scale = keyframes.trajectories[0].scale
    assert scale.is_metric == (old_is_metric or new_is_metric)
    if scale.is_metric:
        assert scale.metres_per_unit == pytest.approx(3.0 if old_is_metric else 0.5, rel=1e-3)
    # The loop has nothing to do with the one in between.
    untouched = [keyframes.keyframes[n] for n in (10, 11, 12)]
    assert positions(untouched) == [40.0, 41.0, 42.0]
    assert [k.log_growth for k in untouched] == [0.0] * 3
    assert keyframes.trajectories[10] == Trajectory(1.0, METRIC)


def bent(covariance: FloatArray) -> list[float]:
    """X of a round of keyframes after its last one was found half a unit from where it was thought to be."""
    keyframes = map_of(on_a_line([float(k) for k in range(6)]))
    effect = close_loop(keyframes, measured(keyframes, 0, 5, at(4.9), covariance=covariance))
    assert effect is not None
    return positions(keyframes.all)


def test_a_loop_gives_way_as_far_as_its_solve_left_open() -> None:
    """Between a sure loop and the steps of the trajectory, and between a vague one and them."""
    sure, vague = bent(SURE), bent(np.diag([0.25] * 3 + [1e-4] * 3))
    steps = 5 * (0.02 + 1.0)
    for found, left_open in ((sure, np.sqrt(6e-4)), (vague, np.sqrt(3 * 0.25))):
        # The variance of a step is its length and .02; what is off is shared in proportion.
        loop = 0.02 + (np.sqrt(3e-4) * 2 if left_open < 0.1 else left_open + np.sqrt(3e-4))
        assert found[5] == pytest.approx(5.0 - 0.1 * steps / (steps + loop), abs=2e-3)
    assert sure[5] < vague[5] - 0.01


@pytest.mark.parametrize(("off", "relaxations"), [((0.0, 0.0), 1), ((0.5, 0.0, 0.0), 3)])
def test_the_graph_is_relaxed_once_for_each_set_of_loops(
    off: tuple[float, ...], relaxations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of some loops is closed: with all of them, then without each one that pulls."""
    closed: list[int] = []

    def counted(poses: FloatArray, edges: Sequence[Edge], held: int) -> tuple[FloatArray, FloatArray]:
        closed.append(len(edges) - len(poses) + 1)
        return relax(poses, edges, held)

    monkeypatch.setattr(loop_correction, "relax", counted)
    second_round(*((14 + k, value) for k, value in enumerate(off)))
    last = closed[closed.index(len(off)) :]
    assert last == [len(off)] + [len(off) - 1] * (relaxations - 1)


def second_round(*ends: tuple[int, float]) -> tuple[KeyframeMap, list[Link | None]]:
    """A camera goes round the same eleven places twice, a twentieth of the way too far the second time.

    Args:
        ends: loops that are closed when their keyframe is the newest: 11 + k stands where k does, found off by so much.

    Returns:
        The map, and the older loop that each of these made to be dropped.
    """
    places, dropped = [0.1 * k for k in range(11)], []
    keyframes = map_of(on_a_line(places))
    for number in range(11, 11 + len(places)):
        (newest,) = on_a_line([0.0], first=number)
        parent = keyframes.all[-1]
        step = at(0.105) if number > 11 else at(-1.0)
        keyframes.put(replace(newest, camera_to_world=parent.camera_to_world @ step, parent=parent.number))
        for end, off in ends:
            if end == number:
                known = keyframes.keyframes[end - 11].camera_to_world
                effect = close_loop(keyframes, measured(keyframes, end - 11, end, known @ at(off)))
                dropped.append(None if effect is None else effect.dropped)
    return keyframes, dropped


def ends(loops: list[Link]) -> set[tuple[int, int]]:
    return {(loop.first, loop.second) for loop in loops}


def test_an_earlier_wrong_loop_is_dropped_when_the_rest_contradicts_it() -> None:
    """Between one right and one wrong loop nobody can tell; a second right one tells."""
    keyframes, dropped = second_round((14, 0.5), (15, 0.0), (16, 0.0))
    assert dropped[:2] == [None, None]
    assert dropped[2] is not None
    assert ends([dropped[2]]) == {(3, 14)}
    assert ends(keyframes.loops) == {(4, 15), (5, 16)}
    assert positions(keyframes.all)[13:19] == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6, 0.7], abs=0.03)


def test_a_loop_that_the_others_contradict_is_refused_and_changes_nothing() -> None:
    keyframes, _ = second_round((13, 0.0), (15, 0.0), (17, 0.0))
    before, loops = keyframes.all, list(keyframes.loops)
    assert close_loop(keyframes, measured(keyframes, 3, 14, at(0.8))) is None
    assert all(a is b for a, b in zip(keyframes.all, before, strict=True))
    assert keyframes.loops == loops
    # The same loop where it belongs is no contradiction.
    assert close_loop(keyframes, measured(keyframes, 3, 14, at(0.3))) is not None


def test_loops_and_settled_steps_are_kept_as_they_were_measured() -> None:
    """What was measured does not become what is believed, however often loops are closed."""
    keyframes, _ = second_round((15, 0.0), (18, 0.0), (21, 0.0))
    for loop in keyframes.loops:
        np.testing.assert_allclose(loop.pose, at(0.0), atol=1e-12)
    now = [keyframes.steps[n].between(keyframes.keyframes[n - 1], keyframes.keyframes[n]) for n in range(12, 19)]
    np.testing.assert_allclose([step.pose[0, 3] for step in now], [0.105] * 7)
    assert positions(keyframes.all)[15] == pytest.approx(0.4, abs=5e-3)
