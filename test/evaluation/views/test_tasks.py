"""Tasks of views: drawn as the independent yardstick draws them, of one camera that moves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from posed_sets import CAMERA, DEV, set_record, wandering, write_set, yardstick
from rig_walk import LENS, STEREO, STEREO_WAY, seen_by_stereo

from ros2_raxels.evaluation.views.tasks import ViewTask, make_view_tasks, read_tasks, set_of
from ros2_raxels.factory import make_predictor
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.utils.files import FileError
from ros2_raxels.view_synthesis.prediction import PredictionRequest


def records(tasks: list[ViewTask]) -> list[dict[str, Any]]:
    """As the yardstick writes them."""
    return [
        {
            "id": task.id,
            "set": set_of(task),
            "context": [str(path) for path in task.context],
            "context_poses": task.context_to_world.tolist(),
            "intrinsics": task.intrinsics.tolist(),
            "trajectory": task.trajectory.tolist(),
            "truth": [str(path) for path in task.truth],
        }
        for task in tasks
    ]


def write_zooming_set(folder: Path, count: int, every: int) -> None:
    """A set whose focal length changes by so much as counts, every so many frames."""
    folder.mkdir()
    found = set_record(folder.name, wandering(count, 5, turn=0.01))
    for index, frame in enumerate(found["frames"]):
        frame["K"][0] += 0.2 * (index // every)
    (folder / "cameras.json").write_text(json.dumps(found))


@pytest.mark.parametrize(("per_set", "seed"), [(1, 0), (12, 0), (12, 7), (500, 1)])
def test_tasks_equal_the_yardsticks_to_the_last_bit(tmp_path: Path, per_set: int, seed: int) -> None:
    write_set(tmp_path / "b_wild", wandering(80, 1, turn=0.1))
    write_set(tmp_path / "a_calm", wandering(60, 2, turn=0.02))
    write_set(tmp_path / "c_short", wandering(7, 3))
    write_set(tmp_path / "d_still", np.tile(np.eye(4), (20, 1, 1)))
    write_zooming_set(tmp_path / "e_zoom", 60, every=12)
    tool = yardstick("score_views")
    tasks = make_view_tasks(tmp_path, per_set, seed)
    assert {set_of(task) for task in tasks} == {"a_calm", "b_wild", "e_zoom"}
    assert records(tasks) == tool.make_tasks(tmp_path, per_set, seed)["tasks"]


@pytest.mark.data
@pytest.mark.skipif(not DEV.is_dir(), reason="recorded data is not there")
def test_tasks_of_recorded_data_equal_the_yardsticks() -> None:
    assert records(make_view_tasks(DEV, 12, 0)) == yardstick("score_views").make_tasks(DEV, 12, 0)["tasks"]


def test_tasks_obey_their_rules(tmp_path: Path) -> None:
    poses = wandering(60, 4, turn=0.08)
    folder = write_set(tmp_path / "walk", poses)
    tasks = make_view_tasks(tmp_path, 15, 5)
    assert len(tasks) == len({task.id for task in tasks}) == 15
    for task in tasks:
        first, stride = (int(part) for part in task.id.removeprefix("walk/").split("x"))
        assert stride in (1, 2, 3, 5, 8)
        frames = [first + stride * k for k in range(8)]
        assert [*task.context, *task.truth] == [folder / f"images/{k:06d}.png" for k in frames]
        assert len(task.context) == len(task.context_to_world) == len(task.trajectory) == 4
        expected = np.linalg.inv(poses[frames[3]]) @ poses[frames]
        found = np.concatenate([task.context_to_world, task.trajectory])
        np.testing.assert_allclose(found, expected, atol=1e-9)
        np.testing.assert_allclose(task.context_to_world[-1], np.eye(4), atol=1e-12)
        turns = [np.linalg.norm(cv2.Rodrigues(pose[:3, :3])[0]) for pose in found]
        assert np.degrees(max(turns)) < 25.01
        np.testing.assert_array_equal(task.intrinsics, [CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy])
    assert records(tasks) == records(make_view_tasks(tmp_path, 15, 5))
    assert records(tasks) != records(make_view_tasks(tmp_path, 15, 6))


def test_a_task_has_one_camera(tmp_path: Path) -> None:
    write_zooming_set(tmp_path / "zoom", 40, every=10)
    tasks = make_view_tasks(tmp_path, 50)
    # Three runs of neighbours fit into ten frames of a camera, and nothing wider does.
    assert {task.id for task in tasks} == {f"zoom/{ten + k:06d}x1" for ten in (0, 10, 20, 30) for k in range(3)}
    for task in tasks:
        first = int(task.id[5:11])
        assert task.intrinsics[0] == pytest.approx(CAMERA.fx + 0.2 * (first // 10))
    found = set_record("sizes", wandering(9, 5, turn=0.01))
    found["frames"][4]["width"] += 1
    (tmp_path / "zoom" / "cameras.json").write_text(json.dumps(found))
    with pytest.raises(FileError, match="no set has 8 frames of one camera"):
        make_view_tasks(tmp_path, 50)
    del found["frames"][4]["width"]
    (tmp_path / "zoom" / "cameras.json").write_text(json.dumps(found))
    with pytest.raises(FileError, match=r"frames\[4\] has no 'width'"):
        make_view_tasks(tmp_path, 50)


# --------------------------------------------------------------------------------------------------------------- rigs


def rig_task(folder: Path, known: list[tuple[str, int]], ahead: list[int], **changes: Any) -> dict[str, Any]:
    """A task of the way of `STEREO`; poses are of the base."""
    paths = []
    for name, moment in known:
        paths.append(str(folder / f"{name}_{moment}.png"))
        cv2.imwrite(paths[-1], cv2.cvtColor(seen_by_stereo(name, moment), cv2.COLOR_RGB2BGR))
    cameras = [
        {
            "name": name,
            "folder": name,
            "width": LENS.width,
            "height": LENS.height,
            "K": [LENS.fx, LENS.fy, LENS.cx, LENS.cy],
            "distortion_model": "plumb_bob",
            "camera_to_base": STEREO[name].camera_to_base.tolist(),
        }
        for name in STEREO.names
    ]
    return {
        "id": "walk/1",
        "cameras": cameras,
        "context": paths,
        "context_cameras": [name for name, _ in known],
        "context_poses": STEREO_WAY[[moment for _, moment in known]].tolist(),
        "camera": "right",
        "trajectory": STEREO_WAY[ahead].tolist(),
    } | changes


def read_one(folder: Path, record: dict[str, Any]) -> ViewTask:
    (folder / "tasks.json").write_text(json.dumps({"tasks": [record]}))
    (task,) = read_tasks(folder / "tasks.json")
    return task


def test_a_task_of_a_rig_has_the_poses_of_its_cameras(tmp_path: Path) -> None:
    known = [("right", 3), ("left", 4), ("right", 4)]
    task = read_one(tmp_path, rig_task(tmp_path, known, [6]))
    mounts = [STEREO[name].camera_to_base for name, _ in known]
    np.testing.assert_allclose(task.context_to_world, STEREO_WAY[[3, 4, 4]] @ mounts, atol=1e-12)
    np.testing.assert_allclose(task.trajectory, STEREO_WAY[[6]] @ mounts[0], atol=1e-12)
    images, camera = task.read()
    assert camera == LENS
    assert task.own == (0, 2)
    for image, (name, moment) in zip(images, known, strict=True):
        np.testing.assert_array_equal(image, seen_by_stereo(name, moment))


def test_what_another_camera_sees_makes_views_of_this_one_better(tmp_path: Path) -> None:
    """The right camera has been silent for a while; the left one goes on."""
    pytest.importorskip("onnxruntime")
    predictor, ahead = make_predictor(""), [12, 13]
    truth = [seen_by_stereo("right", moment) for moment in ahead]

    def quality_db(known: list[tuple[str, int]]) -> float:
        task = read_one(tmp_path, rig_task(tmp_path, known, ahead))
        images, camera = task.read()
        request = PredictionRequest(images, camera, task.context_to_world, task.trajectory, size=(240, 180))
        views = predictor.predict(request).images
        return float(np.mean([cv2.PSNR(view, true) for view, true in zip(views, truth, strict=True)]))

    alone = quality_db([("right", 2), ("right", 4)])
    together = quality_db([("right", 2), ("right", 4), ("left", 8), ("left", 10)])
    assert together > alone + 3.0
    assert quality_db([("left", 8), ("left", 10)]) > alone + 3.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"camera": "rear"}, "tasks[0].camera = 'rear' is unknown; the cameras are left, right"),
        ({"context_cameras": ["left", 3]}, "tasks[0].context_cameras[1] = 3 is unknown; the cameras are left, right"),
        ({"context_cameras": ["left"]}, "tasks[0].context_cameras has 1 names for 2 context images; give one for each"),
        ({"cameras": []}, "tasks[0].cameras is empty; it must list at least one"),
    ],
)
def test_cameras_that_are_not_of_the_rig_are_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FileError, match=re.escape(words)):
        read_one(tmp_path, rig_task(tmp_path, [("left", 0), ("right", 0)], [1], **changes))


def test_an_image_that_is_not_its_cameras_is_named(tmp_path: Path) -> None:
    record = rig_task(tmp_path, [("left", 0), ("right", 0)], [1])
    record["cameras"][1]["width"] += 1
    with pytest.raises(SourceError, match=re.escape("right_0.png")):
        read_one(tmp_path, record).read()
