"""context: which frames are kept, images through one camera, and images that no view can be predicted from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from views_scene import TexturedPlane, psnr_db, shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.view_synthesis.context import (
    ContextBuffer,
    ContextFrame,
    SpreadSettings,
    as_seen_by,
    check_images,
    shown_in,
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


def test_frames_that_differ_in_position_or_direction_are_kept():
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
    assert [frame.stamp_ns for frame in buffer.frames] == [2 * S, 4 * S, 6 * S], "the oldest is dropped"


def test_old_frames_are_dropped_and_late_ones_not_kept():
    buffer = ContextBuffer(SpreadSettings(frames=9, least_motion=0.1, keep_s=10.0))
    for stamp in (0, 5, 12):
        offer(buffer, stamp * S, shifted(stamp))
    assert [frame.stamp_ns // S for frame in buffer.frames] == [5, 12]
    # The camera stands still, so nothing is added; the frames grow old all the same.
    assert not offer(buffer, 20 * S, shifted(12))
    assert [frame.stamp_ns // S for frame in buffer.frames] == [12]
    assert not offer(buffer, 11 * S, shifted(99))
    buffer.clear()
    assert offer(buffer, 3 * S, shifted(5))
    assert [frame.stamp_ns // S for frame in buffer.frames] == [3]


def test_images_are_undistorted_and_at_most_640_px_wide():
    distorted = PinholeCamera(1280, 240, 900.0, 900.0, 639.5, 119.5, (-0.2, 0.05, 0.001, -0.001, 0.0))
    plain = PinholeCamera(1280, 240, 900.0, 900.0, 639.5, 119.5).resized(640, 120)
    image, camera = undistorted(PLANE.view(distorted, shifted()), distorted)
    # Each pixel covers two by two of the original; the principal point moves with the pixel centres.
    assert camera == plain == PinholeCamera(640, 120, 450.0, 450.0, 319.5, 59.5)
    inside = (slice(10, -10), slice(60, -60))
    assert psnr_db(image[inside], PLANE.view(plain, shifted())[inside]) > 38.0


def test_of_a_fisheye_the_middle_becomes_a_pinholes_image():
    fisheye = FisheyeCamera(320, 240, 150.0, 150.0, 159.5, 119.5, (-0.02, 0.004, 0.0, 0.0))
    image, camera = undistorted(PLANE.view(fisheye, shifted()), fisheye)
    assert camera == PinholeCamera(320, 240, 150.0, 150.0, 159.5, 119.5)
    inside = (slice(60, -60), slice(80, -80))
    assert psnr_db(image[inside], PLANE.view(camera, shifted())[inside]) > 32.0


def test_grey_images_become_rgb():
    image, _ = undistorted(GREY[..., 0], CAMERA)
    assert image.shape == (48, 64, 3)
    assert (image == 90).all()


def test_frames_of_other_lenses_are_resampled_for_one_camera():
    wide = PinholeCamera(96, 72, 50.0, 50.0, 47.5, 35.5)
    frames = [ContextFrame(PLANE.view(camera, shifted()), camera, 0, "eye", shifted()) for camera in (wide, CAMERA)]
    through = as_seen_by(CAMERA, frames)
    assert through[1] is frames[1].image
    assert psnr_db(through[0], frames[1].image) > 34.0


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((47, 64, 3), np.uint8), "image 1 has shape (47, 64, 3), its camera is 64x48 px; give RGB images"),
        (np.zeros((48, 64), np.uint8), "image 1 has shape (48, 64), its camera is 64x48 px"),
        (np.zeros((48, 64, 4), np.uint8), "image 1 has shape (48, 64, 4), its camera is 64x48 px"),
        (np.zeros((48, 64, 3)), "image 1 is of float64; give uint8, 0 to 255"),
    ],
)
def test_images_that_are_not_rgb_bytes_of_the_cameras_size_are_refused(image: Any, words: str):
    """Floats from 0 to 1 would be shown as black."""
    with pytest.raises(ValueError) as refused:
        check_images([GREY, image], CAMERA)
    assert words in str(refused.value)


def test_a_camera_with_distortion_is_refused_by_its_coefficients():
    camera = replace(CAMERA, distortion=(-0.25, 0.1, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"camera with distortion \(-0.25, 0.1, 0.0, 0.0\); undistort the images"):
        check_images([GREY], camera)


def test_what_a_narrower_lens_does_not_show_is_marked():
    narrow = PinholeCamera(64, 48, 120.0, 120.0, 31.5, 23.5)
    wide = PinholeCamera(64, 48, 60.0, 60.0, 31.5, 23.5)
    white = ContextFrame(np.full((48, 64, 3), 255, np.uint8), narrow, 1, "eye", None)
    (mask, whole) = shown_in(wide, [narrow, wide])
    (image,) = as_seen_by(wide, [white])
    assert whole.all()
    # Half as wide and half as high; the pixels of its border are half black.
    assert mask.sum() == pytest.approx(32 * 24, abs=60)
    assert (image[mask] == 255).all()
    assert (image[~mask] < 255).all()
    assert shown_in(wide, [wide, wide]) is None
