"""Candidate paths in an image."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.visualization.paths_picture import BLOCKED_RGB, FREE_RGB, draw_paths

CAMERA = PinholeCamera(80, 60, 60.0, 60.0, 39.5, 29.5)
BLACK = np.zeros((60, 80, 3), np.uint8)


def line(x: float) -> np.ndarray:
    """Ahead on the right or left, half a metre below the camera."""
    return np.column_stack([np.full(40, x), np.full(40, 0.5), np.linspace(0.0, 4.0, 40)])


def test_paths_have_the_colour_of_their_odds_where_they_are_seen() -> None:
    paths = [line(-0.4), line(0.4)]
    drawn = draw_paths(BLACK, CAMERA, np.eye(4), paths, [1.0, 0.0], [None, None])
    assert drawn.shape == (120, 160, 3)
    for path, colour in zip(paths, (FREE_RGB, BLOCKED_RGB), strict=True):
        column, row = np.rint(CAMERA.resized(160, 120).project(path[20:21])[0]).astype(int)
        np.testing.assert_allclose(drawn[row, column], colour, atol=3)
    assert (drawn.sum(axis=2) > 0).mean() < 0.1


def test_a_cross_marks_where_a_path_meets_something() -> None:
    plain, crossed = (draw_paths(BLACK, CAMERA, np.eye(4), [line(0.0)], [0.2], [hit]) for hit in (None, 15))
    column, row = np.rint(CAMERA.resized(160, 120).project(line(0.0)[15:16])[0]).astype(int)
    changed = np.argwhere((plain != crossed).any(axis=2))
    assert len(changed)
    assert np.abs(changed - (row, column)).max() <= 7


def test_what_lies_behind_the_camera_is_not_drawn() -> None:
    behind = line(0.0) * (1.0, 1.0, -1.0)
    assert not draw_paths(BLACK, CAMERA, np.eye(4), [behind], [1.0], [3]).any()
