"""doctor.hardware: cores, load, memory, time for a frame."""

from __future__ import annotations

from dataclasses import replace

from ros2_raxels.doctor.findings import Severity
from ros2_raxels.doctor.hardware import Hardware, judge_frame_time, judge_hardware, look_at_hardware

GOOD = Hardware("a processor", cores=4, load=1.0, memory_bytes=8_000_000_000, frame_ms=12.0)


def test_nothing_is_said_of_a_good_machine() -> None:
    assert judge_hardware(GOOD) == []
    assert judge_hardware(replace(GOOD, memory_bytes=None, frame_ms=None)) == []


def test_load_is_compared_with_the_cores() -> None:
    (found,) = judge_hardware(replace(GOOD, load=4.5))
    assert found.what == "the machine is overloaded, so that frames are late or dropped"
    assert found.value == "load 4.5 on 4 cores"
    assert "top" in found.remedy


def test_one_core_and_little_memory() -> None:
    core, memory = judge_hardware(replace(GOOD, cores=1, load=0.5, memory_bytes=400_000_000))
    assert (core.what, core.value) == ("one core is too few for tracking and keyframes at once", "1 core")
    assert memory.what.startswith("little memory is left")
    assert memory.value == "400 MB"


def test_frames_must_be_solved_before_the_next_comes() -> None:
    slow = replace(GOOD, frame_ms=50.0)
    assert judge_frame_time(GOOD, 30.0, "/image") == []
    assert judge_frame_time(slow, 0.0, "/image") == []
    assert judge_frame_time(replace(GOOD, frame_ms=None), 30.0, "/image") == []
    (found,) = judge_frame_time(slow, 30.0, "/image")
    assert found.severity == Severity.WARNING
    assert found.what == "images of /image come faster than they can be solved, so that some are dropped"
    assert found.value == "a frame takes 50 ms (measured here, 640x480), and one comes every 33 ms"


def test_this_machine_is_looked_at() -> None:
    facts = look_at_hardware()
    assert facts.cores >= 1
    assert facts.memory_bytes is not None
    assert 10_000_000 < facts.memory_bytes < 10**14
    assert facts.frame_ms is not None
    assert 0.1 < facts.frame_ms < 5000


def test_where_a_pose_node_tells_what_frames_take_nothing_is_measured() -> None:
    facts = look_at_hardware([9.0, 40.0, 41.0])
    assert (facts.frame_ms, facts.measured_by) == (40.0, "status.processing_s of the pose node")
