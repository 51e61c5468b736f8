"""dense_points: points of a plane at a known distance, seen by cameras that move, that turn, or alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from views_scene import TexturedPlane, shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.view_synthesis.dense_points import KnownPoints, find_points

CAMERA = PinholeCamera(320, 240, 290.0, 290.0, 150.0, 125.0)
VIEW = CAMERA.resized(128, 96)
DEPTH = 2.0
MOVING = np.array([shifted(0.0), shifted(-0.1, 0.02, turn_deg=(0, 1, 0)), shifted(-0.2, 0.0, 0.05), shifted(-0.3)])
AHEAD = shifted(0.1, 0.02, 0.2, turn_deg=(1, -2, 1))
ANY_ERROR = np.inf


@cache
def matcher() -> Matcher:
    return Matcher()


def points_of(camera: PinholeCamera, poses: FloatArray) -> KnownPoints:
    return find_points(matcher(), TexturedPlane(DEPTH).views(camera, poses), camera, poses)


def inverse_depth_ahead(pixels: FloatArray) -> FloatArray:
    """Of the plane, in the camera `AHEAD`."""
    rays = np.concatenate([VIEW.normalise(pixels), np.ones((len(pixels), 1))], axis=1) @ AHEAD[:3, :3].T
    return np.asarray(rays[:, 2] / (DEPTH - AHEAD[2, 3]))


def test_points_lie_on_the_plane() -> None:
    found = points_of(CAMERA, MOVING)
    assert found.focal_px == CAMERA.fx
    # Each frame has a point for every fourth pixel, and other frames see most of them.
    assert 0.8 * 4 * 320 * 240 / 4 < len(found.weight) <= 4 * 320 * 240 / 4
    depth = found.homogeneous[:, 2] / found.homogeneous[:, 3]
    assert np.median(np.abs(depth - DEPTH)) < 0.01
    assert (np.abs(depth - DEPTH) < 0.1).mean() > 0.97
    # Half a pixel over the focal length and the longest of the baselines that see the point.
    assert 0.5 / (290.0 * 0.5) < np.median(found.error) < 0.5 / (290.0 * 0.2)


def test_points_are_where_another_camera_sees_the_plane() -> None:
    seen = points_of(CAMERA, MOVING).seen_from(VIEW, AHEAD, ANY_ERROR)
    assert ((seen.pixels > -0.5) & (seen.pixels < (127.5, 95.5))).all()
    apart = np.abs(seen.inverse_depth - inverse_depth_ahead(seen.pixels))
    assert np.median(apart) < 0.002
    # The nearest is a little nearer than the nearest corner of the plane.
    corners = inverse_depth_ahead(np.array([[0, 0], [127, 0], [0, 95], [127, 95]]))
    nearest = seen.nearest()
    assert nearest is not None
    assert 1.0 < nearest / corners.max() < 1.15


def test_frames_vote_for_the_plane_that_is_there() -> None:
    """Each frame has up to one vote for a pixel."""
    seen = points_of(CAMERA, MOVING).seen_from(VIEW, AHEAD, ANY_ERROR)
    inverse_depths = np.linspace(0.0, 1.0, 21)
    votes = seen.votes((96, 128), inverse_depths)
    assert votes.shape == (21, 96, 128)
    y, x = np.mgrid[0:96, 0:128].reshape(2, -1)
    truth = inverse_depth_ahead(np.stack([x, y], axis=1)).reshape(96, 128)
    total = votes.sum(axis=0)
    many = total > 2.0
    assert many.mean() > 0.5
    assert np.percentile(total, 99) < 6.0
    chosen = inverse_depths[votes.argmax(axis=0)]
    assert np.abs(chosen - truth)[many].max() < 0.1
    assert np.abs(chosen - truth)[many].mean() < 0.03


def test_a_rotation_on_the_spot_yields_no_certain_point() -> None:
    """Everything may be infinitely far away, but need not be."""
    turning = np.array([shifted(turn_deg=(0, angle, 0)) for angle in (0, 2, 4)])
    seen = points_of(CAMERA, turning).seen_from(VIEW, AHEAD, 1.0)
    assert len(seen.pixels) == 0
    assert seen.nearest() is None
    np.testing.assert_array_equal(seen.votes((96, 128), np.linspace(0.0, 1.0, 8)), 0.0)


def test_points_with_a_larger_error_than_asked_for_are_left_out() -> None:
    points = points_of(CAMERA, MOVING)
    everything = points.seen_from(VIEW, AHEAD, ANY_ERROR)
    middle = float(np.median(everything.error))
    some = points.seen_from(VIEW, AHEAD, middle)
    assert some.error.max() < middle
    assert len(some.error) == pytest.approx(len(everything.error) / 2, rel=0.01)


def test_an_uncertain_point_votes_less() -> None:
    points = points_of(CAMERA, MOVING)
    few, many = (
        points.seen_from(VIEW, AHEAD, ANY_ERROR).votes((96, 128), np.linspace(0.0, 1.0, planes)).sum()
        for planes in (5, 500)
    )
    assert many < 0.5 * few


def test_one_frame_alone_yields_no_points() -> None:
    assert len(points_of(CAMERA, MOVING[:1]).weight) == 0


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (320, 13), (128, 13), (16, 16)])
def test_frames_too_small_for_flow_yield_no_points(size: tuple[int, int]) -> None:
    camera = PinholeCamera(*size, 100.0, 100.0, 0.0, 0.0)
    assert len(points_of(camera, MOVING[:2]).weight) == 0


def test_motion_that_the_cameras_rule_out_yields_no_points() -> None:
    """The images shift down, and the cameras move sideways."""
    poses = np.array([shifted(0.0), shifted(0.2)])
    images = TexturedPlane(DEPTH).views(CAMERA, np.array([shifted(0.0), shifted(0.0, 0.2)]))
    found = find_points(matcher(), images, CAMERA, poses)
    assert len(found.weight) < 0.02 * 2 * 320 * 240 / 4


def test_larger_images_are_scaled_down_for_flow() -> None:
    camera = CAMERA.resized(640, 480)
    found = points_of(camera, MOVING)
    assert found.focal_px == pytest.approx(camera.fx * np.sqrt(105_000 / (640 * 480)), rel=0.01)
    # A pixel of a view gets as many votes, whatever the size of the frames.
    totals = [
        points.seen_from(VIEW, AHEAD, ANY_ERROR).votes((96, 128), np.linspace(0.0, 1.0, 21)).sum(axis=0)[30:60, 40:80]
        for points in (found, points_of(CAMERA, MOVING))
    ]
    assert np.mean(totals[0]) == pytest.approx(np.mean(totals[1]), rel=0.1)


def test_points_of_one_place_are_known_to_be_nowhere() -> None:
    error = np.array([0.1, 0.1, 0.1, 0.1])
    inverse = np.array([0.5, 0.15, 0.0, 0.3])
    homogeneous = np.concatenate([np.ones((4, 3)), inverse[:, None]], axis=1)
    assert KnownPoints(homogeneous, error, np.ones(4), 100.0).telling == 0.5
    assert KnownPoints(homogeneous[:0], error[:0], np.ones(0), 100.0).telling == 0.0
