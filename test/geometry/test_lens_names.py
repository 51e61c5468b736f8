"""Lenses by the names of files and messages."""

from __future__ import annotations

import pytest

from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.double_sphere import DoubleSphereCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.lens_names import coefficient_names, lens_name, lens_of, make_camera
from ros2_raxels.geometry.poses import GeometryError

FOUR = (0.1, 0.02, 0.003, 0.0004)


@pytest.mark.parametrize(
    ("name", "lens"),
    [
        ("plumb_bob", PinholeCamera),
        ("radial-tangential", PinholeCamera),
        ("radtan", PinholeCamera),
        ("", PinholeCamera),
        ("equidistant", FisheyeCamera),
        ("OPENCV_FISHEYE", FisheyeCamera),
        ("KannalaBrandt8", FisheyeCamera),
        ("Fisheye", FisheyeCamera),
        ("ds", DoubleSphereCamera),
        ("fov", None),
        ("omni", None),
    ],
)
def test_lenses_have_many_names(name: str, lens: type[Camera] | None) -> None:
    assert lens_of(name) is lens


@pytest.mark.parametrize(
    ("name", "distortion"),
    [
        ("plumb_bob", ()),
        ("plumb_bob", (*FOUR, 0.0)),
        ("rational_polynomial", (*FOUR, *FOUR)),
        ("rational_polynomial", (*FOUR, *FOUR, *FOUR, 0.01, 0.02)),
        ("equidistant", FOUR),
        ("equidistant", ()),
        ("double_sphere", (-0.2, 0.6)),
    ],
)
def test_a_lens_is_called_what_ros_calls_it(name: str, distortion: tuple[float, ...]) -> None:
    camera = make_camera(name, (320, 240), (150.0, 151.0, 160.0, 120.0), distortion)
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (320, 240, 150, 151, 160, 120)
    assert camera.distortion == distortion
    assert lens_name(camera) == name


def test_coefficients_have_names_in_their_order() -> None:
    assert coefficient_names(PinholeCamera)[:6] == ("k1", "k2", "p1", "p2", "k3", "k4")
    assert coefficient_names(FisheyeCamera) == ("k1", "k2", "k3", "k4")
    assert coefficient_names(DoubleSphereCamera) == ("xi", "alpha")


def test_a_lens_that_is_not_supported_is_named() -> None:
    with pytest.raises(GeometryError, match=r"'omni' is not supported \(plumb_bob"):
        make_camera("omni", (320, 240), (150.0, 150.0, 160.0, 120.0))
