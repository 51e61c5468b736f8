"""image_codec: every encoding round-trips through every layout, and nothing but ImageError leaves it."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_raxels.recordings import image_codec
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import (
    MAX_SIDE_PX,
    SUPPORTED_ENCODINGS,
    ImageError,
    decode_compressed,
    decode_image,
    encode_compressed,
)

_RGB_ORDER = {
    "rgb8": [0, 1, 2],
    "bgr8": [2, 1, 0],
    "rgba8": [0, 1, 2],
    "bgra8": [2, 1, 0],
    "8UC3": [2, 1, 0],
    "8UC4": [2, 1, 0],
    "rgb16": [0, 1, 2],
    "bgr16": [2, 1, 0],
    "rgba16": [0, 1, 2],
    "bgra16": [2, 1, 0],
    "16UC3": [2, 1, 0],
}
_CHANNELS = {name: 4 if "a" in name or name == "8UC4" else 3 for name in _RGB_ORDER}
_GREY = ("mono8", "8UC1", "mono16", "16UC1")
_PLAIN = (*_RGB_ORDER, *_GREY)
_YUV = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21")


def _message(
    encoding: str, height: int, width: int, padding: int, big: bool, seed: int
) -> tuple[bytes, int, np.ndarray]:
    """Bytes and step of a random image, and the pixels that must come out."""
    generator = np.random.default_rng(seed)
    top, kind = (2**16, np.uint16) if "16" in encoding else (2**8, np.uint8)
    pixels = generator.integers(0, top, (height, width, _CHANNELS.get(encoding, 1)), dtype=kind)
    if kind is np.uint16:
        # All 16 bits are in use, so that the high byte is what is kept.
        pixels[:: max(1, height - 1)] = (top - 1) * (generator.integers(0, 2, pixels[:: max(1, height - 1)].shape))
        pixels[0, 0], pixels[-1, -1] = 0, top - 1
    expected = (pixels >> 8 if kind is np.uint16 else pixels).astype(np.uint8)
    expected = expected[..., 0] if encoding in _GREY else expected[..., _RGB_ORDER[encoding]]
    rows = pixels.astype(">u2" if big and kind is np.uint16 else pixels.dtype).view(np.uint8).reshape(height, -1)
    filler = generator.integers(0, 256, (height, padding), dtype=np.uint8)
    padded = np.concatenate([rows, filler], axis=1)
    return padded.tobytes(), padded.shape[1], expected


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(_PLAIN),
    st.integers(2, 17),
    st.integers(2, 17),
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
    data, step = np.random.default_rng(1).integers(0, 256, 9 * 68, np.uint8).tobytes(), 68
    expected = decode_image(data, 6, 8, encoding, step, False)
    assert expected.shape == ((6, 8) if encoding in _GREY else (6, 8, 3))
    held = np.frombuffer(data, np.uint8) if container is np.frombuffer else container(data)  # type: ignore[operator]
    np.testing.assert_array_equal(decode_image(held, 6, 8, encoding, step, False), expected)


@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize("encoding", SUPPORTED_ENCODINGS)
def test_the_brightness_alone_is_that_of_the_colours(encoding: str, padding: int) -> None:
    data = np.random.default_rng(1).integers(0, 256, 9 * (64 + padding), np.uint8)
    colours = decode_image(data, 6, 8, encoding, 64 + padding, False)
    expected = colours if colours.ndim == 2 else cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    found = decode_image(data, 6, 8, encoding, 64 + padding, False, grey=True)
    assert found.shape == (6, 8)
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "rgb8"])
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
        ((bytes(16), 2, 2, "32FC1", 8, 0), ["'32FC1'", "cv_bridge", *SUPPORTED_ENCODINGS]),
        ((bytes(12), 2, 3, "yuyv", 6, 0), ["3x2", "odd", "yuyv"]),
        ((bytes(12), 3, 2, "nv12", 2, 0), ["2x3", "odd", "nv12"]),
        ((bytes(8), 4, 2, "nv12", 2, 0), ["6 rows of step 2 need 12 bytes", "got 8"]),
        ((bytes(12), 2, 4, "bayer_rggb8", 4, 0), ["4x2", "bayer_rggb8", "3 px a side"]),
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


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_mosaics_give_the_colours_of_a_picture_of_ramps(pattern: str, depth: int) -> None:
    """The letters are the pixels (0, 0), (1, 0), (0, 1), (1, 1). Interpolation of ramps is exact inside."""
    y, x = np.mgrid[:20, :24]
    rgb = np.stack([10 + 4 * x + 2 * y, 200 - 3 * x - 2 * y, 60 + 2 * x + 3 * y], axis=-1)
    mosaic = np.zeros((20, 24), np.uint8 if depth == 8 else "<u2")
    for index, letter in enumerate(pattern):
        at = np.s_[index // 2 :: 2, index % 2 :: 2]
        mosaic[at] = rgb[..., "rgb".index(letter)][at]
    if depth == 16:
        mosaic *= 256
        mosaic[0], mosaic[-1] = 0, 65535  # all 16 bits are in use, so that the high byte is what is kept
    decoded = decode_image(mosaic.tobytes(), 20, 24, f"bayer_{pattern}{depth}", 24 * depth // 8, 0)
    assert decoded.shape == (20, 24, 3)
    inside = np.s_[3:-3, 2:-2]
    assert np.abs(decoded[inside].astype(int) - rgb[inside]).max() <= 1


def _in_yuv(encoding: str, rgb: np.ndarray) -> np.ndarray:
    """The bytes of a picture whose colours are constant over 2x2 px, by OpenCV's forward conversion to I420."""
    height, width = rgb.shape[:2]
    i420 = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).ravel()
    luma, chroma = i420[: height * width].reshape(height, width), i420[height * width :].reshape(2, height // 2, -1)
    if encoding.startswith("nv"):
        pairs = np.stack(chroma if encoding == "nv12" else chroma[::-1], axis=-1)
        return np.concatenate([luma, pairs.reshape(height // 2, width)])
    rows = np.repeat(np.stack(chroma, axis=-1), 2, axis=0).reshape(height, width)
    order = (luma, rows) if encoding in ("yuyv", "yuv422_yuy2") else (rows, luma)
    return np.stack(order, axis=-1).reshape(height, 2 * width)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", _YUV)
def test_yuv_gives_the_colours_that_opencv_put_in(encoding: str, padding: int) -> None:
    blocks = np.random.default_rng(3).integers(30, 220, (6, 8, 3), dtype=np.uint8)
    rgb = np.repeat(np.repeat(blocks, 2, axis=0), 2, axis=1)
    packed = _in_yuv(encoding, rgb)
    padded = np.pad(packed, ((0, 0), (0, padding)), constant_values=77)
    decoded = decode_image(padded.tobytes(), 12, 16, encoding, padded.shape[1], 0)
    assert decoded.shape == rgb.shape
    assert np.abs(decoded.astype(int) - rgb).max() <= 4


def test_every_encoding_is_tested_against_something_independent() -> None:
    bayer = [f"bayer_{pattern}{depth}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for depth in (8, 16)]
    assert sorted([*_PLAIN, *_YUV, *bayer]) == sorted(SUPPORTED_ENCODINGS)


def test_a_stream_of_10_bits_is_seen_in_full() -> None:
    ramp = np.linspace(0, 1020, 640).astype("<u2").reshape(20, 32)
    decoded = decode_image(ramp.tobytes(), 20, 32, "mono16", 64, 0, Stretch())
    assert (int(decoded.min()), int(decoded.max())) == (0, pytest.approx(256 / 1.05, abs=2))


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


@pytest.mark.parametrize(
    ("suffix", "tolerance"), [(".png", 0), (".bmp", 0), (".tiff", 0), (".ppm", 0), (".jpg", 12), (".webp", 12)]
)
def test_compressed_images_come_out_as_rgb(suffix: str, tolerance: int) -> None:
    rgb = _picture()
    decoded = decode_compressed(_encoded(suffix, rgb), "rgb8; compressed")
    assert decoded.shape == rgb.shape
    assert np.abs(decoded.astype(int) - rgb).max() <= tolerance


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".ppm"])
def test_the_brightness_alone_of_a_compressed_image_is_that_of_its_colours(suffix: str) -> None:
    data = _encoded(suffix, _picture(60, 80))
    found = decode_compressed(data, grey=True)
    expected = cv2.cvtColor(decode_compressed(data), cv2.COLOR_RGB2GRAY)
    assert found.shape == (60, 80)
    # A JPEG holds the brightness, and colours at half the resolution that are clipped.
    assert np.abs(found.astype(int) - expected).mean() < 1.5


def test_grey_jpeg_becomes_three_equal_channels() -> None:
    ok, data = cv2.imencode(".jpg", _picture()[..., 0])
    assert ok
    decoded = decode_compressed(data, "mono8; jpeg compressed ")
    assert decoded.shape == (24, 40, 3)
    assert (decoded[..., 0] == decoded[..., 2]).all()


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
@pytest.mark.parametrize("top", [1020, 65535])
def test_16_bit_files_are_stretched_and_keep_their_colours(suffix: str, top: int) -> None:
    rgb = np.zeros((20, 40, 3), np.uint16)
    rgb[:, :20], rgb[:, 20:] = (top, 0, top // 2), (0, top, top // 2)
    decoded = decode_compressed(_encoded(suffix, rgb))
    assert decoded.dtype == np.uint8
    assert (decoded[:, :20, 0] > 230).all()
    assert (decoded[:, :20, 1] < 25).all()
    # A margin of a twentieth above the brightest stays free, unless all 16 bits are in use.
    np.testing.assert_allclose(decoded[..., 2], 256 * 0.5 / (1.05 if top == 1020 else 1.0), atol=1)


def test_rgba_files_and_grey_pgm_come_out_as_rgb() -> None:
    rgb = _picture()
    rgba = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA)
    np.testing.assert_array_equal(decode_compressed(cv2.imencode(".png", rgba)[1]), rgb)
    np.testing.assert_array_equal(
        decode_compressed(cv2.imencode(".pgm", rgb[..., 0])[1]), np.repeat(rgb[..., :1], 3, axis=2)
    )


def test_a_film_behind_a_jpeg_is_ignored() -> None:
    """Motion photos; the film holds bytes that look like the start of coded data and like an end."""
    picture = _encoded(".jpg", _picture(60, 80))
    film = b"\x00\x00\x00\x18ftypmp42" + bytes(50) + b"\xff\xda" + bytes(50)
    np.testing.assert_array_equal(decode_compressed(picture + film), decode_compressed(picture))
    with pytest.raises(ImageError, match="truncated"):
        decode_compressed(picture[:-60])


def test_a_tiff_of_floats_is_no_picture() -> None:
    with pytest.raises(ImageError, match="fractions, not a picture"):
        decode_compressed(cv2.imencode(".tiff", np.full((8, 8), 1.5, np.float32))[1])


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
    st.sampled_from([".jpg", ".png", ".bmp", ".tiff", ".ppm", ".webp"]),
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
