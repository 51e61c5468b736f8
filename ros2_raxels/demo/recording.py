"""A rendered walk through a room, on disk as the posed set that a user's own recording would be."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from ros2_raxels import geometry, scenes
from ros2_raxels.geometry import FloatArray, PinholeCamera

_PROCESSES = 2
_CHUNK_FRAMES = 6
_JPEG_QUALITY = 95
_FOCAL_PER_WIDTH = 0.8

Progress = Callable[[int, int], None]
"""Called with frames done and frames in all."""


@dataclass(frozen=True)
class Walk:
    """What is rendered.

    Attributes:
        seconds: duration of the loop.
        rate_hz: frames a second.
        width, height: image size, px.
        seed: of the room and of the movement.
    """

    seconds: float = 7.0
    rate_hz: float = 30.0
    width: int = 640
    height: int = 480
    seed: int = 3

    @property
    def camera(self) -> PinholeCamera:
        """Ideal pinhole with the principal point in the middle."""
        focal = _FOCAL_PER_WIDTH * self.width
        return PinholeCamera(self.width, self.height, focal, focal, (self.width - 1) / 2, (self.height - 1) / 2)


def recorded_walk(walk: Walk, progress: Progress, cache: Path | None = None) -> Path:
    """Directory of the rendered walk as a posed set; rendered once and then kept.

    Args:
        walk: what to render.
        progress: told about every few frames; not called when nothing has to be rendered.
        cache: where it is kept; default ``$XDG_CACHE_HOME/ros2_raxels/demo``.
    """
    folder = (cache or default_cache()) / _key(walk)
    if not (folder / "cameras.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished_", dir=folder.parent))
        try:
            _write_set(walk, unfinished, progress)
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def shown_walk(walk: Walk) -> Path:
    """`recorded_walk` with a progress bar."""
    with tqdm(desc="rendering", unit="frame", leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return recorded_walk(walk, progress)


def default_cache() -> Path:
    """Where rendered walks are kept unless told otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ros2_raxels" / "demo"


def _key(walk: Walk) -> str:
    """Changes with the parameters and with the code that turns them into images."""
    digest = hashlib.sha256(json.dumps(asdict(walk), sort_keys=True).encode())
    files = [Path(geometry.__file__), Path(__file__), *sorted(Path(scenes.__path__[0]).glob("*.py"))]
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _write_set(walk: Walk, folder: Path, progress: Progress) -> None:
    from ros2_raxels.scenes.trajectories import handheld_loop

    poses = handheld_loop(walk.seconds, walk.rate_hz, walk.seed)
    (folder / "images").mkdir()
    _render_all(walk, poses, folder, progress)
    record = {
        "name": "rendered room",
        "frame_rate": walk.rate_hz,
        "metric_scale": True,
        "undistorted": True,
        "convention": "camera-to-world, OpenCV axes (x right, y down, z forward)",
        "frames": [_frame_record(walk, index, pose) for index, pose in enumerate(poses)],
    }
    (folder / "cameras.json").write_text(json.dumps(record), encoding="utf-8")


def _frame_record(walk: Walk, index: int, pose: FloatArray) -> dict[str, Any]:
    camera = walk.camera
    return {
        "file": _image_name(index),
        "timestamp": index / walk.rate_hz,
        "K": [camera.fx, camera.fy, camera.cx, camera.cy],
        "width": walk.width,
        "height": walk.height,
        "c2w": pose.tolist(),
    }


def _image_name(index: int) -> str:
    return f"images/{index:06d}.jpg"


def _render_all(walk: Walk, poses: FloatArray, folder: Path, progress: Progress) -> None:
    chunks = [range(start, min(start + _CHUNK_FRAMES, len(poses))) for start in range(0, len(poses), _CHUNK_FRAMES)]
    # A forked child would inherit the locks of OpenCV's threads in whatever state they are.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_PROCESSES, fresh, _start_worker, (walk.seed,)) as pool:
        try:
            jobs = [pool.submit(_render_chunk, walk, poses[list(c)], list(c), folder) for c in chunks]
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()
                progress(min(done * _CHUNK_FRAMES, len(poses)), len(poses))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_world: Any = None


def _start_worker(seed: int) -> None:
    global _world
    from ros2_raxels.scenes.world import furnished_room

    # Ctrl-C is the parent's to handle: it cancels what has not begun.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _world = furnished_room(seed)


def _render_chunk(walk: Walk, poses: FloatArray, indices: list[int], folder: Path) -> None:
    from ros2_raxels.scenes.renderer import render

    for index, pose in zip(indices, poses, strict=True):
        rgb, _ = render(_world, walk.camera, pose)
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(folder / _image_name(index)), bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]):
            raise OSError(f"{folder / _image_name(index)} cannot be written; look for a full disk")
