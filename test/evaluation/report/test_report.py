"""The report of `raxels evaluate`: its numbers are those of report.json, and names from outside are escaped."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from read_page import Read, flat_png
from ros_testing import ROOT

from ros2_raxels.evaluation.machine.timing import Spread
from ros2_raxels.evaluation.report.page import Picture, Section
from ros2_raxels.evaluation.report.report import as_markdown, as_page, facts_of, sections_of, write_report
from ros2_raxels.evaluation.tracks.track_scores import PeerScore, TrackScore
from ros2_raxels.geometry.trajectory import TrajectoryScore

MEASURED = ROOT / "docs" / "measured"


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    """A measured one of 15 sets, with a curve."""
    found = json.loads((MEASURED / "evaluate_dev_denoiser.json").read_text())
    curve = json.loads((MEASURED / "curve_dev.json").read_text())
    found["methods"] |= {name: of for name, of in curve["methods"].items() if name.endswith("steps")}
    found["closed_loop"] = json.loads((MEASURED / "closed_loop_dev.json").read_text())["closed_loop"]
    return dict(found)


@pytest.fixture(scope="module")
def read(record: dict[str, Any]) -> Read:
    return Read(as_page(record, sections_of(record, [], [], [])))


def test_every_set_has_the_numbers_of_the_record(record: dict[str, Any], read: Read) -> None:
    names = ["raxels", "opencv-both", "geometry alone"]
    title = "Poses of clips: raxels / opencv-both / geometry alone"
    groups, header, *rows = read.tables[title]
    assert [name for name, _ in groups] == ["", "AUC@5", "AUC@30", "rotation deg", "direction deg"]
    assert [name for name, _ in header] == ["set", "pairs", *names * 4]
    assert [row[0][0] for row in rows] == [*record["methods"]["raxels"]["sets"], "mean over sets"]
    for row in rows:
        scores = [record["methods"][name]["sets"].get(row[0][0], record["methods"][name]["mean"]) for name in names]
        assert int(row[1][0]) == scores[0]["pairs"]
        keys = (("auc5", 3), ("auc30", 3), ("rot_med_deg", 2), ("dir_med_deg", 1))
        wanted = [round(score[key], digits) for key, digits in keys for score in scores]
        assert [float(text) for text, _ in row[2:]] == pytest.approx(wanted, abs=1e-9)


def test_what_is_better_and_worse_than_the_peer_is_marked(read: Read) -> None:
    rows = read.rows("Poses of clips: raxels / opencv-both / geometry alone")
    auc5, auc30 = rows["7s_1000"][1], rows["7s_1000"][4]
    assert auc5 == ("0.063", "first worse")
    assert auc30 == ("0.532", "first better")
    assert rows["7s_1000"][2] == ("0.067", "")
    # An error is better where it is lower.
    assert rows["7s_1000"][7] == ("0.42", "first better")
    assert rows["mean over sets"][1] == ("0.759", "first better")
    assert "15 of 15" in read.text
    assert "worse than opencv-both on 0" in read.text
    assert '<b>0.759</b><span class="sign">▲</span><i>opencv-both: 0.375</i>' in read.html


def test_means_curve_calibration_time_and_loop_are_those_of_the_record(record: dict[str, Any], read: Read) -> None:
    means = read.rows("Means over sets")
    for name, of in record["methods"].items():
        shown = [float(text) for text, _ in means[name]]
        mean = [of["mean"][key] for key in ("auc5", "auc30", "rot_med_deg", "dir_med_deg")]
        digits = (3, 3, 2, 1, 0)
        wanted = [round(v, n) for v, n in zip([*mean, of["ms"]["total"]["median"]], digits, strict=True)]
        assert shown == pytest.approx(wanted, abs=1e-9)
    curve = read.rows("Over denoising steps")
    assert [name for name, _ in curve["AUC@5 / AUC@30"]] == ["1 step", "2 steps", "4 steps", "8 steps"]
    assert curve["denoiser and guidance"][1][0] == "0.692 / 0.862"
    assert set(curve) == {"AUC@5 / AUC@30", "denoiser alone", "denoiser and guidance", "pixels only"}
    stated = read.rows("Stated uncertainty")
    assert [text for text, _ in stated["raxels"]] == ["76 %", "86 %", "75 %", "86 %"]
    assert "opencv-both" not in stated
    total = next(row for row in read.tables["Time per clip, ms"] if [t for t, _ in row[:2]] == ["opencv-both", "total"])
    assert [text for text, _ in total[2:]] == [
        f"{record['methods']['opencv-both']['ms']['total'][key]:.1f}" for key in ("median", "p95")
    ]
    loop = record["closed_loop"]["recorded"]
    assert [text for text, _ in read.rows("Closed loop, median error")["recorded"]] == [
        str(loop["clips"]),
        *(f"{loop[of][e]:.1f}" for of in ("loop", "shuffled") for e in ("rotation_deg", "direction_deg")),
    ]


def test_machine_and_command_end_the_page(record: dict[str, Any], read: Read) -> None:
    assert f"<dt>command</dt><dd>{record['command']}</dd>" in read.html
    for name in ("cpu", "cores", "python", "opencv", "numpy"):
        assert f"<dt>{name}</dt><dd>{record['machine'][name]}</dd>" in read.html
    assert "409 clips of 15 sets" in read.text


def test_the_page_is_whole_by_itself(read: Read) -> None:
    assert read.html.startswith("<!DOCTYPE html>")
    assert {"script", "link", "iframe", "object", "video", "base"} & read.tags == set()
    assert all(link.startswith(("#part", "data:image/png;base64,")) for link in read.links)
    assert "http" not in read.html.replace("http-equiv", "")
    assert "url(" not in read.html
    assert "@import" not in read.html
    # The browser keeps to it too.
    assert "default-src 'none'; img-src data:" in read.html


def test_charts_are_pictures_with_captions(read: Read) -> None:
    assert len(read.pictures) == 3
    for image, caption in read.pictures:
        assert image.shape[1] == 1440
        assert image.std() > 10
        assert caption.endswith(".")


def test_names_from_outside_are_text(record: dict[str, Any]) -> None:
    evil = '<script>alert("1")</script>&amp;'
    changed = copy.deepcopy(record)
    for of in changed["methods"].values():
        of["sets"] = {evil: of["sets"]["7s_1000"], "b": of["sets"]["nerf_coke"]}
    changed["methods"][f"<i>{evil}"] = changed["methods"].pop("geometry alone")
    changed["command"] = f"raxels evaluate '{evil}'"
    changed["machine"]["cpu"] = evil
    changed["data"]["root"] = evil
    changed["methods"]["raxels"]["failures"] = {f"{evil}/1": f"why: {evil}"}
    picture = Picture(flat_png(), f"caption {evil}")
    found = Read(as_page(changed, sections_of(changed, [], [], [picture])))
    assert {"script", "i>"} & found.tags == set()
    assert "<script" not in found.html
    assert evil in found.rows("Poses of clips: raxels / opencv-both / denoiser alone, 1 steps")
    assert f"<i>{evil}" in found.rows("Means over sets")
    assert f"raxels evaluate '{evil}'" in found.text
    assert found.pictures[-1][1] == f"caption {evil}"
    assert [text for text, _ in found.rows("Clips without an answer")["raxels"]] == [f"{evil}/1", f"why: {evil}"]


def test_without_a_peer_nothing_is_marked(record: dict[str, Any]) -> None:
    alone = {**record, "methods": {"raxels": record["methods"]["raxels"]}, "speed_ratio": None, "closed_loop": {}}
    found = Read(as_page(alone, sections_of(alone, [], [], [])))
    assert "▲" not in found.html
    assert {c for row in found.tables["Poses of clips: raxels"] for _, c in row} <= {"group", "first", ""}
    assert set(found.tables) == {"Means over sets", "Poses of clips: raxels", "Stated uncertainty", "Time per clip, ms"}


# ------------------------------------------------------------------------------------------------------- trajectories


def track(name: str, live: float | None, chain: float | None, end: float = 1.0) -> TrackScore:
    """A track of so many percent of its path."""

    def error(percent: float | None) -> TrajectoryScore | None:
        if percent is None:
            return None
        return TrajectoryScore(9, percent, percent, percent, percent, 0.1, 0.1, None, None, None, None)

    spread = Spread(11.0, 14.0, 20.0, 12.0)
    peers = {"chain": PeerScore(9, 1.0, "every frame", error(chain)), "colmap": PeerScore(9, 1.0, "note", error(0.1))}
    return TrackScore(name, 10, 5.0, 10, 0, 0, 0, 3, error(end), error(live), spread, spread, peers)


def test_tracks_are_marked_beside_the_first_peer(record: dict[str, Any]) -> None:
    tracks = [track("a", 1.5, 4.25), track("b", 5.0, 4.0), track("c", 2.0, None)]
    found = Read(as_page(record, sections_of(record, tracks, [Picture(flat_png(), "drawn")], [])))
    rows = found.tables["Trajectories"][1:]
    column = [name for name, _ in found.tables["Trajectories"][0]].index("% of path")
    assert [row[column] for row in rows] == [
        *[("1.50", "better"), ("1.00", "better"), ("4.25", ""), ("0.10", "")],
        *[("5.00", "worse"), ("1.00", "better"), ("4.00", ""), ("0.10", "")],
        *[("2.00", ""), ("1.00", ""), ("-", ""), ("0.10", "")],
    ]
    assert "drawn" in [caption for _, caption in found.pictures]
    assert [text for text, _ in found.rows("Trajectories, ms per frame")["b"]][:3] == ["3", "11.0", "14.0"]


def test_markdown_has_the_narrow_tables(record: dict[str, Any]) -> None:
    lines = as_markdown(record, sections_of(record, [], [], [])).splitlines()
    assert "| method | AUC@5 | AUC@30 | rotation deg | direction deg | ms |" in lines
    assert any(line.startswith("| 7s_1000 | 180 | ") and "| 0.063 / 0.067 / 0.068 |" in line for line in lines)


def test_a_report_is_written_three_times(tmp_path: Path) -> None:
    report = {"machine": {"cores": 2, "onnxruntime": None}, "command": "raxels x", "time": "now", "seed": 3}
    assert facts_of(report, {"seed": "3"}) == {"command": "raxels x", "time": "now", "seed": "3", "cores": "2"}
    write_report(tmp_path, "runs", report, [Section("Runs", [["set", "ATE"], ["room", "0.5"]])], "<p>page</p>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs.html", "runs.json", "runs.md"]
    assert json.loads((tmp_path / "runs.json").read_text()) == report
    assert (tmp_path / "runs.html").read_text() == "<p>page</p>"
    assert "## Runs\n\n| set | ATE |\n|---|---:|\n| room | 0.5 |" in (tmp_path / "runs.md").read_text()
