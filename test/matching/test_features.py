"""Working images: grey of any image, and the camera that belongs to them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.matching.features import Features, to_grey


def test_colour_is_grey() -> None:
    grey = np.random.default_rng(8).integers(0, 256, (24, 32), np.uint8)
    np.testing.assert_array_equal(to_grey(np.repeat(grey[..., None], 3, axis=2)), grey)
    np.testing.assert_array_equal(to_grey(grey), grey)
    primary = np.eye(3, dtype=np.uint8)[None] * 255
    np.testing.assert_array_equal(to_grey(primary), [[76, 150, 29]])


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((24, 32), np.float32), "(24, 32) and type float32"),
        (np.zeros((24, 32, 3), np.uint16), "(24, 32, 3) and type uint16"),
        (np.zeros((24, 32, 4), np.uint8), "(24, 32, 4) and type uint8"),
        (np.zeros(77, np.uint8), "(77,) and type uint8"),
        (np.zeros((2, 24, 32, 3), np.uint8), "(2, 24, 32, 3)"),
        (np.zeros((0, 32), np.uint8), "(0, 32) is empty"),
        (np.zeros((24, 0, 3), np.uint8), "(24, 0, 3) is empty"),
    ],
)
def test_an_array_that_is_no_image_is_refused_with_its_shape(image: npt.NDArray[np.uint8], says: str) -> None:
    with pytest.raises(ValueError, match="image of shape") as refused:
        to_grey(image)
    assert says in str(refused.value)


def test_the_camera_of_the_working_image_sees_the_same_rays() -> None:
    camera = PinholeCamera(640, 480, 500.0, 510.0, 300.0, 250.0, (-0.1, 0.02, 0.0, 0.0))
    working = Features(np.zeros((120, 160), np.uint8)).working_camera(camera)
    assert (working.width, working.height, working.distortion) == (160, 120, camera.distortion)
    edges = np.array([[-0.5, -0.5], [639.5, 479.5]])
    np.testing.assert_allclose(working.normalise((edges + 0.5) / 4 - 0.5), camera.normalise(edges), atol=1e-9)
    assert Features(np.zeros((480, 640), np.uint8)).working_camera(camera) is camera


def test_a_pixel_of_the_full_image_is_where_that_of_the_working_image_is() -> None:
    frame = Features(np.zeros((120, 160), np.uint8), np.zeros((480, 640), np.uint8))
    np.testing.assert_allclose(frame.full.to_full(np.array([[-0.5, -0.5], [0.0, 0.0]])), [[-0.5, -0.5], [1.5, 1.5]])
    some = np.random.default_rng(0).uniform(0, 120, (5, 2))
    np.testing.assert_allclose(frame.full.from_full(frame.full.to_full(some)), some)


def test_of_an_old_frame_the_working_image_is_kept() -> None:
    frame = Features(np.zeros((120, 160), np.uint8), np.zeros((480, 640), np.uint8))
    frame.full.patches(np.array([[80.0, 60.0]]))
    frame.forget_details()
    assert frame.full.image is frame.grey
    some = np.array([[80.0, 60.0]])
    np.testing.assert_array_equal(frame.full.to_full(some), some)
    assert len(frame.full.patches(some).values) == 1


def test_who_measures_in_the_full_image_is_not_disturbed_by_who_forgets_it() -> None:
    """Keyframes are made in a thread of their own, which forgets old frames that another one may be looking at."""
    frame, some = Features(np.zeros((120, 160), np.uint8), np.zeros((480, 640), np.uint8)), np.array([[80.0, 60.0]])
    full = frame.full
    there = full.to_full(some)
    frame.forget_details()
    assert full.image.shape == (480, 640)
    np.testing.assert_allclose(full.from_full(there), some)
    assert len(full.patches(some).values) == 1
