"""doctor.report: the text and the record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_rig import IMAGE, healthy_graph

from ros2_raxels.doctor.engines import Engines
from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.doctor.hardware import Hardware
from ros2_raxels.doctor.report import Examined, record_of, text_of
from ros2_raxels.doctor.shared_memory import SharedMemory
from ros2_raxels.doctor.software import Software

VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
ERROR = Finding(Severity.ERROR, "the camera is upside down", "180 deg", "turn it round")
WARNING = Finding(Severity.WARNING, "it is dark")


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> Examined:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/somebody"))
    software = Software(
        "0.1.0", "3.12", "Linux", {"ROS_DISTRO": "kilted"}, ("/home/somebody/ws",), {"numpy": "2.1"}, "4.10", {}, ()
    )
    profile = {VARIABLE: "/home/somebody/fastdds.xml"}
    memory = SharedMemory("rmw_fastrtps_cpp", VARIABLE, profile, "", 16 << 20, 1 << 30, 0, 0)
    hardware = Hardware("a processor", 4, 1.0, 8_000_000_000, 12.3)
    engines = Engines(False, "ONNX Runtime", "", (), "/home/somebody/.cache", True)
    return Examined(software, memory, hardware, engines, healthy_graph())


def test_the_text_says_what_was_looked_at_then_what_is_wrong_and_how_much(examined: Examined) -> None:
    lines = text_of(examined, [ERROR, WARNING, WARNING]).splitlines()
    assert lines[0] == "ros2_raxels 0.1.0, Python 3.12, Linux"
    assert lines[1] == "ROS 2: kilted, rmw_fastrtps_cpp, domain 0"
    assert lines[2] == "packages: numpy 2.1"
    assert lines[3] == "Fast DDS profile: ~/fastdds.xml"
    assert lines[4] == (
        "machine: a processor, 4 cores, load 1.0, memory 8.0 GB free, a frame takes 12 ms (measured here, 640x480)"
    )
    assert lines[5:7] == [
        "engine: ONNX Runtime; plans in the cache: 0",
        "graph: nodes 1 (ours: nobody), TF edges 1",
    ]
    assert f"  {IMAGE}: from usb_cam, 640x480 px rgb8, 30.0 Hz" in lines
    at = lines.index("ERROR    the camera is upside down")
    assert lines[at + 1 : at + 3] == ["         180 deg", "         -> turn it round"]
    assert lines[at + 3 :] == ["WARNING  it is dark", "WARNING  it is dark", "1 error, 2 warnings"]


def test_a_note_alone_is_nothing_wrong(examined: Examined) -> None:
    text = text_of(examined, [Finding(Severity.NOTE, "a" * 80, "b " * 40)])
    assert text.endswith("\nnothing wrong was found")
    assert max(map(len, text.splitlines())) <= 110


def test_the_record_has_everything_but_the_home_folder(examined: Examined) -> None:
    record = json.loads(json.dumps(record_of(examined, [ERROR])))
    assert record["findings"] == [
        {"severity": "error", "what": ERROR.what, "value": ERROR.value, "remedy": ERROR.remedy}
    ]
    assert record["shared_memory"]["profiles"] == {VARIABLE: "~/fastdds.xml"}
    assert record["engines"]["folder"] == "~/.cache"
    (image,) = record["graph"]["images"]
    assert (image["topic"], image["count"], image["rate_hz"], image["width"]) == (IMAGE, 60, 30.0, 640)
    (info,) = record["graph"]["camera_infos"]
    assert info["k"] == [500, 0, 320, 0, 500, 240, 0, 0, 1]
    assert record["graph"]["tf"][0] == {
        "parent": "base_link",
        "child": "camera",
        "static": True,
        "owners": ["robot_state_publisher"],
    }
    assert "somebody" not in json.dumps(record)


def test_without_a_graph_the_machine_is_told_alone(examined: Examined) -> None:
    alone = replace(examined, graph=None)
    assert len(text_of(alone, []).splitlines()) == 8
    assert record_of(alone, [])["graph"] is None
