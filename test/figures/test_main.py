"""``python -m ros2_raxels.figures`` draws every figure of the docs, each of one walk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from ros_testing import ROOT

from ros2_raxels.figures import __main__ as command
from ros2_raxels.utils.files import FileError


def test_all_figures_of_the_docs_are_drawn_into_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, ...]] = []

    def figure(name: str):
        def draw(*of: str) -> SimpleNamespace:
            shown.append((name, *of))
            return SimpleNamespace(write=lambda path: path.write_text(name))

        return draw

    for name in ("raxel_figure", "overview", "view_figure", "evidence_figure", "guidance_figure"):
        monkeypatch.setattr(command, f"draw_{name}", figure(name))
    monkeypatch.setattr(command, "tracked_walk", lambda frames: "walk" if frames == 151 else "whole walk")
    monkeypatch.setattr(command, "draw_animation", lambda walk, pictures: f"{pictures} of {walk}")
    monkeypatch.setattr(command, "write_animation", lambda pictures, path: path.write_text(pictures))
    monkeypatch.setattr(command, "solved_clip", lambda walk: f"clip of {walk}")
    folder = tmp_path / "new" / "images"
    command.main(folder)
    drawn = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(drawn) == {
        path.name for kind in ("png", "webp") for path in (ROOT / "docs" / "images").glob(f"*.{kind}")
    }
    assert drawn["walk.webp"] == "160 of whole walk"
    assert drawn["raxels.png"] == "raxel_figure"
    assert drawn["guidance.png"] == "guidance_figure"
    assert set(shown) == {
        ("raxel_figure",),
        ("overview", "walk"),
        ("view_figure", "walk"),
        ("evidence_figure", "clip of walk"),
        ("guidance_figure", "clip of walk"),
    }


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "draw_raxel_figure", lambda: pytest.fail("drawn"))
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="file"):
        command.main(tmp_path / "file" / "images")
