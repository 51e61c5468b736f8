"""Environment variables with which our processes find ROS and pass images on. Imports the standard library only.

``python ros2_raxels/utils/ros_environment.py DISTRIBUTION`` prints the variable in which the Fast DDS of that ROS 2
distribution looks for a profile; scripts/setup.sh asks so before the package is installed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""Where Fast DDS looks for a profile: version 3 (Kilted) under the first name, 2 (Humble, Jazzy) under the second."""

_PROFILE = "config/fastdds.xml"

WITH_PROFILE = (
    f"start both sides with {PROFILE_VARIABLES[0]} (Humble and Jazzy: {PROFILE_VARIABLES[1]}) = "
    f"<share/ros2_raxels>/{_PROFILE}"
)
"""The remedy for images that are lost because they do not fit the shared memory of Fast DDS."""

DEFAULT_SEGMENT_BYTES = 512 * 1024
"""Shared memory segment of Fast DDS without a profile, one for each process that sends."""

_WITH_FAST_DDS_2 = ("foxy", "galactic", "humble", "iron", "jazzy")
_BOOTSTRAPPED = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
_NEEDED = {
    "rclpy": "run `make setup` in the checkout, or source your ROS 2 (`. /opt/ros/$ROS_DISTRO/setup.bash`)",
    "raxels_interfaces": "run `make setup` in the checkout, or build and source the workspace (`colcon build`)",
}


class RosNotFoundError(RuntimeError):
    """A ROS package that cannot be imported; the message is one line that names it and the remedy."""


ONE_BLAS_THREAD = ("OPENBLAS_NUM_THREADS", "1")
"""Our matrices are small: BLAS threads would only wait for each other on cores that OpenCV needs. The variable is read
when NumPy is imported, so only a parent process, or one that has not imported NumPy yet, can set it."""


def require_ros() -> None:
    """Check that rclpy and the interface package can be imported, without importing them.

    Raises:
        RosNotFoundError: one of them is missing.
    """
    for problem, remedy in missing_ros_packages():
        raise RosNotFoundError(f"{problem}; {remedy}")


def missing_ros_packages() -> list[tuple[str, str]]:
    """What `require_ros` would refuse: the problem and its remedy, for each package that cannot be found."""
    return [
        (f"Python package {package} cannot be imported by {sys.executable}", remedy)
        for package, remedy in _NEEDED.items()
        if importlib.util.find_spec(package) is None
    ]


def ros_environment(domain_id: int | None = None) -> dict[str, str]:
    """Environment for a child process that runs one of our nodes.

    It is this process's own with the gaps filled: where ROS packages are, Fast DDS with room for images in shared
    memory (config/fastdds.xml), discovery on this machine only, one BLAS thread. What the user has set stays.

    Args:
        domain_id: ROS_DOMAIN_ID for a network of its own; None leaves the user's.
    """
    environment = dict(os.environ)
    environment.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    environment.setdefault("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    environment.setdefault(*ONE_BLAS_THREAD)
    environment.update(profile_settings(environment))
    if domain_id is not None:
        environment["ROS_DOMAIN_ID"] = str(domain_id)
    if "LD_LIBRARY_PATH" not in environment:
        # The flag claims that the loader path is set. Without that path it keeps rclpy from setting it and loading.
        environment.pop(_BOOTSTRAPPED, None)
    return environment


def shipped_file(relative: str, prefixes: str | None = None) -> Path | None:
    """A file that is installed with the package: beside the code in a checkout, else under an install prefix.

    Args:
        relative: path below the checkout, and below ``share/ros2_raxels``.
        prefixes: in the form of AMENT_PREFIX_PATH; None takes that of the environment.
    """
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "") if prefixes is None else prefixes
    roots = [Path(p) / "share" / "ros2_raxels" for p in (*prefixes.split(os.pathsep), sys.prefix) if p]
    candidates = (root / relative for root in (Path(__file__).resolve().parents[2], *roots))
    return next((path for path in candidates if path.is_file()), None)


def profile_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that an environment lacks for Fast DDS to have room for images in shared memory.

    A profile or transports of the user's choice stay; a profile under the name that the other version of Fast DDS reads
    is taken for this one too. Our profile switches the built-in transports off, so it must not meet a choice of them.
    """
    # Not both names: Kilted warns about the older one in every process.
    name = profile_variable_here(environment)
    chosen = next((environment[name] for name in PROFILE_VARIABLES if environment.get(name)), "")
    if not chosen and "FASTDDS_BUILTIN_TRANSPORTS" not in environment:
        chosen = str(shipped_file(_PROFILE, environment.get("AMENT_PREFIX_PATH", "")) or "")
    return {name: chosen} if chosen and not environment.get(name) else {}


def profile_variable(distribution: str) -> str:
    """Where the Fast DDS of a ROS 2 distribution, like "jazzy", looks for a profile."""
    return PROFILE_VARIABLES[distribution in _WITH_FAST_DDS_2]


def profile_variable_here(environment: Mapping[str, str]) -> str:
    """Where the Fast DDS of an environment looks for a profile."""
    return PROFILE_VARIABLES[_has_fast_dds_2(environment)]


def _has_fast_dds_2(environment: Mapping[str, str]) -> bool:
    distribution = environment.get("ROS_DISTRO")
    if distribution:
        return distribution in _WITH_FAST_DDS_2
    # Wheels set no such variable.
    prefixes = (environment.get("AMENT_PREFIX_PATH") or sys.prefix).split(os.pathsep)
    return any((Path(prefix) / "lib" / "libfastrtps.so").exists() for prefix in prefixes)


def ros_name(name: str) -> str:
    """A name of a camera as part of a topic, which takes letters, digits and underscores."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"camera_{found}" if found[:1].isdigit() else found


if __name__ == "__main__":
    print(profile_variable(sys.argv[1]))
