"""layouts: of a known data set the colour images are read, with a word; depth is never a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recordings_rig import picture, refusal, write_depth, write_image

from ros2_raxels.recordings.layouts import LAYOUTS, folder_of_layout, visible_images
from ros2_raxels.recordings.open import open_source


@pytest.mark.parametrize(("name", "below"), LAYOUTS)
def test_the_images_of_a_known_layout_are_read_with_a_word(tmp_path: Path, name: str, below: str) -> None:
    for index in range(3):
        write_image(tmp_path / below / f"frame{index:06d}.png", picture(index))
        write_depth(tmp_path / "depth" / f"{index}.png")
    source = open_source(tmp_path)
    for frame in source:
        np.testing.assert_array_equal(frame.image, picture(frame.index))
    assert source.length == 3
    assert f"taken from {below}, as in {name}" in source.notes


def test_the_left_camera_of_two_is_read(tmp_path: Path) -> None:
    for camera in ("cam0", "cam1"):
        write_image(tmp_path / f"mav0/{camera}/data/1403636579763555584.png", picture(0))
    assert folder_of_layout(tmp_path) == (tmp_path / "mav0/cam0/data", "EuRoC")
    assert folder_of_layout(tmp_path / "mav0") == (tmp_path / "mav0/cam0/data", "EuRoC")
    assert folder_of_layout(tmp_path / "mav0/cam1") == (tmp_path / "mav0/cam1/data", "EuRoC")


@pytest.mark.parametrize(("colour", "depth"), [("rgb", "depth"), ("color", "depth"), ("image_left", "depth_left")])
def test_a_folder_of_depth_names_the_one_of_colour(tmp_path: Path, colour: str, depth: str) -> None:
    write_image(tmp_path / colour / "1.png", picture(0))
    write_depth(tmp_path / depth / "1.png")
    message = refusal(tmp_path / depth)
    assert "holds depth (1.png has one channel of 16 bits)" in message
    assert f"give {tmp_path / colour}" in message


def test_pictures_without_colour_are_refused(tmp_path: Path) -> None:
    write_depth(tmp_path / "depth/1.png")
    assert "give the folder of the colour images" in refusal(tmp_path / "depth")
    write_depth(tmp_path / "depth000001.png")
    assert "holds depth alone (depth*.png)" in refusal(tmp_path)


def test_a_folder_of_an_unknown_set_is_told_where_images_are_but_not_depth(tmp_path: Path) -> None:
    write_depth(tmp_path / "depth/1.png")
    write_image(tmp_path / ".thumbnails/1.png", picture(0))
    write_image(tmp_path / "seq-01/left/1.png", picture(0))
    assert f"there are some in {tmp_path / 'seq-01/left'}: give that folder" in refusal(tmp_path)


def test_hidden_files_are_counted_apart(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture(0))
    (tmp_path / "._a.png").write_bytes(b"Mac")
    assert visible_images(tmp_path) == ([tmp_path / "a.png"], 1)


def test_pictures_that_are_not_read_are_named(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"IMG_{index}.HEIC").write_bytes(b"heic")
    assert refusal(tmp_path).endswith("; convert its 3 .HEIC files to JPEG or PNG")
