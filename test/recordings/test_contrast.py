"""contrast: 16-bit pictures of any depth are seen in full, and a point keeps its brightness from frame to frame."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.recordings.contrast import Stretch


def ramp(low: float, high: float, shape: tuple[int, ...] = (60, 80)) -> np.ndarray:
    return np.linspace(low, high, int(np.prod(shape))).reshape(shape).round().astype(np.uint16)


@pytest.mark.parametrize(("low", "high"), [(0, 1020), (0, 4095), (0, 16383), (7500, 8300), (20000, 21000)])
def test_a_picture_of_any_depth_uses_most_of_the_8_bits(low: int, high: int) -> None:
    pixels = ramp(low, high)
    found = Stretch()(pixels)
    assert (found.dtype, found.shape) == (np.uint8, pixels.shape)
    assert np.ptp(found) > 225
    assert (np.diff(found.ravel().astype(int)) >= 0).all()


def test_a_picture_of_all_16_bits_keeps_its_high_byte() -> None:
    pixels = ramp(0, 65535)
    np.testing.assert_array_equal(Stretch()(pixels), pixels >> 8)


def test_a_few_hot_pixels_do_not_darken_the_rest() -> None:
    pixels = ramp(0, 1000)
    plain = Stretch()(pixels)
    pixels[3, 4] = pixels[50, 60] = 65535
    hot = Stretch()(pixels)
    assert hot[3, 4] == hot[50, 60] == 255
    pixels[3, 4] = pixels[50, 60] = 0
    np.testing.assert_allclose(hot[pixels > 0].astype(int), plain[pixels > 0], atol=1)


def test_noise_of_a_constant_picture_stays_small() -> None:
    noise = np.random.default_rng(0).integers(500, 503, (60, 80)).astype(np.uint16)
    assert np.ptp(Stretch()(noise)) <= 2 * 256 / 32
    np.testing.assert_array_equal(Stretch()(np.full((4, 4), 700, np.uint16)), np.full((4, 4), 128))


def test_brightness_does_not_flicker_when_something_bright_comes_and_goes() -> None:
    """Limits of each picture alone would halve the brightness of all else at once."""
    quiet, lit = ramp(0, 1000), ramp(0, 1000)
    lit[:10] = 2000
    alone = [int(Stretch()(pixels)[40, 40]) for pixels in (quiet, lit)]
    assert alone[0] - alone[1] > 70
    stretch = Stretch()
    seen = [int(stretch(lit if index % 2 else quiet)[40, 40]) for index in range(60)]
    assert np.abs(np.diff(seen)).max() <= 8


def test_limits_follow_another_exposure_in_time_and_a_dark_start_at_once() -> None:
    stretch = Stretch()
    stretch(np.full((60, 80), 3, np.uint16))
    assert np.ptp(stretch(ramp(0, 4000))) > 225
    for _ in range(100):
        found = stretch(ramp(0, 1500))
    assert np.ptp(found) > 220


def test_a_copy_goes_on_from_the_limits_and_does_not_move_them() -> None:
    stretch = Stretch()
    stretch(ramp(0, 1000))
    brighter = [int(stretch.copy()(ramp(0, 2000))[10, 10]) for _ in range(3)]
    assert brighter == [int(stretch(ramp(0, 2000))[10, 10])] * 3
    assert brighter[0] > int(Stretch()(ramp(0, 2000))[10, 10]) + 20


def test_channels_share_their_limits() -> None:
    grey = ramp(100, 900)
    found = Stretch()(np.dstack([grey, grey // 2, grey // 4]))
    assert found.shape == (60, 80, 3)
    assert found[..., 0].max() > 2 * found[..., 2].max()
