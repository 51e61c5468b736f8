"""`raxels evaluate`: a report whose numbers agree with each other and with the yardstick."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands_rig import CapSys, Ran, error_line, run_once
from posed_sets import write_rendered_set, yardstick
from read_page import Read

from ros2_raxels.cli.evaluate import DATA_VARIABLE, data_root
from ros2_raxels.cli.main import main
from ros2_raxels.estimation.learned_prior import LearnedDenoiser
from ros2_raxels.evaluation.clips import variants
from ros2_raxels.scenes import random_textures
from ros2_raxels.scenes.random_textures import RANDOM_PATTERNS
from ros2_raxels.scenes.textures import PATTERNS


@pytest.fixture(scope="module")
def evaluated(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Two clips of the rendered set, and all of it tracked."""
    folder = tmp_path_factory.mktemp("evaluated")
    options = ["--per-set", "2", "--tracks", "room", "--out", str(folder)]
    return run_once(folder, "evaluate", str(rendered), *options)


def report_of(ran: Ran) -> dict[str, Any]:
    return json.loads((ran.folder / "report.json").read_text())


def test_evaluate_reports_clips(evaluated: Ran, rendered: Path) -> None:
    assert (evaluated.status, evaluated.err) == (0, "")
    report = report_of(evaluated)
    assert report["command"] == (f"raxels evaluate {rendered} --per-set 2 --tracks room --out {evaluated.folder}")
    assert {"cpu", "cores", "python", "opencv", "numpy", "onnxruntime", "ros2_raxels"} == set(report["machine"])
    assert report["data"]["clips"] == 2
    assert set(report["methods"]) == {"raxels", "opencv-both"}
    ours = report["methods"]["raxels"]
    assert ours["mean"]["pairs"] == 12
    assert {"read", "evidence", "guide", "total"} <= set(ours["ms"])
    assert ours["ms"]["total"]["median"] <= ours["ms"]["total"]["p95"]
    ratio = report["methods"]["opencv-both"]["ms"]["total"]["median"] / ours["ms"]["total"]["median"]
    assert report["speed_ratio"] == pytest.approx(ratio)


def test_evaluate_reports_tracks(evaluated: Ran) -> None:
    (tracked,) = report_of(evaluated)["tracks"]
    assert (tracked["frames"], tracked["lost"], tracked["losses"]) == (16, 0, 0)
    assert tracked["error"]["ate_percent"] < 5
    assert 0.8 < tracked["error"]["scale_drift"] < 1.25
    assert list(tracked["peers"]) == ["chain"]
    chain = tracked["peers"]["chain"]
    assert 3 < chain["frames"] <= 16
    assert chain["error"]["ate"] > 0
    assert chain["seconds"] > 0
    assert (evaluated.folder / "room.png").read_bytes().startswith(b"\x89PNG")


def test_screen_markdown_and_page_show_the_numbers_of_the_report(evaluated: Ran) -> None:
    ours = report_of(evaluated)["methods"]["raxels"]
    markdown = (evaluated.folder / "report.md").read_text()
    for text in ("mean over sets", "AUC@30", "opencv-both", f"{ours['mean']['auc5']:.3f}"):
        assert text in evaluated.out
        assert text in markdown
    page = Read((evaluated.folder / "report.html").read_text())
    assert page.rows("Means over sets")["raxels"][0][0] == f"{ours['mean']['auc5']:.3f}"
    assert page.rows("Poses of clips: raxels / opencv-both")["room"][1][0] == f"{ours['sets']['room']['auc5']:.3f}"
    drawn, caption = page.pictures[-1]
    assert caption.startswith("room: raxels as known at the end")
    np.testing.assert_array_equal(drawn[..., ::-1], cv2.imread(str(evaluated.folder / "room.png")))


def test_the_yardstick_finds_the_numbers_of_the_report(evaluated: Ran) -> None:
    tool, out = yardstick("score_poses"), evaluated.folder
    clips = json.loads((out / "clips.json").read_text())
    for name, method in report_of(evaluated)["methods"].items():
        table, _ = tool.score(clips, json.loads((out / f"{name}.json").read_text()))
        for key, value in table["MEAN OVER SETS"].items():
            assert method["mean"][key] == pytest.approx(value, abs=1e-9)


