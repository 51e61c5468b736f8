"""`raxels imagine`: every image into a folder of its own, and a record of what was assumed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands_rig import CapSys, files_of
from view_tasks import CAMERA, IMAGES, INTRINSICS, views_of, write_image

from ros2_raxels.cli.main import main
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.geometry.camera import USUAL_FOCAL
from ros2_raxels.view_synthesis.predictor import ViewPredictor
from ros2_raxels.view_synthesis.self_consistency import check_views

pytestmark = [pytest.mark.usefixtures("one_torch_thread"), pytest.mark.xdist_group("exported_card")]


def test_each_image_is_imagined_into_a_folder_of_its_own(
    card: Path, predictor: ViewPredictor, tmp_path: Path, capsys: CapSys
) -> None:
    """Two images of one name, in different folders."""
    paths = []
    for name, image in zip("ab", IMAGES, strict=False):
        (tmp_path / name).mkdir()
        paths.append(write_image(tmp_path / name / "view.png", image))
    out = tmp_path / "out"
    options = ["--frames", "2", "--steps", "2", "--seed", "4", "--intrinsics", ",".join(map(str, INTRINSICS))]
    assert main(["imagine", *paths, "--out", str(out), "--model", str(card), *options]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"2 frames from each of 2 images -> {out}\n", "")
    folders = ["000_view", "001_view"]
    assert files_of(out) == [*(f"{folder}/00{index}.png" for folder in folders for index in range(2)), "imagine.json"]
    report = json.loads((out / "imagine.json").read_text())
    assert (report["model"], report["seed"]) == ("tiny", 4)
    assert [record["image"] for record in report["images"]] == paths
    for record, folder, image in zip(report["images"], folders, IMAGES, strict=False):
        expected = predictor.imagine(image, CAMERA, 2, seed=4, steps=2, size=(CAMERA.width, CAMERA.height))
        np.testing.assert_array_equal(views_of(out / folder), expected.images)
        assert (record["folder"], record["steps"]) == (folder, 2)
        assert (record["intrinsics"], record["intrinsics_assumed"]) == (INTRINSICS, False)
        np.testing.assert_array_equal(record["camera_to_world"], expected.camera_to_world)
        checked = check_views(predictor, Estimator(), [image], np.eye(4)[None], expected)
        np.testing.assert_allclose(record["confidence"], checked.confidence, atol=1e-4)
        assert len(record["self_consistency_rotation_deg"]) == 2
    assert np.abs(np.subtract(*(record["camera_to_world"] for record in report["images"]))).max() > 1e-4


def test_an_ordinary_lens_is_assumed_and_said_so(card: Path, frames: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--frames", "1", "--out", str(out), "--model", str(card), "--width", "128"]
    assert main(["imagine", frames[0], *options]) == 0
    (record,) = json.loads((out / "imagine.json").read_text())["images"]
    assert record["intrinsics_assumed"] is True
    np.testing.assert_allclose(record["intrinsics"], [USUAL_FOCAL * 160, USUAL_FOCAL * 160, 79.5, 44.5])
    assert record["steps"] == 8
    assert files_of(out) == ["000_0/000.png", "imagine.json"]
    assert views_of(out / "000_0").shape == (1, 72, 128, 3)


def test_one_bad_image_does_not_lose_the_others(card: Path, frames: list[str], tmp_path: Path, capsys: CapSys) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    bad, gone, out = str(tmp_path / "bad.png"), str(tmp_path / "gone.png"), tmp_path / "out"
    options = ["--frames", "1", "--steps", "1", "--out", str(out), "--model", str(card)]
    assert main(["imagine", bad, frames[1], gone, *options]) == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"raxels: {bad} failed: {bad} cannot be read")
    assert lines[1].startswith(f"raxels: {gone} failed: {gone} cannot be read")
    assert captured.out == f"1 frames from each of 1 images -> {out}\n"
    report = json.loads((out / "imagine.json").read_text())["images"]
    assert ["error" in record for record in report] == [True, False, True]
    assert report[1]["folder"] == "001_1"
    assert files_of(out) == ["001_1/000.png", "imagine.json"]


def test_imagine_refuses_wrong_options(frames: list[str], tmp_path: Path, capsys: CapSys) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main(["imagine", frames[0], *out, "--frames", "0"]) == 2
    assert "argument --frames: '0' must be a whole number of at least 1" in capsys.readouterr().err
    assert main(["imagine", frames[0], *out, "--intrinsics", "1,2,3"]) == 2
    assert "argument --intrinsics: '1,2,3' must be four numbers" in capsys.readouterr().err
    assert main(["imagine", *out]) == 2
    assert "required: IMAGE" in capsys.readouterr().err
