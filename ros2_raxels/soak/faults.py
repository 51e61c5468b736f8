"""The faults, and the schedule on which they come: the same seed gives the same schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

AFTERMATH_S = 3.0
"""Time after a fault that is still attributed to it, s: publishers are discovered again, poses come back."""

NONE = "none"

_FIRST_S = 15.0
"""Nothing is disturbed earlier: the nodes start, and the tracker initialises."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong for a while.

    Attributes:
        name: in report and picture.
        seconds: how long.
        meaning: what the camera does.
    """

    name: str
    seconds: float
    meaning: str


FAULTS = (
    Fault("drop", 5.0, "30 % of the frames are not sent"),
    Fault("late", 5.0, "every third frame arrives 0.5 s late, after newer ones"),
    Fault("black", 2.0, "the pictures are black"),
    Fault("malformed", 5.0, "100 malformed images a second beside the good ones"),
    Fault("restart", 2.0, "the camera leaves the network and comes back"),
    Fault("silence", 4.0, "the camera sends nothing"),
    Fault("nan_info", 3.0, "camera_info holds NaN"),
    Fault("other_info", 5.0, "camera_info has a focal length 5 % longer"),
    Fault("clock_jump", 5.0, "stamps are 100 s in the past, then right again"),
    Fault("repeat", 4.0, "every third stamp repeats the one before"),
    Fault("other_camera", 4.0, "frames of another size and frame_id come in between, at 10 Hz"),
)


@dataclass(frozen=True)
class Event:
    """A fault on the schedule.

    Attributes:
        fault: which one.
        begin_s: its start, after the first frame.
    """

    fault: Fault
    begin_s: float

    @property
    def end_s(self) -> float:
        """Its end, after the first frame."""
        return self.begin_s + self.fault.seconds


def schedule(seconds: float, every_s: float, seed: int) -> list[Event]:
    """Faults within so many seconds: all of them in random order, then all again in another order.

    Args:
        seconds: duration of the run; the last fault leaves time to recover.
        every_s: mean time from the end of one fault to the start of the next; at least half of it passes.
        seed: of order and gaps.
    """
    generator = np.random.default_rng(seed)
    events: list[Event] = []
    begin = _FIRST_S
    while True:
        for index in generator.permutation(len(FAULTS)):
            event = Event(FAULTS[index], begin)
            if event.end_s + 2 * AFTERMATH_S > seconds:
                return events
            events.append(event)
            begin = event.end_s + every_s * generator.uniform(0.5, 1.5)


def fault_at(events: Sequence[Event], at_s: float, aftermath_s: float = 0.0) -> str:
    """Name of the fault that is active at a moment, or ended at most ``aftermath_s`` before; `NONE` without one."""
    return next((e.fault.name for e in events if e.begin_s <= at_s < e.end_s + aftermath_s), NONE)
