"""What a soak remembers of its frames, answers, goals and processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.soak.faults import Event


@dataclass(frozen=True)
class Sent:
    """A good frame that was due.

    Attributes:
        at_s: when, after the first.
        stamp_ns: that it carried; None when it was withheld.
        fault: that acts, or has just acted.
        timely: it came when its stamp says, so that the latency of its answer means something.
        expected: it must be answered; one that comes after newer ones must not.
        frame: of those that are played.
    """

    at_s: float
    stamp_ns: int | None
    fault: str
    timely: bool = True
    expected: bool = True
    frame: int = 0


@dataclass(frozen=True)
class Answer:
    """Status of a frame.

    Attributes:
        at_s: when it came, after the first frame.
        tracked: its pose was solved.
        latency_s: from stamp to pose, as the node says.
    """

    at_s: float
    tracked: bool
    latency_s: float


@dataclass
class NodeCounts:
    """The pose node's own count of frames."""

    received: int = 0
    processed: int = 0
    replaced: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class Ended:
    """A goal and what became of it.

    Attributes:
        at_s: when it was sent, after the first frame.
        kind: one of ahead, imagined, cancelled, nonsense.
        outcome: name of the code, rejected, or "no answer".
        seconds: until then.
        words: that came with it.
    """

    at_s: float
    kind: str
    outcome: str
    seconds: float
    words: str


@dataclass
class Record:
    """Everything of one run.

    Attributes:
        seconds: from the first frame to the end.
        events: faults on the schedule.
        sent: frames that were due.
        bad_sent: frames that nobody must answer.
        answers: statuses by stamp, ns.
        counts: of the pose node.
        memory: by node, (seconds, bytes) about every second.
        goals: that ended.
        logs: lines by node.
        died: which node, with what exit status and last words.
        unusable: what is wrong with the first pose that cannot be used; empty where all can.
        truth: (F, 3) where the camera was in each frame that is played; None where that is not known.
        places: published ones by stamp, ns: the number of the world, which begins anew in between, and (3,) in it.
    """

    seconds: float
    events: Sequence[Event]
    sent: Sequence[Sent]
    bad_sent: int
    answers: Mapping[int, Answer]
    counts: NodeCounts
    memory: Mapping[str, Sequence[tuple[float, int]]]
    goals: Sequence[Ended]
    logs: Mapping[str, Sequence[str]]
    died: Sequence[str] = field(default_factory=list)
    unusable: str = ""
    truth: FloatArray | None = None
    places: Mapping[int, tuple[int, FloatArray]] = field(default_factory=dict)

    def answer(self, sent: Sent) -> Answer | None:
        """To a frame."""
        return None if sent.stamp_ns is None else self.answers.get(sent.stamp_ns)

    def latencies(self) -> FloatArray:
        """(N, 2) of timely frames: seconds after the first frame, latency, s."""
        timely = ((sent.at_s, self.answer(sent)) for sent in self.sent if sent.timely)
        return np.array([(at, answer.latency_s) for at, answer in timely if answer]).reshape(-1, 2)
