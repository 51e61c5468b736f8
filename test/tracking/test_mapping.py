"""mapping: what a new keyframe is measured and refined against, which keyframes go, which shows a place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from keyframes_on_a_line import MATCHER, frame, map_of, numbers, on_a_line, positions

from ros2_raxels.geometry.poses import make_pose
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import Keyframe, SolvedFrame
from ros2_raxels.tracking.mapping import Mapper, MapSettings


def solved(number: int, x: float) -> SolvedFrame:
    return SolvedFrame(frame(number), make_pose(np.eye(3), [x, 0.0, 0.0]), np.zeros((7, 7)))


def no_tracks() -> Any:
    none = np.zeros(0, int)
    return SimpleNamespace(
        evidence=SimpleNamespace(anchor=none, kind=none, index=none, frames=0), inverse_depth=np.zeros(0)
    )


def begun(positions: list[float], settings: MapSettings) -> Mapper:
    """A map whose first trajectory has frames at these x."""
    mapper = Mapper(MATCHER, settings)
    mapper.begin([solved(k, x) for k, x in enumerate(positions)], no_tracks(), 1.0, 1.0)
    return mapper


def test_those_go_first_whose_neighbours_are_close() -> None:
    """What was measured against one that goes is from then on taken as measured against the one before."""
    mapper = begun([0.0, 1.0, 2.0, 2.1, 3.0, 4.0, 4.05, 5.0, 6.0, 7.0], MapSettings(stored=5))
    assert numbers(mapper.keyframes.stored) == [0, 1, 2, 4, 6]
    assert mapper.keyframes.keyframes[4].parent == 2
    assert mapper.keyframes.keyframes[6].parent == 4
    found, votes = mapper.most_alike(frame(99, seed=3))
    assert found is None or found.number != 3
    assert votes < 5


def test_a_keyframe_is_found_by_what_it_shows() -> None:
    mapper = begun([0.0, 5.0, 1.0, 9.0, 0.5, 7.0], MapSettings())
    best, votes = mapper.most_alike(frame(99, seed=2))
    assert best is not None
    assert best.number == 2
    assert votes > 50
    assert numbers(mapper.around(best)) == [0, 2, 4]
    other, _ = mapper.most_alike(frame(99, seed=2), besides=[best])
    assert other is None or other.number != 2


def test_back_on_an_older_trajectory_its_unit_holds_and_it_alone_grows() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0, 3.0]), on_a_line([10.0, 11.0, 12.0], first=20), units=[5.0, 1.0])
    mapper = Mapper(MATCHER, MapSettings(), keyframes)
    keyframes.go_back_to(keyframes.all[1:4])
    added = mapper.add(solved(30, 4.0))
    assert (keyframes.present, keyframes.unit, keyframes.unit_of(keyframes.keyframes[20])) == (0, 5.0, 1.0)
    assert (added.trajectory, added.parent, keyframes.window_numbers) == (0, 3, [2, 3, 30])
    np.testing.assert_array_equal(keyframes.origin, np.eye(4))
    keyframes.rescale(0, 2.0, np.zeros(3))
    assert positions(keyframes.all) == [0.0, 2.0, 4.0, 6.0, 10.0, 11.0, 12.0, 8.0]
    mapper.insert(solved(40, 11.5), 20, [keyframes.keyframes[n] for n in (20, 21)])
    assert (keyframes.keyframes[40].trajectory, keyframes.keyframes[40].parent) == (20, 20)
    assert 40 not in keyframes.window_numbers


def test_after_going_back_a_keyframe_is_measured_along_the_way_that_led_there() -> None:
    keyframes = map_of(on_a_line([0.0, 1.0, 2.0, 3.0, 9.0, 10.0]), window=2)
    mapper = Mapper(MATCHER, MapSettings(window=2, bundle=4), keyframes)
    keyframes.go_back_to(keyframes.all[2:4])
    assert numbers(keyframes.stored) == [0, 1, 4, 5]
    asked: list[list[int]] = []
    starting = mapper.shared.starting_in_last

    def spy(frames: list[Keyframe]) -> Any:
        asked.append(numbers(frames))
        return starting(frames)

    mapper.shared.starting_in_last = spy  # type: ignore[method-assign, assignment]
    assert mapper.add(solved(6, 3.5)).parent == 3
    assert asked == [[0, 1, 2, 3, 6]]


def test_what_is_done_beside_the_map_is_taken_over_as_a_whole() -> None:
    mapper = begun([0.0, 1.0, 2.0], MapSettings())
    beside = mapper.aside(Matcher(threads=1))
    beside.add(solved(3, 3.0))
    beside.add(solved(4, 4.0))
    assert numbers(mapper.keyframes.all) == [0, 1, 2]
    assert mapper.most_alike(frame(99, seed=4))[1] < 5
    assert len(mapper.shared) == 0
    keyframes, shared = mapper.keyframes, mapper.shared
    mapper.take_over(beside)
    # Whoever knows the map goes on with it.
    assert (mapper.keyframes, mapper.shared) == (keyframes, shared)
    assert numbers(keyframes.all) == [0, 1, 2, 3, 4]
    assert numbers(keyframes.window) == [2, 3, 4]
    assert len(shared) == len(beside.shared) > 0
    found, votes = mapper.most_alike(frame(99, seed=4))
    assert found is not None
    assert (found.number, votes > 50) == (4, True)


def test_points_are_told_in_the_optical_frame_of_their_keyframe() -> None:
    mapper = begun([0.0, 1.0], MapSettings())
    keyframe = mapper.keyframes.keyframes[1]
    assert mapper.points(keyframe).shape == (0, 3)
    keyframe.inverse_depth[3] = 0.25
    (point,) = mapper.points(keyframe)
    pixel = MATCHER.grid((120, 160))[3]
    np.testing.assert_allclose(point, 4.0 * np.array([(pixel[0] - 79.5) / 150.0, (pixel[1] - 59.5) / 150.0, 1.0]))
