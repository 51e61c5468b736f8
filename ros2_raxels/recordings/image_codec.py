"""Pixels from the fields of an image message or the bytes of an image file, wherever they come from. No ROS.

Raw images are viewed in place where their layout allows it (mono8, rgb8); compressed ones are decoded only
after their header has shown that the result is of a sane size.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any, Union, cast

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_header import holds_fractions, is_cut_short, stored_size
from ros2_raxels.utils.files import shown

ImageArray = npt.NDArray[np.uint8]
ImageBytes = Union[bytes, bytearray, memoryview, "array[int]", ImageArray]

MAX_SIDE_PX = 8192
"""Largest width or height that is believed; anything beyond is a corrupt header."""


@dataclass(frozen=True)
class _Layout:
    """How an encoding lays out its pixels.

    Attributes:
        channels: samples a pixel.
        depth: bytes a sample.
        to_rgb: OpenCV's conversion; None where the samples are grey or RGB already.
        chroma_rows: for each row, how many more of colour follow below the picture.
        block_px: both sides are multiples of it (the width alone where no rows of colour follow).
        least_px: of a side.
    """

    channels: int
    depth: int = 1
    to_rgb: int | None = None
    chroma_rows: float = 0.0
    block_px: int = 1
    least_px: int = 1

    def row_bytes(self, width: int) -> int:
        return width * self.channels * self.depth

    def rows(self, height: int) -> int:
        return height + int(self.chroma_rows * height)


def _bayer(depth: int, opencv_name: str) -> _Layout:
    return _Layout(1, depth, getattr(cv2, f"COLOR_Bayer{opencv_name}2RGB"), least_px=3)


_YUYV = _Layout(2, 1, cv2.COLOR_YUV2RGB_YUY2, block_px=2)
_UYVY = _Layout(2, 1, cv2.COLOR_YUV2RGB_UYVY, block_px=2)

_LAYOUTS = {
    "rgb8": _Layout(3),
    "bgr8": _Layout(3, 1, cv2.COLOR_BGR2RGB),
    "rgba8": _Layout(4, 1, cv2.COLOR_RGBA2RGB),
    "bgra8": _Layout(4, 1, cv2.COLOR_BGRA2RGB),
    "mono8": _Layout(1),
    "mono16": _Layout(1, 2),
    "rgb16": _Layout(3, 2),
    "bgr16": _Layout(3, 2, cv2.COLOR_BGR2RGB),
    "rgba16": _Layout(4, 2, cv2.COLOR_RGBA2RGB),
    "bgra16": _Layout(4, 2, cv2.COLOR_BGRA2RGB),
    # Encodings without colour names are OpenCV's, whose order is BGR.
    "8UC1": _Layout(1),
    "8UC3": _Layout(3, 1, cv2.COLOR_BGR2RGB),
    "8UC4": _Layout(4, 1, cv2.COLOR_BGRA2RGB),
    "16UC1": _Layout(1, 2),
    "16UC3": _Layout(3, 2, cv2.COLOR_BGR2RGB),
    # ROS names the first two pixels of the first two rows, OpenCV those of the second row and column on.
    **{
        f"bayer_{ros_name}{8 * depth}": _bayer(depth, opencv_name)
        for ros_name, opencv_name in (("rggb", "BG"), ("bggr", "RG"), ("gbrg", "GR"), ("grbg", "GB"))
        for depth in (1, 2)
    },
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": _Layout(1, 1, cv2.COLOR_YUV2RGB_NV12, chroma_rows=0.5, block_px=2),
    "nv21": _Layout(1, 1, cv2.COLOR_YUV2RGB_NV21, chroma_rows=0.5, block_px=2),
}

_TO_GREY = {
    None: cv2.COLOR_RGB2GRAY,
    cv2.COLOR_BGR2RGB: cv2.COLOR_BGR2GRAY,
    cv2.COLOR_RGBA2RGB: cv2.COLOR_RGBA2GRAY,
    cv2.COLOR_BGRA2RGB: cv2.COLOR_BGRA2GRAY,
}
"""By the conversion to RGB whose place it takes."""

SUPPORTED_ENCODINGS = tuple(_LAYOUTS)
"""Encodings of raw images that `decode_image` reads."""


class ImageError(ValueError):
    """Image data that cannot be read; the message is one line: the field, its value and the remedy."""


def decode_image(
    data: ImageBytes,
    height: int,
    width: int,
    encoding: str,
    step: int,
    is_bigendian: bool | int,
    stretch: Stretch | None = None,
    *,
    grey: bool = False,
) -> ImageArray:
    """Pixels of a raw image, by the fields of `sensor_msgs/Image`.

    Args:
        data: at least ``step`` bytes a row; what follows them is ignored.
        height, width: px.
        encoding: one of `SUPPORTED_ENCODINGS`.
        step: bytes from one row to the next, padding included.
        is_bigendian: byte order of 16-bit encodings; without meaning for 8-bit ones.
        stretch: of the stream that a 16-bit image belongs to; without one its contrast is its own.
        grey: give the brightness alone, in one step where there is one.

    Returns:
        uint8, (height, width) for one grey channel, else (height, width, 3) RGB. For mono8, 8UC1 and rgb8 a view of
        ``data`` (read-only if that is; strided if rows are padded); for the others a new array. 16-bit samples are
        stretched to 8 bits.

    Raises:
        ImageError: encoding not supported, size empty or absurd, step too small, or too few bytes.
    """
    view = memoryview(cast(bytes, data))
    check_raw(view.nbytes, height, width, encoding, step)
    layout = _LAYOUTS[encoding]
    pixels = _samples(view, height, width, layout, step, ">" if is_bigendian else "<")
    if grey and layout.depth == 1 and layout.to_rgb in _TO_GREY:
        return pixels if pixels.ndim == 2 else np.asarray(cv2.cvtColor(pixels, _TO_GREY[layout.to_rgb]), np.uint8)
    if layout.to_rgb is not None:
        pixels = np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), layout.to_rgb))
    pixels = pixels if layout.depth == 1 else (stretch or Stretch())(pixels)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8) if grey and pixels.ndim == 3 else pixels


def _samples(view: memoryview, height: int, width: int, layout: _Layout, step: int, order: str) -> npt.NDArray[Any]:
    """(rows, width) or (rows, width, channels) view of 8-bit samples; 16-bit ones are copied in native order."""
    rows, channels, depth = layout.rows(height), layout.channels, layout.depth
    flat = np.frombuffer(view, np.uint8)[: rows * step]
    used = flat.reshape(rows, step)[:, : layout.row_bytes(width)]
    shape = (rows, width) if channels == 1 else (rows, width, channels)
    if depth == 2:
        return np.ascontiguousarray(used).view(f"{order}u2").astype(np.uint16).reshape(shape)
    strides = (step, channels, 1)[: len(shape)]
    return np.lib.stride_tricks.as_strided(used, shape, strides, writeable=used.flags.writeable)


def check_raw(size: int, height: int, width: int, encoding: str, step: int) -> None:
    """Refuse what `decode_image` would, by the fields alone and so in no time.

    Args:
        size: of the data, bytes.
        height, width, encoding, step: as for `decode_image`.

    Raises:
        ImageError: as `decode_image`.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise ImageError(
            f"image encoding {shown(encoding)} is not supported; use one of {', '.join(_LAYOUTS)}, or for a topic "
            "install cv_bridge of ROS 2, which knows more"
        )
    check_size(height, width)
    _check_blocks(height, width, encoding, layout)
    row_bytes = layout.row_bytes(width)
    if step < row_bytes:
        raise ImageError(
            f"image step {step} is less than the {row_bytes} bytes of a row of {width} px {encoding}; "
            "correct the driver"
        )
    rows = layout.rows(height)
    if size < rows * step:
        raise ImageError(
            f"image data is truncated: {rows} rows of step {step} need {rows * step} bytes, "
            f"got {size}; look for a lossy transport"
        )


