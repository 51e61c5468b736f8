"""Keyframes in one safetensors file: images, depths and poses as tensors, everything else as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.lens_names import lens_name, make_camera
from ros2_raxels.geometry.poses import FloatArray, GeometryError, relative_pose
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import Keyframe, StreamFrame
from ros2_raxels.tracking.keyframe_map import KeyframeMap, Link, Trajectory
from ros2_raxels.tracking.metric_scale import Scale, ScaleSource
from ros2_raxels.tracking.rig_map_file import KnownSides, side_facts, side_tensors, with_sides
from ros2_raxels.tracking.rig_tracks import RigTracks
from ros2_raxels.utils.files import FileError, replacing

_FORMAT = "raxels keyframes 4"
_BEFORE_MEASURED_LOOPS = "raxels keyframes 3"
"""Knows which keyframes a loop joins, and not what was measured: it is taken to be where they are."""

_UNUSABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, GeometryError)
_MOST = 10_000
_ROTATION_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class LoadedMap:
    """What a file holds.

    Attributes:
        keyframes: the map.
        sides: what the other cameras of a rig know of it.
    """

    keyframes: KeyframeMap
    sides: KnownSides


def save(path: Path, keyframes: KeyframeMap, rig: RigTracks | None = None) -> None:
    """Write all keyframes of a map, whole or not at all.

    Args:
        path: replaced in one step.
        keyframes: to be written.
        rig: what the other cameras have seen of them; None of one camera.

    Raises:
        FileError: there are none, safetensors is not installed, or the file cannot be written.
    """
    frames = keyframes.all
    if not frames:
        raise FileError(f"{path}: there are no keyframes yet; move the camera until it is tracked")
    tensors: dict[str, np.ndarray] = {
        "camera_to_world": np.array([k.camera_to_world for k in frames]),
        "covariance": np.array([k.covariance for k in frames]),
        "stamp_ns": np.array([k.frame.stamp_ns for k in frames], np.int64),
        "number": np.array([k.number for k in frames], np.int64),
        "parent": np.array([-1 if k.parent is None else k.parent for k in frames], np.int64),
        "trajectory": np.array([k.trajectory for k in frames], np.int64),
        **_loop_tensors(keyframes),
    }
    for keyframe in frames:
        # safetensors writes the memory of an array as it lies there, strides or not.
        tensors[f"image.{keyframe.number}"] = np.ascontiguousarray(keyframe.features.grey)
        tensors[f"inverse_depth.{keyframe.number}"] = np.ascontiguousarray(keyframe.inverse_depth)
    facts: dict[str, Any] = {
        "trajectories": {
            str(begun): {"unit": t.unit, "scale": {**asdict(t.scale), "source": t.scale.source.name}}
            for begun, t in keyframes.trajectories.items()
        },
        "cameras": [{**asdict(k.camera), "lens": lens_name(k.camera)} for k in frames],
    }
    if rig is not None:
        tensors |= side_tensors(rig, frames)
        facts["rig"] = side_facts(rig, frames)
    # By way of memory: its own writer leaves files of random names when the process is killed, for this user alone.
    content = _safetensors(path).numpy.save(tensors, metadata={"format": _FORMAT, "facts": json.dumps(facts)})
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error}; make room or give another path") from error


def _loop_tensors(keyframes: KeyframeMap) -> dict[str, np.ndarray]:
    """In the units of now: a map that is read anew starts without growth."""
    numbers = keyframes.keyframes
    loops = [loop.between(numbers[loop.first], numbers[loop.second]) for loop in keyframes.loops]
    return {
        "loops": np.array([(loop.first, loop.second) for loop in loops], np.int64).reshape(-1, 2),
        "loop_pose": np.array([loop.pose for loop in loops]).reshape(-1, 4, 4),
        "loop_log_scale": np.array([loop.log_scale for loop in loops]),
        "loop_covariance": np.array([loop.covariance for loop in loops]).reshape(-1, 6, 6),
    }


def load(path: Path, matcher: Matcher) -> KeyframeMap:
    """What the first camera knows of a file; see `load_all`."""
    return load_all(path, matcher, None).keyframes


def load_all(path: Path, matcher: Matcher, rig: Rig | None) -> LoadedMap:
    """What `save` wrote, also before loops were kept as measured. The window is empty, and the last trajectory goes on.

    Steps of the trajectory are taken to be as the keyframes stand, which loops have corrected.

    Args:
        path: of the file.
        matcher: of all frames.
        rig: whose cameras are to go on with it; None for one camera.

    Raises:
        FileError: the file is missing, truncated, of another kind, or holds what cannot be.
    """
    safetensors = _safetensors(path)
    try:
        with safetensors.safe_open(str(path), "numpy") as file:
            header = file.metadata() or {}
            if header.get("format") not in (_FORMAT, _BEFORE_MEASURED_LOOPS):
                found = header.get("format", "no format")
                raise FileError(
                    f"{path} holds no keyframes of this version ({found!r}, not {_FORMAT!r}); save them again"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        measured_loops = header["format"] == _FORMAT
        return _map(tensors, json.loads(header["facts"]), matcher, measured_loops, rig)
    except FileError:
        raise
    except (*_UNUSABLE, safetensors.SafetensorError) as error:
        why = str(error) or type(error).__name__
        raise FileError(f"{path} cannot be used as keyframes: {why}; save them again") from error


def _map(
    tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any], matcher: Matcher, measured_loops: bool, rig: Rig | None
) -> LoadedMap:
    cameras = [_camera(entry) for entry in facts["cameras"]]
    trajectories = {int(begun): _trajectory(entry) for begun, entry in facts["trajectories"].items()}
    frames, sides = with_sides(_frames(tensors, cameras, matcher), tensors, facts.get("rig"), rig, matcher)
    strange = {k.trajectory for k in frames} - trajectories.keys()
    if strange:
        raise ValueError(f"nothing is said of the trajectories {sorted(strange)}")
    numbers = {k.number: k for k in frames}
    loops = _loops(tensors, numbers, measured_loops)
    known = KeyframeMap(numbers, [], loops, trajectories=trajectories, present=frames[-1].trajectory)
    return LoadedMap(known, sides)


def _camera(entry: Mapping[str, Any]) -> Camera:
    """Maps that were saved before there were other lenses name none."""
    intrinsics = [entry[name] for name in ("fx", "fy", "cx", "cy")]
    return make_camera(entry.get("lens", ""), (entry["width"], entry["height"]), intrinsics, entry["distortion"])


def _loops(tensors: Mapping[str, np.ndarray], numbers: Mapping[int, Keyframe], are_measured: bool) -> list[Link]:
    pairs = tensors["loops"]
    if pairs.dtype != np.int64 or pairs.shape != (len(pairs), 2) or not set(numbers).issuperset(pairs.ravel().tolist()):
        raise ValueError(f"loops are {pairs.shape} of {pairs.dtype}, not pairs of keyframes")
    ends = [(int(a), int(b)) for a, b in pairs]
    if not are_measured:
        as_now = [relative_pose(numbers[a].camera_to_world, numbers[b].camera_to_world) for a, b in ends]
        return [Link(a, b, pose, 0.0, np.zeros((6, 6)), (0.0, 0.0)) for (a, b), pose in zip(ends, as_now, strict=True)]
    poses, log_scale, covariance = (tensors[f"loop_{name}"] for name in ("pose", "log_scale", "covariance"))
    _check_poses("loop_pose", poses, len(ends))
    _check("loop_log_scale", log_scale, (len(ends),))
    _check("loop_covariance", covariance, (len(ends), 6, 6))
    return [
        Link(a, b, poses[k].astype(float), float(log_scale[k]), covariance[k].astype(float), (0.0, 0.0))
        for k, (a, b) in enumerate(ends)
    ]


def _trajectory(entry: Mapping[str, Any]) -> Trajectory:
    unit, of_scale = float(entry["unit"]), entry["scale"]
    if not (unit > 0 and np.isfinite(unit)):
        raise ValueError(f"unit is {unit}, not a positive length")
    scale = Scale(ScaleSource[of_scale["source"]], float(of_scale["metres_per_unit"]), float(of_scale["sigma"]))
    if not (np.isfinite([scale.metres_per_unit, scale.sigma]).all() and min(scale.metres_per_unit, scale.sigma) >= 0):
        raise ValueError(f"scale is {scale.metres_per_unit} m with a sigma of {scale.sigma}")
    return Trajectory(unit, scale)


def _frames(tensors: Mapping[str, np.ndarray], cameras: Sequence[Camera], matcher: Matcher) -> list[Keyframe]:
    numbers, parents, begun, stamps_ns = (
        _integers(tensors, name) for name in ("number", "parent", "trajectory", "stamp_ns")
    )
    count = len(numbers)
    if not 0 < count <= _MOST or sorted(set(numbers)) != numbers or numbers[0] < 0:
        raise ValueError(f"{count} keyframes, numbered {numbers[:3]}...")
    poses, covariances = tensors["camera_to_world"], tensors["covariance"]
    _check_poses("camera_to_world", poses, count)
    _check("covariance", covariances, (count, 7, 7))
    frames = []
    columns = zip(numbers, parents, begun, stamps_ns, cameras, strict=True)
    for k, (number, parent, trajectory, stamp_ns, camera) in enumerate(columns):
        if parent >= number or (parent >= 0 and parent not in numbers):
            raise ValueError(f"keyframe {number} is said to follow {parent}")
        frame = StreamFrame(number, stamp_ns, _features(tensors[f"image.{number}"], camera, number), camera)
        depth = _inverse_depth(tensors, number, len(matcher.grid(frame.features.grey.shape)))
        parent_or_none = None if parent < 0 else parent
        pose, covariance = poses[k].astype(float), covariances[k].astype(float)
        frames.append(Keyframe(frame, pose, covariance, depth, parent_or_none, trajectory))
    return frames


def _inverse_depth(tensors: Mapping[str, np.ndarray], number: int, points: int) -> FloatArray:
    depth = tensors.get(f"inverse_depth.{number}")
    if depth is None:
        return np.full(points, np.nan)
    _check(f"inverse_depth.{number}", np.nan_to_num(depth), (points,))
    return depth.astype(float)


def _check_poses(name: str, poses: np.ndarray, count: int) -> None:
    _check(name, poses, (count, 4, 4))
    turned = poses[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2)
    rigid = bool((np.abs(turned - np.eye(3)) < _ROTATION_TOLERANCE).all())
    right_handed = bool((np.linalg.det(poses[:, :3, :3]) > 0).all())
    if not rigid or not right_handed or not np.array_equal(poses[:, 3], np.tile([0, 0, 0, 1], (count, 1))):
        raise ValueError(f"{name} has entries that are no poses")


def _integers(tensors: Mapping[str, np.ndarray], name: str) -> list[int]:
    values = tensors[name]
    if values.dtype != np.int64 or values.ndim != 1:
        raise ValueError(f"{name} is {values.shape} of {values.dtype}, not a list of int64")
    return [int(value) for value in values]


def _features(image: np.ndarray, camera: Camera, number: int) -> Features:
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
