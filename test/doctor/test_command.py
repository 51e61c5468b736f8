"""`raxels doctor`: what it prints and with which exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from commands_rig import CapSys, error_line
from doctor_rig import arrivals, healthy_graph
from ros_testing import ROOT

from ros2_raxels.cli.main import main
from ros2_raxels.doctor import command
from ros2_raxels.doctor.engines import Engines
from ros2_raxels.doctor.hardware import Hardware
from ros2_raxels.doctor.report import Examined
from ros2_raxels.doctor.shared_memory import SharedMemory
from ros2_raxels.doctor.software import Software

HARDWARE = Hardware("a processor", 4, 0.5, 8_000_000_000, 12.0)
ENGINES = Engines(False, "ONNX Runtime", "", (), "cache", True)
SOFTWARE = Software("0.1.0", "3.12", "Linux", {}, (), {"onnxruntime": "1"}, "4.10.0", {}, ())
MEMORY = SharedMemory("rmw_fastrtps_cpp", "FASTDDS_DEFAULT_PROFILES_FILE", {}, "", 16 << 20, 1 << 30, 0, 0)
WELL = Examined(SOFTWARE, MEMORY, HARDWARE, ENGINES, healthy_graph())


@pytest.fixture
def good_machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This machine, as if all were well with it."""
    monkeypatch.setattr(command, "look_at_hardware", lambda _: HARDWARE)
    monkeypatch.setattr(command, "look_at_engines", lambda _: ENGINES)
    monkeypatch.setattr(command, "look_at_software", lambda _: SOFTWARE)
    monkeypatch.setattr(command, "look_at_shared_memory", lambda _: MEMORY)
    return monkeypatch


@pytest.mark.usefixtures("good_machine")
def test_a_good_machine_is_status_0(capsys: CapSys) -> None:
    assert main(["doctor", "--no-ros"]) == 0
    assert capsys.readouterr().out.endswith("\nnothing wrong was found\n")


def test_something_wrong_is_status_1_and_in_the_file(
    good_machine: pytest.MonkeyPatch, tmp_path: Path, capsys: CapSys
) -> None:
    good_machine.setattr(command, "look_at_hardware", lambda _: replace(HARDWARE, load=9.0))
    file = tmp_path / "doctor.json"
    assert main(["doctor", "--no-ros", "--json", str(file)]) == 1
    out = capsys.readouterr().out
    assert "WARNING  the machine is overloaded" in out
    assert out.endswith("\n1 warning\n")
    record = json.loads(file.read_text())
    assert [finding["value"] for finding in record["findings"]] == ["load 9.0 on 4 cores"]
    assert record["hardware"]["load"] == 9.0


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--seconds", "x"], ["--loud"]])
def test_wrong_options_are_status_2(arguments: list[str], capsys: CapSys) -> None:
    assert main(["doctor", *arguments]) == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.usefixtures("good_machine")
def test_a_file_that_cannot_be_written_is_status_2_before_anything_is_looked_at(tmp_path: Path, capsys: CapSys) -> None:
    assert main(["doctor", "--no-ros", "--json", str(tmp_path / "gone" / "x.json")]) == 2
    assert "does not exist" in error_line(capsys)


def test_without_opencv_it_still_says_what_is_missing(good_machine: pytest.MonkeyPatch, capsys: CapSys) -> None:
    missing = replace(SOFTWARE, missing={"cv2": "opencv-python-headless"})
    good_machine.setattr(command, "look_at_software", lambda _: missing)
    assert main(["doctor", "--no-ros"]) == 1
    assert "ERROR    Python package cv2 cannot be found" in capsys.readouterr().out


def test_without_ros_the_machine_is_looked_at_and_the_remedy_said(
    good_machine: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    gone = replace(SOFTWARE, missing_ros=(("Python package rclpy cannot be imported by python", "source your ROS 2"),))
    good_machine.setattr(command, "look_at_software", lambda _: gone)
    good_machine.setitem(sys.modules, "rclpy", None)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "machine: a processor" in out
    assert "ERROR    Python package rclpy cannot be imported by python\n         -> source your ROS 2" in out
    assert out.endswith("\n1 error\n")


def test_a_ros_that_is_half_there_is_said_with_its_own_words(good_machine: pytest.MonkeyPatch, capsys: CapSys) -> None:
    good_machine.setattr(command, "_loaded_ros", lambda: "librcl.so: cannot open shared object file")
    assert main(["doctor"]) == 1
    assert (
        "ERROR    ROS cannot be used by this Python\n         librcl.so: cannot open shared object"
        in capsys.readouterr().out
    )


def test_nothing_is_said_where_all_is_well() -> None:
    assert command.judge(WELL, "base_link") == []


def test_the_time_for_a_frame_is_held_against_the_rate_of_the_images() -> None:
    graph = healthy_graph()
    graph.images["/camera/image_raw"].arrivals = arrivals(rate_hz=60.0)
    slow = replace(HARDWARE, frame_ms=20.0)
    (found,) = command.judge(replace(WELL, graph=graph, hardware=slow), "base_link")
    assert found.value == "a frame takes 20 ms (measured here, 640x480), and one comes every 17 ms"


def test_the_base_is_that_of_the_robot() -> None:
    (found,) = command.judge(WELL, "trunk")
    assert found.what == "TF has no frame trunk, so that poses are those of the camera"


@pytest.mark.ros
@pytest.mark.usefixtures("probe", "empty_network")
def test_on_an_empty_network_it_says_that_no_images_are_published() -> None:
    """The probe is a node on the network of the other tests."""
    begun = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "ros2_raxels", "doctor", "--seconds", "1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "SOME_TOKEN": "not-to-be-told"},
        timeout=60,
    )
    assert time.monotonic() - begun < 30
    assert ran.returncode == 1, ran.stderr
    assert "WARNING  no images are being published\n         nodes: 0, topics: " in ran.stdout
    assert "looking at this machine" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "not-to-be-told" not in ran.stdout
