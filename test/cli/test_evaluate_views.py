"""raxels evaluate --views: the numbers of its report can be computed again, and failures do not count."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from posed_sets import write_rendered_set
from read_page import Read
from view_scores import shrunk
from views_scene import psnr_db

from ros2_raxels.cli.main import main
from ros2_raxels.evaluation.views.scores import (
    seen_share,
)
from ros2_raxels.evaluation.views.tasks import make_view_tasks
from ros2_raxels.factory import make_predictor
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.recordings.source import read_image
from ros2_raxels.view_synthesis.prediction import PredictionRequest

CapSys = pytest.CaptureFixture[str]


ALONE = ["--per-set", "1", "--peer", "none"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one rendered set."""
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room").parent


@pytest.mark.slow
def test_evaluate_views_reports_numbers_that_can_be_recomputed(rendered: Path, tmp_path: Path, capsys: CapSys) -> None:
    options = [*ALONE, "--views", "--views-per-set", "2", "--out", str(tmp_path)]
    assert main(["evaluate", str(rendered), *options]) == 0
    terminal, found = capsys.readouterr().out, json.loads((tmp_path / "report.json").read_text())
    assert found["closed_loop"] == {}
    views = found["views"]
    assert (views["per_set"], views["tasks"], views["views"], views["failures"]) == (2, 2, 8, {})
    tasks, predictor, matcher = make_view_tasks(rendered, 2), make_predictor(""), Matcher()
    assert views["model"] == predictor.card.name
    psnr: dict[int, list[float]] = {1: [], 4: []}
    repeated, confidence, seen = [], [], []
    for task in tasks:
        images, camera = task.read()
        for steps, values in psnr.items():
            asked = PredictionRequest(images, camera, task.context_to_world, task.trajectory, steps=steps)
            made = predictor.predict(asked)
            confidence += made.confidence.tolist() if steps == 1 else []
            for view, path in zip(made.images, task.truth, strict=True):
                values.append(psnr_db(view, shrunk(read_image(path))))
        small = [shrunk(image) for image in (images[-1], *map(read_image, task.truth))]
        repeated += [psnr_db(small[0], truth) for truth in small[1:]]
        known = [matcher.look(image) for image in images]
        seen += [seen_share(matcher, known, matcher.look(read_image(path))) for path in task.truth]
    for steps, name in ((1, "raxels, 1 step"), (4, "raxels, 4 steps")):
        assert views["methods"][name]["mean"]["psnr_db"] == pytest.approx(np.mean(psnr[steps]), abs=1e-6)
        assert views["methods"][name]["sets"]["room"]["views"] == 8
    assert views["methods"]["repeat"]["mean"]["psnr_db"] == pytest.approx(np.mean(repeated), abs=1e-6)
    gain = np.mean(psnr[1]) - np.mean(repeated)
    assert views["methods"]["raxels, 1 step"]["mean"]["gain_db"] == pytest.approx(gain, abs=1e-6)
    stated = views["confidence"]["raxels, 1 step"]
    good = np.array(psnr[1]) >= 20.0
    assert stated["brier"] == pytest.approx(np.mean((np.array(confidence) - good) ** 2), abs=1e-6)
    ranks = [np.argsort(np.argsort(values)) for values in (confidence, psnr[1])]
    assert stated["rank_correlation"] == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-6)
    assert [of["views"] for of in views["seen"]] == np.histogram(seen, (0.0, 0.5, 0.75, 0.9, 1.0))[0].tolist()
    read = Read((tmp_path / "report.html").read_text())
    assert read.rows("Predicted views")["raxels, 1 step"][0][0] == f"{np.mean(psnr[1]):.2f}"
    sheets = [image for image, caption in read.pictures if caption.startswith(tuple(task.id for task in tasks))]
    # Four known frames, truth, prediction, difference and expected error: five rows of four.
    assert all(image.shape[1] > 4 * 2 * 128 and image.shape[0] > 5 * 2 * 96 for image in sheets)
    assert len(sheets) == 2
    for text in ("Predicted views by set", "Confidence of predicted views", f"{np.mean(repeated):.2f}"):
        assert text in terminal
        assert text in (tmp_path / "report.md").read_text()


def test_a_task_that_fails_does_not_count(tmp_path: Path, capsys: CapSys) -> None:
    source = write_rendered_set(tmp_path / "data" / "room", 10)
    ids = [task.id for task in make_view_tasks(source.parent, 3)]
    assert sorted(ids) == ["room/000000x1", "room/000001x1", "room/000002x1"]
    (source / "images" / "000009.png").unlink()
    options = ["--views", "--views-per-set", "3", "--out", str(tmp_path / "out")]
    assert main(["evaluate", str(source.parent), *ALONE, *options]) == 1
    assert "task room/000002x1 of --views failed and does not count" in capsys.readouterr().err
    views = json.loads((tmp_path / "out" / "report.json").read_text())["views"]
    assert list(views["failures"]) == ["room/000002x1"]
    assert "000009.png cannot be read" in views["failures"]["room/000002x1"]
    assert (views["tasks"], views["methods"]["repeat"]["sets"]["room"]["views"]) == (2, 8)


def test_sets_too_short_for_a_task_are_an_error_in_words(tmp_path: Path, capsys: CapSys) -> None:
    source = write_rendered_set(tmp_path / "data" / "room", 7)
    assert main(["evaluate", str(source.parent), *ALONE, "--views", "--out", str(tmp_path / "out")]) == 2
    assert "no set has 8 frames of one camera" in capsys.readouterr().err
    # Said before the work.
    assert not (tmp_path / "out").exists()


def test_when_all_tasks_fail_that_is_an_error_in_words(tmp_path: Path, capsys: CapSys) -> None:
    source = write_rendered_set(tmp_path / "data" / "room", 8)
    (source / "images" / "000007.png").write_bytes(b"no image")
    main(["evaluate", str(source.parent), *ALONE, "--views", "--out", str(tmp_path / "out")])
    assert "--views: all 1 tasks failed, the first because" in capsys.readouterr().err
