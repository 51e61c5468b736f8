"""benchmark: every number is consistent with the others, counted work is exact, growth of memory is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from posed_sets import CAMERA, write_rendered_set

from ros2_raxels.cli.benchmark import SECTIONS
from ros2_raxels.cli.benchmark_sections import SIZES, cost_panels
from ros2_raxels.cli.main import main
from ros2_raxels.evaluation.machine.graph_work import BATCHES
from ros2_raxels.evaluation.machine.machine import cores

pytestmark = pytest.mark.slow

CapSys = pytest.CaptureFixture[str]
FRAMES = 16


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room", FRAMES)


@pytest.fixture(scope="module")
def report(room: Path) -> dict[str, Any]:
    """Of all sections, each as short as can be."""
    out = room.parent / "report.json"
    options = ["--calls", "2", "--clips", "2", "--memory-frames", "40", "--out", str(out)]
    options += ["--plot", str(room.parent / "costs.png")]
    assert main(["benchmark", str(room), *options]) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def check_spread(ms: dict[str, float]) -> None:
    assert 0 <= ms["p50"] <= ms["p95"] <= ms["max"]
    assert ms["mean"] <= ms["max"]


def test_a_report_says_where_and_how_it_was_measured(report: dict[str, Any]) -> None:
    assert report["machine"]["cores"] == cores()
    assert report["command"].startswith("raxels benchmark ")
    assert set(SECTIONS) <= set(report)
    sizes = report["rss_bytes"]
    assert list(sizes) == ["start", *(f"after {name}" for name in SECTIONS), "peak"]
    loads = report["load_average"]
    assert list(loads) == ["start", *(f"after {name}" for name in SECTIONS)]
    assert all(load >= 0 for load in loads.values())
    assert all(10e6 < size <= sizes["peak"] for size in sizes.values())


def test_stages_of_the_tracker_add_up_to_no_more_than_the_whole(report: dict[str, Any]) -> None:
    tracker = report["tracker"]
    assert (tracker["frames"], tracker["width"], tracker["height"]) == (FRAMES, CAMERA.width, CAMERA.height)
    assert sum(tracker["states"].values()) == FRAMES
    assert tracker["states"]["tracking"] > FRAMES // 2
    assert tracker["keyframes"] > 0
    assert {"look", "evidence", "solve", "keyframe"} < set(tracker["stages"])
    assert list(tracker["stages"])[-1] == "improve"
    for spread in (tracker["image_to_pose"], tracker["whole"], *tracker["stages"].values()):
        check_spread(spread)
    means = {name: spread["mean"] for name, spread in tracker["stages"].items()}
    after = means.pop("improve")
    assert 0.5 * tracker["image_to_pose"]["mean"] < sum(means.values()) <= tracker["image_to_pose"]["mean"]
    assert after > 0
    assert sum(means.values()) + after <= tracker["whole"]["mean"]


def test_the_tracker_is_timed_at_every_size(report: dict[str, Any]) -> None:
    sizes = report["resolution"]["sizes"]
    assert [(size["width"], size["height"]) for size in sizes] == list(SIZES)
    for size in sizes:
        assert size["frames"] == FRAMES
        assert size["states"]["tracking"] > FRAMES // 2
        check_spread(size["cpu"])
    # Looking at nine times as many pixels takes longer, whatever else runs on the machine.
    looks = [size["stages"]["look"]["p50"] for size in sizes]
    assert looks[-1] > looks[1]


def test_networks_do_more_for_more_hypotheses(report: dict[str, Any]) -> None:
    denoiser = report["denoiser"]
    encode, *rays = denoiser["graphs"]
    assert (encode["graph"], encode["batch"]) == ("encode", 1)
    assert [graph["batch"] for graph in rays] == list(BATCHES)
    assert {graph["graph"] for graph in rays} == {"rays"}
    for graph in denoiser["graphs"]:
        check_spread(graph["ms"])
        assert graph["gflops"] == pytest.approx(graph["share_of_peak"] * denoiser["peak_gflops"])
        assert graph["gflops"] >= graph["gflop"] / graph["ms"]["p50"] * 1e3
        assert graph["share_of_peak"] > 0
    # What is done once for all hypotheses stays, the rest grows with their number.
    work = {graph["batch"]: graph["gflop"] for graph in rays}
    each = work[2] - work[1]
    assert each > 0
    assert work[16] == pytest.approx(work[1] + 15 * each)


def test_clips_and_views_are_timed(report: dict[str, Any]) -> None:
    clips, views = report["estimate"], report["views"]
    assert clips["clips"] == 2
    totals = {name: stages["total"]["median"] for name, stages in clips["ms"].items()}
    assert clips["ratio"] == pytest.approx(totals["opencv-both"] / totals["raxels"])
    assert (views["views"], views["width"], views["height"]) == (4, 128, 96)
    assert set(views["ms_by_steps"]) == {"1", "2", "4"}
    for spread in views["ms_by_steps"].values():
        check_spread(spread)


def test_memory_is_watched_over_several_rounds(report: dict[str, Any]) -> None:
    memory = report["memory"]
    assert (memory["frames"], memory["laps"]) == (40, 3)
    assert 10e6 < memory["settled_bytes"] <= memory["most_bytes"]
    assert memory["end_bytes"] <= memory["most_bytes"]
    assert [cost["frames"] for cost in memory["costs"]] == list(range(1, 41))
    keyframes = [cost["keyframes"] for cost in memory["costs"]]
    assert keyframes == sorted(keyframes)
    assert keyframes[-1] > 0


def test_the_costs_are_drawn(report: dict[str, Any], room: Path) -> None:
    picture = cv2.imread(str(room.parent / "costs.png"))
    assert picture.shape[1] > 1000
    panels = cost_panels(report)
    assert {title: across for title, (across, _) in panels.items()} == {
        "by resolution": "megapixels",
        "by map size": "keyframes made",
    }
    across, values = panels["by resolution"][1]["image to pose, median"]
    assert across == pytest.approx([0.0768, 0.3072, 0.9216, 2.0736])
    assert values == [size["image_to_pose"]["p50"] for size in report["resolution"]["sizes"]]
    assert cost_panels({"tracker": report["tracker"]}) == {}


def test_starts_are_in_order(report: dict[str, Any]) -> None:
    for start in report["startup"]["processes_s"]:
        assert 0 < start["imported"] < start["loaded"] < start["answered"]
    assert min(report["startup"]["again_s"]) > 0


def test_chosen_sections_alone_are_measured(room: Path, tmp_path: Path, capsys: CapSys) -> None:
    out = tmp_path / "report.json"
    assert (
        main(["benchmark", str(room), "--only", "tracker", "--frames", "8", "--model", "none", "--out", str(out)]) == 0
    )
    report = json.loads(out.read_text())
    assert report["tracker"]["frames"] == 8
    assert set(SECTIONS) & set(report) == {"tracker"}
    shown = capsys.readouterr().out
    for text in ("image to pose", f"{report['tracker']['image_to_pose']['p50']:.2f}", report["machine"]["cpu"]):
        assert text in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "memory"], "--only memory cannot be measured: it has no length; add --memory-frames N"),
        (["--only", "denoiser", "--model", "none"], "--only denoiser cannot be measured: there is no model; "),
        (["--only", "speed"], "'speed' is no section; choose from tracker, "),
        (["--only", ","], "',' is no section; choose from tracker, "),
        (["--out", "gone/report.json"], "does not exist; create it"),
    ],
)
def test_what_cannot_be_measured_is_refused(room: Path, capsys: CapSys, options: list[str], message: str) -> None:
    assert main(["benchmark", str(room), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_camera_is_refused(capsys: CapSys) -> None:
    assert main(["benchmark", "0"]) == 2
    assert "camera 0 never shows the same twice" in capsys.readouterr().err


def test_bare_images_have_no_clips(room: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.symlink_to(room / "images")
    out = tmp_path / "report.json"
    assert main(["benchmark", str(folder), "--only", "estimate,views", "--calls", "1", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["estimate"] == {"skipped": f"{folder} is no posed set with intrinsics"}
    assert set(report["views"]["ms_by_steps"]) == {"1", "2", "4"}
