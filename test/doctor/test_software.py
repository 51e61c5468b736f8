"""doctor.software: packages and variables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ros2_raxels import __version__
from ros2_raxels.doctor.findings import Severity
from ros2_raxels.doctor.software import Software, at_home, judge_software, look_at_software

GOOD = Software(
    version="0.1.0",
    python="3.12.3",
    system="Linux",
    variables={"ROS_DISTRO": "kilted"},
    prefixes=("/opt/ros/kilted",),
    versions={"numpy": "2.1.0", "onnxruntime": "1.20.0", "opencv-python": "4.10.0"},
    opencv="4.10.0",
    missing={},
    missing_ros=(),
)


def test_nothing_is_said_of_a_good_installation() -> None:
    assert judge_software(GOOD) == []


def test_missing_packages_are_errors_with_what_installs_them() -> None:
    ours = ("Python package raxels_interfaces cannot be imported by python", "build the workspace")
    cv2, interfaces = judge_software(replace(GOOD, missing={"cv2": "opencv-python-headless"}, missing_ros=(ours,)))
    assert cv2.what == "Python package cv2 cannot be found"
    assert cv2.remedy == "rosdep install, or pip install opencv-python-headless"
    assert (interfaces.severity, interfaces.what, interfaces.remedy) == (Severity.ERROR, *ours)


def test_without_onnx_runtime_there_is_a_note() -> None:
    (found,) = judge_software(replace(GOOD, versions={"numpy": "2.1.0"}))
    assert found.severity == Severity.NOTE
    assert found.what.startswith("ONNX Runtime is not installed")


def test_versions_that_are_too_old_or_lie_over_each_other() -> None:
    versions = {**GOOD.versions, "opencv-python-headless": "4.14.0"}
    old, several = judge_software(replace(GOOD, opencv="4.5.1", versions=versions))
    assert (old.what, old.value, old.remedy) == ("OpenCV is too old", "4.5.1", "install 4.5.4 or later")
    assert several.value == "opencv-python 4.10.0, opencv-python-headless 4.14.0"


def test_numpy_2_breaks_the_modules_of_an_older_ros() -> None:
    jazzy = replace(GOOD, variables={"ROS_DISTRO": "jazzy"}, prefixes=("/home/me/ws/install", "/opt/ros/jazzy"))
    (found,) = judge_software(jazzy)
    assert found.what == "the modules of ROS 2 jazzy are compiled for NumPy 1"
    assert found.remedy == 'pip install "numpy<2"'
    assert judge_software(replace(jazzy, versions={**GOOD.versions, "numpy": "1.26.4"})) == []


@pytest.mark.parametrize("domain", ["-1", "233", "x"])
def test_a_domain_that_is_none(domain: str) -> None:
    (found,) = judge_software(replace(GOOD, variables={"ROS_DOMAIN_ID": domain}))
    assert (found.what, found.value) == ("ROS_DOMAIN_ID is no domain", domain)


def test_discovery_that_is_off() -> None:
    (found,) = judge_software(replace(GOOD, variables={"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}))
    assert found.remedy == "set LOCALHOST or SUBNET"


def test_no_variable_but_those_of_ros_is_told() -> None:
    facts = look_at_software({"ROS_DOMAIN_ID": "7", "API_TOKEN": "secret", "AMENT_PREFIX_PATH": "/a:/b", "HOME": "/x"})
    assert facts.variables == {"ROS_DOMAIN_ID": "7"}
    assert facts.prefixes == ("/a", "/b")
    assert facts.version == __version__
    assert "secret" not in repr(facts)


def test_the_name_of_the_home_folder_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/somebody"))
    assert at_home("/home/somebody/profile.xml") == "~/profile.xml"
