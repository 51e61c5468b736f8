"""Paths in rendered rooms against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.evaluation.views.path_trials import (
    PlaceTrial,
    places_along,
    random_path,
    record_of,
    section_of,
    try_paths,
)
from ros2_raxels.factory import make_predictor
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, make_pose, rotation_from_vector
from ros2_raxels.scenes.renderer import depth_map
from ros2_raxels.scenes.rounds import rounds_film


def trial(stated: list[float], hits: list[int | None]) -> PlaceTrial:
    image, camera = np.zeros((4, 4, 3), np.uint8), PinholeCamera(4, 4, 4.0, 4.0, 1.5, 1.5)
    return PlaceTrial(image, camera, np.eye(4), [np.zeros((9, 3))] * len(hits), np.array(stated), hits)


def test_the_record_counts_paths_by_what_was_stated() -> None:
    found = record_of([trial([0.96, 0.99, 1.0], [None, None, 4]), trial([0.0, 0.1], [0, None])])
    assert (found["places"], found["paths"], found["free"]) == (2, 5, 0.6)
    assert found["brier"] == pytest.approx((0.04**2 + 0.01**2 + 1.0 + 0.0 + 0.9**2) / 5)
    assert found["brier_of_mean"] == pytest.approx(0.24)
    lowest, second, *empty, surest = found["bins"]
    assert (lowest["paths"], lowest["stated"], lowest["free"]) == (1, 0.0, 0.0)
    assert (second["paths"], second["stated"], second["free"]) == (1, 0.1, 1.0)
    assert (surest["paths"], surest["free"]) == (3, pytest.approx(2 / 3))
    assert surest["stated"] == pytest.approx(2.95 / 3)
    assert [group["paths"] for group in empty] == [0, 0, 0]


def test_the_section_shows_the_shares_and_leaves_empty_groups_blank() -> None:
    section = section_of(record_of([trial([0.97, 0.99], [None, 3])]), [])
    assert section.table[-1] == ["95 to 100 %", "2", "98.0 %", "50.0 %"]
    assert section.table[1] == ["0 to 5 %", "0", "-", "-"]
    assert section.cards[1].value == "50.0 %"


def test_places_along_a_path_are_on_it_and_close_together() -> None:
    places = np.array([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 2.0, 0.0)])
    fine = places_along(places)
    steps = np.linalg.norm(np.diff(fine, axis=0), axis=1)
    assert steps.max() < 0.021
    np.testing.assert_allclose(fine[[0, -1]], places[[0, -1]])
    on_first, on_second = np.abs(fine[:, 1]) < 1e-9, np.abs(fine[:, 0] - 1.0) < 1e-9
    assert (on_first | on_second).all()


def test_a_random_path_begins_at_the_camera_and_faces_the_way_it_goes() -> None:
    generator, start = np.random.default_rng(2), OPTICAL_TO_BODY.copy()
    start[:3, 3] = (1.0, 2.0, 1.4)
    for _ in range(20):
        path = random_path(generator, start)
        np.testing.assert_allclose(path[0, :3, 3], start[:3, 3])
        way = path[1:, :3, 3] - path[:-1, :3, 3]
        level = way * (1.0, 1.0, 0.0) / np.linalg.norm(way[:, :2], axis=1)[:, None]
        np.testing.assert_allclose((level * path[:-1, :3, 2]).sum(axis=1), 1.0, atol=1e-9)
        assert 0.5 <= np.linalg.norm(way, axis=1).sum() <= 3.5


def test_paths_of_a_room_touch_what_stands_there() -> None:
    """A ball that touches something has a surface within its radius, as rays in all directions tell."""
    places = list(try_paths(make_predictor(""), 0))
    stated, free = (np.concatenate([getattr(one, name) for one in places]) for name in ("stated", "free"))
    assert stated[free].mean() > stated[~free].mean() + 0.1
    hits = [(path, hit) for one in places for path, hit in zip(one.paths, one.hits, strict=True) if hit]
    assert hits
    world = rounds_film("loop", 200, 320, 240, 0, 10.0).world
    wide = PinholeCamera(33, 33, 16.0, 16.0, 16.0, 16.0)
    for path, hit in hits[:6]:
        nearest = np.inf
        for turn in [(0.0, k * np.pi / 2, 0.0) for k in range(4)] + [(k * np.pi / 2, 0.0, 0.0) for k in (1, 3)]:
            depth = depth_map(world, wide, make_pose(rotation_from_vector(turn), path[hit]))
            nearest = min(nearest, float((depth / wide.bearings()[..., 2]).min()))
        assert nearest < 0.43
