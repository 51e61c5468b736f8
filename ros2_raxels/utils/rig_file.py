"""Files of ``config/rigs``: parameters and topics of the cameras of a robot, for the launch file. Free of ROS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ros2_raxels.utils.ros_environment import shipped_file

_FOLDER = "config/rigs"
_OF_ALL = ("cameras", "image_rectified", "image_transport")
_OTHER_TOPICS = ("imu", "odom", "depth/image", "depth/camera_info")


class RigFileError(ValueError):
    """A file that cannot be used; one line with the remedy."""


@dataclass(frozen=True)
class RigFile:
    """What a file says.

    Attributes:
        parameters: of raxels_pose, by name.
        topics: by the name that raxels_pose has for them.
    """

    parameters: Mapping[str, Any]
    topics: Mapping[str, str]

    @property
    def of_all_nodes(self) -> dict[str, Any]:
        """The parameters that raxels_views has too."""
        return {name: self.parameters[name] for name in _OF_ALL if name in self.parameters}

    @property
    def leader(self) -> str:
        """Name of the first camera."""
        return str(self.parameters["cameras"][0])


def rig_names() -> list[str]:
    """Of the files that come with the package."""
    one = shipped_file(f"{_FOLDER}/four_cameras.yaml")
    return [] if one is None else sorted(path.stem for path in one.parent.glob("*.yaml"))


def read_rig(wanted: str) -> RigFile:
    """A file by its name in ``config/rigs``, or by its path.

    Raises:
        RigFileError: there is none, or it cannot be used.
    """
    path = Path(wanted).expanduser() if wanted.endswith((".yaml", ".yml")) else shipped_file(f"{_FOLDER}/{wanted}.yaml")
    if path is None or not path.is_file():
        raise RigFileError(f"rig {wanted!r} is not there; give one of {', '.join(rig_names())}, or a file of your own")
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RigFileError(f"{path} cannot be read: {' '.join(str(error).split())}; correct it") from error
    return _checked(path, loaded)


def remappings(rig: RigFile | None, given: Mapping[str, str]) -> dict[str, str]:
    """Topics by the names that nodes have for them.

    Args:
        rig: whose topics they are; `image` and `camera_info` are those of its first camera. None for one camera.
        given: outrank those of the rig.
    """
    if rig is None:
        return dict(given)
    first = {topic: rig.topics[f"{rig.leader}/{topic}"] for topic in ("image", "camera_info")}
    return {**rig.topics, **first, **given}


def _checked(path: Path, loaded: Any) -> RigFile:
    parameters, topics = (loaded.get(n) if isinstance(loaded, dict) else None for n in ("parameters", "topics"))
    if not isinstance(parameters, dict) or not isinstance(topics, dict):
        raise RigFileError(f"{path} must have parameters and topics; config/rigs/usb_stereo.yaml is an example")
    cameras = parameters.get("cameras")
    if not (isinstance(cameras, list) and cameras and all(isinstance(name, str) and name for name in cameras)):
        raise RigFileError(f"{path}: parameters.cameras = {cameras!r} must name the cameras")
    for camera in cameras:
        for topic in (f"{camera}/image", f"{camera}/camera_info"):
            if not isinstance(topics.get(topic), str):
                raise RigFileError(f"{path}: topics has no {topic}; add it")
    known = {f"{camera}/{topic}" for camera in cameras for topic in ("image", "camera_info")}
    for topic in topics:
        if topic not in known and topic not in _OTHER_TOPICS:
            raise RigFileError(f"{path}: topics has {topic}, which is of none of the cameras; correct its name")
    return RigFile(parameters, topics)
