"""`raxels views`, and what it shares with `imagine`: views, report, and bad tasks and models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands_rig import CapSys, error_line, files_of
from view_tasks import AHEAD, CAMERA, IMAGES, INTRINSICS, POSES, task, views_of, write_image, write_tasks

from ros2_raxels.cli.main import main
from ros2_raxels.engine import EngineError
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import read_image
from ros2_raxels.view_synthesis.prediction import PredictionRequest
from ros2_raxels.view_synthesis.predictor import ViewPredictor
from ros2_raxels.view_synthesis.self_consistency import check_views

pytestmark = [pytest.mark.usefixtures("one_torch_thread"), pytest.mark.xdist_group("exported_card")]


def test_views_are_those_of_the_predictor(
    card: Path, predictor: ViewPredictor, frames: list[str], tmp_path: Path, capsys: CapSys
) -> None:
    first, second = (
        task(frames),
        task(frames[1:], "hall/7", context_poses=POSES[1:].tolist(), trajectory=[np.eye(4).tolist()]),
    )
    out = tmp_path / "new" / "out"
    arguments = ["views", "--tasks", write_tasks(tmp_path / "tasks.json", first, second), "--out", str(out)]
    assert main([*arguments, "--model", str(card), "--seed", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("4 views of 2 tasks, median ")
    assert captured.out.endswith(f" -> {out}\n")
    pictures = ["hall_7/000.png", *(f"room_000001x2/00{index}.png" for index in range(3))]
    assert files_of(out) == [*pictures, "views.json"]
    report = json.loads((out / "views.json").read_text())
    assert (report["model"], report["seed"]) == ("tiny", 3)
    assert [record["id"] for record in report["tasks"]] == ["room/000001x2", "hall/7"]
    for record, given in zip(report["tasks"], (first, second), strict=True):
        images = [read_image(Path(path)) for path in given["context"]]
        trajectory = np.array(given["trajectory"])
        own = (CAMERA.width, CAMERA.height)
        request = PredictionRequest(images, CAMERA, np.array(given["context_poses"]), trajectory, seed=3, size=own)
        expected = predictor.predict(request)
        # Colours in their order, every pixel.
        found = views_of(out / given["id"].replace("/", "_"))
        assert found.shape == (len(trajectory), 90, 160, 3)
        np.testing.assert_array_equal(found, expected.images)
        checked = check_views(predictor, Estimator(), images, np.array(given["context_poses"]), expected)
        consistency = {"self_consistency_rotation_deg", "self_consistency_translation"}
        about = {"id", "width", "confidence", "made_up", "camera_to_world", "steps", "seconds"}
        assert set(record) == about | consistency
        assert record["width"] == 160
        np.testing.assert_allclose(record["confidence"], checked.confidence, atol=1e-4)
        turned_deg = np.array(record["self_consistency_rotation_deg"], float)
        np.testing.assert_allclose(turned_deg, np.degrees(checked.rotation_rad), atol=1e-3)
        np.testing.assert_allclose(np.array(record["self_consistency_translation"], float), checked.distance, atol=1e-3)
        np.testing.assert_allclose(record["made_up"], expected.made_up.mean(axis=(1, 2)), atol=1e-4)
        np.testing.assert_array_equal(record["camera_to_world"], trajectory)
        assert record["steps"] == 1
        assert 0 < record["seconds"] < 20


def test_a_sheet_shows_frames_truth_prediction_depth_and_errors(card: Path, frames: list[str], tmp_path: Path) -> None:
    told = task(frames, truth=frames[:1])
    arguments = ["views", "--tasks", write_tasks(tmp_path / "tasks.json", told), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--model", str(card), "--sheet"]) == 0
    folder = tmp_path / "out" / "room_000001x2"
    assert files_of(folder) == ["000.png", "001.png", "002.png", "sheet.png"]
    sheet, view = read_image(folder / "sheet.png"), read_image(folder / "000.png")
    # Six rows of a label and pictures of twice the size; as many columns as there are known frames.
    row, column = 18 + 2 * 90 + 2, 2 * 160 + 2
    assert sheet.shape == (6 * row, max(len(frames), 3) * column, 3)

    def shown(at_row: int, at_column: int) -> ImageArray:
        top, left = at_row * row + 18, at_column * column
        return sheet[top : top + 180, left : left + 320]

    known, truth, predicted, depth, difference = (shown(k, 0)[::2, ::2] for k in range(5))
    np.testing.assert_array_equal(predicted, view)
    assert np.abs(known.astype(float) - truth).mean() < 2
    wrong = np.abs(truth.astype(float) - predicted).mean(axis=2)
    assert np.corrcoef(wrong.clip(0, 64).ravel(), difference.sum(axis=2).ravel())[0, 1] > 0.9
    # Of the views without a truth there is no difference to be shown.
    assert (shown(4, 1) == 255).all()
    assert depth.std() > 0
    assert shown(5, 2).std() > 0


def test_depths_and_masks_are_those_of_the_predictor(
    card: Path, predictor: ViewPredictor, frames: list[str], tmp_path: Path
) -> None:
    given, out = task(frames), tmp_path / "out"
    arguments = ["views", "--tasks", write_tasks(tmp_path / "tasks.json", given), "--out", str(out)]
    assert main([*arguments, "--model", str(card), "--depth", "--width", "80"]) == 0
    folder = out / "room_000001x2"
    assert files_of(folder) == sorted(f"00{k}{end}" for k in range(3) for end in (".png", "_depth.tiff", "_unseen.png"))
    images = [read_image(Path(path)) for path in given["context"]]
    poses, trajectory = np.array(given["context_poses"]), np.array(given["trajectory"])
    expected = predictor.predict(PredictionRequest(images, CAMERA, poses, trajectory, size=(80, 45)))
    assert expected.depth is not None
    for index in range(3):
        depth = cv2.imread(str(folder / f"00{index}_depth.tiff"), cv2.IMREAD_UNCHANGED)
        unseen = cv2.imread(str(folder / f"00{index}_unseen.png"), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.float32
        np.testing.assert_array_equal(depth, expected.depth[index])
        np.testing.assert_array_equal(unseen, np.where(expected.made_up[index] > 0.5, 255, 0))


def test_a_truth_that_cannot_be_read_costs_no_views(
    card: Path, frames: list[str], tmp_path: Path, capsys: CapSys
) -> None:
    arguments = ["views", "--tasks", write_tasks(tmp_path / "tasks.json", task(frames)), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--model", str(card), "--sheet"]) == 1
    assert "not/read.png" in capsys.readouterr().err
    assert files_of(tmp_path / "out" / "room_000001x2") == ["000.png", "001.png", "002.png"]


def test_seed_and_steps_of_views(card: Path, frames: list[str], tmp_path: Path) -> None:
    tasks, found = write_tasks(tmp_path / "tasks.json", task(frames)), {}
    for name, options in {"plain": [], "again": [], "seed": ["--seed", "9"], "steps": ["--steps", "2"]}.items():
        out = tmp_path / name
        assert main(["views", "--tasks", tasks, "--out", str(out), "--model", str(card), *options]) == 0
        found[name] = views_of(out / "room_000001x2").astype(int)
        (record,) = json.loads((out / "views.json").read_text())["tasks"]
        assert record["steps"] == (2 if name == "steps" else 1)
    np.testing.assert_array_equal(found["again"], found["plain"])
    # Most of what is seen comes from the known frames, whatever the noise.
    for name in ("seed", "steps"):
        assert (found[name] != found["plain"]).mean() > 0.02, name


def test_views_have_the_width_that_was_asked_for_up_to_that_of_the_known_frames(
    card: Path, frames: list[str], tmp_path: Path, capsys: CapSys
) -> None:
    tasks = write_tasks(tmp_path / "tasks.json", task(frames, trajectory=[np.eye(4).tolist()]))
    arguments = ["views", "--tasks", tasks, "--out", str(tmp_path / "out"), "--model", str(card), "--width"]
    assert main([*arguments, "80"]) == 0
    assert views_of(tmp_path / "out" / "room_000001x2").shape == (1, 45, 80, 3)
    assert "narrower" not in capsys.readouterr().out
    assert main([*arguments, "161"]) == 0
    assert views_of(tmp_path / "out" / "room_000001x2").shape == (1, 90, 160, 3)
    said = capsys.readouterr().out
    assert "raxels: 1 of 1 tasks have views narrower than --width 161: their known frames are" in said


def test_one_bad_task_does_not_lose_the_others(card: Path, frames: list[str], tmp_path: Path, capsys: CapSys) -> None:
    small = write_image(tmp_path / "small.png", IMAGES[0][:-1])
    bad = {
        "gone": (task([*frames[:2], str(tmp_path / "gone.png")], "gone"), "gone.png cannot be read"),
        "sizes": (task([small, *frames[1:]], "sizes"), "has shape (90, 160, 3), its camera is 160x89 px"),
        "focal": (task(frames, "focal", intrinsics=[0.0, *INTRINSICS[1:]]), "fx = 0.0"),
    }
    tasks = write_tasks(tmp_path / "tasks.json", *(record for record, _ in bad.values()), task(frames, "good"))
    out = tmp_path / "out"
    assert main(["views", "--tasks", tasks, "--out", str(out), "--model", str(card)]) == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert lines[-1] == f"raxels: 3 of 4 tasks failed; {out / 'views.json'} says why"
    report = json.loads((out / "views.json").read_text())["tasks"]
    assert [record["id"] for record in report] == ["gone", "sizes", "focal", "good"]
    for line, record, (name, (_, words)) in zip(lines, report, bad.items(), strict=False):
        assert line.startswith(f"raxels: task {name} failed: ")
        assert words in line
        assert set(record) == {"id", "error"}
        assert words in record["error"]
    assert len(lines) == 4
    assert files_of(out) == ["good/000.png", "good/001.png", "good/002.png", "views.json"]
    assert captured.out.startswith("3 views of 1 tasks, ")


def test_an_engine_that_fails_in_one_task_leaves_the_others(
    card: Path, tmp_path: Path, frames: list[str], monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    whole, calls = ViewPredictor.predict, []

    def predict(predictor: ViewPredictor, *given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise EngineError("no memory left")
        return whole(predictor, *given, **named)

    monkeypatch.setattr(ViewPredictor, "predict", predict)
    tasks = write_tasks(tmp_path / "tasks.json", task(frames, "first"), task(frames, "second"))
    assert main(["views", "--tasks", tasks, "--out", str(tmp_path / "out"), "--model", str(card)]) == 1
    assert "raxels: task first failed: no memory left" in capsys.readouterr().err
    assert "second/000.png" in files_of(tmp_path / "out")


def test_where_every_task_fails_it_is_said(card: Path, tmp_path: Path, capsys: CapSys) -> None:
    tasks = write_tasks(tmp_path / "tasks.json", task([str(tmp_path / "gone.png")] * 3))
    out = tmp_path / "out"
    assert main(["views", "--tasks", tasks, "--out", str(out), "--model", str(card)]) == 1
    assert capsys.readouterr().out == f"no views -> {out}\n"
    assert files_of(out) == ["views.json"]


def spoiled(poses: Any, value: float) -> Any:
    changed = np.array(poses)
    changed[1, 0, 3] = value
    return changed.tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"context": []}, "tasks[1].context = [] must be one or more paths; name the known frames"),
        ({"context": ["a.png", 3, "b.png"]}, "tasks[1].context = ['a.png', 3, 'b.png'] must be one or more paths"),
        ({"context": "a.png"}, "tasks[1]: context = 'a.png' must be a list"),
        ({"context_poses": spoiled(POSES, np.nan)}, "must be 3x4x4 finite number(s)"),
        ({"context_poses": POSES[:2].tolist()}, "must be 3x4x4 finite number(s)"),
        ({"trajectory": spoiled(AHEAD, np.inf)}, "must be Nx4x4 finite number(s)"),
        ({"trajectory": []}, "tasks[1].trajectory = [] must be Nx4x4 finite number(s)"),
        ({"intrinsics": [1, 2, 3]}, "tasks[1].intrinsics = [1, 2, 3] must be 4 finite number(s)"),
        ({"intrinsics": None}, "tasks[1] has no 'intrinsics'; add it"),
        ({"id": None}, "tasks[1] has no 'id'; add it"),
        ({"id": "room/000001x2"}, "tasks[1].id = 'room/000001x2': folder room_000001x2 occurs twice; rename one"),
    ],
)
def test_tasks_that_make_no_sense_are_refused_before_the_work(
    card: Path, frames: list[str], tmp_path: Path, capsys: CapSys, change: dict[str, Any], words: str
) -> None:
    tasks = write_tasks(tmp_path / "tasks.json", task(frames), task(frames, "other", **change))
    assert main(["views", "--tasks", tasks, "--out", str(tmp_path / "out"), "--model", str(card)]) == 2
    line = error_line(capsys)
    assert line.startswith(f"raxels: {tasks}: tasks[1]")
    assert words in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "= [] must be an object with 'tasks'"),
        ("{}", "has no 'tasks'"),
        ('{"tasks": 3}', "tasks = 3 must be a list"),
        ('{"tasks": [3]}', "tasks[0] = 3 must be an object"),
    ],
)
def test_what_is_no_file_of_tasks_is_refused(
    card: Path, tmp_path: Path, capsys: CapSys, content: str, words: str
) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(content)
    assert main(["views", "--tasks", str(path), "--out", str(tmp_path / "out"), "--model", str(card)]) == 2
    line = error_line(capsys)
    assert str(path) in line
    assert words in line


@pytest.mark.parametrize(("one", "other"), [("a/b", "a_b"), ("a/b_c", "a_b/c")])
def test_tasks_whose_views_would_overwrite_each_other_are_refused(
    card: Path, frames: list[str], tmp_path: Path, capsys: CapSys, one: str, other: str
) -> None:
    tasks = write_tasks(tmp_path / "tasks.json", task(frames, one), task(frames, other))
    assert main(["views", "--tasks", tasks, "--out", str(tmp_path / "out"), "--model", str(card)]) == 2
    assert repr(other) in error_line(capsys)


@pytest.mark.parametrize("name", ["..", ".", ""])
def test_views_stay_in_their_folder(card: Path, frames: list[str], tmp_path: Path, capsys: CapSys, name: str) -> None:
    tasks = write_tasks(tmp_path / "tasks.json", task(frames, name))
    assert main(["views", "--tasks", tasks, "--out", str(tmp_path / "out"), "--model", str(card)]) == 2
    assert f"id = {name!r}" in error_line(capsys)
    assert list(tmp_path.rglob("000.png")) == []


@pytest.mark.parametrize("steps", ["0", "-1", "1.5", "many"])
@pytest.mark.parametrize("command", [["views", "--tasks", "t.json"], ["imagine", "a.png"]])
def test_steps_are_a_whole_number(tmp_path: Path, capsys: CapSys, command: list[str], steps: str) -> None:
    assert main([*command, "--out", str(tmp_path / "out"), f"--steps={steps}"]) == 2
    assert f"argument --steps: {steps!r} must be a whole number of at least 1" in capsys.readouterr().err


@pytest.fixture(params=["views", "imagine"])
def command(request: pytest.FixtureRequest, frames: list[str], tmp_path: Path) -> list[str]:
    """A command that would do, without model and folder."""
    if request.param == "imagine":
        return ["imagine", frames[0], "--frames", "1"]
    return ["views", "--tasks", write_tasks(tmp_path / "tasks.json", task(frames))]


def test_a_folder_that_cannot_be_made_is_refused(command: list[str], card: Path, capsys: CapSys) -> None:
    assert main([*command, "--out", "/dev/null/out", "--model", str(card)]) == 2
    assert "/dev/null/out cannot be made (Not a directory); give another --out" in error_line(capsys)


def test_a_model_that_is_missing_or_makes_no_views_is_refused(
    command: list[str], card: Path, tmp_path: Path, capsys: CapSys
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main([*command, *out, "--model", str(tmp_path / "gone.json")]) == 2
    assert "gone.json is not a model card" in error_line(capsys)
    record = json.loads(card.read_text())
    for role in ("joint", "sweep"):
        del record["graphs"][role]
    (tmp_path / "rays.json").write_text(json.dumps(record))
    assert main([*command, *out, "--model", str(tmp_path / "rays.json")]) == 2
    assert "model tiny was not trained on pixels and makes no views; give another model" in error_line(capsys)
    (tmp_path / "moved.json").write_text(card.read_text())
    assert main([*command, *out, "--model", str(tmp_path / "moved.json")]) == 2
    assert "tiny_sweep.onnx cannot be read (No such file or directory)" in error_line(capsys)
    assert not (tmp_path / "out").exists() or files_of(tmp_path / "out") == []


@pytest.mark.parametrize("command", ["views", "imagine", "render"])
def test_every_command_of_views_has_help(command: str, capsys: CapSys) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: raxels {command}" in capsys.readouterr().out


def test_a_seed_below_zero_is_refused_by_value(card: Path, frames: list[str], tmp_path: Path, capsys: CapSys) -> None:
    tasks, out = write_tasks(tmp_path / "tasks.json", task(frames)), ["--out", str(tmp_path / "out")]
    size = ["--clips", "1", "--frames", "2", "--width", "48", "--height", "36"]
    for command in (
        ["views", "--tasks", tasks, *out, "--model", str(card)],
        ["imagine", frames[0], *out, "--model", str(card)],
        ["render", str(tmp_path / "clips"), *size],
    ):
        assert main([*command, "--seed=-1"]) == 2
        assert "-1" in capsys.readouterr().err
    assert not (tmp_path / "clips" / "recipe.json").exists()
