"""The environment in which a process of ours finds ROS and gets its images through."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

_PROFILE, _OLD_PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
_OLD_DISTRIBUTIONS = ("foxy", "galactic", "humble", "iron")
_BOOTSTRAPPED = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
_NEEDED = {
    "rclpy": "run `make setup` in the checkout, or source your ROS 2 (`. /opt/ros/$ROS_DISTRO/setup.bash`)",
    "raxels_interfaces": "run `make setup` in the checkout, or build and source the workspace (`colcon build`)",
}


class RosNotFoundError(RuntimeError):
    """A ROS package that cannot be imported; the message is one line that names it and the remedy."""


ONE_BLAS_THREAD = ("OPENBLAS_NUM_THREADS", "1")
"""Our matrices are small: threads of BLAS would only wait for each other on cores that OpenCV needs. It is read when
NumPy is imported, so only a parent process, or one that has not imported it yet, can set it."""


def require_ros() -> None:
    """See that rclpy and the interface package are there, without importing them.

    Raises:
        RosNotFoundError: one of them is missing.
    """
    for package, remedy in _NEEDED.items():
        if importlib.util.find_spec(package) is None:
            raise RosNotFoundError(f"Python package {package} cannot be imported by {sys.executable}; {remedy}")


def ros_environment(domain_id: int | None = None) -> dict[str, str]:
    """Environment for a child process that runs one of our nodes.

    It is this process's own, with what is missing filled in: where ROS packages are, Fast DDS with room for images in
    shared memory (config/fastdds.xml), discovery on this machine only, one BLAS thread. Nothing that the user has set
    is replaced.

    Args:
        domain_id: ROS_DOMAIN_ID for a network of its own; None leaves the user's.
    """
    environment = dict(os.environ)
    environment.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    environment.setdefault("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    environment.setdefault(*ONE_BLAS_THREAD)
    _default_profile(environment)
    if domain_id is not None:
        environment["ROS_DOMAIN_ID"] = str(domain_id)
    if "LD_LIBRARY_PATH" not in environment:
        # The flag says that the loader path is set. Alone it stops rclpy from setting it, and so from loading.
        environment.pop(_BOOTSTRAPPED, None)
    return environment


def fastdds_profile(prefixes: str) -> Path | None:
    """The shipped config/fastdds.xml: beside the code in a checkout, else under one of the install prefixes.

    Args:
        prefixes: in the form of AMENT_PREFIX_PATH.
    """
    return shipped_file("config/fastdds.xml", prefixes)


def shipped_file(relative: str, prefixes: str | None = None) -> Path | None:
    """A file that is installed with the package: beside the code in a checkout, else under an install prefix.

    Args:
        relative: path below the checkout, and below ``share/ros2_raxels``.
        prefixes: in the form of AMENT_PREFIX_PATH; None takes that of the environment.
    """
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "") if prefixes is None else prefixes
    roots = [Path(p) / "share" / "ros2_raxels" for p in (*prefixes.split(os.pathsep), sys.prefix) if p]
    candidates = (root / relative for root in (Path(__file__).resolve().parent.parent, *roots))
    return next((path for path in candidates if path.is_file()), None)


def _default_profile(environment: dict[str, str]) -> None:
    if {_PROFILE, _OLD_PROFILE, "FASTDDS_BUILTIN_TRANSPORTS"} & environment.keys():
        # The last one too: our profile switches the built-in transports off, and with them what was asked for.
        return
    profile = fastdds_profile(environment["AMENT_PREFIX_PATH"])
    if profile is not None:
        # Newer ones warn when they see the old name.
        is_old = environment.get("ROS_DISTRO") in _OLD_DISTRIBUTIONS
        environment[_OLD_PROFILE if is_old else _PROFILE] = str(profile)
