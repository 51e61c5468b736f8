"""recordings.resampled: the middle of a frame at another size, with the camera that it has then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rig_sets import write_rig_set

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.resampled import ResampledSource, resampled
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


def test_all_cameras_of_a_rig_change_alike(tmp_path: Path) -> None:
    source = open_source(write_rig_set(tmp_path / "rig", "left", "right", count=2))
    larger = ResampledSource(source, 128, 60)
    assert source.rig is not None
    assert larger.rig is not None
    assert (larger.length, larger.has_truth, larger.rig.names) == (2, True, ("left", "right"))
    for before, frame in zip(source, larger, strict=True):
        assert (frame.index, frame.stamp_ns) == (before.index, before.stamp_ns)
        for name, image in {"left": frame.image, **frame.others}.items():
            old, new = source.rig[name].camera, larger.rig[name].camera
            assert (image.shape, new.width, new.height) == ((60, 128, 3), 128, 60)
            np.testing.assert_array_equal(larger.rig[name].camera_to_base, source.rig[name].camera_to_base)
            # The same ray falls on the same place of the picture.
            ray = old.rays([[old.width / 2 + 5.0, old.height / 2 - 3.0]])
            x, y = new.project(ray)[0]
            share = 128 / old.width
            assert x == pytest.approx((old.width / 2 + 5.5) * share - 0.5)
            assert y == pytest.approx((-3.0 + 0.5) * share + 29.5 + 0.5 * (1 - share) + 0.5 * share, abs=1.0)
