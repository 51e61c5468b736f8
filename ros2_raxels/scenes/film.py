"""Renders the path of a camera, or of a rig, through a world to disk, as a posed set or rig set like a recording."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.lens_names import lens_name
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, inverse_pose
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.scenes.depth_sensor import sensed_depth_mm
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.world import World

_CHUNK_FRAMES = 6
_FOLDER, _DEPTH_FOLDER = "images", "depth"
_JPEG_QUALITY = 95

Progress = Callable[[int, int], None]
"""Called with the amount done and the total."""


@dataclass(frozen=True, eq=False)
class Film:
    """What is rendered.

    Attributes:
        name: of the set.
        world: lengths in m.
        camera: of all frames.
        camera_to_world: (N, 4, 4) optical frames, m.
        rate_hz: frames a second.
        rig: of cameras that film in place of that one, fixed to a base that stands where it would; None for it alone.
        with_depth: whether a depth sensor films as well, in the place of the camera; not for a rig set.
    """

    name: str
    world: World
    camera: Camera
    camera_to_world: FloatArray
    rate_hz: float
    rig: Rig | None = None
    with_depth: bool = False

    def __post_init__(self) -> None:
        if self.with_depth and self.is_rig_set:
            raise ValueError("a rig set has no depth images; film with one camera without distortion")

    @property
    def cameras(self) -> Mapping[str, MountedCamera]:
        """All that film, by name; the base has a robot's axes."""
        return {"front": MountedCamera(self.camera, OPTICAL_TO_BODY)} if self.rig is None else self.rig.cameras

    @property
    def base_to_world(self) -> FloatArray:
        """(N, 4, 4), m."""
        return np.asarray(self.camera_to_world @ inverse_pose(OPTICAL_TO_BODY))

    @property
    def is_rig_set(self) -> bool:
        """Whether it is written as one: a posed set knows neither lenses nor several cameras."""
        return self.rig is not None or self.camera.is_distorted

    def folder_of(self, camera: str) -> str:
        """Name of the folder of a camera's images."""
        return _FOLDER if self.rig is None else camera


def write_film(film: Film, folder: Path, progress: Progress, processes: int = 2) -> None:
    """Render into a folder that appears when it is complete; a failure before that leaves nothing behind.

    It is a posed set, or a rig set where there are several cameras or a lens.

    Args:
        film: what to render.
        folder: must not exist yet, or must be empty.
        progress: called every few frames.
        processes: number of rendering processes.

    Raises:
        OSError: the folder is not empty, or cannot be written to.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished_", dir=folder.parent))
    try:
        for camera in film.cameras:
            (unfinished / film.folder_of(camera)).mkdir()
        if film.with_depth:
            (unfinished / _DEPTH_FOLDER).mkdir()
        _render_all(film, unfinished, progress, processes)
        name, record = ("rig.json", _rig_record(film)) if film.is_rig_set else ("cameras.json", _record(film))
        (unfinished / name).write_text(json.dumps(record), encoding="utf-8")
        # Temporary folders are accessible to their owner alone.
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def shown_progress(doing: str = "rendering", unit: str = "frame") -> Iterator[Progress]:
    """A progress bar on stderr, where that is a terminal."""
    with tqdm(desc=doing, unit=unit, leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _record(film: Film) -> dict[str, Any]:
    c = film.camera
    camera = {"K": [c.fx, c.fy, c.cx, c.cy], "width": c.width, "height": c.height}
    return {
        "name": film.name,
        "frame_rate": film.rate_hz,
        "metric_scale": True,
        "undistorted": True,
        "convention": "camera-to-world, OpenCV axes (x right, y down, z forward)",
        "frames": [
            {
                "file": f"{_FOLDER}/{_file_name(index)}",
                "timestamp": index / film.rate_hz,
                **camera,
                "c2w": pose.tolist(),
            }
            for index, pose in enumerate(film.camera_to_world)
        ],
    }


def _rig_record(film: Film) -> dict[str, Any]:
    return {
        "name": film.name,
        "frame_rate": film.rate_hz,
        "metric_scale": True,
        "cameras": [_camera_record(film, name, mounted) for name, mounted in film.cameras.items()],
        "frames": [
            {"timestamp": index / film.rate_hz, "file": _file_name(index), "base_to_world": pose.tolist()}
            for index, pose in enumerate(film.base_to_world)
        ],
    }


def _camera_record(film: Film, name: str, mounted: MountedCamera) -> dict[str, Any]:
    c = mounted.camera
    return {
        "name": name,
        "folder": film.folder_of(name),
        "width": c.width,
        "height": c.height,
        "K": [c.fx, c.fy, c.cx, c.cy],
        "distortion_model": lens_name(c),
        "D": list(c.distortion),
        "camera_to_base": mounted.camera_to_base.tolist(),
    }


def _file_name(index: int, suffix: str = ".jpg") -> str:
    return f"{index:06d}{suffix}"


def _render_all(film: Film, folder: Path, progress: Progress, processes: int) -> None:
    count = len(film.camera_to_world)
    chunks = [range(start, min(start + _CHUNK_FRAMES, count)) for start in range(0, count, _CHUNK_FRAMES)]
    # A forked child would inherit the locks of OpenCV's threads in an arbitrary state.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(chunks)), fresh, _start_worker, (film,)) as pool:
        try:
            jobs = [pool.submit(_render_chunk, chunk, folder) for chunk in chunks]
            done = 0
            for job in as_completed(jobs):
                done += job.result()
                progress(done, count)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_film: Film


def _start_worker(film: Film) -> None:
    global _film
    # The parent handles Ctrl-C: it cancels what has not begun.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _film = film


def _render_chunk(indices: range, folder: Path) -> int:
    for index in indices:
        for name, mounted in _film.cameras.items():
            pose = _film.base_to_world[index] @ mounted.camera_to_base
            image, depth_m = render(_film.world, mounted.camera, pose)
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            file = folder / _film.folder_of(name) / _file_name(index)
            _write(file, bgr, cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY)
            if _film.with_depth:
                sensed = sensed_depth_mm(depth_m, np.random.default_rng(index))
                _write(folder / _DEPTH_FOLDER / _file_name(index, ".png"), sensed)
    return len(indices)


def _write(file: Path, pixels: npt.NDArray[Any], *options: int) -> None:
    if not cv2.imwrite(str(file), pixels, options):
        raise OSError(f"{file} cannot be written; look for a full disk")
