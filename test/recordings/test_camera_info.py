"""camera_info: the pinhole of the pixels that come with a message, region of interest and binning applied."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.double_sphere import DoubleSphereCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.recordings.camera_info import (
    CameraInfoError,
    camera_from_info,
    check_principal_point,
    is_rectified_topic,
)


def info(**changed: Any) -> SimpleNamespace:
    """The fields of a sensor_msgs/CameraInfo of a 640x480 sensor."""
    fields = {
        "width": 640,
        "height": 480,
        "distortion_model": "plumb_bob",
        "d": [0.1, -0.2, 0.001, 0.002, 0.0],
        "k": [500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0],
        "p": [400.0, 0.0, 300.0, 0.0, 0.0, 410.0, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
    }
    return SimpleNamespace(**(fields | changed))


def roi(x: int, y: int, width: int, height: int) -> SimpleNamespace:
    return SimpleNamespace(x_offset=x, y_offset=y, width=width, height=height, do_rectify=False)


def test_k_and_d_are_those_of_raw_images() -> None:
    expected = PinholeCamera(640, 480, 500.0, 510.0, 319.5, 239.5, (0.1, -0.2, 0.001, 0.002, 0.0))
    assert camera_from_info(info()) == expected


def test_p_is_that_of_rectified_images_which_have_no_distortion() -> None:
    assert camera_from_info(info(distortion_model="equidistant"), rectified=True) == PinholeCamera(
        640, 480, 400.0, 410.0, 300.0, 200.0
    )


def test_a_fisheye_is_one_with_and_without_coefficients() -> None:
    lens = (0.01, -0.02, 0.003, 0.0)
    found = camera_from_info(info(distortion_model="equidistant", d=[*lens, 0.0]))
    assert found == FisheyeCamera(640, 480, 500.0, 510.0, 319.5, 239.5, lens)
    plain = camera_from_info(info(distortion_model="fisheye", d=[0.0] * 5, roi=roi(100, 60, 400, 300), binning_x=2))
    assert plain == FisheyeCamera(200, 300, 250.0, 510.0, 109.5, 179.5)


def test_a_double_sphere_and_a_tilted_sensor_are_read() -> None:
    sphere = camera_from_info(info(distortion_model="double_sphere", d=[-0.2, 0.6]))
    assert sphere == DoubleSphereCamera(640, 480, 500.0, 510.0, 319.5, 239.5, (-0.2, 0.6))
    tilted = [0.1, 0.01, 0.0, 0.0, 0.001, 0.0, 0.0, 0.0, 1e-3, 0.0, 0.0, 0.0, 0.01, 0.02]
    assert camera_from_info(info(distortion_model="rational_polynomial", d=tilted)).distortion == tuple(tilted)


def test_an_unused_thin_prism_is_dropped() -> None:
    eight = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    camera = camera_from_info(info(distortion_model="rational_polynomial", d=[*eight, 0.0, 0.0, 0.0, 0.0]))
    assert camera.distortion == tuple(eight)


def test_a_ray_through_a_pixel_stays_when_the_image_is_cropped_and_binned() -> None:
    """A region of interest shifts pixels, and the centre of a bin of 2x2 lies between four of them."""
    full = camera_from_info(info(d=[]))
    camera = camera_from_info(info(d=[], roi=roi(100, 60, 400, 300), binning_x=2, binning_y=2))
    assert (camera.width, camera.height) == (200, 150)
    binned, on_sensor = np.array([[10.0, 20.0]]), np.array([[100 + 2 * 10 + 0.5, 60 + 2 * 20 + 0.5]])
    np.testing.assert_allclose(camera.normalise(binned), full.normalise(on_sensor), atol=1e-12)


def test_pixels_that_fill_no_bin_do_not_change_the_scale() -> None:
    camera = camera_from_info(info(d=[], width=641, binning_x=2, binning_y=2))
    assert (camera.width, camera.height, camera.fx, camera.fy) == (320, 240, 250.0, 255.0)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"distortion_model": "omni"}, ["'omni'", "rectify the images"]),
        ({"k": [0.0] * 9}, ["K is all zeros", "not calibrated"]),
        ({"k": [500.0, 3.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0]}, ["K[1] = 3 px of skew"]),
        ({"k": [float("nan"), 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0]}, ["K has a nan"]),
        ({"k": [-500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0]}, ["fx = -500.0", "positive"]),
        ({"d": [0.1, 0.2, 0.3]}, ["distortion [0.1, 0.2, 0.3]", "0, 4, 5, 8, 12 or 14"]),
        ({"roi": roi(600, 0, 100, 480)}, ["roi 100x480 at (600, 0)", "outside the 640x480 px image"]),
        ({"binning_x": 1000, "binning_y": 1}, ["binning 1000x1 leaves nothing of 640x480 px"]),
    ],
)
def test_what_cannot_be_used_is_refused_by_field(changed: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(CameraInfoError) as caught:
        camera_from_info(info(**changed))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("topic", "is_rectified"),
    [
        ("/image_rect", True),
        ("/left/image_rect_color", True),
        ("/camera/image_rect/compressed", True),
        ("/zed/rgb/color/rect/image", True),
        ("/camera/rectified/image", True),
        ("/rect/image_raw", False),
        ("/camera/image_raw", False),
        ("/direct/image", False),
    ],
)
def test_the_name_of_a_topic_says_whether_its_images_are_rectified(topic: str, is_rectified: bool) -> None:
    assert is_rectified_topic(topic) == is_rectified


def test_a_principal_point_outside_the_image_is_refused() -> None:
    check_principal_point(PinholeCamera(64, 48, 60.0, 60.0, 0.0, 47.0))
    with pytest.raises(CameraInfoError, match=r"principal point \(64, 23.5\) px lies outside the 64x48 px image"):
        check_principal_point(PinholeCamera(64, 48, 60.0, 60.0, 64.0, 23.5))
