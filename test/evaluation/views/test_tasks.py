"""Tasks of views: drawn as the independent yardstick draws them, of one camera that moves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from posed_sets import CAMERA, DEV, set_record, wandering, write_set, yardstick

from ros2_raxels.evaluation.views.tasks import ViewTask, make_view_tasks, set_of
from ros2_raxels.utils.files import FileError


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
