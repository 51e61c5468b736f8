"""``raxels evaluate --honesty``: which sets are taken, and what is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from posed_sets import write_rendered_set

from ros2_raxels.cli.evaluate_honesty import folders
from ros2_raxels.cli.main import main
from ros2_raxels.evaluation.tracks.state_scores import read_states
from ros2_raxels.utils.files import FileError, load_json


def test_sets_are_found_in_a_folder_or_are_it(tmp_path: Path) -> None:
    for name, file in (("b", "cameras.json"), ("a", "rig.json"), ("c", "notes.txt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    assert [found.name for found in folders(tmp_path)] == ["a", "b"]
    assert folders(tmp_path / "b") == [tmp_path / "b"]
    with pytest.raises(FileError, match="no cameras"):
        folders(tmp_path / "c")


def test_the_battery_writes_its_report_and_the_states(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room, out = write_rendered_set(tmp_path / "data" / "room", 14), tmp_path / "out"
    words = ["evaluate", "--honesty", str(tmp_path / "data"), "--conditions", "as_it_is", "--model", "none"]
    assert main([*words, "--limit", "12", "--out", str(out)]) == 0
    assert "room" in capsys.readouterr().out
    record = load_json(out / "honesty.json")
    assert record["conditions"] == {"as_it_is": "the recording as it is"}
    assert [(run["set"], run["frames"], run["tracked"]) for run in record["runs"]] == [(room.name, 12, 1.0)]
    assert len(read_states(out / "states" / "room.as_it_is.jsonl")) == 12
    assert "blunders" in (out / "honesty.html").read_text()
    assert "| room | as_it_is |" in (out / "honesty.md").read_text()


def test_an_unknown_condition_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--honesty", ".", "--conditions", "rain"]) == 2
    assert "'rain' is no condition" in capsys.readouterr().err
