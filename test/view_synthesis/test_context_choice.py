"""context_choice: the frames that show the views, from near and from two sides, in any unit and any world."""

from __future__ import annotations

import numpy as np
import pytest
from views_scene import shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.view_synthesis.context_choice import choose_frames

CAMERA = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
AHEAD = np.array([shifted(z=z) for z in (0.1, 0.2, 0.3)])


def chosen(frames: FloatArray, views: FloatArray, most: int = 2) -> list[int]:
    return choose_frames(CAMERA, frames, views, most)


def test_after_a_turn_the_frames_that_looked_there_are_chosen() -> None:
    """Frames 0 to 2 looked ahead; since then the camera has turned away."""
    frames = np.array([shifted(0.1 * k, turn_deg=(0, turn, 0)) for k, turn in enumerate((0, 0, 0, 90, 120, 150))])
    assert set(chosen(frames, AHEAD, 3)) == {0, 1, 2}


def test_frames_are_ordered_by_what_they_tell_and_all_are_used_where_there_are_few() -> None:
    frames = np.array([shifted(turn_deg=(0, turn, 0)) for turn in (40, 0, 170)])
    assert chosen(frames, AHEAD, 9) == [1, 0, 2]


def test_of_equal_frames_the_newer_is_taken() -> None:
    assert chosen(np.array([shifted()] * 3), AHEAD, 1) == [2]


def test_a_second_frame_from_another_place_is_worth_more_than_one_that_shows_nothing_of_the_view() -> None:
    frames = np.array([shifted(), shifted(0.2), shifted(0.1, turn_deg=(0, 80, 0))])
    assert set(chosen(frames, AHEAD)) == {0, 1}


def test_the_frames_together_show_the_whole_view() -> None:
    """Two on the right see the same half of a wide view; the one on the left sees the other."""
    turns = (25, 27, -25)
    frames = np.array([shifted(turn_deg=(0, turn, 0)) for turn in turns])
    assert 2 in chosen(frames, shifted()[None])
    assert len(chosen(frames, shifted()[None])) == 2


@pytest.mark.parametrize("unit", [1e-3, 1.0, 40.0])
def test_the_choice_depends_on_neither_unit_nor_world(unit: float) -> None:
    rng = np.random.default_rng(4)
    frames = np.array([shifted(*rng.uniform(-1, 1, 3), turn_deg=rng.uniform(-40, 40, 3)) for _ in range(10)])
    expected = chosen(frames, AHEAD, 4)
    scale = np.ones((4, 4))
    scale[:3, 3] = unit
    world = shifted(3.0, -2.0, 9.0, turn_deg=(20, 130, -60))
    assert chosen(world @ (frames * scale), world @ (AHEAD * scale), 4) == expected


def test_views_at_the_very_place_of_the_only_frame() -> None:
    assert chosen(np.eye(4)[None], np.eye(4)[None], 4) == [0]


def test_of_a_long_trajectory_a_few_views_are_looked_at() -> None:
    frames = np.array([shifted(z=k, turn_deg=(0, 180 * (k % 2), 0)) for k in range(8)])
    long = np.array([shifted(z=z) for z in np.linspace(0, 8, 10_000)])
    assert {k % 2 for k in chosen(frames, long, 4)} == {0}
