"""ros_environment: fills in what is missing, and replaces nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ros_testing import ROOT

from ros2_raxels.utils import ros_environment as module
from ros2_raxels.utils.ros_environment import RosNotFoundError, require_ros, ros_environment, shipped_file


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of the variables in question."""
    for name in list(os.environ):
        if name.startswith(("ROS_", "RMW_", "FASTDDS_", "FASTRTPS_", "AMENT_", "_ROS", "LD_LIBRARY", "OPENBLAS")):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.usefixtures("bare")
def test_defaults() -> None:
    environment = ros_environment()
    assert environment["AMENT_PREFIX_PATH"] == sys.prefix
    assert environment["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp"
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert ["segment_size" in Path(path).read_text() for path in profiles().values()] == [True]
    assert environment["OPENBLAS_NUM_THREADS"] == "1"
    assert "ROS_DOMAIN_ID" not in environment
    assert ros_environment(42)["ROS_DOMAIN_ID"] == "42"


NEW, OLD = module.PROFILE_VARIABLES


@pytest.mark.parametrize(
    ("distribution", "name"), [("humble", OLD), ("jazzy", OLD), ("kilted", NEW), ("lyrical", NEW), ("rolling", NEW)]
)
def test_the_profile_is_under_the_one_name_that_the_distribution_reads(
    bare: pytest.MonkeyPatch, distribution: str, name: str
) -> None:
    bare.setenv("ROS_DISTRO", distribution)
    assert profiles() == {name: str(shipped_file("config/fastdds.xml", ""))}


@pytest.mark.parametrize(("distribution", "name"), [("jazzy", OLD), ("kilted", NEW)])
def test_the_set_up_asks_for_that_name_before_the_package_is_installed(distribution: str, name: str) -> None:
    script = ROOT / "ros2_raxels" / "utils" / "ros_environment.py"
    asked = subprocess.run([sys.executable, "-I", script, distribution], capture_output=True, text=True, timeout=20)
    assert (asked.stdout, asked.stderr) == (f"{name}\n", "")
    assert module.profile_variable(distribution) == name
    for recipe in ("Makefile", "scripts/setup.sh"):
        assert not re.search("FAST(RTPS|DDS)_", (ROOT / recipe).read_text()), f"{recipe} has a name of its own"


def test_the_setup_file_of_the_environment_sets_the_name_that_is_read(bare: pytest.MonkeyPatch) -> None:
    file = Path(sys.prefix) / "setup.sh"
    if not file.is_file():
        pytest.skip(f"{file} is not there: Python is not of an environment of `make setup`")
    printed = subprocess.run(["bash", "-c", f'. "{file}"; env'], capture_output=True, text=True, timeout=20, check=True)
    sourced = dict(line.split("=", 1) for line in printed.stdout.splitlines() if "=" in line)
    (name,) = (name for name in module.PROFILE_VARIABLES if name in sourced)
    bare.setenv("ROS_DISTRO", sourced["ROS_DISTRO"])
    assert list(profiles()) == [name]
    assert Path(sourced[name]).name == "fastdds.xml"


def test_without_a_word_of_the_distribution_its_library_decides(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("AMENT_PREFIX_PATH", f"/nowhere{os.pathsep}{tmp_path}")
    assert list(profiles()) == [NEW]
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libfastrtps.so").touch()
    assert list(profiles()) == [OLD]


@pytest.mark.parametrize("given", [NEW, OLD])
@pytest.mark.parametrize(("distribution", "read"), [("jazzy", OLD), ("kilted", NEW)])
def test_a_profile_of_the_user_is_read_whatever_its_name(
    bare: pytest.MonkeyPatch, given: str, distribution: str, read: str
) -> None:
    bare.setenv("ROS_DISTRO", distribution)
    bare.setenv(given, "/etc/mine.xml")
    assert profiles() == dict.fromkeys({given, read}, "/etc/mine.xml")


def profiles() -> dict[str, str]:
    """Variables of profiles in the environment of a child process."""
    return {name: value for name, value in ros_environment().items() if name in module.PROFILE_VARIABLES}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AMENT_PREFIX_PATH", "/opt/ros/jazzy"),
        ("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp"),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET"),
        ("FASTDDS_DEFAULT_PROFILES_FILE", "/etc/mine.xml"),
        ("FASTRTPS_DEFAULT_PROFILES_FILE", "/etc/mine.xml"),
        ("ROS_DOMAIN_ID", "7"),
        ("OPENBLAS_NUM_THREADS", "4"),
    ],
)
def test_what_the_user_has_set_stays(bare: pytest.MonkeyPatch, name: str, value: str) -> None:
    bare.setenv(name, value)
    assert ros_environment()[name] == value


def test_a_transport_chosen_by_the_user_is_not_overruled_by_our_profile(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("FASTDDS_BUILTIN_TRANSPORTS", "LARGE_DATA")
    assert profiles() == {}


def test_the_bootstrap_flag_never_goes_without_the_loader_path(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in ros_environment()
    bare.setenv("LD_LIBRARY_PATH", "/somewhere")
    environment = ros_environment()
    assert environment["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] == "1"
    assert environment["LD_LIBRARY_PATH"] == "/somewhere"


def test_an_installed_profile_is_found_when_there_is_no_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "__file__", str(tmp_path / "site" / "ros2_raxels" / "utils" / "ros_environment.py"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "nowhere"))
    assert shipped_file("config/fastdds.xml", "") is None
    profile = tmp_path / "install" / "share" / "ros2_raxels" / "config" / "fastdds.xml"
    profile.parent.mkdir(parents=True)
    profile.write_text("<dds/>")
    prefixes = f"/opt/ros/jazzy{os.pathsep}{tmp_path / 'install'}"
    assert shipped_file("config/fastdds.xml", prefixes) == profile


@pytest.mark.parametrize("missing", ["rclpy", "raxels_interfaces"])
def test_missing_packages_are_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(RosNotFoundError, match=rf"{missing}.*make setup") as caught:
        require_ros()
    assert "\n" not in str(caught.value)


def test_the_variable_of_this_environment_is_that_of_its_distribution() -> None:
    assert module.profile_variable_here({"ROS_DISTRO": "jazzy"}) == OLD
    assert module.profile_variable_here({"ROS_DISTRO": "kilted"}) == NEW


def test_every_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    rclpy, interfaces = module.missing_ros_packages()
    assert rclpy[0] == f"Python package rclpy cannot be imported by {sys.executable}"
    assert "setup.bash" in rclpy[1]
    assert "raxels_interfaces" in interfaces[0]
    assert "colcon build" in interfaces[1]
