"""Depth images: metres from the fields of an image message or the bytes of a file. No ROS."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.recordings.image_codec import ImageBytes, ImageError, check_size
from ros2_raxels.recordings.image_header import stored_size
from ros2_raxels.utils.files import shown

MILLIMETRE = 0.001
"""Of a 16-bit depth image, unless its recording has another unit; m."""

_NOTHING = (0, 65535)
"""16-bit values that stand for no measurement: most drivers write the first, 7-Scenes the second."""

_SAMPLES = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
_COMPRESSED = "compressedDepth"
_COMPRESSION_HEADER = struct.Struct("<iff")

DepthArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DepthPicture:
    """A depth image that is registered: seen from where the colour image was taken.

    Attributes:
        depth_m: (H, W) float32 along the optical axis, m; NaN where nothing was measured.
        camera: its own intrinsics, of its own size; None where they are those of the colour image, scaled.
    """

    depth_m: DepthArray
    camera: Camera | None = None


def decode_depth(
    data: ImageBytes, height: int, width: int, encoding: str, step: int, is_bigendian: bool | int
) -> DepthArray:
    """Depths (height, width), m, of a raw image, by the fields of `sensor_msgs/Image`; NaN where there is none.

    Raises:
        ImageError: an encoding without depth in it, an absurd size, or too few bytes.
    """
    check_raw_depth(memoryview(cast(bytes, data)).nbytes, height, width, encoding, step)
    order = ">" if is_bigendian else "<"
    kind = np.dtype(order + _SAMPLES[encoding])
    rows = np.frombuffer(memoryview(cast(bytes, data)), np.uint8)[: height * step].reshape(height, step)
    values = np.ascontiguousarray(rows[:, : width * kind.itemsize]).view(kind)
    return metres(values.astype(kind.newbyteorder("=")))


def check_raw_depth(size: int, height: int, width: int, encoding: str, step: int) -> None:
    """Refuse what `decode_depth` would, by the fields alone.

    Raises:
        ImageError: as `decode_depth`.
    """
    if encoding not in _SAMPLES:
        raise ImageError(f"depth encoding {shown(encoding)} is not supported; depth images are 16UC1 (mm) or 32FC1 (m)")
    check_size(height, width)
    row_bytes = width * np.dtype(_SAMPLES[encoding]).itemsize
    if step < row_bytes or size < height * step:
        raise ImageError(
            f"depth image of {size} bytes and step {step} is too short for {width}x{height} px {encoding}, which take "
            f"{height} rows of {row_bytes} bytes; correct the driver"
        )


def decode_compressed_depth(data: ImageBytes, format: str) -> DepthArray:
    """Depths (height, width), m, of a message of the transport compressedDepth; NaN where there is none.

    Raises:
        ImageError: another format, or broken data.
    """
    raw = bytes(data)
    if _COMPRESSED not in format or "rvl" in format:
        raise ImageError(f"compressed image (format {shown(format)}) is no depth as PNG; record the raw depth image")
    if len(raw) <= _COMPRESSION_HEADER.size:
        raise ImageError(f"compressed depth of {len(raw)} bytes is truncated; store or send it again")
    _, a, b = _COMPRESSION_HEADER.unpack_from(raw)
    values = _decoded(raw[_COMPRESSION_HEADER.size :], "compressed depth")
    if not format.startswith("32FC1"):
        return metres(values)
    # Quantised inverse depth, as compressed_depth_image_transport writes fractions.
    there = values > 0
    depth = np.where(there, a / np.where(there, values - b, 1.0), np.nan)
    return metres(depth.astype(np.float32))


def decode_depth_file(data: bytes, unit_m: float = MILLIMETRE) -> DepthArray:
    """Depths (height, width), m, of a PNG or TIFF file with one channel; NaN where there is none.

    Args:
        data: the file's bytes.
        unit_m: of 16-bit values; fractions are metres.

    Raises:
        ImageError: another kind of file, or broken data.
    """
    return metres(_decoded(data, "depth image"), unit_m)


def _decoded(data: bytes, name: str) -> npt.NDArray[Any]:
    size = stored_size(data)
    if size is None:
        raise ImageError(f"{name} of {len(data)} bytes is no readable PNG or TIFF; store it as one")
    check_size(*size)
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        values = None
    if values is None:
        raise ImageError(f"{name} of {len(data)} bytes is broken or truncated; store or send it again")
    if values.ndim != 2 or values.dtype not in (np.uint16, np.float32):
        channels = 1 if values.ndim == 2 else values.shape[2]
        raise ImageError(
            f"{name} has {channels} channels of {values.dtype}, not one of 16 bits or of fractions, which depth has; "
            "give the depth image, not a picture of it"
        )
    return np.asarray(values)


def metres(values: npt.NDArray[Any], unit_m: float = MILLIMETRE) -> DepthArray:
    """Depths (H, W), m, NaN where there is none, from whole numbers of a unit or from metres as fractions."""
    if values.dtype == np.uint16:
        whole = values.astype(np.float32) * np.float32(unit_m)
        whole[np.isin(values, _NOTHING)] = np.nan
        return whole
    depth = values.astype(np.float32)
    with np.errstate(invalid="ignore"):
        depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth
