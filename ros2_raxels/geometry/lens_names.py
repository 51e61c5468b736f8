"""Cameras by the names that files and messages have for their lenses."""

from __future__ import annotations

from collections.abc import Sequence

from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.double_sphere import DoubleSphereCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.poses import GeometryError

_LENSES: tuple[tuple[type[Camera], tuple[str, ...]], ...] = (
    (
        PinholeCamera,
        ("plumb_bob", "rational_polynomial", "", "none", "radtan", "radial-tangential", "pinhole", "perspective"),
    ),
    (
        FisheyeCamera,
        (
            *("equidistant", "fisheye", "equi", "equidist", "kb4", "kb8", "kannala_brandt", "kannala_brandt4"),
            *("kannala_brandt8", "kannalabrandt", "kannalabrandt4", "kannalabrandt8", "opencv_fisheye"),
        ),
    ),
    (DoubleSphereCamera, ("double_sphere", "ds")),
)
"""Without coefficients an equidistant lens is one still; ROS's name for a lens comes first."""

SUPPORTED = "plumb_bob, rational_polynomial, equidistant and double_sphere are"
"""For messages."""

_COEFFICIENTS: dict[type[Camera], tuple[str, ...]] = {
    PinholeCamera: (
        *("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
        *("s1", "s2", "s3", "s4", "tau_x", "tau_y"),
    ),
    FisheyeCamera: ("k1", "k2", "k3", "k4"),
    DoubleSphereCamera: ("xi", "alpha"),
}

_RATIONAL_FROM = 6


def lens_of(name: str) -> type[Camera] | None:
    """The class of a lens by any of its names, in whatever case; None for one that is not supported."""
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    return next((lens for lens, names in _LENSES if wanted in (n.replace("-", "_") for n in names)), None)


def lens_name(camera: Camera) -> str:
    """ROS's name for the lens of a camera."""
    if isinstance(camera, PinholeCamera):
        return "plumb_bob" if len(camera.distortion) < _RATIONAL_FROM else "rational_polynomial"
    return next(names[0] for lens, names in _LENSES if isinstance(camera, lens))


def coefficient_names(lens: type[Camera]) -> tuple[str, ...]:
    """Names of the coefficients that a lens may have, in their order."""
    return _COEFFICIENTS[lens]


def make_camera(
    name: str, size: tuple[int, int], intrinsics: Sequence[float], distortion: Sequence[float] = ()
) -> Camera:
    """A camera by the name of its lens.

    Args:
        name: see `lens_of`.
        size: width and height, px.
        intrinsics: fx, fy, cx, cy, px.
        distortion: in the order of the lens.

    Raises:
        GeometryError: the lens is not supported, or a value cannot belong to it.
    """
    lens = lens_of(name)
    if lens is None:
        raise GeometryError(f"lens model {name!r} is not supported ({SUPPORTED}); undistort the images")
    fx, fy, cx, cy = intrinsics
    return lens(*size, fx, fy, cx, cy, tuple(float(value) for value in distortion))
