"""context: which frames are kept, pictures through one camera, and poses along a path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from views_scene import TexturedPlane, psnr_db, shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.view_synthesis.context import (
    ContextBuffer,
    ContextFrame,
    SpreadSettings,
    along_arc,
    as_seen_by,
    undistorted,
)

S = 1_000_000_000
CAMERA = PinholeCamera(64, 48, 60.0, 60.0, 31.5, 23.5)
GREY = np.full((48, 64, 3), 90, np.uint8)
PLANE = TexturedPlane(3.0)


def offer(buffer: ContextBuffer, stamp: int, pose: FloatArray) -> bool:
    wanted = buffer.wants(stamp, pose)
    if wanted:
        buffer.add(ContextFrame(GREY, CAMERA, stamp, "eye", pose))
    return wanted


def test_frames_are_kept_that_differ_in_place_or_direction():
    buffer = ContextBuffer(SpreadSettings(frames=3, least_motion=0.1, least_turn_rad=np.radians(10)))
    offered = [
        shifted(),
        shifted(0.09),
        shifted(0.11),
        shifted(0.11, turn_deg=(0, 9, 0)),
        shifted(0.11, turn_deg=(0, 11, 0)),
        shifted(0.01),
    ]
    assert [offer(buffer, k * S, pose) for k, pose in enumerate(offered)] == [True, False, True, False, True, False]
    assert [frame.stamp_ns for frame in buffer.frames] == [0, 2 * S, 4 * S]
    assert offer(buffer, 6 * S, shifted(1.0))
    assert [frame.stamp_ns for frame in buffer.frames] == [2 * S, 4 * S, 6 * S], "the oldest goes"


def test_old_frames_go_and_those_that_come_late_are_not_kept():
    buffer = ContextBuffer(SpreadSettings(frames=9, least_motion=0.1, keep_s=10.0))
    for stamp in (0, 5, 12):
        offer(buffer, stamp * S, shifted(stamp))
    assert [frame.stamp_ns // S for frame in buffer.frames] == [5, 12]
    # A camera that stands still sees nothing new, and yet they grow old.
    assert not offer(buffer, 20 * S, shifted(12))
    assert [frame.stamp_ns // S for frame in buffer.frames] == [12]
    assert not offer(buffer, 11 * S, shifted(99))
    buffer.clear()
    assert offer(buffer, 3 * S, shifted(5))
    assert [frame.stamp_ns // S for frame in buffer.frames] == [3]


def test_distortion_and_size_are_taken_off():
    distorted = PinholeCamera(1280, 960, 900.0, 900.0, 639.5, 479.5, (-0.2, 0.05, 0.001, -0.001, 0.0))
    plain = PinholeCamera(640, 480, 450.0, 450.0, 319.5, 239.5)
    image, camera = undistorted(PLANE.view(distorted, shifted()), distorted)
    # Cells of two pixels: the centre of the picture stays where it was.
    assert camera == plain.resized(640, 480)
    inside = (slice(60, -60), slice(60, -60))
    assert psnr_db(image[inside], PLANE.view(plain, shifted())[inside]) > 38.0


def test_grey_pictures_become_colour():
    image, _ = undistorted(GREY[..., 0], CAMERA)
    assert image.shape == (48, 64, 3)
    assert (image == 90).all()


def test_frames_of_other_lenses_are_seen_through_the_newest_one():
    wide = PinholeCamera(96, 72, 50.0, 50.0, 47.5, 35.5)
    frames = [ContextFrame(PLANE.view(camera, shifted()), camera, 0, "eye", shifted()) for camera in (wide, CAMERA)]
    through = as_seen_by(CAMERA, frames)
    assert through[1] is frames[1].image
    assert psnr_db(through[0], frames[1].image) > 34.0


def test_views_are_at_even_distances_whatever_the_poses_are():
    path = np.array([shifted(0), shifted(0.1), shifted(0.1), shifted(1.0, turn_deg=(0, 90, 0))])
    found = along_arc(path, 5)
    np.testing.assert_allclose(found[:, 0, 3], [0, 0.25, 0.5, 0.75, 1.0], atol=1e-12)
    turn = np.degrees(np.arctan2(found[:, 0, 2], found[:, 2, 2]))
    np.testing.assert_allclose(turn, [0, 15, 40, 65, 90], atol=1e-9)


def test_a_path_that_only_turns_is_spread_over_its_poses_and_one_view_is_the_last():
    path = np.array([shifted(turn_deg=(0, 0, 0)), shifted(turn_deg=(0, 40, 0))])
    found = along_arc(path, 3)
    np.testing.assert_allclose(np.degrees(np.arctan2(found[:, 0, 2], found[:, 2, 2])), [0, 20, 40], atol=1e-9)
    np.testing.assert_allclose(along_arc(path, 1)[0], path[1], atol=1e-12)
    np.testing.assert_allclose(along_arc(path[:1], 2), path[[0, 0]], atol=1e-12)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.integers(1, 9))
def test_any_path_begins_and_ends_where_it_did(places: list[float], count: int):
    path = np.array([shifted(x) for x in places])
    found = along_arc(path, count)
    assert found.shape == (count, 4, 4)
    assert found[-1, 0, 3] == pytest.approx(places[-1], abs=1e-9)
    if count > 1:
        assert found[0, 0, 3] == pytest.approx(places[0], abs=1e-9)
        length = np.abs(np.diff(places)).sum()
        assert (np.abs(np.diff(found[:, 0, 3])) <= length / (count - 1) + 1e-6).all()
