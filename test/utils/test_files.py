"""files: results appear whole, and what killed writers left goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ros2_raxels.utils.files import FileError, check_writable, replacing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        _break_off(path)
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def _break_off(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise ZeroDivisionError


def test_what_a_killed_writer_left_is_removed_and_that_of_one_that_lives_is_not(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    abandoned, fresh = tmp_path / f".a.{gone.pid}.json", tmp_path / f".a.{2**22 + 1}.json"
    running, others = tmp_path / f".a.{os.getppid()}.json", tmp_path / f".b.{gone.pid}.json"
    for file in (abandoned, fresh, running, others):
        file.write_text("half")
        if file is not fresh:
            os.utime(file, (0, 0))
    with replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("new")
    assert {file.name for file in tmp_path.iterdir()} == {fresh.name, running.name, others.name, "a.json"}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"folder .*none does not exist; create it"), replacing(tmp_path / "none" / "a"):
        pass


def test_outputs_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist; create it"):
        check_writable(tmp_path / "gone" / "answer.json")
    with pytest.raises(FileError, match="is not a file"):
        check_writable(tmp_path)
    with pytest.raises(FileError, match="is not a file"):
        check_writable(Path("/dev/null"))
