"""A rendered walk through a room, stored on disk as a posed set like a user's own recording."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from ros2_raxels import geometry, scenes
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.scenes.film import Film, Progress, shown_progress, write_film
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.utils.files import user_folder

_FOCAL_PER_WIDTH = 0.8


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
    """Folder of the rendered walk as a posed set; it is rendered once and then kept.

    Args:
        walk: what to render.
        progress: called every few frames; not called when nothing has to be rendered.
        cache: where walks are kept; default ``$XDG_CACHE_HOME/ros2_raxels/demo``.
    """
    folder = (cache or default_cache()) / _key(walk)
    if not (folder / "cameras.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        poses = handheld_loop(walk.seconds, walk.rate_hz, walk.seed)
        film = Film("rendered room", furnished_room(walk.seed), walk.camera, poses, walk.rate_hz)
        write_film(film, folder, progress)
    return folder


def shown_walk(walk: Walk) -> Path:
    """`recorded_walk` with a progress bar."""
    with shown_progress() as progress:
        return recorded_walk(walk, progress)


def default_cache() -> Path:
    """Where rendered walks are kept by default."""
    return user_folder("XDG_CACHE_HOME", ".cache") / "demo"


def _key(walk: Walk) -> str:
    """A hash of the parameters and of the code that turns them into images."""
    digest = hashlib.sha256(json.dumps(asdict(walk), sort_keys=True).encode())
    folders = (Path(package.__path__[0]) for package in (geometry, scenes))
    files = [Path(__file__), *(file for folder in folders for file in sorted(folder.glob("*.py")))]
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
