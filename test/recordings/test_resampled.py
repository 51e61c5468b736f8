"""recordings.resampled: the middle of a frame at another size, with the camera that it has then."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.resampled import resampled
from ros2_raxels.recordings.source import Frame

IMAGE = np.random.default_rng(5).integers(0, 256, (120, 160, 3), np.uint8)
FRAME = Frame(3, 700, IMAGE, PinholeCamera(160, 120, 128.0, 130.0, 79.5, 59.5), None, "a.png")


def test_pixels_and_camera_change_alike() -> None:
    frame = resampled(FRAME, 320, 180)
    assert (frame.image.shape, frame.stamp_ns, frame.index) == ((180, 320, 3), 700, 3)
    camera = frame.camera
    assert isinstance(camera, PinholeCamera)
    # The 160x90 px in the middle, twice as large; the centre of a pixel is at whole numbers.
    assert (camera.width, camera.height, camera.fx, camera.fy) == (320, 180, 256.0, 260.0)
    assert (camera.cx, camera.cy) == pytest.approx((2 * (79.5 + 0.5) - 0.5, 2 * (59.5 - 15 + 0.5) - 0.5))


def test_one_colour_stays_where_it_was() -> None:
    # Far from black and white, at which what swings over the edges would be cut off.
    image = np.full((120, 160, 3), 100, np.uint8)
    image[40:60, 100:130] = 200
    frame = resampled(Frame(0, 0, image, None, None, "a.png"), 320, 180)
    assert frame.camera is None
    assert (frame.image[2 * 25 + 4 : 2 * 45 - 4, 204:256] == 200).all()
    assert frame.image.astype(float).sum() == pytest.approx(4.0 * image[15:105].sum(), rel=0.001)


def test_a_part_at_its_own_size_is_the_part_itself() -> None:
    np.testing.assert_array_equal(resampled(FRAME, 60, 120).image, IMAGE[:, 50:110])
