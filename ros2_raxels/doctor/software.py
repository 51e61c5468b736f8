"""ROS and Python packages of this process: what is missing, too old, or does not fit together."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ros2_raxels import __version__
from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.utils.ros_environment import missing_ros_packages

_SHOWN = (
    "ROS_DISTRO",
    "ROS_DOMAIN_ID",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "ROS_LOCALHOST_ONLY",
    "ROS_DISCOVERY_SERVER",
    "ROS_SECURITY_ENABLE",
    "RMW_IMPLEMENTATION",
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_BUILTIN_TRANSPORTS",
    "CYCLONEDDS_URI",
)
"""The only variables whose values are told."""

_NEEDED = {"numpy": "numpy", "cv2": "opencv-python-headless", "scipy": "scipy", "transforms3d": "transforms3d"}
_DISTRIBUTIONS = (
    "numpy", "scipy", "transforms3d", "opencv-python", "opencv-python-headless", "opencv-contrib-python", "onnxruntime",
    "onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "cuda-python", "torch", "rosbags", "safetensors", "rclpy",
)  # fmt: skip
_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")
_OLDEST_OPENCV = (4, 5, 4)
_WITH_NUMPY_1 = ("humble", "jazzy")
_MOST_DOMAIN = 232


@dataclass(frozen=True)
class Software:
    """Facts of the packages.

    Attributes:
        version: of ros2_raxels.
        python: version of the interpreter.
        system: name and version of the operating system.
        variables: of the environment, those of ROS alone.
        prefixes: where ROS packages are looked for.
        versions: of Python distributions, by name, without those that are not installed.
        opencv: version of OpenCV; empty where it is not there.
        missing: Python packages that are needed and not there, each with what installs it.
        missing_ros: problem and remedy of each ROS package that cannot be found.
    """

    version: str
    python: str
    system: str
    variables: Mapping[str, str]
    prefixes: tuple[str, ...]
    versions: Mapping[str, str]
    opencv: str
    missing: Mapping[str, str]
    missing_ros: tuple[tuple[str, str], ...]


def look_at_software(environment: Mapping[str, str]) -> Software:
    """Facts of this process."""
    versions = {name: found for name in _DISTRIBUTIONS if (found := _version(name))}
    missing = {module: package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None}
    return Software(
        __version__,
        platform.python_version(),
        platform.platform(terse=True),
        {name: at_home(environment[name]) for name in _SHOWN if environment.get(name)},
        tuple(filter(None, environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep))),
        versions,
        "" if "cv2" in missing else _opencv_version(),
        missing,
        tuple(missing_ros_packages()),
    )


def at_home(text: str) -> str:
    """A text without the name of the user's home folder."""
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _opencv_version() -> str:
    import cv2

    return str(cv2.__version__)


def judge_software(facts: Software) -> list[Finding]:
    """What is wrong with it."""
    return [*_judge_missing(facts), *_judge_versions(facts), *_judge_network(facts.variables)]


def _judge_missing(facts: Software) -> list[Finding]:
    found = [
        Finding(
            Severity.ERROR,
            f"Python package {module} cannot be found",
            f"Python {facts.python}",
            f"rosdep install, or pip install {package}",
        )
        for module, package in facts.missing.items()
    ]
    found += [Finding(Severity.ERROR, what, "", remedy) for what, remedy in facts.missing_ros]
    if "onnxruntime" not in facts.versions and "onnxruntime-gpu" not in facts.versions:
        found.append(
            Finding(
                Severity.NOTE,
                "ONNX Runtime is not installed: poses come from geometry alone, and there are no views",
                "",
                "pip install onnxruntime",
            )
        )
    return found


def _judge_versions(facts: Software) -> list[Finding]:
    found = []
    if facts.opencv and _numbers(facts.opencv) < _OLDEST_OPENCV:
        found.append(
            Finding(
                Severity.ERROR,
                "OpenCV is too old",
                facts.opencv,
                f"install {'.'.join(map(str, _OLDEST_OPENCV))} or later",
            )
        )
    several = [f"{name} {facts.versions[name]}" for name in _OPENCV if name in facts.versions]
    if len({facts.versions[name] for name in _OPENCV if name in facts.versions}) > 1:
        found.append(
            Finding(
                Severity.WARNING,
                "several versions of OpenCV are installed over each other",
                ", ".join(several),
                "pip uninstall all of them, then install one",
            )
        )
    from_apt = any(prefix.startswith("/opt/ros/") for prefix in facts.prefixes)
    distribution = facts.variables.get("ROS_DISTRO", "")
    if from_apt and distribution in _WITH_NUMPY_1 and _numbers(facts.versions.get("numpy", "1")) >= (2,):
        found.append(
            Finding(
                Severity.ERROR,
                f"the modules of ROS 2 {distribution} are compiled for NumPy 1",
                f"NumPy {facts.versions['numpy']}",
                'pip install "numpy<2"',
            )
        )
    return found


def _judge_network(variables: Mapping[str, str]) -> list[Finding]:
    found = []
    domain = variables.get("ROS_DOMAIN_ID", "0")
    if not domain.isdecimal() or int(domain) > _MOST_DOMAIN:
        found.append(
            Finding(
                Severity.ERROR,
                "ROS_DOMAIN_ID is no domain",
                domain,
                f"set a whole number from 0 to 101 (at most {_MOST_DOMAIN}), the same for all processes",
            )
        )
    if variables.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == "OFF":
        found.append(
            Finding(
                Severity.WARNING,
                "ROS_AUTOMATIC_DISCOVERY_RANGE is OFF, so that only static peers are found",
                "OFF",
                "set LOCALHOST or SUBNET",
            )
        )
    return found


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with."""
    parts = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        parts.append(int(part))
    return tuple(parts)
