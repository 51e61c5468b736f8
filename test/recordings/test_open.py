"""open: the kind of a recording is told by its path, and options that cannot be meant are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bags_rig import image_messages, write_bag
from recordings_rig import picture, posed_record, refusal, write_image, write_set
from rig_sets import write_rig_set

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.open import has_several_cameras, open_source


def test_folders_and_files_that_are_no_recording_are_refused(tmp_path: Path) -> None:
    assert "holds no images" in refusal(tmp_path)
    write_image(tmp_path / "pictures/0.png", picture(0))
    assert "give that folder" in refusal(tmp_path)
    assert "single image" in refusal(tmp_path / "pictures/0.png")
    assert "does not exist" in refusal(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("not a video")
    assert "notes.txt" in refusal(tmp_path / "notes.txt")
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0")
    assert "rosbags-convert" in refusal(tmp_path / "old.bag")
    assert "not a rosbag2" in refusal(tmp_path / "pictures", image_topic="/image")
    assert "camera 97" in refusal("97")


def test_options_are_checked(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", picture(0))
    assert "rate" in refusal(tmp_path, rate_hz=0.0)
    assert "limit 0" in refusal(tmp_path, limit=0)
    assert "64x48" in refusal(tmp_path, camera=PinholeCamera(64, 48, 60, 60, 31.5, 23.5))


def test_limit_is_honoured_by_every_folder(tmp_path: Path) -> None:
    source = open_source(write_set(tmp_path, posed_record()), limit=2)
    assert source.length == len(list(source)) == 2
    source = open_source(tmp_path / "images", limit=1)
    assert source.length == len(list(source)) == 1


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "film.mp4")
    assert "is a pipe or a device, which cannot be read twice; write it to a file" in refusal(tmp_path / "film.mp4")


def test_a_folder_that_exists_beats_a_camera_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "0/a.png", picture(0))
    monkeypatch.chdir(tmp_path)
    assert open_source("0").kind == "image folder"
    assert "camera 96 cannot be opened" in refusal("/dev/video96")


def test_a_calibration_that_is_ignored_leaves_the_camera_open(tmp_path: Path) -> None:
    write_set(tmp_path, posed_record())
    assert open_source(tmp_path).camera is not None
    assert [frame.camera for frame in open_source(tmp_path, ignore_calibration=True)] == [None] * 3


def test_rig_sets_and_bags_may_have_cameras_with_names(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/image": image_messages(1)})
    found = [
        has_several_cameras(p) for p in (write_rig_set(tmp_path / "rig", count=1), bag, tmp_path, tmp_path / "none")
    ]
    assert found == [True, True, False, False]
