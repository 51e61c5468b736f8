"""Matches of images of which a part is the robot's own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import EvidenceSettings

CAMERA = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
SHIFT_PX = 6


def texture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (260, 340)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scene that moves behind a bumper that does not, and the mask of the scene."""
    scene, bumper = texture(0), texture(1)
    first, second = scene[:240, :320].copy(), scene[:240, SHIFT_PX : 320 + SHIFT_PX].copy()
    mask = np.ones((240, 320), bool)
    mask[160:] = False
    for image in (first, second):
        image[~mask] = bumper[:240, :320][~mask]
    return first, second, mask


def test_nothing_of_what_is_masked_is_matched(pair: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    first, second, mask = pair
    matcher = Matcher(EvidenceSettings())
    usable = matcher.working_mask(mask)
    frames = [matcher.look(image, usable) for image in (first, second)]
    evidence = matcher.collect(frames, [CAMERA, CAMERA])
    moved = evidence.pixels[:, 1, 0] - evidence.pixels[:, 0, 0]
    assert len(moved) > 100
    assert np.abs(moved + SHIFT_PX).max() < 2.0
    assert evidence.pixels[..., 1].max() < 160 - 6
    assert matcher.keypoints(frames[0]).pixels[:, 1].max() < 160
    # Without the mask the bumper stands still.
    plain = matcher.collect([matcher.look(image) for image in (first, second)], [CAMERA, CAMERA])
    assert (np.abs(plain.pixels[:, 1, 0] - plain.pixels[:, 0, 0]) < 0.5).mean() > 0.2


def test_reach_is_of_what_may_be_used(pair: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    first, second, mask = pair
    matcher = Matcher(EvidenceSettings(keypoint_reach=0.0))
    frames = [matcher.look(image, matcher.working_mask(mask)) for image in (first, second)]
    (coarse,) = matcher.match_all([(frames[0], frames[1])], [None], thorough=False)
    assert 0.8 < coarse.reach <= 1.0
    grid = matcher.grid((240, 320))
    (near,) = matcher.match_near([(frames[0], frames[1])], [grid - (SHIFT_PX, 0)])
    assert 0.8 < near.reach <= 1.0
    followed = np.isfinite(near.flow[:, 0])
    assert grid[followed, 1].max() < 160 - 6


def test_where_pixels_may_be_used() -> None:
    usable = np.ones((20, 30), bool)
    usable[:, :10] = False
    frame = Features(np.zeros((20, 30), np.uint8), usable=usable)
    pixels = np.array([[9.4, 5.0], [9.6, 5.0], [29.4, 19.4], [29.6, 5.0], [-1.0, 5.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(frame.may_use(pixels), [False, True, True, False, False, False])
    np.testing.assert_array_equal(Features(frame.grey).may_use(pixels), [True, True, True, False, False, False])
