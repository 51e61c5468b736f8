"""depth_picture: metres from messages and files of every usual kind, and what is wrong in one line."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from ros2_raxels.recordings.depth_picture import (
    decode_compressed_depth,
    decode_depth,
    decode_depth_file,
)
from ros2_raxels.recordings.image_codec import ImageError

MM = np.array([[0, 1000, 1500], [65535, 40, 9999]], np.uint16)
M = np.array([[np.nan, 1.0, 1.5], [np.nan, 0.04, 9.999]], np.float32)


def png(values: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", values)[1])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("padding", [0, 5])
def test_whole_millimetres_and_fractions_of_metres_are_read_from_messages(order: str, padding: int) -> None:
    fractions = M.copy()
    fractions[0, 0], fractions[1, 0] = 0.0, np.inf
    for values, encoding in ((MM, "16UC1"), (MM, "mono16"), (fractions, "32FC1")):
        rows = values.astype(values.dtype.newbyteorder(order)).view(np.uint8).reshape(2, -1)
        data = np.pad(rows, ((0, 0), (0, padding))).tobytes()
        found = decode_depth(data, 2, 3, encoding, rows.shape[1] + padding, order == ">")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, M, rtol=1e-6)


def test_files_have_millimetres_or_a_unit_of_their_own() -> None:
    np.testing.assert_allclose(decode_depth_file(png(MM)), M, rtol=1e-6)
    np.testing.assert_allclose(decode_depth_file(png(MM), 1 / 5000), M / 5, rtol=1e-6)
    fractions = bytes(cv2.imencode(".tiff", np.nan_to_num(M))[1])
    np.testing.assert_allclose(decode_depth_file(fractions), M, rtol=1e-6)


def test_compressed_depth_is_read_whole_and_quantised() -> None:
    header = struct.pack("<iff", 0, 0.0, 0.0)
    np.testing.assert_allclose(decode_compressed_depth(header + png(MM), "16UC1; compressedDepth png"), M, rtol=1e-6)
    a, b = 100.0, -1.0
    quantised = np.where(np.isfinite(M), np.round(a / np.nan_to_num(M, nan=1.0) + b), 0).astype(np.uint16)
    found = decode_compressed_depth(struct.pack("<iff", 0, a, b) + png(quantised), "32FC1; compressedDepth")
    np.testing.assert_array_equal(np.isnan(found), np.isnan(M))
    np.testing.assert_allclose(found[np.isfinite(M)], M[np.isfinite(M)], rtol=0.06)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((b"\0" * 6, 1, 2, "rgb8", 6, False), "'rgb8' is not supported; depth images are 16UC1 (mm) or 32FC1 (m)"),
        ((b"\0" * 6, 2, 2, "16UC1", 4, False), "6 bytes and step 4 is too short for 2x2 px 16UC1"),
        ((b"\0" * 6, 1, 2, "32FC1", 4, False), "take 1 rows of 8 bytes"),
        ((b"", 0, 2, "16UC1", 4, False), "2x0 px is empty"),
    ],
)
def test_what_is_wrong_with_a_message_is_said_in_one_line(arguments: tuple, words: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ImageError) as error:
        decode_depth(*arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_wrong_with_a_file_is_said_in_one_line() -> None:
    with pytest.raises(ImageError, match="3 channels of uint8, not one of 16 bits"):
        decode_depth_file(png(np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(ImageError, match="no readable PNG or TIFF"):
        decode_depth_file(b"nothing of the kind")
    with pytest.raises(ImageError, match="broken or truncated"):
        decode_depth_file(png(np.arange(40000, dtype=np.uint16).reshape(200, 200))[:400])
    with pytest.raises(ImageError, match="no depth as PNG"):
        decode_compressed_depth(b"\0" * 40, "16UC1; compressedDepth rvl")
    with pytest.raises(ImageError, match="truncated"):
        decode_compressed_depth(b"\0" * 4, "16UC1; compressedDepth png")
