"""sized_view: fine structure of known frames at its place, the small view's own pixels where nothing was seen."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from views_scene import TexturedPlane, psnr_db, shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.sized_view import SizedContext, SmallView, resized

CAMERA = PinholeCamera(256, 192, 230.0, 235.0, 130.0, 90.0)
SMALL = (64, 48)
PLANE = TexturedPlane(2.0, detail=120.0)
FRAMES = [shifted(-0.1), shifted(0.15, 0.05)]
TARGET = shifted(0.05, 0.02, 0.1, turn_deg=(1, 2, 0))
DEPTH_SMALL = np.full((48, 64), 1.0 / 1.9, np.float32)


def small(made_up: FloatArray | float = 0.0, picture: ImageArray | None = None) -> SmallView:
    """Of the true scene; its fine structure is lost."""
    truth = PLANE.view(CAMERA, TARGET)
    seen = cv2.resize(truth, SMALL, interpolation=cv2.INTER_AREA) if picture is None else picture
    share = np.broadcast_to(np.asarray(made_up, float), (48, 64))
    return SmallView(np.asarray(seen, np.uint8), share, DEPTH_SMALL, np.full((2, 48, 64), 0.5, np.float32))


def context(images: list[ImageArray] | None = None, size: tuple[int, int] = (256, 192)) -> SizedContext:
    return SizedContext(images or PLANE.views(CAMERA, np.array(FRAMES)), CAMERA, FRAMES, size)


def test_fine_structure_comes_from_the_known_frames() -> None:
    truth, given = PLANE.view(CAMERA, TARGET), small()
    view = context().view(given, TARGET)
    enlarged = cv2.resize(given.picture, (256, 192), interpolation=cv2.INTER_CUBIC)
    inner = np.s_[20:-20, 20:-20]
    assert view.picture.shape == (192, 256, 3)
    assert view.picture.dtype == np.uint8
    assert psnr_db(enlarged[inner], truth[inner]) < 24.0
    assert psnr_db(view.picture[inner], truth[inner]) > 38.0


def test_the_depth_of_the_view_is_that_of_its_pixels() -> None:
    """The small view said 1.9 everywhere: the plane is turned against the camera."""
    view = context().view(small(), TARGET)
    rays = CAMERA.bearings() @ TARGET[:3, :3].T
    truth = (2.0 - TARGET[2, 3]) / rays[..., 2] * CAMERA.bearings()[..., 2]
    inner = np.s_[30:-30, 30:-30]
    error = np.abs(1.0 / view.inverse_depth[inner] / truth[inner] - 1.0)
    assert np.median(error) < 0.02


def test_what_is_made_up_is_the_small_views_own() -> None:
    """On the left half nothing is known, whatever the frames would show there."""
    made_up = np.zeros((48, 64))
    made_up[:, :32] = 1.0
    grey = np.full((48, 64, 3), 127, np.uint8)
    view = context().view(small(made_up, grey), TARGET).picture.astype(np.float32)
    coarse = cv2.resize(resized(view, SMALL), (256, 192), interpolation=cv2.INTER_CUBIC)
    fine = np.abs(view - coarse).mean(axis=2)
    assert fine[20:-20, 150:-20].mean() > 10.0
    # What is left is the coarse structure that both agree on, resampled.
    assert fine[20:-20, 20:110].mean() < 3.0


def test_where_frames_and_small_view_disagree_the_colour_is_between_and_nearer_to_the_small_view() -> None:
    """One frame shows something bright that the network chose not to believe."""
    dark, bright = np.full((192, 256, 3), 40, np.uint8), np.full((192, 256, 3), 200, np.uint8)
    own = np.full((48, 64, 3), 40, np.uint8)
    agreed = context([dark, dark]).view(small(0.0, own), TARGET).picture[96, 128]
    np.testing.assert_allclose(agreed, 40, atol=1)
    doubted = context([bright, bright]).view(small(0.0, own), TARGET).picture[96, 128]
    np.testing.assert_allclose(doubted, 40 + 160 * 40 / 200, atol=2)


def test_a_single_known_frame_is_trusted_a_fifth_as_far() -> None:
    """No other one tells its depths. Where it agrees the view is as it was, where it does not there is little of it."""
    bright, own = np.full((192, 256, 3), 200, np.uint8), np.full((48, 64, 3), 40, np.uint8)
    one = replace(small(0.0, own), weights=np.full((1, 48, 64), 1.0, np.float32))
    view = SizedContext([bright], CAMERA, FRAMES[:1], (256, 192)).view(one, TARGET).picture[96, 128]
    np.testing.assert_allclose(view, 40 + 0.2 * 160 * 40 / 200, atol=1)


def test_a_single_frame_is_trusted_as_far_as_it_is_said_to_be() -> None:
    """Where the unit is free, no depth is wrong."""
    bright, own = np.full((192, 256, 3), 200, np.uint8), np.full((48, 64, 3), 40, np.uint8)
    one = replace(small(0.0, own), weights=np.full((1, 48, 64), 1.0, np.float32))
    view = SizedContext([bright], CAMERA, FRAMES[:1], (256, 192), trust=1.0).view(one, TARGET).picture[96, 128]
    np.testing.assert_allclose(view, 40 + 160 * 40 / 200, atol=1)


def test_what_no_frame_shows_is_the_small_view() -> None:
    away = shifted(turn_deg=(0, 90, 0))
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    view = context().view(small(0.0, picture), away).picture
    np.testing.assert_allclose(view, cv2.resize(picture, (256, 192), interpolation=cv2.INTER_CUBIC), atol=2)


@pytest.mark.parametrize("size", [(256, 192), (101, 60), (64, 48), (40, 150)])
def test_a_view_has_the_size_and_the_camera_that_were_asked_for(size: tuple[int, int]) -> None:
    there = context(size=size)
    assert there.camera == CAMERA.resized(*size)
    view = there.view(small(), TARGET)
    assert view.picture.shape == (size[1], size[0], 3)
    assert view.inverse_depth.shape == (size[1], size[0])
    truth = cv2.resize(PLANE.view(CAMERA, TARGET), size, interpolation=cv2.INTER_AREA)
    assert psnr_db(view.picture, truth) > 20.0


def test_values_are_means_where_they_shrink_and_smooth_where_they_grow() -> None:
    values = np.array([[0.0, 1.0], [2.0, 3.0]])
    np.testing.assert_allclose(resized(values, (1, 1)), [[1.5]])
    grown = resized(values, (4, 4))
    assert grown.dtype == np.float32
    np.testing.assert_allclose(grown[0], [0.0, 0.25, 0.75, 1.0])
