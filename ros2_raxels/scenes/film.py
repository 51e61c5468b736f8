"""Renders a camera path through a world to disk, as a posed set like a recording."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.lens_names import lens_name
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, inverse_pose
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.world import World

_CHUNK_FRAMES = 6
_FOLDER = "images"
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
    """

    name: str
    world: World
    camera: Camera
    camera_to_world: FloatArray
    rate_hz: float


def write_film(film: Film, folder: Path, progress: Progress, processes: int = 2) -> None:
    """Render into a folder that appears when it is complete; a failure before that leaves nothing behind.

    It is a posed set, or a rig set where the camera has a lens, of which a posed set knows nothing.

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
        (unfinished / _FOLDER).mkdir()
        _render_all(film, unfinished, progress, processes)
        name, record = ("rig.json", _rig_record(film)) if film.camera.is_distorted else ("cameras.json", _record(film))
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
            {"file": _image_name(index), "timestamp": index / film.rate_hz, **camera, "c2w": pose.tolist()}
            for index, pose in enumerate(film.camera_to_world)
        ],
    }


def _rig_record(film: Film) -> dict[str, Any]:
    """The camera is the base of its rig, whose axes are a robot's."""
    c = film.camera
    camera = {
        "name": "front",
        "folder": _FOLDER,
        "width": c.width,
        "height": c.height,
        "K": [c.fx, c.fy, c.cx, c.cy],
        "distortion_model": lens_name(c),
        "D": list(c.distortion),
        "camera_to_base": OPTICAL_TO_BODY.tolist(),
    }
    base_to_world = film.camera_to_world @ inverse_pose(OPTICAL_TO_BODY)
    return {
        "name": film.name,
        "frame_rate": film.rate_hz,
        "metric_scale": True,
        "cameras": [camera],
        "frames": [
            {
                "timestamp": index / film.rate_hz,
                "file": _image_name(index).removeprefix(f"{_FOLDER}/"),
                "base_to_world": pose.tolist(),
            }
            for index, pose in enumerate(base_to_world)
        ],
    }


def _image_name(index: int) -> str:
    return f"{_FOLDER}/{index:06d}.jpg"


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
        rgb, _ = render(_film.world, _film.camera, _film.camera_to_world[index])
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(folder / _image_name(index)), bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]):
            raise OSError(f"{folder / _image_name(index)} cannot be written; look for a full disk")
    return len(indices)
