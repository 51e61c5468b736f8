"""camera: an image must be as large as its camera says."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import GeometryError

CAMERA = PinholeCamera(32, 24, 30.0, 31.0, 15.5, 11.5)


@pytest.mark.parametrize("shape", [(24, 32), (24, 32, 3)])
def test_an_image_of_the_cameras_size_fits(shape: tuple[int, ...]) -> None:
    CAMERA.check_fits(np.zeros(shape, np.uint8), "image")


@pytest.mark.parametrize("shape", [(32, 24), (24, 31), (23, 32, 3)])
def test_an_image_of_another_size_is_named_with_both_sizes(shape: tuple[int, ...]) -> None:
    with pytest.raises(GeometryError) as caught:
        CAMERA.check_fits(np.zeros(shape, np.uint8), "image 7")
    assert str(caught.value) == (
        f"image 7 is {shape[1]}x{shape[0]} px but its camera is 32x24 px; give the intrinsics of this image size"
    )
