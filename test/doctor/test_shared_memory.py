"""doctor.shared_memory: profiles of Fast DDS, room for images, segments of the dead."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path

import pytest
from ros_testing import ROOT

from ros2_raxels.doctor.findings import Severity
from ros2_raxels.doctor.shared_memory import SharedMemory, judge_shared_memory, look_at_shared_memory
from ros2_raxels.utils.ros_environment import PROFILE_VARIABLES, WITH_PROFILE

NEW, OLD = PROFILE_VARIABLES
PROFILE = str(ROOT / "config" / "fastdds.xml")
GOOD = SharedMemory("rmw_fastrtps_cpp", NEW, {NEW: PROFILE}, "", 16 << 20, 1 << 30, 0, 0)
VGA, HD = 640 * 480 * 3, 1920 * 1080 * 3


def test_nothing_is_said_where_there_is_room() -> None:
    assert judge_shared_memory(GOOD) == []
    assert judge_shared_memory(GOOD, VGA) == []


def test_without_a_profile_large_images_are_warned_of_and_an_error_once_they_are_seen() -> None:
    bare = replace(GOOD, profiles={}, segment_bytes=512 << 10)
    (ahead,) = judge_shared_memory(bare)
    assert ahead.severity == Severity.WARNING
    assert ahead.value == "512 KiB in this shell"
    assert ahead.remedy == WITH_PROFILE
    (seen,) = judge_shared_memory(bare, VGA)
    assert seen.severity == Severity.ERROR
    assert seen.what.startswith("images do not fit the shared memory segment of Fast DDS")
    assert seen.value == "an image takes 900 KiB, the segment has 512 KiB in this shell"
    assert judge_shared_memory(bare, VGA, are_lost=False)[0].severity == Severity.WARNING
    assert judge_shared_memory(bare, 320 * 240) == []


def test_room_for_one_large_image_is_too_little() -> None:
    (found,) = judge_shared_memory(GOOD, HD)
    assert found.what == "the shared memory segment of Fast DDS has no room for 3 images"
    assert "raise segment_size" in found.remedy


def test_another_middleware_has_no_segment() -> None:
    assert judge_shared_memory(replace(GOOD, rmw="rmw_cyclonedds_cpp", segment_bytes=512 << 10), HD) == []


def test_a_full_file_system_and_segments_of_the_dead() -> None:
    full, stale = judge_shared_memory(replace(GOOD, free_bytes=10 << 20, stale=7, stale_bytes=300 << 20))
    assert (full.severity, full.value) == (Severity.ERROR, "10 MiB are free")
    assert (stale.severity, stale.value) == (Severity.WARNING, "7 segments, 300 MiB")
    assert stale.remedy == "run `fastdds shm clean`"
    (little,) = judge_shared_memory(replace(GOOD, stale=1, stale_bytes=1 << 20))
    assert little.severity == Severity.NOTE


def test_the_shipped_profile_is_read(tmp_path: Path) -> None:
    facts = look_at_shared_memory({NEW: PROFILE, "ROS_DISTRO": "kilted"}, tmp_path)
    assert (facts.variable, facts.segment_bytes, facts.problem, facts.stale) == (NEW, 16 << 20, "", 0)


@pytest.mark.parametrize(
    ("transports", "segment"), [("", 512 << 10), ("UDPv4", 0), ("SHM", 512 << 10), ("LARGE_DATA", None)]
)
def test_the_choice_of_transports_counts_without_a_profile(
    tmp_path: Path, transports: str, segment: int | None
) -> None:
    facts = look_at_shared_memory({"FASTDDS_BUILTIN_TRANSPORTS": transports, "ROS_DISTRO": "kilted"}, tmp_path)
    assert facts.segment_bytes == segment


def test_a_profile_that_cannot_be_used_is_an_error_that_names_the_variable(tmp_path: Path) -> None:
    gone = tmp_path / "gone.xml"
    facts = look_at_shared_memory({OLD: str(gone), "ROS_DISTRO": "jazzy"}, tmp_path)
    found = judge_shared_memory(facts)[0]
    assert found.severity == Severity.ERROR
    assert found.what == f"the Fast DDS profile that {OLD} names cannot be used: No such file or directory"
    assert found.value == str(gone)
    gone.write_text("<dds>")
    assert "it is not a profile" in look_at_shared_memory({OLD: str(gone), "ROS_DISTRO": "jazzy"}, tmp_path).problem


def test_a_profile_under_the_name_that_the_other_version_reads(tmp_path: Path) -> None:
    facts = look_at_shared_memory({NEW: PROFILE, "ROS_DISTRO": "jazzy"}, tmp_path)
    found = judge_shared_memory(facts)[0]
    assert found.what == f"{NEW} is set, but the Fast DDS of this ROS distribution reads {OLD}"
    assert found.remedy == f"export {OLD} with the same path"


def test_a_segment_is_stale_when_nobody_holds_its_lock(tmp_path: Path) -> None:
    for name in ("fastdds_0123456789abcdef", "fastrtps_fedcba9876543210"):
        (tmp_path / name).write_bytes(b"x" * 1000)
        (tmp_path / f"{name}_el").touch()
    (tmp_path / "fastdds_port7411").write_bytes(b"x" * 1000)
    with (tmp_path / "fastdds_0123456789abcdef_el").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        facts = look_at_shared_memory({}, tmp_path)
    assert (facts.stale, facts.stale_bytes) == (1, 1000)
