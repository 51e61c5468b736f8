"""Training batches with pixels, from rendered clips (`scenes.shards`) and posed recordings: cropped, ordered, swept."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose, rotation_angle_rad
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import EvidenceSettings
from ros2_raxels.model.flow import Task
from ros2_raxels.model.presets import ModelSize
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.scenes.shards import Shard, read_shard, shard_paths
from ros2_raxels.training.batch import ClipBatch
from ros2_raxels.utils.files import FileError
from ros2_raxels.view_synthesis.dense_points import find_points
from ros2_raxels.view_synthesis.plane_sweep import inverse_depths, plane_of
from ros2_raxels.view_synthesis.view_evidence import ViewEvidence, evidence_of_view

MAX_TURN_DEG = 40.0
"""Clips of a recording are redrawn until no frame is rotated further from the first source; failing that, the least."""

_SHARDS_IN_MEMORY = 3
_STRIDES = (1, 2, 3, 5, 8)
_TRIES = 50
_REACHED = 0.6
"""Least share of a view that lies within reach of the sweep: nearer than all planes, there is nothing to learn."""
_EVERY_PX = 4
_RECORDED_SHARE = 0.2
_ANYWHERE = 0.15
_CROPS = ((96, 128), (96, 128), (80, 112), (64, 128))
_MUCH_PARALLAX_PX = 100.0
_LEAST_FRAMES = 8
"""Of a recorded set, from which frames are taken with a stride."""
_LEAST_RENDERED = 6
"""Frames of a rendered clip: as many sources as a model takes, plus two targets."""
_SAME_FOCAL = 0.01
_FINEST = 2
"""Recorded frames are kept up to this many times larger than the model sees them, because flow needs larger ones."""


class BrokenSetWarning(UserWarning):
    """A posed set is left out of the training data; the message names it and what is wrong with it."""


@dataclass(frozen=True, eq=False)
class PixelClip:
    """Frames of one camera, and their ground truth.

    Attributes:
        images: (N, H, W, 3) RGB uint8.
        camera: of all of them.
        camera_to_world: (N, 4, 4) optical frames; any unit.
        depth: (N, H, W) z-depth in that unit; None where unknown.
    """

    images: ImageArray
    camera: PinholeCamera
    camera_to_world: FloatArray
    depth: FloatArray | None = None

    def chosen(self, frames: Sequence[int]) -> PixelClip:
        """The same clip with these frames, in this order."""
        index = list(frames)
        depth = None if self.depth is None else self.depth[index]
        return replace(self, images=self.images[index], camera_to_world=self.camera_to_world[index], depth=depth)

    def cropped(self, top: int, left: int, height: int, width: int) -> PixelClip:
        """A window of all frames."""
        c = self.camera
        camera = PinholeCamera(width, height, c.fx, c.fy, c.cx - left, c.cy - top)
        window = (slice(None), slice(top, top + height), slice(left, left + width))
        depth = None if self.depth is None else self.depth[window]
        return replace(self, images=np.ascontiguousarray(self.images[window]), camera=camera, depth=depth)

    def shrunk(self, by: int) -> PixelClip:
        """The same, a whole number of times smaller."""
        if by == 1:
            return self
        width, height = self.camera.width // by, self.camera.height // by
        small = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in self.images]
        # Averaged across an edge, depth would be that of no surface.
        depth = None if self.depth is None else self.depth[:, by // 2 :: by, by // 2 :: by]
        return replace(self, images=np.array(small), camera=self.camera.resized(width, height), depth=depth)


class PixelClips:
    """Clips with pixels, drawn as a generator alone decides.

    Args:
        folders: each of shards (``raxels`` renders them) or of posed sets (``*/cameras.json``); sets that cannot be
            read or whose poses are broken are named in a `BrokenSetWarning` and left out.
        width: of the images that the model sees, px. Clips that are a whole number of times as wide are cropped as they
            are and then shrunk by that, so that flow is found on images as large as in serving.
        held_out: draw only from what is otherwise never drawn: the last shard of every folder that has several, or,
            where there are no shards at all, the last of several sets.

    Raises:
        FileError: a folder holds neither, its clips are too short or too small, or nothing can be held out.
    """

    def __init__(self, folders: Sequence[Path], width: int, held_out: bool = False) -> None:
        self._open: OrderedDict[Path, Shard] = OrderedDict()
        self._width = width
        by_folder, sets = [], []
        for folder in folders:
            shards = shard_paths(folder)
            found = [] if shards else _read_sets(folder, width)
            if not shards and not found:
                raise FileError(f"{folder} holds no rendered clips and no usable posed set; give another --pixels")
            for shard in shards[:1]:
                _check_size(folder, self._shard(shard))
            by_folder.append(shards)
            sets += found
        last = [shards[-1] for shards in by_folder if len(shards) > 1]
        all_shards = [shard for shards in by_folder for shard in shards]
        last_set = sets[-1:] if len(sets) > 1 and not all_shards else []
        if held_out and not last and not last_set:
            raise FileError("nothing can be held out for validation; give --pixels with two shards, or two posed sets")
        self._shards = last if held_out else [shard for shard in all_shards if shard not in last]
        self._sets = last_set if held_out else [clip for clip in sets if clip not in last_set]

    def draw(self, generator: np.random.Generator, clips: int, task: Task, size: ModelSize) -> ClipBatch:
        """A batch for a task; views are swept for `Task.VIEWS`.

        Args:
            generator: decides on everything.
            clips: how many.
            task: decides on the number of sources.
            size: of the model.
        """
        sources = 1 if task is not Task.VIEWS else int(generator.integers(1, max(size.sweep_contexts, 1) + 1))
        targets = 2 if task is Task.VIEWS else 3
        crop = _CROPS[generator.integers(len(_CROPS))]
        # Between several sources there is flow, which tells where the planes must be.
        drawn = self._clips(generator, clips, sources, targets, _REACHED if task is Task.VIEWS and sources < 2 else 0.0)
        fine = [_random_crop(generator, clip, crop, self._times_finer(clip)) for clip in drawn]
        small = [clip.shrunk(self._times_finer(whole)) for clip, whole in zip(fine, drawn, strict=True)]
        return batch_of(small, sources, size if task is Task.VIEWS else None, fine)

    def _times_finer(self, clip: PixelClip) -> int:
        return max(1, clip.camera.width // self._width)

    def _clips(
        self, generator: np.random.Generator, count: int, sources: int, targets: int, reached: float
    ) -> list[PixelClip]:
        recorded = int((generator.random(count) < _RECORDED_SHARE).sum()) if self._sets and self._shards else 0
        if not self._shards:
            recorded = count
        clips = []
        if count > recorded:
            shard = self._shard(self._shards[generator.integers(len(self._shards))])
            clips += [_rendered(generator, shard, sources, targets, reached) for _ in range(count - recorded)]
        for _ in range(recorded):
            of = self._sets[generator.integers(len(self._sets))]
            clips.append(_recorded(generator, of, sources, targets))
        return clips

    def _shard(self, path: Path) -> Shard:
        if path not in self._open:
            self._open[path] = read_shard(path)
            if len(self._open) > _SHARDS_IN_MEMORY:
                self._open.popitem(last=False)
        return self._open[path]


def _check_size(folder: Path, shard: Shard) -> None:
    frames, height, width = shard.images.shape[1:4]
    rows, columns = (max(crop[k] for crop in _CROPS) for k in (0, 1))
    if frames < _LEAST_RENDERED or height < rows or width < columns:
        raise FileError(
            f"{folder} holds clips of {frames} frames of {width}x{height} px; training needs {_LEAST_RENDERED} of "
            f"{columns}x{rows} px or more: render others"
        )


def batch_of(
    clips: Sequence[PixelClip], sources: int, size: ModelSize | None, fine: Sequence[PixelClip] | None = None
) -> ClipBatch:
    """Clips of one shape as a batch; swept for a model of this size, or not.

    The first frame is the world, and the furthest camera from it lies at distance 1.

    Args:
        clips: as the model sees them.
        sources: how many of the first frames are given.
        size: of the model; None sweeps nothing.
        fine: the same clips, larger; what flow is found on.
    """
    poses = np.array([relative_pose(c.camera_to_world[:1], c.camera_to_world) for c in clips])
    reach = np.linalg.norm(poses[..., :3, 3], axis=-1).max(axis=1)
    parallax = [
        _MUCH_PARALLAX_PX if c.depth is None else _working_focal_px(c.camera) * r / float(np.median(c.depth[0]))
        for c, r in zip(clips, reach, strict=True)
    ]
    poses[..., :3, 3] /= np.maximum(reach, 1e-9)[:, None, None]
    grid = [c.camera.bearings(RAXEL_ROWS, RAXEL_COLUMNS) for c in clips]
    frames = poses.shape[1]
    bearings = np.repeat(np.array(grid)[:, None], frames, axis=1)
    images = np.array([c.images for c in clips])
    video = torch.from_numpy(images).permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0
    ones = torch.ones(len(clips))
    evidence = _swept(clips, clips if fine is None else fine, sources, size) if size and size.sweep_depths else None
    batch = ClipBatch(
        torch.from_numpy(bearings).float(),
        torch.from_numpy(poses).float(),
        ones,
        ones,
        torch.tensor(parallax, dtype=torch.float32),
        video=video,
        sources=sources,
    )
    return batch if evidence is None else _with_evidence(batch, clips, evidence)


def _working_focal_px(camera: PinholeCamera) -> float:
    """Focal length in the image that evidence is looked for in."""
    return float(camera.fx * (EvidenceSettings().working_pixels / (camera.width * camera.height)) ** 0.5)


@cache
def _matcher() -> Matcher:
    """One per process: it has threads."""
    return Matcher()


def _swept(
    clips: Sequence[PixelClip], fine: Sequence[PixelClip], sources: int, size: ModelSize
) -> list[list[ViewEvidence]]:
    """Evidence of each target of each clip, found as in serving."""
    found = []
    for clip, large in zip(clips, fine, strict=True):
        known, poses = list(clip.images[:sources]), clip.camera_to_world[:sources]
        points = find_points(_matcher(), list(large.images[:sources]), large.camera, poses)
        targets = clip.camera_to_world[sources:]
        found.append([evidence_of_view(points, known, list(poses), clip.camera, t, size.sweep_depths) for t in targets])
    return found


def _with_evidence(
    batch: ClipBatch, clips: Sequence[PixelClip], evidence: Sequence[Sequence[ViewEvidence]]
) -> ClipBatch:
    swept = np.array([[view.swept for view in of_clip] for of_clip in evidence])
    votes = np.array([[view.votes for view in of_clip] for of_clip in evidence], np.float16)
    plane = np.array([_planes(clip, batch.sources, views) for clip, views in zip(clips, evidence, strict=True)])
    return replace(batch, swept=torch.from_numpy(swept), votes=torch.from_numpy(votes), plane=torch.from_numpy(plane))


def _planes(clip: PixelClip, sources: int, evidence: Sequence[ViewEvidence]) -> npt.NDArray[np.float32]:
    """(T, H, W) of `ClipBatch.plane`."""
    if clip.depth is None:
        return np.full((len(evidence), *clip.images.shape[1:3]), np.nan, np.float32)
    of_views = zip(clip.depth[sources:], evidence, strict=True)
    return np.array([plane_of(1.0 / depth, view.inverse_depths) for depth, view in of_views], np.float32)


def _rendered(generator: np.random.Generator, shard: Shard, sources: int, targets: int, reached: float) -> PixelClip:
    """A clip of which at least this share is within reach of its sweep; failing that, the clip with the most."""

    def drawn() -> PixelClip:
        clip = _of_shard(shard, int(generator.integers(len(shard))))
        return clip.chosen(_order(generator, len(clip.images), sources, targets))

    best = drawn()
    for _ in range(_TRIES):
        if _reached(best, sources) >= reached:
            break
        best = max(best, drawn(), key=lambda clip: _reached(clip, sources))
    return best


def _reached(clip: PixelClip, sources: int) -> float:
    """Share of what the last target sees that is no nearer than the nearest plane; 0 without depth."""
    if clip.depth is None:
        return 0.0
    places = clip.camera_to_world[:, :3, 3]
    baseline = float(np.linalg.norm(places[-1] - places[:sources], axis=-1).max())
    nearest = inverse_depths(clip.camera, baseline, 2)[-1]
    return float((clip.depth[-1, ::_EVERY_PX, ::_EVERY_PX] > 1.0 / nearest).mean())


def _order(generator: np.random.Generator, frames: int, sources: int, targets: int) -> list[int]:
    """Sources, newest first, then targets, mostly later than they; time may run backwards."""
    first = int(generator.integers(frames - sources - targets + 1))
    known = list(range(first, first + sources))
    later = list(range(first + sources, frames))
    if generator.random() < _ANYWHERE:
        later = [k for k in range(frames) if k not in known]
    order = known[::-1] + sorted(generator.choice(later, targets, replace=False).tolist())
    return [frames - 1 - k for k in order] if generator.random() < 0.5 else order


def _recorded(generator: np.random.Generator, of: PixelClip, sources: int, targets: int) -> PixelClip:
    frames, span = len(of.images), _LEAST_FRAMES - 1
    strides = [stride for stride in _STRIDES if stride * span < frames]
    best, least_deg = of, np.inf
    for _ in range(_TRIES):
        stride = int(generator.choice(strides))
        first = int(generator.integers(frames - stride * span))
        clip = of.chosen([first + stride * k for k in _order(generator, _LEAST_FRAMES, sources, targets)])
        relative = relative_pose(clip.camera_to_world[:1], clip.camera_to_world)
        turn_deg = float(np.degrees(rotation_angle_rad(relative[:, :3, :3])).max())
        if turn_deg < least_deg:
            best, least_deg = clip, turn_deg
        if turn_deg < MAX_TURN_DEG:
            break
    return best


def _random_crop(generator: np.random.Generator, clip: PixelClip, shape: tuple[int, int], times: int) -> PixelClip:
    """A random window, `times` as large as the shape."""
    sides, crops = clip.images.shape[1:3], [times * side for side in shape]
    top, left = (int(generator.integers(side - crop + 1)) for side, crop in zip(sides, crops, strict=True))
    return clip.cropped(top, left, *crops)


def _of_shard(shard: Shard, index: int) -> PixelClip:
    clip = shard.clip(index)
    return PixelClip(clip.images, clip.camera, clip.camera_to_first, clip.depth)


def _read_sets(folder: Path, width: int) -> list[PixelClip]:
    sets = []
    for file in sorted(folder.glob("*/cameras.json")):
        try:
            sets.append(_read_set(file.parent, width))
        except SourceError as error:
            warnings.warn(f"{file.parent} is left out: {error}", BrokenSetWarning, stacklevel=2)
    return sets


def _read_set(folder: Path, width: int) -> PixelClip:
    images, poses, cameras = [], [], []
    for frame in open_source(folder):
        if frame.camera is None or frame.camera_to_world is None:
            raise SourceError(f"{folder}: frame {frame.index} has no intrinsics or no pose; training needs both")
        if frame.camera.is_distorted:
            raise SourceError(f"{folder}: frame {frame.index} is of a lens with distortion; undistort the images first")
        camera = frame.camera.pinhole
        wide = width * max(1, min(_FINEST, camera.width // width))
        height = round(camera.height * wide / camera.width)
        images.append(cv2.resize(frame.image, (wide, height), interpolation=cv2.INTER_AREA))
        cameras.append(camera.resized(wide, height))
        poses.append(frame.camera_to_world)
    if len(images) < _LEAST_FRAMES:
        raise SourceError(f"{folder}: {len(images)} frames; training needs {_LEAST_FRAMES} of a set")
    if len({image.shape for image in images}) > 1 or np.ptp([c.fx for c in cameras]) > _SAME_FOCAL * cameras[0].fx:
        raise SourceError(f"{folder}: frames of several cameras; training needs one")
    if images[0].shape[0] * width < _CROPS[0][0] * images[0].shape[1]:
        raise SourceError(f"{folder}: images wider than 4:3; training needs {_CROPS[0][0]} rows of {width} px")
    return PixelClip(np.array(images), cameras[0], np.array(poses))
