"""what_is_wrong: blur, a change of light and an image that shows nothing are named, with their amount."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from walk import HELD, Walk, follow

from ros2_raxels.matching.features import Features
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.what_is_wrong import nearly_constant, what_is_wrong

BLANK = "the image is nearly constant (standard deviation {} of 255): is the lens covered?"
SHARP = np.random.default_rng(0).integers(0, 200, (60, 80)).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (SHARP, ""),
        ((SHARP // 1.5).astype(np.uint8), ""),
        ((SHARP // 4).astype(np.uint8), "; the image is 0.25 times as bright as the last keyframe"),
        (cv2.GaussianBlur(SHARP, (0, 0), 4), "; the image is blurred (0 % of the last keyframe's edges)"),
        (np.full_like(SHARP, 100), f"; {BLANK.format('0.0')}"),
        (np.zeros_like(SHARP), f"; {BLANK.format('0.0')}; the image is 0.0099 times as bright as the last keyframe"),
    ],
)
def test_what_is_said_of_an_image_beside_the_last_keyframe(image: np.ndarray, words: str) -> None:
    assert what_is_wrong(Features(image), Features(SHARP)) == words


def test_the_noise_of_a_covered_lens_is_nothing_and_a_dark_room_with_a_lamp_is_something() -> None:
    noise = np.random.default_rng(1).normal(8.0, 1.2, SHARP.shape)
    assert nearly_constant(Features(noise.round().clip(0, 255).astype(np.uint8))) == BLANK.format("1.2")
    lamp = np.zeros_like(SHARP)
    lamp[:2, :3] = 255
    assert nearly_constant(Features(lamp)) == ""


def test_a_missed_frame_says_what_is_wrong_with_it(walk: Walk) -> None:
    blurred = cv2.GaussianBlur(walk.images[14], (0, 0), 25)
    dark = (walk.images[14] * 0.05).astype(np.uint8)
    for image, words in ((blurred, "blurred"), (dark, "times as bright")):
        found = follow(Tracker(), [*walk[:14], image])
        assert found[-1].state is HELD
        assert words in found[-1].message
