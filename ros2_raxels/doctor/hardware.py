"""Cores, load and memory of this machine, and what a frame costs on it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from ros2_raxels.doctor.findings import Finding, Severity

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LEAST_MEMORY_BYTES = 1_500_000_000
_FRAMES = 10
_WIDTH, _HEIGHT = 640, 480
_STEP_PX = 6


@dataclass(frozen=True)
class Hardware:
    """Facts of the machine.

    Attributes:
        cpu: model of the processor.
        cores: that this process may use.
        load: average number of runnable threads over the last minute.
        memory_bytes: that can still be taken; None where that is unknown.
        frame_ms: median time that a frame takes the tracker, ms; None where it was not measured.
        measured_by: where that comes from.
    """

    cpu: str
    cores: int
    load: float
    memory_bytes: int | None
    frame_ms: float | None
    measured_by: str = "measured here, 640x480"


def look_at_hardware(by_node_ms: Sequence[float] = ()) -> Hardware:
    """Facts of this machine; measuring what a frame costs takes about a second.

    Args:
        by_node_ms: what frames took a pose node that runs here, ms; then nothing is measured beside it.

    Raises:
        ImportError: OpenCV or NumPy cannot be imported.
    """
    from ros2_raxels.engine.headroom import free_memory_bytes
    from ros2_raxels.evaluation.machine.machine import machine

    # First, because what comes next is load of our own.
    load = os.getloadavg()[0]
    about = machine()
    facts = Hardware(about["cpu"], about["cores"], load, free_memory_bytes(), None)
    if by_node_ms:
        return replace(facts, frame_ms=median(by_node_ms), measured_by="status.processing_s of the pose node")
    return replace(facts, frame_ms=_frame_ms())


def _frame_ms() -> float:
    """What the tracker takes for a frame of a textured wall that moves sideways, ms."""
    from ros2_raxels.tracking.tracker import Tracker

    tracker, times = Tracker(), []
    for k, image in enumerate(_moving_wall()):
        begun = time.perf_counter()
        tracker.track(image, k * 33_000_000, None)
        times.append(time.perf_counter() - begun)
    return 1e3 * median(times)


def _moving_wall() -> Iterator[npt.NDArray[np.uint8]]:
    import cv2
    import numpy as np

    wide = _WIDTH + _FRAMES * _STEP_PX
    coarse = np.random.default_rng(0).integers(0, 255, (_HEIGHT // 8, wide // 8), np.uint8)
    wall = cv2.resize(coarse, (wide, _HEIGHT), interpolation=cv2.INTER_CUBIC)
    for k in range(_FRAMES):
        yield np.ascontiguousarray(wall[:, k * _STEP_PX : k * _STEP_PX + _WIDTH])


def judge_hardware(facts: Hardware) -> list[Finding]:
    """What is wrong with the machine."""
    found = []
    if facts.cores < 2:
        found.append(
            Finding(
                Severity.WARNING,
                "one core is too few for tracking and keyframes at once",
                f"{facts.cores} core",
                "give the process or container two cores (taskset, docker --cpus)",
            )
        )
    if facts.load > facts.cores:
        found.append(
            Finding(
                Severity.WARNING,
                "the machine is overloaded, so that frames are late or dropped",
                f"load {facts.load:.1f} on {facts.cores} cores",
                "end what takes the time (top), or see 'High CPU' in docs/tuning.md where that is the pose node",
            )
        )
    if facts.memory_bytes is not None and facts.memory_bytes < _LEAST_MEMORY_BYTES:
        found.append(
            Finding(
                Severity.WARNING,
                "little memory is left: the pose node takes 600 MB, the view server 700 MB",
                f"{facts.memory_bytes / 1e6:.0f} MB",
                "end other programs, raise the container's limit, or leave out the view server and set model to none",
            )
        )
    return found


def judge_frame_time(facts: Hardware, rate_hz: float, topic: str) -> list[Finding]:
    """Whether frames can be solved as fast as they come.

    Args:
        facts: of the machine.
        rate_hz: of the images.
        topic: of the images.
    """
    if not rate_hz or facts.frame_ms is None or facts.frame_ms <= 1e3 / rate_hz:
        return []
    return [
        Finding(
            Severity.WARNING,
            f"images of {topic} come faster than they can be solved, so that some are dropped",
            f"a frame takes {facts.frame_ms:.0f} ms ({facts.measured_by}), and one comes every {1e3 / rate_hz:.0f} ms",
            "end other programs, or lower the frame rate of the camera",
        )
    ]
