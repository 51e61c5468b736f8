"""Clips of a few frames and the answers to them: the JSON files that estimation and evaluation exchange.

``clips.json`` holds ``{"clips": [{"id", "set", "images": [path], "intrinsics": [[fx, fy, cx, cy]], "camera_to_first":
[4x4]}]}``, ``answer.json`` ``{"name", "clips": [{"id", "camera_to_first": [4x4], "intrinsics", "confidence",
"seconds"}]}``; a method that solves each pair of frames by itself gives ``"pairs": {"0-1": 4x4}`` instead of
``camera_to_first``. Axes are OpenCV's (x right, y down, z forward), intrinsics in px, translations in the set's unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ros2_raxels.evaluation.runs import RunRule, draw_runs
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.posed_set import PosedSet, set_files
from ros2_raxels.recordings.source import read_image
from ros2_raxels.utils.files import (
    FileError,
    has,
    load_json,
    numbers,
    shown,
    take,
    take_list,
    write_json,
)

CLIP_FRAMES = 4
MAX_ROTATION_DEG = 35.0
"""Clips in which a camera turns further from the first one are left out: the views hardly overlap."""

_RULE = RunRule(CLIP_FRAMES, (1, 2, 3, 5, 8, 12), origin=0, max_rotation_deg=MAX_ROTATION_DEG)


@dataclass(frozen=True, eq=False)
class Clip:
    """A few frames of one camera.

    Attributes:
        id: unique among the clips of a file.
        set_name: the recording that it comes from; scores are averaged over recordings.
        images: N files, N >= 2.
        intrinsics: (N, 4) fx, fy, cx, cy in px; None when not known.
        camera_to_first: (N, 4, 4) true poses in the frame of the first camera; None when not known.
    """

    id: str
    set_name: str
    images: tuple[Path, ...]
    intrinsics: FloatArray | None = None
    camera_to_first: FloatArray | None = None

    def read_images(self) -> list[ImageArray]:
        """RGB (H, W, 3) uint8 of every frame.

        Raises:
            SourceError: an image is missing or broken.
        """
        return [read_image(path) for path in self.images]

    def cameras(self, images: Sequence[ImageArray]) -> list[PinholeCamera] | None:
        """The camera of every image; None when the clip has no intrinsics.

        Raises:
            GeometryError: intrinsics that cannot belong to a camera.
        """
        if self.intrinsics is None:
            return None
        return [
            PinholeCamera(image.shape[1], image.shape[0], *k)
            for image, k in zip(images, self.intrinsics.tolist(), strict=True)
        ]

    def record(self) -> dict[str, Any]:
        """As in ``clips.json``; what is not known is left out."""
        record: dict[str, Any] = {"id": self.id, "set": self.set_name, "images": [str(path) for path in self.images]}
        if self.intrinsics is not None:
            record["intrinsics"] = self.intrinsics.tolist()
        if self.camera_to_first is not None:
            record["camera_to_first"] = self.camera_to_first.tolist()
        return record


@dataclass(frozen=True, eq=False)
class ClipAnswer:
    """The answer of a method to one clip: poses of all frames, or of each pair by itself.

    Attributes:
        id: the clip's.
        camera_to_first: (N, 4, 4).
        pairs: by (i, j), the pose of camera j in camera i.
        intrinsics: (N, 4) fx, fy, cx, cy in px, as used or estimated.
        confidence: (N,) 0 (a guess) to 1.
        seconds: wall time from image paths to poses.
        stage_s: the same by stage; not written to files.
        covariance: (N, 6, 6) as in `estimation.estimator.ClipEstimate`; not written to files.
    """

    id: str
    camera_to_first: FloatArray | None = None
    pairs: Mapping[tuple[int, int], FloatArray] | None = None
    intrinsics: FloatArray | None = None
    confidence: FloatArray | None = None
    seconds: float | None = None
    stage_s: Mapping[str, float] = field(default_factory=dict)
    covariance: FloatArray | None = None

    def relative(self, i: int, j: int) -> FloatArray | None:
        """Pose (4, 4) of camera j in camera i; None when the answer lacks it or it is not finite."""
        if self.camera_to_first is None:
            pose = (self.pairs or {}).get((i, j))
        elif max(i, j) < len(self.camera_to_first):
            pose = _between(self.camera_to_first[i], self.camera_to_first[j])
        else:
            pose = None
        return pose if pose is not None and np.isfinite(pose).all() else None

    def record(self) -> dict[str, Any]:
        """As in ``answer.json``; what is not known is left out."""
        record: dict[str, Any] = {"id": self.id}
        for key in ("camera_to_first", "intrinsics", "confidence"):
            if (value := getattr(self, key)) is not None:
                record[key] = value.tolist()
        if self.pairs is not None:
            record["pairs"] = {f"{i}-{j}": pose.tolist() for (i, j), pose in self.pairs.items()}
        if self.seconds is not None:
            record["seconds"] = self.seconds
        return record


def _between(a: FloatArray, b: FloatArray) -> FloatArray | None:
    # A general inverse: where an answer is no rotation, its transpose would hide the error.
    try:
        return np.asarray(np.linalg.inv(a) @ b)
    except np.linalg.LinAlgError:
        return None


# ------------------------------------------------------------------------------------------------------ fixed clips


def make_clips(root: Path, per_set: int = 30, seed: int = 0) -> list[Clip]:
    """Clips drawn from all posed sets (``*/cameras.json``) below a folder, reproducible from the seed.

    First frame and stride are drawn at random; a clip is left out when a camera turns by more than `MAX_ROTATION_DEG`
    or when none moves.

    Args:
        root: folder of the sets.
        per_set: most clips of one set; short sets yield fewer.
        seed: of the draw; every set has a draw of its own.

    Raises:
        FileError: there is no set, or one is malformed.
    """
    return [clip for file in set_files(root) for clip in clips_of_set(file, per_set, seed)]


def clips_of_set(file: Path, count: int, seed: int = 0) -> list[Clip]:
    """`make_clips` for one set, of which `file` is the cameras.json.

    Raises:
        FileError: it is malformed.
    """
    posed = PosedSet.read(file).complete()
    return [
        Clip(run.id, posed.name, posed.images[run.chosen], posed.intrinsics[run.chosen], run.camera_to_origin)
        for run in draw_runs(posed, _RULE, count, seed)
    ]


# ------------------------------------------------------------------------------------------------------------- files


def read_clips(path: Path, *, need_intrinsics: bool = True) -> list[Clip]:
    """Clips of a ``clips.json``. Image paths are as written, so relative ones count from the working directory.

    Args:
        path: the file.
        need_intrinsics: whether a clip without them is an error.

    Raises:
        FileError: missing file, no JSON, a missing key, a wrong value, or an id that occurs twice.
    """
    clips: dict[str, Clip] = {}
    for index, record in enumerate(take_list(load_json(path), "clips", str(path))):
        clip = _clip(record, f"{path}: clips[{index}]", need_intrinsics)
        if clip.id in clips:
            raise FileError(f"{path}: clips[{index}].id = {clip.id!r} occurs twice; give every clip its own")
        clips[clip.id] = clip
    return list(clips.values())


def _clip(record: object, where: str, need_intrinsics: bool) -> Clip:
    name = take(record, "id", where)
    images = take_list(record, "images", where)
    if len(images) < 2 or not all(isinstance(image, str) for image in images):
        raise FileError(f"{where}.images = {shown(images)} must be two or more paths; name the files of the clip")
    intrinsics = truth = None
    if need_intrinsics or has(record, "intrinsics"):
        intrinsics = numbers(take(record, "intrinsics", where), (len(images), 4), f"{where}.intrinsics")
    if has(record, "camera_to_first"):
        truth = numbers(take(record, "camera_to_first", where), (len(images), 4, 4), f"{where}.camera_to_first")
    set_name = record.get("set", "") if isinstance(record, dict) else ""
    return Clip(str(name), str(set_name), tuple(map(Path, images)), intrinsics, truth)


def write_clips(path: Path, clips: Iterable[Clip]) -> None:
    """Write a ``clips.json``."""
    write_json(path, {"clips": [clip.record() for clip in clips]})


@dataclass(frozen=True, eq=False)
class Answers:
    """An ``answer.json``: the method's name and its answers by clip id."""

    name: str
    clips: Mapping[str, ClipAnswer]