def _check_blocks(height: int, width: int, encoding: str, layout: _Layout) -> None:
    sides = (width, height) if layout.chroma_rows else (width,)
    if any(side % layout.block_px for side in sides):
        raise ImageError(
            f"image size {width}x{height} px is odd, which {encoding} cannot be: two pixels share a colour; "
            "correct the driver"
        )
    if min(height, width) < layout.least_px:
        raise ImageError(
            f"image size {width}x{height} px is too small for the colour pattern of {encoding}, which needs "
            f"{layout.least_px} px a side; the camera must send a real size"
        )


def decode_compressed(
    data: ImageBytes,
    format: str = "",
    *,
    honour_orientation: bool = False,
    stretch: Stretch | None = None,
    grey: bool = False,
) -> ImageArray:
    """RGB pixels (height, width, 3) uint8 of a JPEG, PNG, BMP, TIFF, WebP, PGM or PPM image.

    Args:
        data: the encoded file. What follows the end of a JPEG (the film of a motion photo) is ignored.
        format: the field of `sensor_msgs/CompressedImage`, to refuse what is not a picture (compressedDepth)
            and to name it in errors; otherwise the bytes decide.
        honour_orientation: turn the picture as its EXIF orientation asks. Right for photos, wrong for
            messages, whose CameraInfo describes the pixels as stored.
        stretch: of the stream that a 16-bit image belongs to; without one its contrast is its own.
        grey: give the brightness alone, (height, width): half the work for a JPEG.

    Raises:
        ImageError: another format, an absurd size, broken or truncated data, or numbers that are no picture.
    """
    raw = bytes(data)
    check_compressed(raw, format)
    flags = (cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR) | cv2.IMREAD_ANYDEPTH
    try:
        stored = np.frombuffer(raw, np.uint8)
        decoded = cv2.imdecode(stored, flags if honour_orientation else flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise ImageError(
            f"compressed image{_named(format)} of {len(raw)} bytes is broken or truncated; store or send it again"
        )
    pixels = np.asarray(decoded if grey else cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))
    return pixels if pixels.dtype == np.uint8 else (stretch or Stretch())(pixels)


