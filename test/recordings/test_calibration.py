"""A calibration suits the images that it is used for, is scaled to them, or is refused in words."""

from __future__ import annotations

import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.recordings.calibration import Calibration, CalibrationError

K = (192.0, 193.0, 119.5, 89.5)


def test_intrinsics_of_the_image_size_are_taken_as_they_are() -> None:
    camera = PinholeCamera(240, 180, *K)
    assert Calibration.of("x", K).fitted(240, 180) == (camera, "")
    assert Calibration.of("x", K, size=(240, 180)).fitted(240, 180) == (camera, "")


@pytest.mark.parametrize(
    ("size", "image"), [((240, 180), (640, 480)), ((1280, 720), (640, 360)), ((1241, 376), (620, 188))]
)
def test_a_stated_size_of_the_same_shape_is_scaled_with_a_word(size: tuple[int, int], image: tuple[int, int]) -> None:
    centre = ((size[0] - 1) / 2, (size[1] - 1) / 2)
    calibration = Calibration.of("x", (0.8 * size[0], 0.8 * size[0], *centre), (-0.3, 0.08, 0.0, 0.0), size)
    camera, done = calibration.fitted(*image)
    assert (camera.width, camera.height) == image
    assert camera.fx == pytest.approx(0.8 * image[0])
    assert (camera.cx, camera.cy) == pytest.approx(((image[0] - 1) / 2, (image[1] - 1) / 2))
    assert camera.distortion == (-0.3, 0.08, 0.0, 0.0)
    assert done == f"scaled from {size[0]}x{size[1]} to {image[0]}x{image[1]} px"


@pytest.mark.parametrize(
    ("intrinsics", "size", "words"),
    [
        (
            K,
            (320, 180),
            "x is of 320x180 px, but the images are 240x180 px, which is another shape; give the calibration",
        ),
        ((525.0, 525.0, 319.5, 239.5), None, "x: cx = 319.5 px lies outside of the 240x180 px image; give"),
        ((192.0, 192.0, 119.5, -1.0), (240, 180), "x: cy = -1 px lies outside of the 240x180 px image"),
        ((0.8, 1.07, 0.5, 0.5), None, "x: fx = 0.8 px does not suit 240x180 px images (from 36 to 7200 px do)"),
        ((9000.0, 9000.0, 119.5, 89.5), None, "x: fx = 9000 px does not suit 240x180 px images"),
        ((192.0, 50.0, 119.5, 89.5), None, "x: fx = 192 and fy = 50 px are of no real lens"),
        (
            (96.0, 96.0, 59.5, 44.5),
            None,
            "x: cx = 59.5, cy = 44.5 px is the centre of a 120x90 px image, but the images",
        ),
        ((300.0, 300.0, 200.0, 150.0), None, "px is the centre of a 401x301 px image, but the images are 240x180 px"),
    ],
)
def test_intrinsics_of_other_images_are_refused(
    intrinsics: tuple[float, ...], size: tuple[int, int] | None, words: str
) -> None:
    with pytest.raises(CalibrationError) as caught:
        Calibration.of("x", intrinsics, size=size).fitted(240, 180)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_off_centre_principal_point_is_no_other_size() -> None:
    camera, _ = Calibration.of("x", (192.0, 192.0, 70.0, 120.0)).fitted(240, 180)
    assert (camera.cx, camera.cy) == (70.0, 120.0)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((0.0, 0.0), ()),
        ((-0.3,), (-0.3, 0.0, 0.0, 0.0)),
        ((-0.3, 0.08, 0.0, 0.0, 0.1), (-0.3, 0.08, 0.0, 0.0, 0.1)),
        ((-0.3, 0.08, 0.0, 0.0, 0.1, 0.2), (-0.3, 0.08, 0.0, 0.0, 0.1, 0.2, 0.0, 0.0)),
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, *[0.0] * 6), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
        ((0.0,) * 14, ()),
        ((*[0.1] * 8, 0.0, 0.002), (*[0.1] * 8, 0.0, 0.002, 0.0, 0.0)),
        ((0.1, *[0.0] * 11, 0.5), (0.1, *[0.0] * 11, 0.5, 0.0)),
    ],
)
def test_coefficients_are_kept_and_zeros_need_no_model(given: tuple[float, ...], kept: tuple[float, ...]) -> None:
    assert Calibration.of("x", K, given).distortion == kept


def test_the_coefficients_of_a_fisheye_are_its_own() -> None:
    fisheye = Calibration.of("x", K, (0.01, 0.0, 0.003, 0.0, 0.0), lens="equidistant")
    assert fisheye.fitted(240, 180)[0] == FisheyeCamera(240, 180, *K, (0.01, 0.0, 0.003, 0.0))
    assert Calibration.of("x", K, (0.01,), lens="equidistant").distortion == (0.01, 0.0, 0.0, 0.0)
    assert Calibration.of("x", K, lens="fisheye").fitted(240, 180)[0] == FisheyeCamera(240, 180, *K)
    with pytest.raises(CalibrationError, match=r"x: coefficient 5 = 0.1 is not supported \(k1, k2, k3, k4 are"):
        Calibration.of("x", K, (0.0, 0.0, 0.0, 0.0, 0.1), lens="equidistant")
    with pytest.raises(CalibrationError, match=r"x: distortion \[0.1\] must be xi and alpha"):
        Calibration.of("x", K, (0.1,), lens="ds")


@pytest.mark.parametrize(
    ("intrinsics", "distortion", "words"),
    [
        (K, (*[0.1] * 14, 0.002), "x: coefficient 15 = 0.002 is not supported (k1, k2, p1, p2, k3, k4, k5, k6, s1"),
        (K, (0.1, float("nan")), "x: k2 = nan is not finite"),
        ((0.0, 0.0, 1.0, 1.0), (), "x: focal length fx = 0.0, fy = 0.0 px must be positive"),
    ],
)
def test_what_no_supported_lens_has_is_refused_by_name(
    intrinsics: tuple[float, ...], distortion: tuple[float, ...], words: str
) -> None:
    with pytest.raises(CalibrationError) as caught:
        Calibration.of("x", intrinsics, distortion)
    assert words in str(caught.value)
