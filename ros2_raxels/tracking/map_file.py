"""Keyframes in one safetensors file: images, depths and poses as tensors, everything else as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, GeometryError
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import StreamFrame, Trajectory
from ros2_raxels.tracking.metric_scale import Scale, ScaleSource
from ros2_raxels.utils.files import FileError, replacing

_FORMAT = "raxels keyframes 3"
_UNUSABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, GeometryError)
_MOST = 10_000
_ROTATION_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Keyframes:
    """What a file holds.

    Attributes:
        frames: by number.
        loops: pairs of numbers that were found to show the same place.
        trajectories: by the number of the keyframe with which they began.
    """

    frames: list[StreamFrame]
    loops: set[tuple[int, int]]
    trajectories: Mapping[int, Trajectory]


def save(path: Path, keyframes: Keyframes) -> None:
    """Write keyframes, whole or not at all.

    Args:
        path: replaced in one step.
        keyframes: to be written.

    Raises:
        FileError: there are none, safetensors is not installed, or the file cannot be written.
    """
    frames = keyframes.frames
    if not frames:
        raise FileError(f"{path}: there are no keyframes yet; move the camera until it is tracked")
    tensors: dict[str, np.ndarray] = {
        "camera_to_world": np.array([f.camera_to_world for f in frames]),
        "covariance": np.array([f.covariance for f in frames]),
        "stamp_ns": np.array([f.stamp_ns for f in frames], np.int64),
        "number": np.array([f.number for f in frames], np.int64),
        "parent": np.array([-1 if f.parent is None else f.parent for f in frames], np.int64),
        "trajectory": np.array([f.trajectory for f in frames], np.int64),
        "loops": np.array(sorted(keyframes.loops), np.int64).reshape(-1, 2),
    }
    for frame in frames:
        # safetensors writes the memory of an array as it lies there, strides or not.
        tensors[f"image.{frame.number}"] = np.ascontiguousarray(frame.features.grey)
        if frame.inverse_depth is not None:
            tensors[f"inverse_depth.{frame.number}"] = np.ascontiguousarray(frame.inverse_depth)
    facts = {
        "trajectories": {
            str(begun): {"unit": t.unit, "scale": {**asdict(t.scale), "source": t.scale.source.name}}
            for begun, t in keyframes.trajectories.items()
        },
        "cameras": [asdict(f.camera) for f in frames],
    }
    # By way of memory: its own writer leaves files of random names when the process is killed, for this user alone.
    content = _safetensors(path).numpy.save(tensors, metadata={"format": _FORMAT, "facts": json.dumps(facts)})
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error}") from error


def load(path: Path, matcher: Matcher) -> Keyframes:
    """What `save` wrote.

    Raises:
        FileError: the file is missing, truncated, of another kind, or holds what cannot be.
    """
    safetensors = _safetensors(path)
    try:
        with safetensors.safe_open(str(path), "numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != _FORMAT:
                found = header.get("format", "no format")
                raise FileError(
                    f"{path} holds no keyframes of this version ({found!r}, not {_FORMAT!r}); save them again"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _keyframes(tensors, json.loads(header["facts"]), matcher)
    except FileError:
        raise
    except (*_UNUSABLE, safetensors.SafetensorError) as error:
        why = str(error) or type(error).__name__
        raise FileError(f"{path} cannot be used as keyframes: {why}; save them again") from error


def _keyframes(tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any], matcher: Matcher) -> Keyframes:
    cameras = [PinholeCamera(**{**c, "distortion": tuple(c["distortion"])}) for c in facts["cameras"]]
    trajectories = {int(begun): _trajectory(entry) for begun, entry in facts["trajectories"].items()}
    frames = _frames(tensors, cameras, matcher)
    strange = {f.trajectory for f in frames} - trajectories.keys()
    if strange:
        raise ValueError(f"nothing is said of the trajectories {sorted(strange)}")
    loops, numbers = tensors["loops"], {f.number for f in frames}
    if loops.dtype != np.int64 or loops.shape != (len(loops), 2) or not numbers.issuperset(loops.ravel().tolist()):
        raise ValueError(f"loops are {loops.shape} of {loops.dtype}, not pairs of keyframes")
    return Keyframes(frames, {(int(a), int(b)) for a, b in loops}, trajectories)


def _trajectory(entry: Mapping[str, Any]) -> Trajectory:
    unit, of_scale = float(entry["unit"]), entry["scale"]
    if not (unit > 0 and np.isfinite(unit)):
        raise ValueError(f"unit is {unit}, not a positive length")
    scale = Scale(ScaleSource[of_scale["source"]], float(of_scale["metres_per_unit"]), float(of_scale["sigma"]))
    if not (np.isfinite([scale.metres_per_unit, scale.sigma]).all() and min(scale.metres_per_unit, scale.sigma) >= 0):
        raise ValueError(f"scale is {scale.metres_per_unit} m with a sigma of {scale.sigma}")
    return Trajectory(unit, scale)


def _frames(tensors: Mapping[str, np.ndarray], cameras: Sequence[PinholeCamera], matcher: Matcher) -> list[StreamFrame]:
    poses = tensors["camera_to_world"]
    numbers, parents, begun, stamps_ns = (
        _integers(tensors, name) for name in ("number", "parent", "trajectory", "stamp_ns")
    )
    count = len(numbers)
    if not 0 < count <= _MOST or sorted(set(numbers)) != numbers or numbers[0] < 0:
        raise ValueError(f"{count} keyframes, numbered {numbers[:3]}...")
    _check("camera_to_world", poses, (count, 4, 4))
    _check("covariance", tensors["covariance"], (count, 7, 7))
    turned = poses[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2)
    rigid = np.abs(turned - np.eye(3)).max() < _ROTATION_TOLERANCE
    right_handed = bool((np.linalg.det(poses[:, :3, :3]) > 0).all())
    if not rigid or not right_handed or not np.array_equal(poses[:, 3], [[0, 0, 0, 1]] * count):
        raise ValueError("camera_to_world has entries that are no poses")
    frames = []
    columns = zip(numbers, parents, begun, stamps_ns, cameras, strict=True)
    for k, (number, parent, trajectory, stamp_ns, camera) in enumerate(columns):
        features = _features(tensors[f"image.{number}"], camera, number)
        frame = StreamFrame(number, stamp_ns, features, camera, poses[k].astype(float), trajectory=trajectory)
        frame.covariance = tensors["covariance"][k].astype(float)
        if parent >= number or (parent >= 0 and parent not in numbers):
            raise ValueError(f"keyframe {number} is said to follow {parent}")
        frame.parent = None if parent < 0 else parent
        depth = tensors.get(f"inverse_depth.{number}")
        if depth is not None:
            _check(f"inverse_depth.{number}", np.nan_to_num(depth), (len(matcher.grid(features.grey.shape)),))
            frame.inverse_depth = depth.astype(float)
        frames.append(frame)
    return frames


def _integers(tensors: Mapping[str, np.ndarray], name: str) -> list[int]:
    values = tensors[name]
    if values.dtype != np.int64 or values.ndim != 1:
        raise ValueError(f"{name} is {values.shape} of {values.dtype}, not a list of int64")
    return [int(value) for value in values]


def _features(image: np.ndarray, camera: PinholeCamera, number: int) -> Features:
    if image.dtype != np.uint8 or image.shape != (camera.height, camera.width):
        raise ValueError(f"image {number} is {image.shape} of {image.dtype}, its camera {camera.width}x{camera.height}")
    return Features(image)


def _check(name: str, values: FloatArray, shape: tuple[int, ...]) -> None:
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(f"{name} is {values.shape}, not finite {shape}")


def _safetensors(path: Path) -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise FileError(f"{path}: keyframes are kept as safetensors; pip install safetensors") from error
    return safetensors