def test_evaluate_shows_views_of_the_closed_loop(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One tile of each family is enough. Pools are kept by their seed, and no other test takes this one.
    monkeypatch.setattr(random_textures, "_POOL_TILES", len(PATTERNS) + len(RANDOM_PATTERNS))
    options = ["--per-set", "2", "--seed", "91", "--peer", "none", "--model", "none", "--closed-loop"]
    options += ["--out", str(tmp_path)]
    assert main(["evaluate", str(rendered), *options]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    clips = json.loads((tmp_path / "clips.json").read_text())["clips"]
    page = Read((tmp_path / "report.html").read_text())
    recorded = report["closed_loop"]["recorded"]
    assert page.rows("Closed loop, median error")["recorded"][0][0] == str(recorded["clips"]) == "2"
    sheets = [(image, caption) for image, caption in page.pictures if "first frame alone" in caption]
    assert [caption.partition(":")[0] for _, caption in sheets] == [clip["id"] for clip in clips]
    # Known frame, three of truth, prediction, difference and expected error: five rows of three.
    assert all(image.shape[1] > 3 * 128 and image.shape[0] > 5 * 96 for image, _ in sheets)


def test_evaluate_counts_unreadable_clips_as_wrong(tmp_path: Path, capsys: CapSys) -> None:
    source = write_rendered_set(tmp_path / "data" / "room", 4)
    (source / "images" / "000003.png").unlink()
    out = tmp_path / "report"
    assert main(["evaluate", str(tmp_path / "data"), "--per-set", "1", "--out", str(out)]) == 1
    errors = capsys.readouterr().err
    assert "raxels: raxels: 1 of 1 clips failed and count as wrong" in errors
    assert "raxels: opencv-both: clip room/000000x1 failed" in errors
    report = json.loads((out / "report.json").read_text())
    assert report["methods"]["opencv-both"]["mean"]["auc30"] == 0


def test_evaluate_alone(rendered: Path, tmp_path: Path) -> None:
    options = ["--per-set", "1", "--peer", "none", "--no-intrinsics", "--out", str(tmp_path)]
    assert main(["evaluate", str(rendered), *options]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["methods"]) == ["raxels"]
    assert report["speed_ratio"] is None
    assert report["methods"]["raxels"]["focal_error"] > 0


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which there is no data, and which the environment names none for."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    return tmp_path / "checkout"


def test_evaluate_without_data_says_how_to_name_it(nowhere: Path, capsys: CapSys) -> None:
    assert main(["evaluate"]) == 2
    assert error_line(capsys) == (
        "raxels: no data; pass DATA_ROOT, the folder that holds posed sets, or set RAXELS_DATA\n"
    )


def test_evaluate_finds_its_data(nowhere: Path, rendered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = nowhere.parent / "shared" / "data" / "dev"
    beside.parent.mkdir(parents=True)
    beside.symlink_to(rendered)
    assert data_root(None).resolve() == rendered
    monkeypatch.setenv(DATA_VARIABLE, str(beside.parent))
    assert data_root(None) == beside
    monkeypatch.setenv(DATA_VARIABLE, str(rendered))
    assert data_root(None) == rendered
    assert main(["evaluate", "--per-set", "1", "--peer", "none", "--model", "none"]) == 0
    assert json.loads(Path("out/evaluation/report.json").read_text())["data"]["root"] == str(rendered)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tracks", "hall"], "has no set 'hall'; choose from room"),
        (["--out", "/dev/null/report"], "cannot be made"),
    ],
)
def test_evaluate_refuses_bad_options(rendered: Path, capsys: CapSys, options: list[str], message: str) -> None:
    assert main(["evaluate", str(rendered), *options]) == 2
    assert message in error_line(capsys)


def test_evaluate_draws_no_curve_without_a_model(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    assert main(["evaluate", str(rendered), "--out", str(tmp_path), "--curve", "--model", "none"]) == 2
    assert error_line(capsys) == "raxels: --curve needs a model; leave --model none out\n"


def test_evaluate_loads_the_model_of_a_curve_once(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    loaded: list[str] = []

    def load(card: Path, *rest: Any) -> LearnedDenoiser:
        loaded.append(card.name)
        return real(card, *rest)

    real = LearnedDenoiser.load
    monkeypatch.setattr(LearnedDenoiser, "load", load)
    monkeypatch.setattr(variants, "STEPS", (1, 2))
    options = ["--per-set", "1", "--peer", "none", "--curve", "--out", str(tmp_path)]
    assert main(["evaluate", str(rendered), *options]) == 0
    assert loaded == ["compact.json"]
    report = json.loads((tmp_path / "report.json").read_text())
    kinds = ("denoiser alone", "denoiser and guidance", "pixels only")
    assert set(report["methods"]) == {"raxels", *(f"{kind}, {n} steps" for kind in kinds for n in (1, 2))}


def test_evaluate_refuses_bad_data(tmp_path: Path, capsys: CapSys) -> None:
    assert main(["evaluate", str(tmp_path / "gone")]) == 2
    assert "is not a folder" in error_line(capsys)
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "holds no posed set" in error_line(capsys)
    assert main(["evaluate", str(tmp_path), "--per-set", "0"]) == 2
    assert "must be a whole number of at least 1" in capsys.readouterr().err
