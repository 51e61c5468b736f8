"""nodes.services: which files a request may name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ros2_raxels.nodes.pose.services import file_in, keyframe_folder
from ros2_raxels.utils.files import FileError


def test_files_are_named_in_the_folder_or_by_a_path_into_it(tmp_path: Path) -> None:
    assert file_in(tmp_path, "kitchen.safetensors") == tmp_path / "kitchen.safetensors"
    assert file_in(tmp_path, "floor/../kitchen.safetensors") == tmp_path / "kitchen.safetensors"
    assert file_in(tmp_path, str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"


@pytest.mark.parametrize("text", ["/etc/passwd", "../other", "a/../../other", ".", "", "  ", "a\0b"])
def test_whatever_leads_out_of_the_folder_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FileError, match=r"keyframes\.folder"):
        file_in(tmp_path, text)


def test_a_link_leads_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "keyframes"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(FileError, match="is not in"):
        file_in(folder, "link/secret")


@given(st.text(max_size=40))
def test_no_text_reaches_another_folder(text: str) -> None:
    folder = Path("/nowhere/keyframes")
    try:
        found = file_in(folder, text)
    except FileError:
        return
    assert folder in found.parents


def test_the_folder_is_where_data_of_a_user_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert keyframe_folder("") == Path("/home/robot/.local/share/ros2_raxels/keyframes")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert keyframe_folder("") == Path("/home/robot/.local/share/ros2_raxels/keyframes")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert keyframe_folder("") == Path("/data/ros2_raxels/keyframes")
    assert keyframe_folder("~/maps") == Path("/home/robot/maps")
