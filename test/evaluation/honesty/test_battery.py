"""The battery: every recording under every condition, and what is said of all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from posed_sets import write_rendered_set

from ros2_raxels.evaluation.honesty.battery import Run, record_of, run_battery, section_of, table_of
from ros2_raxels.evaluation.honesty.conditions import CONDITIONS
from ros2_raxels.evaluation.honesty.scores import StreamScore
from ros2_raxels.factory import make_tracker
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.posed_set import CAMERAS_FILE
from ros2_raxels.utils.files import FileError, load_json, write_json

FRAMES = 16


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room", FRAMES)


@pytest.fixture(scope="module")
def runs(room: Path) -> list[Run]:
    conditions = [CONDITIONS["as_it_is"], CONDITIONS["5hz"]]
    return list(run_battery([open_source(room)], conditions, lambda source: make_tracker("none")))


def test_every_recording_is_tracked_under_every_condition(runs: list[Run]) -> None:
    assert [(run.name, run.condition) for run in runs] == [("room", "as_it_is"), ("room", "5hz")]
    whole, few = (run.score.values for run in runs)
    assert (len(runs[0].states), whole["frames"], whole["answered"], whole["tracked"]) == (FRAMES, FRAMES, FRAMES, 1.0)
    assert whole["rmse_percent"] < 10
    assert few["answered"] == FRAMES / 2
    assert "rmse_percent" not in few


def test_the_report_holds_runs_and_all_of_them_together(runs: list[Run]) -> None:
    record = record_of(runs)
    assert [run["condition"] for run in record["runs"]] == ["as_it_is", "5hz"]
    together = record["together"]
    assert together["poses"] == FRAMES
    assert together["position_inside_95"] == runs[0].score.values["position_inside_95"]
    assert len(together["regions"]["rotation"]) == len(together["stated"])
    table = table_of(runs)
    assert [row[:2] for row in table[1:]] == [
        ["room", "as_it_is"],
        ["room", "5hz"],
        ["all", "as_it_is"],
        ["all", "5hz"],
    ]
    assert table[1][2:] == table[3][2:]
    assert table[2][3] == "-"
    assert all(len(row) == len(table[0]) for row in table)
    section = section_of(runs)
    assert [picture.png[:4] for picture in section.pictures] == [b"\x89PNG"] * 2


def test_without_poses_there_is_a_table_still() -> None:
    nothing = [Run("room", "gaps", [], StreamScore({"frames": 9, "answered": 0, "tracked": 0.0}))]
    assert table_of(nothing)[1][:4] == ["room", "gaps", "0", "-"]
    assert section_of(nothing).pictures == []
    assert np.isnan(record_of(nothing)["together"]["brier"])


def test_a_recording_without_truth_is_refused(room: Path, tmp_path: Path) -> None:
    record = load_json(room / CAMERAS_FILE)
    for frame in record["frames"]:
        frame.pop("c2w", None)
        frame["file"] = str(room / frame["file"])
    write_json(tmp_path / CAMERAS_FILE, record)
    with pytest.raises(FileError, match="true pose"):
        list(run_battery([open_source(tmp_path)], [CONDITIONS["as_it_is"]], lambda source: make_tracker("none")))
