"""image_header: sizes, orientations and completeness by the first bytes, without decoding."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from recordings_rig import picture, with_date, with_orientation

from ros2_raxels.recordings.image_header import exif_date, exif_orientation, holds_fractions, is_cut_short, stored_size


def encoded(suffix: str, options: tuple[int, ...] = ()) -> bytes:
    pixels = picture(0, 50, 40)
    _, data = cv2.imencode(suffix, pixels[..., 0] if suffix == ".pgm" else pixels, list(options))
    return data.tobytes()


LOSSLESS_WEBP = (cv2.IMWRITE_WEBP_QUALITY, 101)
PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", ()),
        (".jpg", PROGRESSIVE),
        (".png", ()),
        (".bmp", ()),
        (".tiff", ()),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 80)),
        (".webp", LOSSLESS_WEBP),
        (".pgm", ()),
        (".ppm", ()),
    ],
)
def test_the_size_is_that_of_the_picture(suffix: str, options: tuple[int, ...]) -> None:
    data = encoded(suffix, options)
    assert stored_size(data) == (40, 50)
    assert not is_cut_short(data)
    assert not holds_fractions(data)


def test_comments_in_a_pgm_are_passed_over() -> None:
    data = b"P5\n# by a camera\n3 2\n# deep\n65535\n" + bytes(12)
    assert stored_size(data) == (2, 3)
    assert not is_cut_short(data)
    assert is_cut_short(data[:-1])


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"RIFF\0\0\0\0WEBPVP8X", b"P5\n3", b"II*\0", b"hello", b"\x89PNG"])
def test_what_is_no_picture_has_no_size(data: bytes) -> None:
    assert stored_size(data) is None
    assert exif_orientation(data) == 1
    assert exif_date(data) is None
    assert not holds_fractions(data)


@pytest.mark.parametrize(("suffix", "options"), [(".jpg", ()), (".jpg", PROGRESSIVE), (".webp", ()), (".ppm", ())])
@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_what_ends_early_is_noticed(suffix: str, options: tuple[int, ...], keep: float) -> None:
    data = encoded(suffix, options)
    assert is_cut_short(data[: int(keep * len(data))])
    assert not is_cut_short(data + b"\xff\xda something behind it")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_of_exif_is_read(orientation: int) -> None:
    assert exif_orientation(with_orientation(encoded(".jpg"), orientation)) == orientation
    assert exif_orientation(encoded(".jpg")) == 1
    assert exif_orientation(with_orientation(encoded(".jpg"), 99)) == 1


def test_a_png_has_its_exif_before_its_pixels() -> None:
    png = encoded(".png")
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    chunk = len(exif).to_bytes(4, "big") + b"eXIf" + exif + bytes(4)
    assert exif_orientation(png[:33] + chunk + png[33:]) == 6
    assert exif_orientation(png) == 1


def test_fractions_of_a_tiff_are_noticed() -> None:
    assert holds_fractions(cv2.imencode(".tiff", np.full((8, 8), 1.5, np.float32))[1].tobytes())


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_date_of_exif_is_read_with_its_fraction_and_offset(order: str) -> None:
    jpeg = encoded(".jpg")
    dated = with_date(jpeg, "2024:05:31 17:02:09", "123456", "+02:00", order)
    assert exif_date(dated) == ("2024:05:31 17:02:09", "123456", "+02:00")
    assert exif_date(with_date(jpeg, "2024:05:31 17:02:09", "7", order=order)) == ("2024:05:31 17:02:09", "7", "")
    assert stored_size(dated) == (40, 50)


def test_without_a_date_or_with_one_that_is_cut_off_there_is_none() -> None:
    jpeg = encoded(".jpg")
    assert exif_date(jpeg) is None
    assert exif_date(with_orientation(jpeg, 6)) is None
    assert exif_date(with_date(jpeg, "2024:05:31 17:02:09")[:40]) is None
