"""image_codec: every encoding round-trips through every layout, and nothing but ImageError leaves it."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_raxels.recordings import image_codec
from ros2_raxels.recordings.image_codec import (
    MAX_SIDE_PX,
    SUPPORTED_ENCODINGS,
    ImageError,
    decode_compressed,
    decode_image,
    encode_compressed,
)

_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 1}
_RGB_ORDER = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2], "bgra8": [2, 1, 0]}


def _message(
    encoding: str, height: int, width: int, padding: int, big: bool, seed: int
) -> tuple[bytes, int, np.ndarray]:
    """Bytes and step of a random image, and the pixels that must come out."""
    generator = np.random.default_rng(seed)
    if encoding == "mono16":
        pixels = generator.integers(0, 2**16, (height, width), dtype=np.uint16)
        rows = pixels.astype(">u2" if big else "<u2").view(np.uint8).reshape(height, -1)
        expected = (pixels >> 8).astype(np.uint8)
    else:
        pixels = generator.integers(0, 256, (height, width, _CHANNELS[encoding]), dtype=np.uint8)
        rows = pixels.reshape(height, -1)
        expected = pixels[..., 0] if encoding == "mono8" else pixels[..., _RGB_ORDER[encoding]]
    filler = generator.integers(0, 256, (height, padding), dtype=np.uint8)
    padded = np.concatenate([rows, filler], axis=1)
    return padded.tobytes(), padded.shape[1], expected


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(SUPPORTED_ENCODINGS),
    st.integers(1, 17),
    st.integers(1, 17),
    st.integers(0, 9),
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.integers(0, 5),
)
def test_every_encoding_round_trips_through_padding_endianness_and_trailing_bytes(
    encoding: str, height: int, width: int, padding: int, big: bool, seed: int, trailing: int
) -> None:
    data, step, expected = _message(encoding, height, width, padding, big, seed)
    decoded = decode_image(data + bytes(trailing), height, width, encoding, step, big)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, lambda b: array.array("B", b), np.frombuffer])
@pytest.mark.parametrize("encoding", SUPPORTED_ENCODINGS)
def test_every_container_of_bytes_gives_the_same_pixels(container: object, encoding: str) -> None:
    data, step, expected = _message(encoding, 5, 7, 3, False, 1)
    held = np.frombuffer(data, np.uint8) if container is np.frombuffer else container(data)  # type: ignore[operator]
    np.testing.assert_array_equal(decode_image(held, 5, 7, encoding, step, False), expected)


@pytest.mark.parametrize("encoding", ["mono8", "rgb8"])
@pytest.mark.parametrize("padding", [0, 4])
def test_plain_layouts_are_viewed_not_copied(encoding: str, padding: int) -> None:
    data, step, _ = _message(encoding, 4, 6, padding, False, 2)
    buffer = np.frombuffer(data, np.uint8).copy()
    decoded = decode_image(buffer, 4, 6, encoding, step, False)
    assert np.shares_memory(decoded, buffer)
    buffer[0] ^= 0xFF
    assert decoded.flat[0] == buffer[0]


def test_a_view_of_immutable_bytes_cannot_be_written() -> None:
    decoded = decode_image(bytes(12), 2, 2, "rgb8", 6, False)
    assert not decoded.flags.writeable


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((bytes(12), 2, 2, "bayer_rggb8", 2, 0), ["bayer_rggb8", *SUPPORTED_ENCODINGS]),
        ((bytes(11), 2, 2, "rgb8", 6, 0), ["truncated", "12 bytes", "got 11"]),
        ((b"", 2, 2, "mono8", 2, 0), ["truncated", "4 bytes", "got 0"]),
        ((bytes(12), 0, 2, "rgb8", 6, 0), ["2x0", "empty"]),
        ((bytes(12), 2, -2, "rgb8", 6, 0), ["-2x2", "empty"]),
        ((bytes(12), 2, 2, "rgb8", 5, 0), ["step 5", "6 bytes"]),
        ((bytes(12), 2, MAX_SIDE_PX + 1, "mono8", 9000, 0), ["8193x2", "8192"]),
    ],
)
def test_what_is_wrong_with_a_raw_image_is_said_in_one_line(arguments: tuple, words: list[str]) -> None:  # type: ignore[type-arg]
    with pytest.raises(ImageError) as caught:
        decode_image(*arguments)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200),
    st.integers(-(2**31), 2**32),
    st.integers(-(2**31), 2**32),
    st.sampled_from(SUPPORTED_ENCODINGS) | st.text(max_size=12),
    st.integers(-10, 2**32),
    st.integers(0, 255),
)
def test_random_headers_raise_nothing_but_image_errors(
    data: bytes, height: int, width: int, encoding: str, step: int, big: int
) -> None:
    for h, w, s in ((height, width, step), (height % 12, width % 12, step % 40)):
        try:
            decoded = decode_image(data, h, w, encoding, s, big)
        except ImageError:
            continue
        assert decoded.shape[:2] == (h, w)


def _picture(height: int = 24, width: int = 40) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 5, y * 9, np.full_like(x, 90)], axis=-1).astype(np.uint8)


def _encoded(suffix: str, rgb: np.ndarray) -> bytes:
    ok, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert ok
    return data.tobytes()


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0), (".bmp", 0), (".tiff", 0), (".jpg", 12)])
def test_compressed_images_come_out_as_rgb(suffix: str, tolerance: int) -> None:
    rgb = _picture()
    decoded = decode_compressed(_encoded(suffix, rgb), "rgb8; compressed")
    assert decoded.shape == rgb.shape
    assert np.abs(decoded.astype(int) - rgb).max() <= tolerance


def test_grey_jpeg_becomes_three_equal_channels() -> None:
    ok, data = cv2.imencode(".jpg", _picture()[..., 0])
    assert ok
    decoded = decode_compressed(data, "mono8; jpeg compressed ")
    assert decoded.shape == (24, 40, 3)
    assert (decoded[..., 0] == decoded[..., 2]).all()


def test_truncated_jpeg_is_refused_instead_of_half_grey() -> None:
    data = _encoded(".jpg", _picture(200, 300))
    with pytest.raises(ImageError, match="truncated"):
        decode_compressed(data[: len(data) // 2], "jpeg")


def test_a_header_that_asks_for_gigabytes_is_refused_before_decoding() -> None:
    bomb = bytearray(_encoded(".png", _picture()))
    bomb[16:24] = (60000).to_bytes(4, "big") + (60000).to_bytes(4, "big")
    with pytest.raises(ImageError, match="60000x60000 px exceeds 8192"):
        decode_compressed(bomb, "png")


def test_a_jpeg_of_fill_bytes_alone_is_not_searched_to_its_end() -> None:
    picture = _encoded(".jpg", _picture())
    filled = picture[:2] + 20 * b"\xff" + picture[2:]
    assert decode_compressed(filled, "jpeg").shape == _picture().shape
    with pytest.raises(ImageError):
        decode_compressed(picture[:2] + 5000 * b"\xff" + picture[2:], "jpeg")


def test_compressed_depth_and_unknown_formats_are_named() -> None:
    with pytest.raises(ImageError, match="depth"):
        decode_compressed(_encoded(".png", _picture()), "16UC1; compressedDepth png")
    with pytest.raises(ImageError, match=r"'h264'.*3 bytes"):
        decode_compressed(b"abc", "h264")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([".jpg", ".png", ".bmp", ".tiff"]),
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
)
def test_corrupt_compressed_data_raises_nothing_but_image_errors(
    suffix: str, cut: int, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(_encoded(suffix, _picture(8, 9)))
    for at, value in changes:
        data[at % len(data)] = value
    # A header that a change made ask for 200 MB would be believed, and take a minute to no purpose.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_codec, "MAX_SIDE_PX", 1024)
        try:
            decoded = decode_compressed(bytes(data[: len(data) - cut % len(data)]))
        except ImageError:
            return
    assert decoded.ndim == 3
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize(("format", "worst"), [("png", 0), ("jpeg", 12)])
def test_what_is_encoded_is_decoded_again(format: str, worst: int):
    smooth = np.stack(np.meshgrid(np.arange(64) * 4, np.arange(48) * 5, indexing="xy"), axis=-1)
    image = np.concatenate([smooth, np.full((48, 64, 1), 30)], axis=2).astype(np.uint8)
    found = decode_compressed(encode_compressed(image, format), format)
    assert np.abs(found.astype(int) - image).max() <= worst
