"""The record of a soak: frames, answers, goals and processes."""

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
        at_s: when it was due, after the first frame.
        stamp_ns: its stamp; None when it was withheld.
        fault: the one that is active, or has just been.
        timely: it was sent at the time of its stamp, so that the latency of its answer is meaningful.
        expected: it must be answered; one that is sent after newer ones need not be.
        frame: index among the frames that are played.
    """

    at_s: float
    stamp_ns: int | None
    fault: str
    timely: bool = True
    expected: bool = True
    frame: int = 0


@dataclass(frozen=True)
class Answer:
    """The status of a frame.

    Attributes:
        at_s: when it arrived, after the first frame.
        tracked: whether its pose was solved.
        latency_s: from stamp to pose, as stated by the node.
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
    """A goal and its outcome.

    Attributes:
        at_s: when it was sent, after the first frame.
        kind: one of ahead, imagined, cancelled, nonsense.
        outcome: name of the code, "rejected", or "no answer".
        seconds: from goal to result.
        words: the message that came with it.
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
        bad_sent: frames that need no answer.
        answers: statuses by stamp, ns.
        counts: of the pose node.
        memory: by node, (s, bytes) about every second.
        goals: that ended.
        logs: lines by node.
        died: a line for each node that ended: exit status and last output.
        unusable: what is wrong with the first published pose that cannot be used; empty without one.
        truth: (F, 3) camera position in each frame that is played; None where unknown.
        places: published positions by stamp, ns: number of the world (tracking may start anew), and (3,) in it.
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
        """The answer to a frame."""
        return None if sent.stamp_ns is None else self.answers.get(sent.stamp_ns)

    def latencies(self) -> FloatArray:
        """(N, 2) of timely frames: seconds after the first frame, latency, s."""
        timely = ((sent.at_s, self.answer(sent)) for sent in self.sent if sent.timely)
        return np.array([(at, answer.latency_s) for at, answer in timely if answer]).reshape(-1, 2)
