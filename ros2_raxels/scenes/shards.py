"""Rendered clips on disk: shards of arrays for training, written by several processes and resumed after interrupts."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.scenes.clips import RenderedClip, augment, render_clip
from ros2_raxels.scenes.random_textures import texture_pool
from ros2_raxels.utils.files import load_json, replacing
from ros2_raxels.utils.ros_environment import ONE_BLAS_THREAD

SHARD_BYTES = 64 * 10**6
"""No shard is larger."""

_RECIPE_NAME = "recipe.json"
_BYTES_PER_PIXEL = 5
_OTHER_BYTES = 4096
_LARGEST_DEPTH = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the clips of a folder: the same recipe gives the same clips.

    Attributes:
        seed: of everything.
        count: clips in all.
        frames: of each clip.
        width, height: px.
        augmented: whether images went through `clips.augment`.
    """

    seed: int
    count: int
    frames: int
    width: int
    height: int
    augmented: bool = True

    @property
    def clips_per_shard(self) -> int:
        """As many as fit into `SHARD_BYTES`."""
        clip_bytes = self.frames * (self.width * self.height * _BYTES_PER_PIXEL + _OTHER_BYTES)
        return max(1, SHARD_BYTES // clip_bytes)

    def shards(self) -> list[range]:
        """The numbers of the clips in each shard."""
        size = self.clips_per_shard
        return [range(first, min(first + size, self.count)) for first in range(0, self.count, size)]

    def clip(self, index: int) -> RenderedClip:
        """The clip of this number; it shares its tiles with the others of its shard."""
        generator = np.random.default_rng([self.seed, index])
        pool = texture_pool(self.seed + index // self.clips_per_shard)
        clip = render_clip(generator, self.frames, self.width, self.height, pool)
        return replace(clip, images=augment(generator, clip.images)) if self.augmented else clip


@dataclass(frozen=True, eq=False)
class Shard:
    """Clips as arrays; C clips of N frames. Units and frames as in `clips.RenderedClip`.

    Attributes:
        images: (C, N, H, W, 3) RGB uint8.
        intrinsics: (C, 4) float64: fx, fy, cx, cy, px; pixel (0, 0) is the centre of the top-left pixel.
        camera_to_first: (C, N, 4, 4) float64.
        depth: (C, N, H, W) float16.
        world_kind, motion_kind: (C,) strings.
    """

    images: ImageArray
    intrinsics: FloatArray
    camera_to_first: FloatArray
    depth: FloatArray
    world_kind: npt.NDArray[np.str_]
    motion_kind: npt.NDArray[np.str_]

    @staticmethod
    def of(clips: list[RenderedClip]) -> Shard:
        """From clips of one size."""
        depth = np.array([clip.depth for clip in clips]).clip(0, _LARGEST_DEPTH)
        return Shard(
            np.array([clip.images for clip in clips]),
            np.array([(c.camera.fx, c.camera.fy, c.camera.cx, c.camera.cy) for c in clips]),
            np.array([clip.camera_to_first for clip in clips]),
            depth.astype(np.float16),
            np.array([clip.world_kind for clip in clips]),
            np.array([clip.motion_kind for clip in clips]),
        )

    def __len__(self) -> int:
        return len(self.images)

    def clip(self, index: int) -> RenderedClip:
        """One clip; its depth is in half precision, unlike that of a rendered one."""
        height, width = self.images.shape[2:4]
        return RenderedClip(
            self.images[index],
            PinholeCamera(width, height, *self.intrinsics[index].tolist()),
            self.camera_to_first[index],
            self.depth[index].astype(np.float32),
            str(self.world_kind[index]),
            str(self.motion_kind[index]),
        )


def read_shard(path: Path) -> Shard:
    """A shard that `write_clips` wrote. Nothing in the file is executed."""
    with np.load(path, allow_pickle=False) as arrays:
        return Shard(**arrays)


def shard_paths(folder: Path) -> list[Path]:
    """The shards in a folder, in order."""
    return sorted(folder.glob("clips_*.npz"))


def write_clips(
    folder: Path,
    count: int,
    seed: int,
    frames: int,
    width: int,
    height: int,
    workers: int = 1,
    augmented: bool = True,
) -> list[Path]:
    """Render clips into shards of at most `SHARD_BYTES`; shards that exist already are kept.

    Args:
        folder: created if it does not exist.
        count: clips in all.
        seed: of everything; folders with different seeds hold different clips.
        frames: of each clip.
        width, height: px.
        workers: number of processes.
        augmented: whether images look like those of a real camera; otherwise they are clean.

    Returns:
        The shards, in order.

    Raises:
        ValueError: the folder holds clips of another recipe.
    """
    recipe = Recipe(seed, count, frames, width, height, augmented)
    folder.mkdir(parents=True, exist_ok=True)
    _settle(folder / _RECIPE_NAME, recipe)
    shards = {folder / f"clips_{k:05d}.npz": indices for k, indices in enumerate(recipe.shards())}
    missing = {path: indices for path, indices in shards.items() if not path.exists()}
    with tqdm(total=count, unit="clip", mininterval=2.0, disable=not sys.stderr.isatty()) as progress:
        progress.update(count - sum(map(len, missing.values())))
        for done in _render_all(recipe, missing, workers) if missing else ():
            progress.update(done)
    return list(shards)


def _settle(path: Path, recipe: Recipe) -> None:
    wanted = asdict(recipe)
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(wanted), encoding="utf-8")
    elif (found := load_json(path)) != wanted:
        raise ValueError(f"{path} says {found}, not {wanted}; give another folder or the same values")


def _render_all(recipe: Recipe, missing: dict[Path, range], workers: int) -> Iterator[int]:
    """Numbers of clips as shards are completed."""
    # A forked child would inherit the locks of OpenCV's threads in an arbitrary state.
    fresh = multiprocessing.get_context("spawn")
    os.environ.setdefault(*ONE_BLAS_THREAD)
    with ProcessPoolExecutor(min(workers, len(missing)), fresh, _start_worker) as pool:
        try:
            for job in as_completed([pool.submit(_write_shard, recipe, *item) for item in missing.items()]):
                yield job.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start_worker() -> None:
    # The parent handles Ctrl-C: it cancels what has not begun.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _write_shard(recipe: Recipe, path: Path, indices: range) -> int:
    shard = Shard.of([recipe.clip(index) for index in indices])
    with replacing(path) as temporary:
        np.savez(temporary, **vars(shard))
    return len(shard)
