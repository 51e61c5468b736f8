"""image_folder: images in natural order, times from their names, one size throughout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from recordings_rig import (
    CAMERA,
    HEIGHT_PX,
    WIDTH_PX,
    numbered,
    picture,
    refusal,
    with_orientation,
    write_depth,
    write_image,
)

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


def write_photo(path: Path, seed: int, orientation: int) -> None:
    write_image(path, picture(seed))
    path.write_bytes(with_orientation(path.read_bytes(), orientation))


def test_photos_are_turned_upright_unless_exif_is_to_be_ignored(tmp_path: Path) -> None:
    for index in range(2):
        write_photo(tmp_path / f"{index}.jpg", index, 6)
    source = open_source(tmp_path)
    assert [frame.image.shape for frame in source] == [(WIDTH_PX, HEIGHT_PX, 3)] * 2
    assert "turned upright by EXIF orientation 6 (--ignore-exif takes them as stored)" in source.notes
    stored = open_source(tmp_path, ignore_exif=True)
    for frame in stored:
        assert np.abs(frame.image.astype(int) - picture(frame.index)).mean() < 12
    assert "EXIF" not in " ".join(stored.notes)


def test_an_orientation_that_changes_within_one_size_is_a_mistake_of_the_phone(tmp_path: Path) -> None:
    for index in range(4):
        write_photo(tmp_path / f"{index}.jpg", index, 1 if index < 2 else 6)
    source = open_source(tmp_path)
    for frame in source:
        assert frame.image.shape == (HEIGHT_PX, WIDTH_PX, 3)
        assert np.abs(frame.image.astype(int) - picture(frame.index)).mean() < 12
    assert "EXIF orientation changes (1 and 6) within images of one size: taken as stored" in source.notes


def test_names_whose_zeros_were_dropped_are_in_the_order_of_time(tmp_path: Path) -> None:
    names = ["1700000000.723456", "1700000000.82", "1700000000.923456", "1700000001.0"]
    for index, name in enumerate(names):
        write_image(tmp_path / f"{name}.png", picture(index))
    source = open_source(tmp_path)
    assert [frame.name for frame in source] == [f"{name}.png" for name in names]
    assert next(iter(source)).stamp_ns == 1700000000_723456000
    assert source.notes == ("4 *.*.png", "in the order of time", "times from the names (s)")


def test_a_time_that_is_there_twice_is_one_frame(tmp_path: Path) -> None:
    for index, name in enumerate(["1700000000.10", "1700000000.1", "1700000000.3"]):
        write_image(tmp_path / f"{name}.png", picture(index))
    source = open_source(tmp_path)
    assert [frame.stamp_ns for frame in source] == [1700000000_100000000, 1700000000_300000000]
    assert "1 with the time of another passed over" in source.notes


def test_hidden_files_are_passed_over_with_a_word(tmp_path: Path) -> None:
    numbered(tmp_path, 3)
    for index in range(3):
        (tmp_path / f"._{index:06d}.png").write_bytes(bytes(184))
    source = open_source(tmp_path)
    assert [frame.name for frame in source] == ["000000.png", "000001.png", "000002.png"]
    assert "3 hidden files passed over" in source.notes


@pytest.mark.parametrize(
    ("colour", "depth", "kinds"),
    [
        ("frame{:06d}.jpg", "depth{:06d}.png", ("frame*.jpg", "depth*.png")),
        ("frame-{:06d}.color.png", "frame-{:06d}.depth.png", ("frame-*.color.png", "frame-*.depth.png")),
        ("{:05d}.jpg", "{:05d}.png", ("*.jpg", "*.png")),
    ],
)
def test_depth_beside_the_images_is_passed_over_with_a_word(
    tmp_path: Path, colour: str, depth: str, kinds: tuple[str, str]
) -> None:
    for index in range(4):
        write_image(tmp_path / colour.format(index), picture(index))
        write_depth(tmp_path / depth.format(index))
    source = open_source(tmp_path)
    assert [frame.name for frame in source] == [colour.format(index) for index in range(4)]
    assert source.notes[0] == f"4 {kinds[0]}"
    assert f"4 {kinds[1]} passed over, which hold no colour" in source.notes


def test_two_cameras_in_one_folder_are_refused(tmp_path: Path) -> None:
    for index in range(3):
        write_image(tmp_path / f"left_{index}.png", picture(index))
        write_image(tmp_path / f"right_{index}.png", picture(index))
    message = refusal(tmp_path)
    assert "3 left_*.png" in message
    assert "3 right_*.png" in message


@pytest.mark.parametrize("suffix", [".webp", ".pgm", ".ppm"])
def test_images_of_robots_and_phones_are_read(tmp_path: Path, suffix: str) -> None:
    grey = np.repeat(picture(0)[..., :1], 3, axis=2)
    assert cv2.imwrite(str(tmp_path / f"0{suffix}"), grey[..., 0] if suffix == ".pgm" else grey)
    (frame,) = open_source(tmp_path)
    assert np.abs(frame.image.astype(int) - grey).max() <= (4 if suffix == ".webp" else 0)


def test_16_bit_images_keep_their_contrast_from_frame_to_frame(tmp_path: Path) -> None:
    """The second picture has a bright part more; the rest of it stays as bright as it was."""
    dark = np.linspace(0, 1000, HEIGHT_PX * WIDTH_PX).reshape(HEIGHT_PX, WIDTH_PX).astype(np.uint16)
    lit = dark.copy()
    lit[:4] = 2000
    assert cv2.imwrite(str(tmp_path / "0.png"), dark)
    assert cv2.imwrite(str(tmp_path / "1.png"), lit)
    first, second = (frame.image for frame in open_source(tmp_path))
    assert np.ptp(first) > 225
    assert np.abs(first[6:].astype(int) - second[6:]).max() <= 12


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
