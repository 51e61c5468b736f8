"""ros_environment: fills in what is missing, and replaces nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ros2_raxels import ros_environment as module
from ros2_raxels.ros_environment import RosNotFoundError, fastdds_profile, require_ros, ros_environment


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
    assert "segment_size" in Path(environment["FASTDDS_DEFAULT_PROFILES_FILE"]).read_text()
    assert environment["OPENBLAS_NUM_THREADS"] == "1"
    assert "ROS_DOMAIN_ID" not in environment
    assert ros_environment(42)["ROS_DOMAIN_ID"] == "42"


@pytest.mark.usefixtures("bare")
def test_a_profile_is_under_the_names_that_the_fast_dds_of_all_distributions_reads() -> None:
    environment = ros_environment()
    assert environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == environment["FASTDDS_DEFAULT_PROFILES_FILE"]


@pytest.mark.parametrize("name", ["FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"])
def test_a_profile_of_the_user_holds_for_all_distributions(bare: pytest.MonkeyPatch, name: str) -> None:
    bare.setenv(name, "/etc/mine.xml")
    assert {v for k, v in ros_environment().items() if k.endswith("_DEFAULT_PROFILES_FILE")} == {"/etc/mine.xml"}


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
    assert not [name for name in ros_environment() if name.endswith("_DEFAULT_PROFILES_FILE")]


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
    monkeypatch.setattr(module, "__file__", str(tmp_path / "site" / "ros2_raxels" / "ros_environment.py"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "nowhere"))
    assert fastdds_profile("") is None
    profile = tmp_path / "install" / "share" / "ros2_raxels" / "config" / "fastdds.xml"
    profile.parent.mkdir(parents=True)
    profile.write_text("<dds/>")
    assert fastdds_profile(f"/opt/ros/jazzy{os.pathsep}{tmp_path / 'install'}") == profile


@pytest.mark.parametrize("missing", ["rclpy", "raxels_interfaces"])
def test_missing_packages_are_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(RosNotFoundError, match=rf"{missing}.*make setup") as caught:
        require_ros()
    assert "\n" not in str(caught.value)
