"""View prediction tasks: context frames and a trajectory, from a file or drawn from posed sets with known truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ros2_raxels.evaluation.runs import RunRule, draw_runs
from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.posed_set import CompleteSet, PosedSet, set_files
from ros2_raxels.recordings.rig_set import RigCamera, read_rig_camera
from ros2_raxels.recordings.source import SourceError, check_camera_fits, read_image
from ros2_raxels.utils.files import FileError, has, load_json, numbers, shown, take, take_list
from ros2_raxels.view_synthesis.context import (
    ContextFrame,
    Mask,
    as_seen_by,
    plain_lens,
    shown_in,
    undistorted,
)

CONTEXT, AHEAD = 4, 4
"""Context frames and views to predict in each task."""

_RULE = RunRule(CONTEXT + AHEAD, (1, 2, 3, 5, 8), origin=CONTEXT - 1, max_rotation_deg=25.0, one_camera=True)


@dataclass(frozen=True, eq=False)
class ViewTask:
    """Context frames, and a trajectory along which views are predicted.

    Attributes:
        id: unique name.
        context: image files, oldest first.
        context_to_world: (K, 4, 4) optical frames.
        intrinsics: fx, fy, cx, cy, px of the stored images; None where several cameras took them.
        trajectory: (T, 4, 4) camera to world.
        truth: image files of what the camera saw along it, where known.
        lenses: of each context image, where several cameras took them.
        lens: of the views then.
        own: which of the context images the camera of the views took, where several cameras took them.
    """

    id: str
    context: tuple[Path, ...]
    context_to_world: FloatArray
    intrinsics: FloatArray | None
    trajectory: FloatArray
    truth: tuple[Path, ...] = ()
    lenses: tuple[Camera, ...] = ()
    lens: Camera | None = None
    own: tuple[int, ...] = ()

    def folder(self, root: Path) -> Path:
        """Where its views are written."""
        return root / self.name

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.id.replace("/", "_")

    def read(self) -> tuple[list[ImageArray], PinholeCamera]:
        """Images and their camera; of several cameras, images as the camera of the views sees them.

        Raises:
            SourceError: an image cannot be read, or is not of its camera's size.
            ValueError: intrinsics that cannot belong to a camera.
        """
        images = [read_image(path) for path in self.context]
        if self.lens is None:
            assert self.intrinsics is not None
            height, width = images[0].shape[:2]
            return images, PinholeCamera(width, height, *self.intrinsics.tolist())
        for image, lens, path in zip(images, self.lenses, self.context, strict=True):
            check_camera_fits(lens, image, str(path))
        plain = plain_lens(self.lens)
        pairs = zip(images, self.lenses, self.context_to_world, strict=True)
        frames = [ContextFrame(*undistorted(image, lens), 0, "", pose) for image, lens, pose in pairs]
        return as_seen_by(plain, frames), plain

    def shown(self) -> list[Mask] | None:
        """Where the images that `read` gives show anything; None where that is everywhere."""
        return (
            None if self.lens is None else shown_in(plain_lens(self.lens), [plain_lens(lens) for lens in self.lenses])
        )


def read_tasks(path: Path) -> list[ViewTask]:
    """Tasks of a file.

    Raises:
        FileError: missing file, no JSON, a missing key, a wrong value, or an id that occurs twice.
    """
    tasks: dict[str, ViewTask] = {}
    for index, record in enumerate(take_list(load_json(path), "tasks", str(path))):
        task = _task(record, f"{path}: tasks[{index}]")
        if task.name in tasks:
            raise FileError(f"{path}: tasks[{index}].id = {task.id!r}: folder {task.name} occurs twice; rename one")
        if task.name in ("", ".", ".."):
            raise FileError(f"{path}: tasks[{index}].id = {task.id!r} names no folder; give a name")
        tasks[task.name] = task
    return list(tasks.values())


def _task(record: object, where: str) -> ViewTask:
    context = take_list(record, "context", where)
    if not context or not all(isinstance(path, str) for path in context):
        raise FileError(f"{where}.context = {shown(context)} must be one or more paths; name the known frames")
    truth = take_list(record, "truth", where) if isinstance(record, dict) and "truth" in record else []
    if not all(isinstance(path, str) for path in truth):
        raise FileError(f"{where}.truth = {shown(truth)} must be paths, or left out")
    task = ViewTask(
        str(take(record, "id", where)),
        tuple(map(Path, context)),
        numbers(take(record, "context_poses", where), (len(context), 4, 4), f"{where}.context_poses"),
        None if has(record, "cameras") else numbers(take(record, "intrinsics", where), (4,), f"{where}.intrinsics"),
        numbers(take(record, "trajectory", where), (-1, 4, 4), f"{where}.trajectory"),
        tuple(map(Path, truth)),
    )
    return _of_rig(task, record, where) if has(record, "cameras") else task


def _of_rig(task: ViewTask, record: object, where: str) -> ViewTask:
    """The task, whose poses are of the base, with those of optical frames."""
    entries = enumerate(take_list(record, "cameras", where))
    cameras = {camera.name: camera for camera in (read_rig_camera(e, f"{where}.cameras[{k}]") for k, e in entries)}
    if not cameras:
        raise FileError(f"{where}.cameras is empty; it must list at least one")

    def named(name: object, key: str) -> RigCamera:
        if name not in cameras:
            raise FileError(f"{where}.{key} = {shown(name)} is unknown; the cameras are {', '.join(cameras)}")
        return cameras[str(name)]

    names = take_list(record, "context_cameras", where)
    if len(names) != len(task.context):
        raise FileError(
            f"{where}.context_cameras has {len(names)} names for {len(task.context)} context images; give one for each"
        )
    known = [named(name, f"context_cameras[{k}]") for k, name in enumerate(names)]
    asked = named(take(record, "camera", where), "camera") if has(record, "camera") else next(iter(cameras.values()))
    try:
        lenses = {camera.name: camera.lens() for camera in (*known, asked)}
    except SourceError as error:
        raise FileError(str(error)) from error
    return replace(
        task,
        context_to_world=task.context_to_world @ np.array([camera.camera_to_base for camera in known]),
        trajectory=task.trajectory @ asked.camera_to_base,
        lenses=tuple(lenses[camera.name] for camera in known),
        lens=lenses[asked.name],
        own=tuple(k for k, camera in enumerate(known) if camera is asked),
    )


def make_view_tasks(root: Path, per_set: int, seed: int = 0) -> list[ViewTask]:
    """Tasks drawn from all posed sets (``*/cameras.json``) of a folder, reproducible from the seed.

    The world is the newest context camera. Sets that are too short for a task are skipped.

    Args:
        root: folder of the sets.
        per_set: most tasks of one set.
        seed: of the draw; every set has a draw of its own.

    Raises:
        FileError: there is no set, one is malformed, or none has a task.
    """
    tasks = [task for file in set_files(root) for task in _tasks_of_set(PosedSet.read(file).complete(), per_set, seed)]
    if not tasks:
        raise FileError(
            f"{root}: no set has {CONTEXT + AHEAD} frames of one camera that moves and turns by no more than "
            f"{_RULE.max_rotation_deg:.0f} degrees, which a task of --views needs; give longer or slower ones"
        )
    return tasks


def set_of(task: ViewTask) -> str:
    """The set that a task was drawn from."""
    return task.id.rpartition("/")[0]


def _tasks_of_set(posed: CompleteSet, count: int, seed: int) -> list[ViewTask]:
    tasks = []
    for run in draw_runs(posed, _RULE, count, seed):
        images, poses = posed.images[run.chosen], run.camera_to_origin
        known, ahead = slice(None, CONTEXT), slice(CONTEXT, None)
        intrinsics = posed.intrinsics[run.chosen.start]
        tasks.append(ViewTask(run.id, images[known], poses[known], intrinsics, poses[ahead], images[ahead]))
    return tasks
