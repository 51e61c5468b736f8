"""Pixels from the fields of an image message, wherever the message comes from. NumPy and OpenCV, no ROS.

Raw images are viewed in place where their layout allows it (mono8, rgb8); compressed ones are decoded only
after their header has shown that the result is of a sane size.
"""

from __future__ import annotations

import struct
from array import array
from typing import Union, cast

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.utils.files import shown

ImageArray = npt.NDArray[np.uint8]
ImageBytes = Union[bytes, bytearray, memoryview, "array[int]", ImageArray]

MAX_SIDE_PX = 8192
"""Largest width or height that is believed; anything beyond is a corrupt header."""

_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 1}
_TO_RGB = {"bgr8": cv2.COLOR_BGR2RGB, "rgba8": cv2.COLOR_RGBA2RGB, "bgra8": cv2.COLOR_BGRA2RGB}

_MOST_MARKERS = 1000
"""Searched for the size of a JPEG, fill bytes included; a real header has a few dozen."""

SUPPORTED_ENCODINGS = tuple(_CHANNELS)
"""Encodings of raw images that `decode_image` reads."""


class ImageError(ValueError):
    """Image data that cannot be read; the message is one line: the field, its value and the remedy."""


def decode_image(
    data: ImageBytes, height: int, width: int, encoding: str, step: int, is_bigendian: bool | int
) -> ImageArray:
    """Pixels of a raw image, by the fields of `sensor_msgs/Image`.

    Args:
        data: at least ``height * step`` bytes; what follows them is ignored.
        height, width: px.
        encoding: one of `SUPPORTED_ENCODINGS`.
        step: bytes from one row to the next, padding included.
        is_bigendian: byte order of mono16; without meaning for 8-bit encodings.

    Returns:
        uint8, (height, width) for mono8 and mono16, else (height, width, 3) RGB. For mono8 and rgb8 a view of
        ``data`` (read-only if that is; strided if rows are padded); for the others a new array. mono16 keeps
        its high byte.

    Raises:
        ImageError: encoding not supported, size empty or absurd, step too small, or too few bytes.
    """
    view = memoryview(cast(bytes, data))
    check_raw(view.nbytes, height, width, encoding, step)
    channels, row_bytes = _CHANNELS[encoding], _row_bytes(width, encoding)
    flat = np.frombuffer(view, np.uint8)
    if encoding == "mono16":
        high_byte = flat[0 if is_bigendian else 1 :]
        return np.ascontiguousarray(np.lib.stride_tricks.as_strided(high_byte, (height, width), (step, 2)))
    rows = flat[: height * step].reshape(height, step)[:, :row_bytes]
    if encoding == "mono8":
        return rows
    pixels = np.lib.stride_tricks.as_strided(
        rows, (height, width, channels), (step, channels, 1), writeable=rows.flags.writeable
    )
    return pixels if encoding == "rgb8" else np.asarray(cv2.cvtColor(pixels, _TO_RGB[encoding]), np.uint8)


def check_raw(size: int, height: int, width: int, encoding: str, step: int) -> None:
    """Refuse what `decode_image` would, by the fields alone and so in no time.

    Args:
        size: of the data, bytes.
        height, width, encoding, step: as for `decode_image`.

    Raises:
        ImageError: as `decode_image`.
    """
    if encoding not in _CHANNELS:
        raise ImageError(f"image encoding {shown(encoding)} is not supported; publish one of {', '.join(_CHANNELS)}")
    _check_size(height, width)
    row_bytes = _row_bytes(width, encoding)
    if step < row_bytes:
        raise ImageError(
            f"image step {step} is less than the {row_bytes} bytes of a row of {width} px {encoding}; "
            "correct the driver"
        )
    if size < height * step:
        raise ImageError(
            f"image data is truncated: {height} rows of step {step} need {height * step} bytes, "
            f"got {size}; look for a lossy transport"
        )


def _row_bytes(width: int, encoding: str) -> int:
    return width * _CHANNELS[encoding] * (2 if encoding == "mono16" else 1)


def decode_compressed(data: ImageBytes, format: str = "", *, honour_orientation: bool = False) -> ImageArray:
    """RGB pixels (height, width, 3) uint8 of a JPEG, PNG, BMP or TIFF image.

    Args:
        data: the encoded file.
        format: the field of `sensor_msgs/CompressedImage`, to refuse what is not a picture (compressedDepth)
            and to name it in errors; otherwise the bytes decide.
        honour_orientation: turn the picture as its EXIF orientation asks. Right for photos, wrong for
            messages, whose CameraInfo describes the pixels as stored.

    Raises:
        ImageError: another format, an absurd size, or broken or truncated data.
    """
    raw = bytes(data)
    check_compressed(raw, format)
    flags = cv2.IMREAD_COLOR if honour_orientation else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        decoded = cv2.imdecode(np.frombuffer(raw, np.uint8), flags)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise ImageError(
            f"compressed image{_named(format)} of {len(raw)} bytes is broken or truncated; store or send it again"
        )
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def check_compressed(raw: bytes, format: str = "") -> None:
    """Refuse what `decode_compressed` would, as far as the header shows it.

    Raises:
        ImageError: as `decode_compressed`.
    """
    named = _named(format)
    if "compressedDepth" in format:
        raise ImageError(f"compressed image{named} is depth, not a picture; subscribe to the colour image")
    size = _stored_size(raw)
    if size is None:
        raise ImageError(
            f"compressed image{named} of {len(raw)} bytes is no readable JPEG, PNG, BMP or TIFF; "
            "store or send it as one of them"
        )
    _check_size(*size)
    if raw.startswith(b"\xff\xd8") and raw.rfind(b"\xff\xd9") < raw.rfind(b"\xff\xda"):
        raise ImageError(f"compressed image{named} is truncated: JPEG of {len(raw)} bytes without an end marker")


def _named(format: str) -> str:
    return f" (format {format!r})" if format else ""


def encode_compressed(image: ImageArray, format: str) -> bytes:
    """A JPEG or PNG file of RGB pixels.

    Args:
        image: (height, width, 3) uint8.
        format: ``jpeg`` or ``png``, as in `sensor_msgs/CompressedImage`.
    """
    suffix, options = {"jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95]), "png": (".png", [])}[format]
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return bytes(encoded)


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ImageError(f"image size {width}x{height} px is empty; the camera must send a real size")
    if height > MAX_SIDE_PX or width > MAX_SIDE_PX:
        raise ImageError(
            f"image size {width}x{height} px exceeds {MAX_SIDE_PX} px a side; "
            "the header is corrupt or the image must be scaled down"
        )


# OpenCV allocates what a header asks for before it notices that the data ends early, so sizes are read first.


def _stored_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) px by the file's own header; None when it is not one of the formats read here."""
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", data, 16)
            return height, width
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(height), abs(width)
        if data[:4] in (b"II*\x00", b"MM\x00*"):
            return _tiff_size(data, "<" if data[:1] == b"I" else ">")
    except struct.error:
        pass
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    for _ in range(_MOST_MARKERS):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == 0xFFFF:  # fill byte before a marker
            at += 1
            continue
        if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        if marker < 0xFFC0 or length < 2:
            return None
        at += 2 + length
    return None


def _tiff_size(data: bytes, order: str) -> tuple[int, int] | None:
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, directory)
    found: dict[int, int] = {}
    for index in range(entries):
        at = directory + 2 + 12 * index
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in (256, 257):
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)
    return (found[257], found[256]) if len(found) == 2 else None
