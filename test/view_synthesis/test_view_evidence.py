"""view_evidence: the planes of a view reach as near as its points, and sweep and votes share these planes."""

from __future__ import annotations

import numpy as np
import pytest
from views_scene import TexturedPlane, shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.view_synthesis.dense_points import KnownPoints, find_points
from ros2_raxels.view_synthesis.plane_sweep import LARGEST_DISPARITY, depths_for, sweep
from ros2_raxels.view_synthesis.view_evidence import evidence_of_view

CAMERA = PinholeCamera(128, 96, 116.0, 116.0, 60.0, 50.0)
POSES = [shifted(0.0), shifted(-0.1, 0.02), shifted(-0.2, 0.0, 0.05)]
TARGET = shifted(0.1, 0.02)
PLANE = TexturedPlane(2.0)
NOTHING = KnownPoints(np.zeros((0, 4)), np.zeros(0), np.zeros(0), CAMERA.fx)
PLANES = 16


@pytest.fixture(scope="module")
def points() -> KnownPoints:
    """Found on larger images of the same cameras."""
    large = CAMERA.resized(320, 240)
    poses = np.array(POSES)
    return find_points(Matcher(), PLANE.views(large, poses), large, poses)


def test_planes_end_a_little_before_the_scene_and_votes_are_on_the_plane_that_is_there(points: KnownPoints) -> None:
    images = PLANE.views(CAMERA, np.array(POSES))
    found = evidence_of_view(points, images, POSES, CAMERA, TARGET, PLANES)
    assert found.inverse_depths.shape == (PLANES,)
    assert found.inverse_depths[0] == 0.0
    assert 1.0 / 2.0 < found.inverse_depths[-1] < 1.25 / 2.0
    assert found.votes.shape == (PLANES, 96, 128)
    seen = found.votes.sum(axis=0) > 1.0
    assert seen.mean() > 0.5
    voted = found.inverse_depths[found.votes.argmax(axis=0)][seen]
    assert np.abs(voted - 0.5).max() < 0.06
    # The sweep has the same planes.
    expected = sweep(images, POSES, CAMERA, TARGET, PLANES, float(found.inverse_depths[-1]))
    np.testing.assert_array_equal(found.swept, expected)


def test_without_points_the_planes_are_those_of_the_largest_disparity() -> None:
    found = evidence_of_view(NOTHING, PLANE.views(CAMERA, np.array(POSES)), POSES, CAMERA, TARGET, PLANES)
    baseline = np.linalg.norm(POSES[2][:3, 3] - TARGET[:3, 3])
    assert found.inverse_depths[-1] == pytest.approx(LARGEST_DISPARITY * 128 / (116.0 * baseline))
    np.testing.assert_array_equal(found.inverse_depths, depths_for(CAMERA, POSES, TARGET, PLANES))
    assert not found.votes.any()


def test_points_too_uncertain_for_the_sweep_do_not_count(points: KnownPoints) -> None:
    """Their inverse depth is known to half the range of the sweep."""
    images = PLANE.views(CAMERA, np.array(POSES))
    guessed = depths_for(CAMERA, POSES, TARGET, PLANES)[-1]
    unsure = KnownPoints(points.homogeneous, np.full(len(points.error), 0.5 * guessed), points.weight, points.focal_px)
    found = evidence_of_view(unsure, images, POSES, CAMERA, TARGET, PLANES)
    assert found.inverse_depths[-1] == guessed
    assert not found.votes.any()
