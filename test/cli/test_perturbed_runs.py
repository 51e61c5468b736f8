"""The command that tells what single runs owe to luck."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from posed_sets import write_rendered_set

from ros2_raxels.cli.perturbed_runs import main


def test_the_command_prints_a_row_for_each_set_and_writes_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room, out = write_rendered_set(tmp_path / "room", 12), tmp_path / "runs.json"
    assert main([str(room), "--runs", "1", "--model", "none", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    (record,) = json.loads(out.read_text())
    assert record["name"] == "room"
    assert f"{record['median_ate_percent']:.2f}" in said
    assert record["runs"][0]["perturbation"] == {"jpeg_quality": None, "skipped": 0}


def test_a_set_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
