"""The part of a map file that is of the cameras beside the first one: images, depths, lenses and mounts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.lens_names import lens_name, make_camera
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, rotation_angle_rad
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import Keyframe, Side
from ros2_raxels.tracking.rig_scale import RigScale
from ros2_raxels.tracking.rig_tracks import RigTracks

_SAME_M, _SAME_RAD = 0.002, 0.005
"""A mount that differs by more is another one."""


@dataclass(frozen=True, eq=False)
class KnownSides:
    """What a file knows of the cameras of a rig, as far as they are those of the rig that reads it.

    Attributes:
        depths: inverse depths (G,) by camera and number of the keyframe.
        scale: of the world; None where the file tells none that holds.
        remark: which cameras of the file are not used and why, in a line; empty where all are.
    """

    depths: Mapping[str, Mapping[int, FloatArray]] = field(default_factory=dict)
    scale: RigScale | None = None
    remark: str = ""

    def given_to(self, tracks: RigTracks) -> None:
        """Tell what is known to the tracks of a map of these keyframes."""
        if self.scale is not None:
            tracks.scale = self.scale
        for name, of_camera in self.depths.items():
            for number, inverse_depth in of_camera.items():
                tracks.know(name, number, inverse_depth)


def side_tensors(tracks: RigTracks, keyframes: Sequence[Keyframe]) -> dict[str, np.ndarray]:
    """Images and depths of the other cameras, by name of the tensor."""
    found: dict[str, np.ndarray] = {}
    for name in tracks.rig.others:
        for view in tracks.views(name, keyframes):
            found[f"side.{name}.image.{view.number}"] = np.ascontiguousarray(view.features.grey)
            found[f"side.{name}.inverse_depth.{view.number}"] = np.ascontiguousarray(view.inverse_depth)
    return found


def side_facts(tracks: RigTracks, keyframes: Sequence[Keyframe]) -> dict[str, Any]:
    """All else of them, for JSON."""
    working = {name: side.camera for k in keyframes for name, side in k.frame.sides.items()}
    cameras = [
        {
            "name": name,
            "lens": _lens_record(tracks.rig[name].camera),
            "working": _lens_record(working[name]) if name in working else None,
            "to_leader": tracks.rig.to_leader(name).tolist(),
        }
        for name in tracks.rig.names
    ]
    scale = tracks.scale
    return {
        "cameras": cameras,
        "scale": {"units": scale.units, "information": scale.information, "is_given": scale.is_given},
    }


def _lens_record(camera: Camera) -> dict[str, Any]:
    names = ("width", "height", "fx", "fy", "cx", "cy", "distortion")
    return {name: getattr(camera, name) for name in names} | {"lens": lens_name(camera)}


def _lens(record: Mapping[str, Any]) -> Camera:
    intrinsics = [record[name] for name in ("fx", "fy", "cx", "cy")]
    return make_camera(record["lens"], (record["width"], record["height"]), intrinsics, record["distortion"])


def with_sides(
    keyframes: Sequence[Keyframe],
    tensors: Mapping[str, np.ndarray],
    facts: Mapping[str, Any] | None,
    rig: Rig | None,
    matcher: Matcher,
) -> tuple[list[Keyframe], KnownSides]:
    """Keyframes with the images of those cameras that a file and a rig have in common.

    Args:
        keyframes: without them.
        tensors: of the file.
        facts: of `side_facts`; None in the file of a single camera.
        rig: that is to go on; None for one camera.
        matcher: of all frames.

    Raises:
        ValueError, LookupError: the file holds what cannot be.
    """
    if facts is None:
        return list(keyframes), KnownSides()
    records = {str(record["name"]): record for record in facts["cameras"]}
    leader, *others = records
    unlike = {name: why for name in others if (why := _unlike(name, records, leader, rig))}
    same = [name for name in others if name not in unlike]
    found, depths = list(keyframes), {name: dict[int, FloatArray]() for name in same}
    for name in same:
        working = _lens(records[name]["working"]) if records[name]["working"] else None
        for k, keyframe in enumerate(found):
            image = tensors.get(f"side.{name}.image.{keyframe.number}")
            if image is None or working is None:
                continue
            side = Side(_features(image, working, f"{name}, {keyframe.number}"), working)
            sides = {**keyframe.frame.sides, name: side}
            found[k] = replace(keyframe, frame=replace(keyframe.frame, sides=sides))
            depths[name][keyframe.number] = _depths(tensors, name, keyframe.number, matcher, image.shape)
    return found, KnownSides(depths, _scale(facts["scale"]) if same else None, _remark(leader, unlike, rig))


def _unlike(name: str, records: Mapping[str, Any], leader: str, rig: Rig | None) -> str:
    """Why a camera of a file is none of the rig; empty where it is one."""
    if rig is None:
        return "there is one camera now"
    if rig.leader != leader:
        return f"{rig.leader!r} leads now, and {leader!r} did"
    if name not in rig.others:
        return "it is none of the rig now"
    record = records[name]
    if _lens(record["lens"]) != rig[name].camera:
        return "its lens is another one now"
    moved = inverse_pose(np.array(record["to_leader"], float)) @ rig.to_leader(name)
    away, turned = float(np.linalg.norm(moved[:3, 3])), float(rotation_angle_rad(moved[:3, :3]))
    if away > _SAME_M or turned > _SAME_RAD:
        return f"it stands {1e3 * away:.1f} mm and {np.degrees(turned):.2f} deg from where it did"
    return ""


def _remark(leader: str, unlike: Mapping[str, str], rig: Rig | None) -> str:
    if not unlike:
        return ""
    why = "; ".join(f"{name!r}: {words}" for name, words in unlike.items())
    kept = "" if rig is None else ", and of the cameras that are the same"
    return f"the map was made with another rig ({why}): what its first camera {leader!r} saw is used{kept}"


def _features(image: np.ndarray, camera: Camera, where: str) -> Features:
    if image.dtype != np.uint8 or image.shape != (camera.height, camera.width):
        raise ValueError(f"image {where} is {image.shape} of {image.dtype}, its camera {camera.width}x{camera.height}")
    return Features(image)


def _depths(
    tensors: Mapping[str, np.ndarray], name: str, number: int, matcher: Matcher, shape: tuple[int, ...]
) -> FloatArray:
    tensor = f"side.{name}.inverse_depth.{number}"
    found, points = tensors[tensor], len(matcher.grid((shape[0], shape[1])))
    if found.shape != (points,) or not re.match("float", str(found.dtype)) or np.isinf(found).any():
        raise ValueError(f"{tensor} is {found.shape} of {found.dtype}, not finite ({points},)")
    return found.astype(float)


def _scale(record: Mapping[str, Any]) -> RigScale:
    units, information = float(record["units"]), float(record["information"])
    if not (0 < units < np.inf and 0 < information < np.inf):
        raise ValueError(f"the rig has {units} units a metre with an information of {information}")
    return RigScale(units, information, bool(record["is_given"]))
