"""Tables of what was measured, from reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ros2_raxels.manual import measured_parts
from ros2_raxels.manual.made import MadeError
from ros2_raxels.manual.measured_parts import number, percent

RUN = {
    "load": 0,
    "tracked": 0.996,
    "ate_percent": 0.4512,
    "tf_gap_ms": {"p99": 36.4},
    "latency_ms": {"p50": 18.6, "p95": 27.4},
    "longest_gap_s": 0.034,
}


def made(folder: Path, name: str) -> list[str]:
    return measured_parts.parts(folder)[name]().split("\n")


def test_numbers_are_written_as_the_pages_write_them():
    assert [number(0.7592), number(1.0, 2), number(0.0, 2), number(30.061, 2), number(None)] == [
        ".759",
        "1.00",
        ".00",
        "30.06",
        "–",
    ]
    assert [percent(1.0), percent(0.9996), percent(0.996), percent(0.79), percent(0.0)] == [
        "100 %",
        "99.9 %",
        "99.6 %",
        "79 %",
        "0 %",
    ]


def test_paths_have_a_column_for_each_group_and_a_dash_where_it_is_empty(tmp_path: Path):
    bins = [
        {"from": 0.0, "to": 0.5, "paths": 3, "stated": 0.1, "free": 1 / 3},
        {"from": 0.5, "to": 1.0, "paths": 0, "stated": None, "free": None},
    ]
    report = {"paths": 3, "rooms": 2, "brier": 0.0812, "brier_of_mean": 0.222, "bins": bins}
    (tmp_path / "paths.json").write_text(json.dumps(report))
    assert made(tmp_path, "scores of paths") == [
        "| stated | 0 to 0.5 | 0.5 to 1 |",
        "| --- | ---: | ---: |",
        "| mean of the stated | .10 | – |",
        "| share that was free | .333 | – |",
        "| paths | 3 | 0 |",
        "",
        "3 paths in 2 rooms: Brier score .081, .222 for the mean of all.",
    ]


def test_nodes_have_a_row_for_every_recording_and_a_column_for_every_load(tmp_path: Path):
    peer = {"orbslam3": {"tracked": 0.971, "ate_percent": 0.6899}}
    runs = [RUN | {"peers": peer}, RUN | {"load": 2, "tracked": 1.0}]
    for name, its_runs in (("spin", runs), ("course", runs[:1])):
        report = {"source": name, "node": {"runs": its_runs}}
        (tmp_path / f"node_{name}.json").write_text(json.dumps(report))
    assert made(tmp_path, "nodes") == [
        "| tracked, ATE % of the path | idle | 2 busy processes |",
        "| --- | ---: | ---: |",
        "| `course` | 99.6 %, .45 (97 %, .69) | – |",
        "| `spin` | 99.6 %, .45 (97 %, .69) | 100 %, .45 |",
    ]
    assert made(tmp_path, "nodes in full")[-1] == "| `spin` | 2 | 100 %, .45 | 36 ms | 19 / 27 ms | 0.03 s |"


def test_of_sequences_the_best_is_bold_and_missing_peers_are_dashes(tmp_path: Path):
    track = {"name": "a", "frames": 300, "live": {"ate_percent": 0.52}, "error": {"ate_percent": 0.4}}
    colmap = {"frames": 48, "error": {"ate_percent": 9.9}}
    report = {"tracks": [track | {"peers": {"colmap": colmap}}, track | {"name": "b"}]}
    (tmp_path / measured_parts.TRACKS).write_text(json.dumps(report))
    assert made(tmp_path, "sequences")[2:] == [
        "| `a` | 300 | .52 / **.40** | – | 9.90 (48 of 300 frames) |",
        "| `b` | 300 | .52 / **.40** | – | – |",
    ]


def test_what_poses_say_of_themselves_is_made_of_every_report_of_the_battery(tmp_path: Path):
    inside = {f"{what}_inside_{level}": 0.7 for what in ("position", "rotation") for level in (68, 95)}
    run = {"set": "spin", "condition": "gaps", "tracked": 0.66, "rmse_percent": 0.4, "blunders": 0.013, **inside}
    failed = {"set": "spin", "condition": "moving60", "tracked": 0.0}
    (tmp_path / "honesty_robot.json").write_text(json.dumps({"runs": [run, failed]}))
    assert made(tmp_path, "what poses say of themselves")[2:] == [
        "| `spin` | gaps | 66 % | 70 / 70 % | 70 / 70 % | 1.3 % |",
        "| `spin` | moving60 | 0 % | – / – % | – / – % | – |",
    ]


def test_a_report_that_is_not_there_or_is_none_is_named(tmp_path: Path):
    with pytest.raises(MadeError, match=r"has no node_\*\.json; run the command that writes it"):
        made(tmp_path, "nodes")
    with pytest.raises(MadeError, match=r"views_dev\.json cannot be read"):
        made(tmp_path, "views")
    (tmp_path / measured_parts.VIEWS).write_text("[]")
    with pytest.raises(MadeError, match=r"views_dev\.json is no report"):
        made(tmp_path, "views")
