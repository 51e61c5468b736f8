"""bag_files: a bag is found by its folder, its metadata, one of its files, compressed or not."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from bags_rig import check_bag, image_messages, write_bag
from recordings_rig import picture, refusal, write_image

from ros2_raxels.recordings import bag_files
from ros2_raxels.recordings.bag_files import find_bag
from ros2_raxels.recordings.open import open_source


def packed_file(file: Path) -> Path:
    zstd = pytest.importorskip("backports.zstd")
    packed = file.with_name(f"{file.name}.zstd")
    packed.write_bytes(zstd.compress(file.read_bytes()))
    file.unlink()
    return packed


def record(bag: Path, **changed: object) -> None:
    metadata = bag / "metadata.yaml"
    content = yaml.safe_load(metadata.read_text())
    content["rosbag2_bagfile_information"].update(changed)
    metadata.write_text(yaml.safe_dump(content))


def packed_bag(bag: Path, storage: str = "mcap") -> Path:
    """The compressed file of a bag, as `ros2 bag record --compression-mode file` leaves it."""
    write_bag(bag, {"/image": image_messages()}, storage)
    packed = packed_file(next(file for file in bag.iterdir() if file.suffix in (".mcap", ".db3")))
    record(bag, compression_format="zstd", compression_mode="FILE", relative_file_paths=[packed.name])
    return packed


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_compressed_bag_is_read_by_its_folder_its_file_and_without_metadata(
    tmp_path: Path, temporary: Path, storage: str
) -> None:
    bag = tmp_path / "bag"
    packed = packed_bag(bag, storage)
    for spec in (bag, packed, bag / "metadata.yaml"):
        check_bag(open_source(spec), None)
    (bag / "metadata.yaml").unlink()
    for spec in (bag, packed):
        check_bag(open_source(spec), None)
    assert list(temporary.iterdir()) == []


_READ_AND_WAIT = """
import sys, time
from ros2_raxels.recordings.open import open_source
frames = iter(open_source(sys.argv[1]))
print(next(frames).name, flush=True)
sys.stdin.read()
print(len(list(frames)), flush=True)
"""


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_nothing_of_an_unpacked_bag_stays_when_its_reader_is_killed(
    tmp_path: Path, temporary: Path, storage: str
) -> None:
    packed = packed_bag(tmp_path / "bag", storage)
    for spec in (packed, packed.parent):
        command = [sys.executable, "-c", _READ_AND_WAIT, str(spec)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "/image#0\n"
            assert list(temporary.iterdir()) == []
            reader.send_signal(signal.SIGKILL)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.communicate("")[0] == "/image#0\n3\n"


def test_a_disk_without_room_for_the_unpacked_bag_is_named(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = packed_bag(tmp_path / "bag")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bag_files.shutil, "copyfileobj", full)
    for spec in (packed, packed.parent):
        message = refusal(spec)
        assert f"{packed} cannot be unpacked into {temporary}, where " in message
        assert "MiB are free (No space left on device); set TMPDIR to a folder with more room" in message
    assert list(temporary.iterdir()) == []


def test_a_bag_whose_file_was_unpacked_is_read_with_a_word(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/image": image_messages()}, "sqlite3")
    record(bag, compression_format="zstd", compression_mode="FILE", relative_file_paths=["bag.db3.zstd"])
    source = open_source(bag)
    check_bag(source, None)
    assert "metadata.yaml names bag.db3.zstd, which is not there: bag.db3 is read" in source.notes


def test_the_metadata_of_something_else_makes_no_bag(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text("author: somebody\n")
    write_image(tmp_path / "0.png", picture(0))
    assert find_bag(tmp_path) is None
    assert open_source(tmp_path).kind == "image folder"
    assert find_bag(tmp_path / "metadata.yaml") is None
    bag = write_bag(tmp_path / "bag", {"/image": image_messages()})
    (bag / "metadata.yaml").write_text("author: somebody\n")
    source = open_source(bag)
    check_bag(source, None)
    assert "its metadata.yaml is not a bag's: bag.mcap is read" in source.notes


def test_one_file_of_several_is_read_alone_with_a_word(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/image": image_messages()})
    shutil.copy(bag / "bag.mcap", bag / "bag_1.mcap")
    record(bag, relative_file_paths=["bag.mcap", "bag_1.mcap"])
    source = open_source(bag / "bag_1.mcap")
    check_bag(source, None)
    assert f"one of the 2 files of {bag}" in source.notes
    (bag / "metadata.yaml").unlink()
    assert "2 bag files, no metadata.yaml; run `ros2 bag reindex" in refusal(bag)


def test_a_broken_compressed_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bag.db3.zstd").write_bytes(b"no zstd")
    assert "bag.db3.zstd is broken or truncated" in refusal(tmp_path / "bag.db3.zstd")
