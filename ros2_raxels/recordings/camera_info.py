"""The camera that a sensor_msgs/CameraInfo describes, by its fields alone: of a topic or a bag, without ROS."""

from __future__ import annotations

import math
import re
from typing import Any

from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.lens_names import SUPPORTED, lens_of
from ros2_raxels.geometry.poses import GeometryError

_OTHER_LENSES = re.compile("(?i)equi|fish|kannala|omni|mei|double_sphere|eucm|ucm|fov|thin_prism")
_RECTIFIED = re.compile(r"(^|_)rect(ified)?(_|$)")
_RAW = "image_raw"


class CameraInfoError(ValueError):
    """A CameraInfo that cannot be used; the message is one line: the field, its value and the remedy."""


def camera_from_info(info: Any, rectified: bool = False) -> Camera:
    """The camera of the images that this message accompanies, binning and region of interest applied.

    Args:
        info: anything with the fields of sensor_msgs/CameraInfo; intrinsics are of the full sensor image, px.
        rectified: the images are undistorted, so the projection matrix P holds and there is no distortion.

    Raises:
        CameraInfoError: uncalibrated, not finite, or of a lens that is not supported.
    """
    lens = PinholeCamera if rectified else _lens(info)
    if lens is None:
        raise CameraInfoError(
            f"distortion_model {info.distortion_model!r} is not supported ({SUPPORTED}); "
            "rectify the images, and set image_rectified where a node takes them"
        )
    name, (fx, skew, cx, fy, cy) = _intrinsics(info, rectified)
    if not any((fx, cx, fy, cy)):
        raise CameraInfoError(f"{name} is all zeros: the camera is not calibrated; calibrate it (camera_calibration)")
    if abs(skew) > 1e-3 * abs(fx):
        raise CameraInfoError(f"{name}[1] = {skew:g} px of skew is not supported; calibrate without skew")
    distortion = () if rectified else _distortion(info, lens)
    try:
        full = lens(int(info.width), int(info.height), fx, fy, cx, cy, distortion)
    except GeometryError as error:
        raise CameraInfoError(str(error)) from error
    return _binned(_cropped(full, info), info)


def is_rectified_topic(topic: str) -> bool:
    """Whether the name of an image topic says that its pixels are rectified: image_rect, image_rect_color, rect/image.

    One that ends in ``image_raw`` never does.
    """
    parts = topic.removesuffix("/compressed").split("/")
    return parts[-1] != _RAW and any(map(_RECTIFIED.search, parts))


def check_principal_point(camera: Camera) -> None:
    """See that it lies in the image, as it does unless K is that of another size or crop.

    Raises:
        CameraInfoError: it does not.
    """
    if not (0 <= camera.cx < camera.width and 0 <= camera.cy < camera.height):
        raise CameraInfoError(
            f"principal point ({camera.cx:g}, {camera.cy:g}) px lies outside the {camera.width}x{camera.height} px "
            "image: it is that of another size or crop; calibrate again"
        )


def _lens(info: Any) -> type[Camera] | None:
    # A fisheye without coefficients is a fisheye still; what is no lens known to anybody is a pinhole without them.
    is_plain = not any(info.d) and not _OTHER_LENSES.search(info.distortion_model)
    return lens_of(info.distortion_model) or (PinholeCamera if is_plain else None)


def _intrinsics(info: Any, rectified: bool) -> tuple[str, tuple[float, ...]]:
    name, matrix = ("P", info.p) if rectified else ("K", info.k)
    row = 4 if rectified else 3
    picked = tuple(float(matrix[i]) for i in (0, 1, 2, row + 1, row + 2))
    for value in picked:
        if not math.isfinite(value):
            raise CameraInfoError(f"{name} has a {value}, which is not finite; calibrate the camera again")
    return name, picked


def _distortion(info: Any, lens: type[Camera]) -> tuple[float, ...]:
    coefficients = tuple(float(value) for value in info.d)
    # OpenCV's rational calibration writes 12 or 14 numbers; those of the thin prism are usually unused.
    most = 4 if lens is FisheyeCamera else 8
    if len(coefficients) > most and not any(coefficients[most:]):
        coefficients = coefficients[:most]
    if not any(coefficients) and (lens is FisheyeCamera or len(coefficients) not in (4, 5, 8)):
        return ()
    return coefficients


def _cropped(camera: Camera, info: Any) -> Camera:
    roi = info.roi
    if not (roi.width or roi.height or roi.x_offset or roi.y_offset):
        return camera
    width, height = roi.width or camera.width, roi.height or camera.height
    if roi.x_offset + width > camera.width or roi.y_offset + height > camera.height:
        raise CameraInfoError(
            f"roi {width}x{height} at ({roi.x_offset}, {roi.y_offset}) lies outside the "
            f"{camera.width}x{camera.height} px image; correct the driver's roi"
        )
    return camera.cropped(int(roi.x_offset), int(roi.y_offset), int(width), int(height))


def _binned(camera: Camera, info: Any) -> Camera:
    across, down = max(1, info.binning_x), max(1, info.binning_y)
    if across == down == 1:
        return camera
    width, height = camera.width // across, camera.height // down
    if not width or not height:
        raise CameraInfoError(
            f"binning {across}x{down} leaves nothing of {camera.width}x{camera.height} px; correct the driver"
        )
    # Whole bins only, so that the scale is exactly the binning even when the last pixels do not fill one.
    return camera.cropped(0, 0, width * across, height * down).resized(width, height)
