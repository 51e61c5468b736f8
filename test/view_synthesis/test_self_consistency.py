"""self_consistency: poses estimated back from views, and their distance from the poses asked for."""

from __future__ import annotations

import numpy as np
import pytest
from views_scene import shifted

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.view_synthesis.confidence import Signs
from ros2_raxels.view_synthesis.prediction import PredictedViews
from ros2_raxels.view_synthesis.self_consistency import check_views, self_consistency

CAMERA = PinholeCamera(160, 120, 140.0, 140.0, 79.5, 59.5)
PATH = handheld_loop(seconds=10.0, rate_hz=10.0)[[0, 3, 5, 7]]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    world = furnished_room()
    return [render(world, CAMERA, pose)[0] for pose in PATH]


def checked(known: list[np.ndarray], views: list[np.ndarray], asked: FloatArray) -> tuple[FloatArray, FloatArray]:
    return self_consistency(Estimator(), known, PATH[: len(known)], np.array(views), asked, CAMERA)


def test_images_of_the_poses_asked_for_agree_with_them(pictures: list[np.ndarray]):
    rotation, distance = checked(pictures[:2], pictures[2:], PATH[2:])
    assert np.degrees(rotation).max() < 0.5
    assert distance.max() < 0.03


def test_images_of_other_poses_do_not(pictures: list[np.ndarray]):
    turned = np.array([PATH[2] @ shifted(turn_deg=(0, 5, 0)), PATH[3] @ shifted(0.3)])
    rotation, distance = checked(pictures[:2], pictures[2:], turned)
    assert np.degrees(rotation[0]) == pytest.approx(5.0, abs=0.5)
    assert np.degrees(rotation[1]) < 0.5
    assert distance[1] > 0.15


def test_a_view_that_shows_nothing_is_nan(pictures: list[np.ndarray]):
    rotation, distance = checked(pictures[:2], [np.full_like(pictures[0], 127)], PATH[2:3])
    assert np.isnan(rotation).all()
    assert np.isnan(distance).all()


class Weigher:
    """Keeps the signs that it is asked about."""

    def confidence_of(self, signs: Signs) -> FloatArray:
        self.asked = signs
        return 0.1 + 0.2 * signs.made_up


def views_of(images: list[np.ndarray], poses: FloatArray) -> PredictedViews:
    signs = Signs(*np.linspace(0.1, 0.9, 4 * len(images)).reshape(4, -1))
    blank = np.zeros((len(images), 120, 160))
    return PredictedViews(np.array(images), CAMERA, poses, blank, blank, signs.made_up, signs, 1, 0)


def test_views_are_checked_with_the_newest_frames_and_signs_are_shares_of_the_reach(pictures: list[np.ndarray]):
    turned = np.array([PATH[2] @ shifted(turn_deg=(0, 5, 0)), PATH[3]])
    views, weigher = views_of(pictures[2:], turned), Weigher()
    blank = np.full_like(pictures[0], 127)
    known, poses = [blank, *pictures[:2]], np.array([shifted(9.0), *PATH[:2]])
    found = check_views(weigher, Estimator(), known, poses, views)
    rotation, distance = checked(pictures[:2], pictures[2:], turned)
    np.testing.assert_allclose(found.rotation_rad, rotation)
    np.testing.assert_allclose(found.distance, distance)
    reach = np.linalg.norm(np.concatenate([PATH[1:2], turned])[:, :3, 3] - PATH[0, :3, 3], axis=1).max()
    assert weigher.asked.moved is not None
    np.testing.assert_allclose(weigher.asked.moved, distance / reach)
    np.testing.assert_array_equal(weigher.asked.turned_rad, rotation)
    np.testing.assert_array_equal(weigher.asked.spread, views.signs.spread)
    np.testing.assert_allclose(found.confidence, 0.1 + 0.2 * views.signs.made_up)


def test_views_whose_poses_cannot_be_estimated_are_weighed_all_the_same(pictures: list[np.ndarray]):
    weigher, still = Weigher(), np.array([PATH[0]])
    found = check_views(weigher, Estimator(), pictures[:1], still, views_of([np.full_like(pictures[0], 127)], still))
    assert np.isnan(found.rotation_rad).all()
    assert weigher.asked.moved is not None
    assert found.confidence.shape == (1,)
    # Nothing moves, so a distance has nothing to be a share of.
    np.testing.assert_array_equal(weigher.asked.moved, [0.0])


def test_of_several_cameras_only_the_frames_of_the_one_of_the_views_are_used(pictures: list[np.ndarray]):
    """The newest two are of cameras that look elsewhere."""
    elsewhere = np.full_like(pictures[0], 127)
    known, at = [*pictures[:2], elsewhere, elsewhere], np.concatenate([PATH[:2], PATH[:2]])
    signs = Signs(*np.full((4, 2), 0.25))
    share = np.zeros((2, CAMERA.height, CAMERA.width))
    views = PredictedViews(
        np.array(pictures[2:]), CAMERA, PATH[2:], share, share, np.array([0.9, 0.9]), signs, steps=1, seed=3
    )
    found = check_views(Weigher(), Estimator(), known, at, views, own=(0, 1))
    assert np.degrees(found.rotation_rad).max() < 0.5
    assert found.distance.max() < 0.03
