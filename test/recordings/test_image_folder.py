"""image_folder: images in natural order, times from their names, one size throughout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings_rig import CAMERA, HEIGHT_PX, WIDTH_PX, picture, refusal, write_image

from ros2_raxels.recordings.open import open_source


def test_image_folder_is_read_in_natural_order_whatever_the_suffix(tmp_path: Path) -> None:
    names = ["frame_2.png", "frame_10.PNG", "frame_1.bmp", "frame_3.TIFF", "frame_03b.png"]
    for index, name in enumerate(names):
        write_image(tmp_path / name, picture(index))
    (tmp_path / "notes.txt").write_text("no image")
    source = open_source(tmp_path, camera=CAMERA)
    frames = list(source)
    order = ["frame_1.bmp", "frame_2.png", "frame_3.TIFF", "frame_03b.png", "frame_10.PNG"]
    assert [f.name for f in frames] == order
    for frame in frames:
        np.testing.assert_array_equal(frame.image, picture(names.index(frame.name)))
    assert [f.stamp_ns for f in frames] == [round(i / 30 * 1e9) for i in range(5)]
    assert (source.kind, source.length, source.camera, source.has_truth) == ("image folder", 5, CAMERA, False)


@pytest.mark.parametrize(
    ("names", "stamps_ns"),
    [
        (["1403636579763555584", "1403636579813555456"], [1403636579763555584, 1403636579813555456]),
        (["1305031102.175304", "1305031102.275326"], [1305031102175304000, 1305031102275326000]),
        (["000000", "000001"], [0, 33333333]),
        (["1403636579763555584", "last"], [0, 33333333]),
    ],
)
def test_image_names_that_are_times_become_stamps(tmp_path: Path, names: list[str], stamps_ns: list[int]) -> None:
    for index, name in enumerate(names):
        write_image(tmp_path / f"{name}.png", picture(index))
    assert [f.stamp_ns for f in open_source(tmp_path)] == stamps_ns


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", picture(0))
    jpeg = (tmp_path / "a.jpg").read_bytes()
    orientation_6 = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(orientation_6) + 2).to_bytes(2, "big") + orientation_6
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    assert next(iter(open_source(tmp_path))).image.shape == (WIDTH_PX, HEIGHT_PX, 3)


def test_an_image_of_another_size_names_the_file_and_both_sizes(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", picture(0))
    write_image(tmp_path / "1.png", picture(1, 16, 12))
    message = refusal(tmp_path, drain=True)
    assert "1.png" in message
    assert "16x12" in message
    assert "32x24" in message


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b"hello", lambda b: b[: len(b) // 2]])
def test_an_unreadable_image_in_the_middle_is_named(tmp_path: Path, damage: Any) -> None:
    for index in range(3):
        write_image(tmp_path / f"{index}.jpg", picture(index, 200, 160))
    path = tmp_path / "1.jpg"
    path.write_bytes(damage(path.read_bytes()))
    assert "1.jpg" in refusal(tmp_path, drain=True)
