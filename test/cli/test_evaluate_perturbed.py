"""``raxels evaluate --perturbed``: what is written, and which sets are taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from posed_sets import write_rendered_set

from ros2_raxels.cli.main import main
from ros2_raxels.utils.files import load_json


def test_each_set_has_a_row_and_its_runs_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room, out = write_rendered_set(tmp_path / "data" / "room", 16), tmp_path / "out"
    words = ["evaluate", str(tmp_path / "data"), "--tracks", room.name, "--perturbed", "1", "--model", "none"]
    assert main([*words, "--limit", "12", "--seed", "3", "--out", str(out)]) == 0
    report = load_json(out / "perturbed.json")
    (of_room,) = report["sets"]
    assert (report["seed"], of_room["name"], len(of_room["runs"])) == (3, "room", 1)
    assert of_room["runs"][0]["error"]["poses"] == 12
    ate = of_room["median"]["ate_percent"]
    assert ate == of_room["worst"]["ate_percent"] == of_room["runs"][0]["error"]["ate_percent"]
    told = f"{ate:.2f} / {ate:.2f}"
    assert told in capsys.readouterr().out
    assert f"| room | {told} |" in (out / "perturbed.md").read_text()
    assert told in (out / "perturbed.html").read_text()


def test_a_set_is_played_in_several_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room, out = write_rendered_set(tmp_path / "data" / "room", 16), tmp_path / "out"
    words = ["evaluate", str(tmp_path / "data"), "--tracks", room.name, "--perturbed", "1", "--model", "none"]
    assert main([*words, "--played", "backwards,every_second", "--out", str(out)]) == 0
    report = load_json(out / "perturbed.json")
    assert report["played"] == ["backwards", "every_second"]
    assert [(s["name"], s["runs"][0]["error"]["poses"]) for s in report["sets"]] == [
        ("room backwards", 16),
        ("room every_second", 8),
    ]
    assert main([*words, "--played", "sideways", "--out", str(out)]) == 2
    assert "sideways" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "name one or more"), (["--tracks", "nowhere"], "no set 'nowhere'")],
    ids=["none", "unknown"],
)
def test_without_sets_there_is_nothing_to_track(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tmp_path), "--perturbed", "2", *words]) == 2
    assert said in capsys.readouterr().err
