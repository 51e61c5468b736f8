"""Fast DDS on this machine: which profile it reads, how much shared memory that gives images, what is left over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.utils.ros_environment import (
    DEFAULT_SEGMENT_BYTES,
    PROFILE_VARIABLES,
    WITH_PROFILE,
    profile_variable_here,
)

_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
_SEGMENT = re.compile(r"(fastdds|fastrtps)_[0-9a-f]{16}")
_LEAST_FREE_BYTES = 64 << 20
_MUCH_STALE_BYTES = 256 << 20
_FRAMES_IN_SEGMENT = 3
_FAST_DDS = "rmw_fastrtps"


@dataclass(frozen=True)
class SharedMemory:
    """Facts of Fast DDS and of /dev/shm.

    Attributes:
        rmw: the middleware, like "rmw_fastrtps_cpp".
        variable: in which this version of Fast DDS looks for a profile.
        profiles: what the profile variables and the choice of transports are set to, without those that are not.
        problem: why the profile cannot be used; empty where it can, or where there is none.
        segment_bytes: shared memory that a process of this shell sends through; 0 without shared memory, None where
            that cannot be told.
        free_bytes: of /dev/shm; None where there is none.
        stale: number of segments whose process has died.
        stale_bytes: that they take.
    """

    rmw: str
    variable: str
    profiles: Mapping[str, str]
    problem: str
    segment_bytes: int | None
    free_bytes: int | None
    stale: int
    stale_bytes: int


def look_at_shared_memory(environment: Mapping[str, str], folder: Path = Path("/dev/shm")) -> SharedMemory:
    """Facts of an environment and of this machine.

    Args:
        environment: whose variables count.
        folder: where shared memory is.
    """
    names = (*PROFILE_VARIABLES, _TRANSPORTS)
    profiles = {name: environment[name] for name in names if environment.get(name)}
    variable = profile_variable_here(environment)
    segment, problem = _segment(profiles.get(variable, ""), profiles.get(_TRANSPORTS, ""))
    stale = _stale_segments(folder)
    return SharedMemory(
        environment.get("RMW_IMPLEMENTATION") or "rmw_fastrtps_cpp",
        variable,
        profiles,
        problem,
        segment,
        shutil.disk_usage(folder).free if folder.is_dir() else None,
        len(stale),
        sum(stale),
    )


def _segment(profile: str, transports: str) -> tuple[int | None, str]:
    """Bytes of a segment, and why a profile cannot be used."""
    if profile:
        try:
            return _segment_of_profile(Path(profile)), ""
        except OSError as error:
            return DEFAULT_SEGMENT_BYTES, f"{error.strerror}"
        except (ElementTree.ParseError, ValueError) as error:
            return DEFAULT_SEGMENT_BYTES, f"it is not a profile ({error})"
    if transports.upper().startswith("UDP"):
        return 0, ""
    # LARGE_DATA has segments of its own, and TCP for what does not fit them.
    return (None if transports.upper().startswith("LARGE_DATA") else DEFAULT_SEGMENT_BYTES), ""


def _segment_of_profile(path: Path) -> int:
    """Bytes of the largest segment of a profile's transports; without any, those that are built in have theirs."""
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    tags = [(element.tag.rpartition("}")[2], (element.text or "").strip()) for element in root.iter()]
    if any(tag == "useBuiltinTransports" and text.lower() == "false" for tag, text in tags):
        built_in = [DEFAULT_SEGMENT_BYTES] if ("type", "SHM") in tags else [0]
    else:
        built_in = [DEFAULT_SEGMENT_BYTES]
    sizes = [int(text) for tag, text in tags if tag == "segment_size"]
    return max(sizes or built_in)


def _stale_segments(folder: Path) -> list[int]:
    """Sizes of segments that no process holds any more."""
    sizes = []
    for path in folder.glob("fast*"):
        with contextlib.suppress(OSError):
            if _SEGMENT.fullmatch(path.name) and not _is_held(path.with_name(f"{path.name}_el")):
                sizes.append(path.stat().st_size)
    return sizes


def _is_held(lock: Path) -> bool:
    """Whether a process lives that holds this lock; its owner locks it exclusively as long as it lives.

    Raises:
        OSError: there is no such file, or it may not be read.
    """
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def judge_shared_memory(facts: SharedMemory, image_bytes: int = 0, are_lost: bool = True) -> list[Finding]:
    """What is wrong with it.

    Args:
        facts: see there.
        image_bytes: of the largest image that was seen; 0 without any.
        are_lost: whether images were seen to be lost, or nothing is known about it.
    """
    found = []
    if facts.rmw.startswith(_FAST_DDS):
        found = [*_judge_profile(facts), *_judge_segment(facts, image_bytes, are_lost)]
    if facts.free_bytes is not None and facts.free_bytes < _LEAST_FREE_BYTES:
        found.append(
            Finding(
                Severity.ERROR,
                "/dev/shm is nearly full, so that processes start without shared memory and images are lost",
                f"{facts.free_bytes >> 20} MiB are free",
                "run `fastdds shm clean`, or give the container more (docker: --shm-size=256m)",
            )
        )
    if facts.stale:
        found.append(
            Finding(
                Severity.WARNING if facts.stale_bytes > _MUCH_STALE_BYTES else Severity.NOTE,
                "processes that were killed have left shared memory behind",
                f"{facts.stale} segments, {facts.stale_bytes >> 20} MiB",
                "run `fastdds shm clean`",
            )
        )
    return found


def _judge_profile(facts: SharedMemory) -> list[Finding]:
    here = facts.profiles.get(facts.variable, "")
    if facts.problem:
        return [
            Finding(
                Severity.ERROR,
                f"the Fast DDS profile that {facts.variable} names cannot be used: {facts.problem}",
                here,
                f"correct the path; {WITH_PROFILE}",
            )
        ]
    other = next((name for name in PROFILE_VARIABLES if name != facts.variable and name in facts.profiles), "")
    if other and not here:
        return [
            Finding(
                Severity.WARNING,
                f"{other} is set, but the Fast DDS of this ROS distribution reads {facts.variable}",
                facts.profiles[other],
                f"export {facts.variable} with the same path",
            )
        ]
    return []


def _judge_segment(facts: SharedMemory, image_bytes: int, are_lost: bool) -> list[Finding]:
    segment = facts.segment_bytes
    if segment is None:
        return []
    room = f"{segment >> 10} KiB in this shell" if segment else "no shared memory in this shell"
    if image_bytes > segment:
        return [
            Finding(
                Severity.ERROR if are_lost else Severity.WARNING,
                "images do not fit the shared memory segment of Fast DDS: they go as bursts of UDP and are often lost",
                f"an image takes {image_bytes >> 10} KiB, the segment has {room}",
                WITH_PROFILE,
            )
        ]
    if _FRAMES_IN_SEGMENT * image_bytes > segment:
        return [
            Finding(
                Severity.WARNING,
                f"the shared memory segment of Fast DDS has no room for {_FRAMES_IN_SEGMENT} images",
                f"an image takes {image_bytes >> 10} KiB, the segment has {room}",
                f"raise segment_size in a copy of the profile; {WITH_PROFILE}",
            )
        ]
    if segment <= DEFAULT_SEGMENT_BYTES and not image_bytes:
        return [
            Finding(
                Severity.WARNING,
                "images of 640x480 in colour and larger do not fit the shared memory segment of Fast DDS",
                room,
                WITH_PROFILE,
            )
        ]
    return []
