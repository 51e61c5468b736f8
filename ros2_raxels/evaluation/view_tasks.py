"""Tasks of views whose truth is known: some frames of a posed set, and the cameras of those that follow."""

from __future__ import annotations

from pathlib import Path

from ros2_raxels.evaluation.posed_sets import PosedSet, RunRule, draw_runs, set_files
from ros2_raxels.files import FileError
from ros2_raxels.views import ViewTask

CONTEXT, AHEAD = 4, 4
"""Frames that are known, and views to make, of each task."""

_RULE = RunRule(CONTEXT + AHEAD, (1, 2, 3, 5, 8), origin=CONTEXT - 1, max_rotation_deg=25.0, one_camera=True)


def make_view_tasks(root: Path, per_set: int, seed: int = 0) -> list[ViewTask]:
    """Tasks drawn from all posed sets (``*/cameras.json``) of a folder, for ever the same for the same seed.

    The world is the newest known camera. Sets that are too short for a task are left out.

    Args:
        root: folder of the sets.
        per_set: at most so many tasks of each.
        seed: of the draw, which is another for every set name.

    Raises:
        FileError: there is no set, one is malformed, or none has a task.
    """
    tasks = [task for file in set_files(root) for task in _tasks_of_set(PosedSet.read(file), per_set, seed)]
    if not tasks:
        raise FileError(
            f"{root}: no set has {CONTEXT + AHEAD} frames of one camera that moves and turns by no more than "
            f"{_RULE.max_rotation_deg:.0f} degrees, which a task of --views needs; give longer or slower ones"
        )
    return tasks


def set_of(task: ViewTask) -> str:
    """The set that a task was drawn from."""
    return task.id.rpartition("/")[0]


def _tasks_of_set(posed: PosedSet, count: int, seed: int) -> list[ViewTask]:
    tasks = []
    for run in draw_runs(posed, _RULE, count, seed):
        images, poses = posed.images[run.chosen], run.camera_to_origin
        known, ahead = slice(None, CONTEXT), slice(CONTEXT, None)
        intrinsics = posed.intrinsics[run.chosen.start]
        tasks.append(ViewTask(run.id, images[known], poses[known], intrinsics, poses[ahead], images[ahead]))
    return tasks
