"""`raxels views`, `imagine` and `render`: what they write and say, and how they end, for good input and bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from views_scene import TexturedPlane, exported_card, shifted

from ros2_raxels.cli.main import main
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.geometry.camera import USUAL_FOCAL, PinholeCamera
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import read_image
from ros2_raxels.scenes.shards import read_shard
from ros2_raxels.view_synthesis.self_consistency import check_views

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from ros2_raxels.engine import EngineError  # noqa: E402
from ros2_raxels.view_synthesis.prediction import PredictionRequest  # noqa: E402
from ros2_raxels.view_synthesis.predictor import ViewPredictor  # noqa: E402

CapSys = pytest.CaptureFixture[str]

CAMERA = PinholeCamera(160, 90, 140.0, 142.0, 81.0, 43.0)
INTRINSICS = [140.0, 142.0, 81.0, 43.0]
POSES = np.array([shifted(-0.3), shifted(-0.2, 0.02, turn_deg=(1, 2, 0)), shifted(-0.1)])
AHEAD = np.array([shifted(0.0), shifted(0.1), shifted(0.2)])
IMAGES = TexturedPlane(2.0).views(CAMERA, POSES)


pytestmark = [pytest.mark.usefixtures("one_torch_thread"), pytest.mark.xdist_group("exported_card")]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_card(tmp_path_factory)


@pytest.fixture(scope="module")
def predictor(card: Path) -> ViewPredictor:
    return ViewPredictor.load(card)


@pytest.fixture
def frames(tmp_path: Path) -> list[str]:
    """Files of the context, oldest first."""
    folder = tmp_path / "frames"
    folder.mkdir()
    return [write_image(folder / f"{index}.png", image) for index, image in enumerate(IMAGES)]


def write_image(path: Path, image: ImageArray) -> str:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return str(path)


def task(frames: list[str], name: str = "room/000001x2", **changes: Any) -> dict[str, Any]:
    """As `score_views.py tasks` writes it, with the last context camera as the world."""
    world = np.linalg.inv(POSES[-1])
    return {
        "id": name,
        "set": "room",
        "context": frames,
        "context_poses": (world @ POSES).tolist(),
        "intrinsics": INTRINSICS,
        "trajectory": (world @ AHEAD).tolist(),
        "truth": ["not/read.png"] * 3,
    } | changes


def write_tasks(path: Path, *tasks: dict[str, Any]) -> str:
    path.write_text(json.dumps({"tasks": tasks}))
    return str(path)


def error_line(capsys: CapSys) -> str:
    """The one line on stderr."""
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1, captured
    assert captured.startswith("raxels: ")
    return captured


def files_of(folder: Path) -> list[str]:
    """All of a folder, hidden ones too: what is left of a temporary file would show."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def views_of(folder: Path) -> ImageArray:
    return np.array([read_image(path) for path in sorted(folder.glob("*.png"))])


# ---------------------------------------------------------------------------------------------------------- views


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
        request = PredictionRequest(images, CAMERA, np.array(given["context_poses"]), trajectory, seed=3)
        expected = predictor.predict(request)
        # Colours in their order, every pixel.
        found = views_of(out / given["id"].replace("/", "_"))
        assert found.shape == (len(trajectory), 72, 128, 3)
        np.testing.assert_array_equal(found, expected.images)
        checked = check_views(predictor, Estimator(), images, np.array(given["context_poses"]), expected)
        consistency = {"self_consistency_rotation_deg", "self_consistency_translation"}
        assert set(record) == {"id", "confidence", "made_up", "camera_to_world", "steps", "seconds"} | consistency
        np.testing.assert_allclose(record["confidence"], checked.confidence, atol=1e-4)
        turned_deg = np.array(record["self_consistency_rotation_deg"], float)
        np.testing.assert_allclose(turned_deg, np.degrees(checked.rotation_rad), atol=1e-3)
        np.testing.assert_allclose(np.array(record["self_consistency_translation"], float), checked.distance, atol=1e-3)
        np.testing.assert_allclose(record["made_up"], expected.made_up.mean(axis=(1, 2)), atol=1e-4)
        np.testing.assert_array_equal(record["camera_to_world"], trajectory)
        assert record["steps"] == 1
        assert 0 < record["seconds"] < 20


