"""Which pixels of a stream are used: the mask's, and the lens's."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.image_field import ImageField

FOLDING = FisheyeCamera(320, 240, 150.0, 150.0, 159.5, 119.5, (-0.2, 0.0, 0.0, 0.0))


def test_without_a_mask_and_through_an_ordinary_lens_all_is_used() -> None:
    field = ImageField(Matcher(), None)
    assert field.usable((240, 320), None) is None
    assert field.usable((240, 320), PinholeCamera(320, 240, 250.0, 250.0, 159.5, 119.5)) is None


def test_what_the_lens_does_not_see_is_not_used_and_is_worked_out_once() -> None:
    field = ImageField(Matcher(), None)
    usable = field.usable((240, 320), FOLDING)
    assert usable is not None
    # The window of Lucas-Kanade fits in around every pixel.
    assert not usable[~FOLDING.valid_mask()].any()
    assert 0.8 * FOLDING.valid_mask().mean() < usable.mean() < FOLDING.valid_mask().mean()
    assert usable[120, 160]
    assert field.usable((240, 320), FOLDING) is usable
    assert field.usable((240, 320), None) is None


def test_a_mask_is_shrunk_with_the_image_and_meets_the_field() -> None:
    mask = np.ones((480, 640), bool)
    mask[:, :300] = False
    usable = ImageField(Matcher(), mask).usable((480, 640), None)
    assert usable is not None
    assert usable.shape == (281, 374)
    border = 300 * 374 / 640
    assert not usable[:, : int(border) + 6].any()
    assert usable[:, int(border) + 8 :].all()
    both = ImageField(Matcher(), mask).usable((480, 640), FOLDING.resized(640, 480))
    assert both is not None
    assert 0 < both.sum() < usable.sum()


def test_a_mask_of_another_size_is_refused() -> None:
    field = ImageField(Matcher(), np.ones((24, 32), bool))
    with pytest.raises(ValueError, match=r"the mask is 32x24 px but the image 320x240 px; give a mask of the size"):
        field.usable((240, 320), None)


def test_of_images_that_were_written_without_it_it_is_worked_out_again() -> None:
    mask = np.ones((480, 640), bool)
    mask[:, :300] = False
    for lens in (FOLDING.resized(640, 480), PinholeCamera(640, 480, 500.0, 500.0, 319.5, 239.5)):
        field = ImageField(Matcher(), mask)
        before, again = field.usable((480, 640), lens), field.usable_in_working(lens.resized(374, 281))
        assert before is not None
        assert again is not None
        # Shrunk before or after the lens was looked at: the border between is a pixel wide.
        assert (before != again).mean() < 0.01
        assert not again[:, :180].any()
    small = PinholeCamera(320, 240, 250.0, 250.0, 159.5, 119.5)
    assert field.usable_in_working(small) is None
    assert field.usable_in_working(FOLDING) is not None
    assert ImageField(Matcher(), None).usable_in_working(small) is None