def check_compressed(raw: bytes, format: str = "") -> None:
    """Refuse what `decode_compressed` would, as far as the header shows it.

    Raises:
        ImageError: as `decode_compressed`.
    """
    named = _named(format)
    if "compressedDepth" in format:
        raise ImageError(f"compressed image{named} is depth, not a picture; subscribe to the colour image")
    size = stored_size(raw)
    if size is None:
        raise ImageError(
            f"compressed image{named} of {len(raw)} bytes is no readable JPEG, PNG, BMP, TIFF, WebP, PGM or PPM; "
            "store or send it as one of them"
        )
    check_size(*size)
    if holds_fractions(raw):
        raise ImageError(f"compressed image{named} holds fractions, not a picture; give the colour image")
    if is_cut_short(raw):
        raise ImageError(
            f"compressed image{named} is truncated: its {len(raw)} bytes end before the picture; store or send it again"
        )


def _named(format: str) -> str:
    return f" (format {format!r})" if format else ""


def encode_compressed(image: ImageArray, format: str, jpeg_quality: int = 95) -> bytes:
    """A JPEG or PNG file of RGB pixels.

    Args:
        image: (height, width, 3) uint8.
        format: ``jpeg`` or ``png``, as in `sensor_msgs/CompressedImage`.
        jpeg_quality: 1 to 100; without meaning for ``png``.
    """
    suffix, options = {"jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]), "png": (".png", [])}[format]
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return bytes(encoded)


def check_size(height: int, width: int) -> None:
    """Refuse an image that is empty or absurdly large.

    Raises:
        ImageError: it is.
    """
    # OpenCV allocates what a header asks for before it notices that the data ends early, so sizes are read first.
    if height < 1 or width < 1:
        raise ImageError(f"image size {width}x{height} px is empty; the camera must send a real size")
    if height > MAX_SIDE_PX or width > MAX_SIDE_PX:
        raise ImageError(
            f"image size {width}x{height} px exceeds {MAX_SIDE_PX} px a side; "
            "the header is corrupt or the image must be scaled down"
        )
