"""doubt: where most tracks around disagree, and not where some matches are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.tracking.doubt import are_off, in_doubt, nearest_of, odds

STEP, COLUMNS, ROWS = 16.0, 20, 15
GRID = np.stack(np.meshgrid(np.arange(COLUMNS), np.arange(ROWS)), axis=-1).reshape(-1, 2) * STEP + 8.0
PLACES = GRID + np.random.default_rng(0).normal(0.0, 3.0, GRID.shape)
NONE = np.zeros(len(GRID), bool)
LEFT = GRID[:, 0] < 0.2 * COLUMNS * STEP


def test_what_moves_is_in_doubt_where_it_is_and_nowhere_else() -> None:
    off = LEFT & (np.random.default_rng(1).random(len(GRID)) < 0.8)
    found = in_doubt(GRID, PLACES, off, NONE)
    assert found[LEFT].mean() > 0.85
    assert found[GRID[:, 0] > 0.4 * COLUMNS * STEP].sum() == 0


def test_wrong_matches_here_and_there_are_none() -> None:
    off = np.random.default_rng(2).random(len(GRID)) < 0.12
    assert not in_doubt(GRID, PLACES, off, NONE).any()
    # Nor is a spot too small to bend a pose.
    spot = ((GRID - GRID[len(GRID) // 2]) ** 2).sum(axis=1) < (1.2 * STEP) ** 2
    assert 2 < spot.sum() < 8
    assert not in_doubt(GRID, PLACES, spot, NONE).any()


def test_what_was_in_doubt_must_agree_by_more_than_half_to_be_trusted_again() -> None:
    off = LEFT & (np.random.default_rng(3).random(len(GRID)) < 0.42)
    fresh, known = (in_doubt(GRID, PLACES, off, before)[LEFT].mean() for before in (NONE, LEFT))
    assert fresh < 0.4
    assert known > fresh + 0.3
    assert not in_doubt(GRID, PLACES, NONE, LEFT).any()


def test_a_place_belongs_to_the_nearest_point_of_the_grid() -> None:
    inside = np.clip(PLACES, GRID.min(axis=0), GRID.max(axis=0))
    squared = ((inside[:, None] - GRID) ** 2).sum(axis=2)
    np.testing.assert_array_equal(nearest_of(GRID, inside), squared.argmin(axis=1))
    assert nearest_of(GRID, np.array([[-50.0, -50.0], [1e4, 1e4]])).tolist() == [0, len(GRID) - 1]


def test_what_comes_in_at_once_is_no_thing_that_moves_unless_it_was_there_before() -> None:
    half = GRID[:, 0] < 0.5 * COLUMNS * STEP
    assert not in_doubt(GRID, PLACES, half, NONE).any()
    grown = in_doubt(GRID, PLACES, half, GRID[:, 0] < 0.4 * COLUMNS * STEP)
    assert grown[half].mean() > 0.9
    assert in_doubt(GRID, PLACES, half, NONE, at_first=True)[half].mean() > 0.9


def test_a_track_is_off_that_misses_in_one_of_the_frames_that_see_it() -> None:
    residual = np.column_stack([np.full(20, 0.2), np.full(20, np.nan)])
    residual[:4, 1] = 2.9, 3.1, 0.1, 9.0
    assert np.flatnonzero(are_off(residual)).tolist() == [1, 3]


def test_which_motion_is_the_world_s_is_known_while_most_of_the_picture_agrees() -> None:
    assert [odds(share) for share in (0.0, 0.3, 0.5)] == [0.0, 0.0, 0.0]
    assert [odds(share) for share in (0.6, 0.75, 1.0)] == pytest.approx([0.2, 0.5, 1.0])
