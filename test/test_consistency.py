"""consistency: poses found again in views, where they can be, and their distance from what was asked."""

from __future__ import annotations

import numpy as np
import pytest
from views_scene import shifted

from ros2_raxels.consistency import self_consistency, share_of_reach
from ros2_raxels.estimator import Estimator
from ros2_raxels.geometry import FloatArray, PinholeCamera
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

CAMERA = PinholeCamera(160, 120, 140.0, 140.0, 79.5, 59.5)
PATH = handheld_loop(seconds=10.0, rate_hz=10.0)[[0, 3, 5, 7]]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    world = furnished_room()
    return [render(world, CAMERA, pose)[0] for pose in PATH]


def checked(known: list[np.ndarray], views: list[np.ndarray], asked: FloatArray) -> tuple[FloatArray, FloatArray]:
    return self_consistency(Estimator(), known, PATH[: len(known)], np.array(views), asked, CAMERA)


def test_pictures_of_the_poses_that_were_asked_for_agree_with_them(pictures: list[np.ndarray]):
    rotation, distance = checked(pictures[:2], pictures[2:], PATH[2:])
    assert np.degrees(rotation).max() < 0.5
    assert distance.max() < 0.03


def test_pictures_of_other_poses_do_not(pictures: list[np.ndarray]):
    turned = np.array([PATH[2] @ shifted(turn_deg=(0, 5, 0)), PATH[3] @ shifted(0.3)])
    rotation, distance = checked(pictures[:2], pictures[2:], turned)
    assert np.degrees(rotation[0]) == pytest.approx(5.0, abs=0.5)
    assert np.degrees(rotation[1]) < 0.5
    assert distance[1] > 0.15


def test_what_shows_nothing_is_nan(pictures: list[np.ndarray]):
    rotation, distance = checked(pictures[:2], [np.full_like(pictures[0], 127)], PATH[2:3])
    assert np.isnan(rotation).all()
    assert np.isnan(distance).all()


def test_distances_are_told_over_the_reach_of_all_cameras():
    known = np.array([shifted(1.0), shifted(1.5)])
    views = np.array([shifted(3.0), shifted(2.0)])
    np.testing.assert_allclose(share_of_reach(np.array([1.0, np.nan]), known, views), [0.5, np.nan])
    np.testing.assert_array_equal(share_of_reach(np.array([0.3]), known[:1], known[:1]), [0.0])