def test_a_sheet_shows_frames_truth_prediction_and_errors(card: Path, frames: list[str], tmp_path: Path) -> None:
    told = task(frames, truth=frames[:1])
    arguments = ["views", "--tasks", write_tasks(tmp_path / "tasks.json", told), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--model", str(card), "--sheet"]) == 0
    folder = tmp_path / "out" / "room_000001x2"
    assert files_of(folder) == ["000.png", "001.png", "002.png", "sheet.png"]
    sheet, view = read_image(folder / "sheet.png"), read_image(folder / "000.png")
    # Five rows of a label and pictures of twice the size; as many columns as there are known frames.
    row, column = 18 + 2 * 72 + 2, 2 * 128 + 2
    assert sheet.shape == (5 * row, max(len(frames), 3) * column, 3)

    def shown(at_row: int, at_column: int) -> ImageArray:
        top, left = at_row * row + 18, at_column * column
        return sheet[top : top + 144, left : left + 256]

    known, truth, predicted, difference = (shown(k, 0)[::2, ::2] for k in range(4))
    np.testing.assert_array_equal(predicted, view)
    assert np.abs(known.astype(float) - truth).mean() < 2
    wrong = np.abs(truth.astype(float) - predicted).mean(axis=2)
    assert np.corrcoef(wrong.clip(0, 64).ravel(), difference.sum(axis=2).ravel())[0, 1] > 0.9
    # Of the views without a truth there is no difference to be shown.
    assert (shown(3, 1) == 255).all()
    assert shown(4, 2).std() > 0


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
    for name in ("seed", "steps"):
        assert np.abs(found[name] - found["plain"]).mean() > 0.1, name


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


# -------------------------------------------------------------------------------------- model and folder, for both


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


# -------------------------------------------------------------------------------------------------------- imagine


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
        expected = predictor.imagine(image, CAMERA, 2, seed=4, steps=2)
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
    assert main(["imagine", frames[0], "--frames", "1", "--out", str(out), "--model", str(card)]) == 0
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


# --------------------------------------------------------------------------------------------------------- render


def test_render_goes_on_where_it_was_and_refuses_another_recipe(tmp_path: Path, capsys: CapSys) -> None:
    out = tmp_path / "new" / "clips"
    size = ["--frames", "2", "--width", "48", "--height", "36"]
    arguments = ["render", str(out), "--clips", "1", *size, "--seed", "5", "--workers", "1"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"1 clips of 2 frames in 1 shards -> {out}\n"
    assert files_of(out) == ["clips_00000.npz", "recipe.json"]
    assert json.loads((out / "recipe.json").read_text()) == {
        "seed": 5,
        "count": 1,
        "frames": 2,
        "width": 48,
        "height": 36,
        "augmented": True,
    }
    path = out / "clips_00000.npz"
    shard = read_shard(path)
    assert shard.images.shape == (1, 2, 36, 48, 3)
    np.testing.assert_allclose(shard.camera_to_first[0, 0], np.eye(4), atol=1e-9)
    # A shard that is there is left as it is, also by a second run that has nothing to do.
    path.write_bytes(b"left alone")
    assert main(arguments) == 0
    assert path.read_bytes() == b"left alone"
    # One that is missing is made again, and the same.
    path.unlink()
    assert main(arguments) == 0
    again = read_shard(path)
    for name, value in vars(shard).items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)
    capsys.readouterr()
    for change in (["--seed", "6"], ["--frames", "3"], ["--width", "64"], ["--clean"]):
        assert main([*arguments, *change]) == 2
        line = error_line(capsys)
        assert line.startswith(f"raxels: {out / 'recipe.json'} says {{'seed': 5, 'count': 1, 'frames': 2,")
        assert line.endswith("give another folder or the same values\n")
    assert files_of(out) == ["clips_00000.npz", "recipe.json"]


def test_render_refuses_what_it_cannot_do(tmp_path: Path, capsys: CapSys) -> None:
    assert main(["render", "/dev/null/clips"]) == 2
    assert "/dev/null/clips cannot be made (Not a directory)" in error_line(capsys)
    for option in ("--clips", "--frames", "--width", "--height", "--workers"):
        assert main(["render", str(tmp_path / "out"), option, "0"]) == 2
        assert f"argument {option}: '0' must be a whole number of at least 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_is_none_is_named(tmp_path: Path, capsys: CapSys) -> None:
    (tmp_path / "recipe.json").write_text("{")
    assert main(["render", str(tmp_path), "--clips", "1"]) == 2
    assert str(tmp_path / "recipe.json") in error_line(capsys)


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
