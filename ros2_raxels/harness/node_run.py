"""What a robot gets of a recording: the real camera and pose nodes at its pace, with other processes beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.harness.busy import busy_processes
from ros2_raxels.harness.play import Play, frame_numbers, play
from ros2_raxels.tracking.frame_state import DROPPED, FrameState
from ros2_raxels.tracking.types import TrackState

if TYPE_CHECKING:
    from ros2_raxels.harness.observer import Heard


@dataclass(frozen=True, eq=False)
class NodeRun:
    """A recording as the pose node answered it.

    Attributes:
        load: number of busy processes beside the nodes.
        states: one for each frame that was played, in order; stamps are as recorded.
        latency_s: (M,) from the image's stamp to its pose, as the node states it, of the frames that were answered.
        transform_ns: (T,) stamps of the transforms on /tf in ascending order, ns.
        transform_s: (T,) when transforms came, in ascending order, s.
        received: number of frames that the node has received, by its own count.
    """

    load: int
    states: Sequence[FrameState]
    latency_s: FloatArray
    transform_ns: FloatArray
    transform_s: FloatArray
    received: int

    def record(self) -> dict[str, Any]:
        """For a report; None is unknown. Gaps are between neighbours, by their stamps and by when they came."""
        frames = max(1, len(self.states))
        return {
            "load": self.load,
            "frames": len(self.states),
            "received": self.received,
            "answered": sum(state.state != DROPPED for state in self.states) / frames,
            "tracked": sum(state.state == TrackState.TRACKING.name for state in self.states) / frames,
            "tf_gap_ms": _percentiles(np.diff(self.transform_ns) * 1e-6, (50, 99)),
            "tf_arrival_gap_ms": _percentiles(np.diff(self.transform_s) * 1e3, (50, 99)),
            "latency_ms": _percentiles(self.latency_s * 1e3, (50, 95)),
        }


def _percentiles(values: FloatArray, wanted: Sequence[int]) -> dict[str, float] | None:
    if not len(values):
        return None
    found = {f"p{q}": round(float(np.percentile(values, q)), 3) for q in wanted}
    return found | {"max": round(float(values.max()), 3)}


def run_node(wanted: Play, stamps_ns: Sequence[int], load: int, out: Path, interrupted: Event) -> NodeRun:
    """Play a recording through the nodes.

    Args:
        wanted: what is played, with stamps of the wall clock.
        stamps_ns: of its frames, as recorded.
        load: number of busy processes beside the nodes.
        out: folder of the logs of the nodes.
        interrupted: set once the user wants it to end.

    Raises:
        PlayError: a node did not start, or ended.
        KeyboardInterrupt: the user wants it to end.
    """
    with busy_processes(load):
        heard, played = play(wanted, out, interrupted)
    return answered(heard, stamps_ns, played, wanted.speed, load)


def answered(heard: Heard, stamps_ns: Sequence[int], played: int, speed: float, load: int) -> NodeRun:
    """What was heard, frame by frame; a frame without a status was dropped by the node or on the way."""
    numbers = frame_numbers(heard.published_ns, stamps_ns, played, speed)
    stamp_of = {number: stamp for stamp, number in numbers.items() if stamp in heard.statuses}
    states = [_state(heard, stamp_of.get(k), recorded) for k, recorded in enumerate(stamps_ns[:played])]
    return NodeRun(
        load,
        states,
        np.array([heard.statuses[stamp].latency_s for stamp in stamp_of.values()]),
        np.array(sorted({transform.stamp_ns for transform in heard.transforms}), np.int64),
        np.array([transform.received_s for transform in heard.transforms]),
        heard.received,
    )


def _state(heard: Heard, stamp_ns: int | None, recorded_ns: int) -> FrameState:
    if stamp_ns is None:
        return FrameState(recorded_ns, DROPPED)
    status, (pose, covariance) = heard.statuses[stamp_ns], heard.published.get(stamp_ns, (None, None))
    return FrameState(recorded_ns, status.state.upper(), pose, covariance, status.confidence, status.metric)
