"""What the first bytes of an image file say: its size, EXIF orientation and date, and whether a JPEG is complete."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np

_MOST_MARKERS = 1000
"""Searched for the size of a JPEG, fill bytes included; a real header has a few dozen."""

_PNM = re.compile(rb"P([2356])(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)\s")
_TIFF_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
_WIDTH_TAG, _HEIGHT_TAG, _ORIENTATION_TAG, _SAMPLE_FORMAT_TAG = 256, 257, 274, 339
_EXIF_FOLDER_TAG, _DATE_TAG, _FRACTION_TAG, _OFFSET_TAG = 0x8769, 0x9003, 0x9291, 0x9011

HEADER_BYTES = 4096
"""Enough of a file for `exif_orientation`: cameras write EXIF first, and the orientation at its beginning."""

EXIF_BYTES = 128 * 1024
"""Enough of a file for `exif_date`: the EXIF of a JPEG has 64 KiB at most, and may come behind another header."""


def stored_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) px by the file's own header; None when it is no JPEG, PNG, BMP, TIFF, WebP, PGM or PPM."""
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", data, 16)
            return height, width
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(height), abs(width)
        if data[:4] in _TIFF_ORDERS:
            return _tiff_size(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
        if pnm := _PNM.match(data):
            return int(pnm[3]), int(pnm[2])
    except (struct.error, ValueError):
        pass
    return None


def is_cut_short(data: bytes) -> bool:
    """Whether a JPEG, WebP, or binary PGM or PPM ends before its own end; what follows that end does not count."""
    if data.startswith(b"\xff\xd8"):
        return not _jpeg_is_complete(data)
    if data.startswith(b"RIFF") and len(data) >= 8:
        return len(data) < 8 + int(struct.unpack_from("<I", data, 4)[0])
    pnm = _PNM.match(data)
    if pnm and pnm[1] in b"56":
        samples = int(pnm[2]) * int(pnm[3]) * (3 if pnm[1] == b"6" else 1)
        return len(data) < pnm.end() + samples * (2 if int(pnm[4]) > 255 else 1)
    return False


def holds_fractions(data: bytes) -> bool:
    """Whether a TIFF holds floating-point numbers, as depth is stored, and no picture."""
    try:
        return _tiff_tags(data, (_SAMPLE_FORMAT_TAG,)).get(_SAMPLE_FORMAT_TAG, 1) == 3
    except struct.error:
        return False


def exif_orientation(data: bytes) -> int:
    """EXIF orientation of a JPEG or PNG, 1 to 8; 1, as stored, where there is none.

    Args:
        data: the first `HEADER_BYTES` of the file, or all of it.
    """
    try:
        value = _tiff_tags(_exif(data), (_ORIENTATION_TAG,)).get(_ORIENTATION_TAG, 1)
    except struct.error:
        return 1
    return value if 1 <= value <= 8 else 1


def exif_date(data: bytes) -> tuple[str, str, str] | None:
    """When a JPEG or PNG was taken by its EXIF: DateTimeOriginal, SubSecTimeOriginal and OffsetTimeOriginal.

    Args:
        data: the first `EXIF_BYTES` of the file, or all of it.

    Returns:
        ``2024:05:31 17:02:09``, ``123`` (digits of the fraction of the second) and ``+02:00``, the last two empty where
        they are missing; None without a date. What they hold is not checked.
    """
    try:
        exif = _exif(data)
        inner = _tiff_tags(exif, (_EXIF_FOLDER_TAG,)).get(_EXIF_FOLDER_TAG)
        if inner is None:
            return None
        date, fraction, offset = (_tiff_text(exif, inner, tag) for tag in (_DATE_TAG, _FRACTION_TAG, _OFFSET_TAG))
    except struct.error:
        return None
    return (date, fraction, offset) if date else None


def _exif(data: bytes) -> bytes:
    return _jpeg_exif(data) if data.startswith(b"\xff\xd8") else _png_exif(data)


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


def _jpeg_is_complete(data: bytes) -> bool:
    """Whether the end marker of the picture itself is there: a film or a thumbnail behind it or in it has others."""
    codes = np.frombuffer(data, np.uint8)
    escapes = np.flatnonzero(codes[:-1] == 0xFF)
    kinds = codes[escapes + 1]
    # In coded data 0xFF 0x00 is a byte, 0xFF 0xD0 to 0xD7 are restarts, 0xFF 0xFF is a fill byte; all else is a marker.
    markers = escapes[(kinds != 0) & (kinds != 0xFF) & ((kinds < 0xD0) | (kinds > 0xD7))]
    at = 2
    for _ in range(_MOST_MARKERS):
        found = int(np.searchsorted(markers, at))
        if found == len(markers):
            return False
        at = int(markers[found]) + 2
        if codes[at - 1] == 0xD9:
            return True
        try:
            at += int(struct.unpack_from(">H", data, at)[0])
        except struct.error:
            return False
    return False


def _jpeg_exif(data: bytes) -> bytes:
    at = 2
    for _ in range(_MOST_MARKERS):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == 0xFFE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return data[at + 10 : at + 2 + length]
        if not 0xFFE0 <= marker <= 0xFFFE or length < 2:
            return b""
        at += 2 + length
    return b""


def _png_exif(data: bytes) -> bytes:
    at = 8
    while data.startswith(b"\x89PNG\r\n\x1a\n") and at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        if kind == b"eXIf":
            return data[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            break
        at += 12 + length
    return b""


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    found = _tiff_tags(data, (_WIDTH_TAG, _HEIGHT_TAG))
    return (found[_HEIGHT_TAG], found[_WIDTH_TAG]) if len(found) == 2 else None


def _tiff_tags(data: bytes, wanted: tuple[int, ...]) -> dict[int, int]:
    """Numbers of the first directory."""
    order = _TIFF_ORDERS.get(data[:4])
    if order is None:
        return {}
    (directory,) = struct.unpack_from(order + "I", data, 4)
    found: dict[int, int] = {}
    for at, tag in _tiff_entries(data, order, directory):
        if tag in wanted:
            (kind,) = struct.unpack_from(order + "H", data, at + 2)
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)
    return found


def _tiff_text(data: bytes, directory: int, wanted: int) -> str:
    """Text of a directory, without what surrounds it; empty where there is none."""
    order = _TIFF_ORDERS[data[:4]]
    for at, tag in _tiff_entries(data, order, directory):
        if tag == wanted:
            count, begin = struct.unpack_from(order + "II", data, at + 4)
            # As many as fit the field itself stand there.
            begin = at + 8 if count <= 4 else begin
            return data[begin : begin + count].split(b"\0")[0].decode("ascii", "replace").strip()
    return ""


def _tiff_entries(data: bytes, order: str, directory: int) -> Iterator[tuple[int, int]]:
    """Where each entry of a directory begins, and its tag."""
    (entries,) = struct.unpack_from(order + "H", data, directory)
    for at in range(directory + 2, directory + 2 + 12 * entries, 12):
        yield at, struct.unpack_from(order + "H", data, at)[0]


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return (height, width) if len(data) >= 30 else None
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    return None