def read_answers(path: Path) -> Answers:
    """Read an ``answer.json``. Values that are not finite are kept: the score counts them as wrong.

    Raises:
        FileError: missing file, no JSON, a missing key or a wrong shape.
    """
    record = load_json(path)
    found = [
        _answer(entry, f"{path}: clips[{index}]") for index, entry in enumerate(take_list(record, "clips", str(path)))
    ]
    name = record.get("name", path.stem) if isinstance(record, dict) else path.stem
    return Answers(str(name), {answer.id: answer for answer in found})


def _answer(record: object, where: str) -> ClipAnswer:
    name = str(take(record, "id", where))

    def array(key: str, *shape: int) -> FloatArray | None:
        if not has(record, key):
            return None
        return numbers(take(record, key, where), shape, f"{where}.{key}", finite=False)

    poses, pairs = array("camera_to_first", -1, 4, 4), None
    if poses is None:
        if not has(record, "pairs"):
            raise FileError(f"{where} has neither 'camera_to_first' nor 'pairs'; add one of them")
        pairs = _pairs(take(record, "pairs", where), f"{where}.pairs")
    seconds = array("seconds")
    return ClipAnswer(
        name,
        poses,
        pairs,
        array("intrinsics", -1, 4),
        array("confidence", -1),
        None if seconds is None else float(seconds),
    )


def _pairs(record: object, where: str) -> dict[tuple[int, int], FloatArray]:
    if not isinstance(record, dict):
        raise FileError(f"{where} = {shown(record)} must be an object of poses; correct it")
    pairs: dict[tuple[int, int], FloatArray] = {}
    for key, pose in record.items():
        first, _, second = str(key).partition("-")
        if not (first.isdecimal() and second.isdecimal()):
            raise FileError(f"{where} has the key {shown(key)}; write pairs as first-second, for example '0-1'")
        pairs[int(first), int(second)] = numbers(pose, (4, 4), f"{where}[{key!r}]", finite=False)
    return pairs


def write_answers(path: Path, name: str, answers: Iterable[ClipAnswer]) -> None:
    """Write an ``answer.json``, whole or not at all."""
    write_json(path, {"name": name, "clips": [answer.record() for answer in answers]})
