"""Compares the stamps of images with the clock that the node goes by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from rclpy.node import Node

from ros2_raxels.nodes.common.diagnostics import kind_of
from ros2_raxels.utils.durations import OTHER_CLOCK_S, in_words

_TOPIC = "/clock"
_WALL = "the wall clock"
_PATIENCE_S = 1.0
"""After the start, in which the first message of /clock may still be on its way."""

_SINCE_START_NS = 10 * 365 * 86400 * 10**9
"""Stamps below this are no dates: they count from when a machine or a simulation started."""


class StampClock:
    """Says when images are stamped by another clock than the node's. For the executor's thread.

    Args:
        node: whose clock it is.
        steady: clock, s.

    Attributes:
        problem: what was wrong when it last looked, in one line; empty if nothing was.
    """

    def __init__(self, node: Node, steady: Callable[[], float] = time.monotonic) -> None:
        self._node, self._steady = node, steady
        self._begun = steady()
        self._newest: tuple[int, int] | None = None
        self.problem = self._said = ""

    def see(self, stamp_ns: int) -> None:
        """An image has come."""
        self._newest = (stamp_ns, self._now_ns)

    def look(self) -> None:
        """Judge what came last, and log what is wrong once; call it a few times a second."""
        publishers = sorted({info.node_name for info in self._node.get_publishers_info_by_topic(_TOPIC)})
        is_simulated = self._is_simulated
        self.problem = ""
        if is_simulated and not self._now_ns:
            if self._steady() - self._begun > _PATIENCE_S:
                self.problem = standing_still(publishers)
        elif self._newest is not None and self._newest[1]:
            # An image from before simulated time began, when this clock stood at 0, tells nothing.
            self.problem = other_clock(*self._newest, is_simulated, publishers)
        kind = kind_of(self.problem)
        if kind and kind != self._said:
            self._node.get_logger().warning(self.problem)
        self._said = kind

    @property
    def values(self) -> dict[str, str]:
        """The clock, and how far the newest stamp lies behind it."""
        values = {"clock": _TOPIC if self._is_simulated else _WALL}
        if self._newest is not None:
            stamp_ns, now_ns = self._newest
            values["image stamps behind it (s)"] = f"{(now_ns - stamp_ns) * 1e-9:.3f}"
        return values

    @property
    def _is_simulated(self) -> bool:
        return bool(self._node.get_parameter("use_sim_time").value)

    @property
    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)


def standing_still(publishers: Sequence[str]) -> str:
    """What is wrong where simulated time is asked for and does not come, in one line.

    Args:
        publishers: nodes that publish /clock.
    """
    what = f"use_sim_time is true and nothing arrives on {_TOPIC} from {', '.join(publishers)}"
    remedy = "let the simulator or the bag go on"
    if not publishers:
        what = f"use_sim_time is true but nobody publishes {_TOPIC}"
        remedy = f"start the simulator, play the bag with --clock, or set use_sim_time to false to go by {_WALL}"
    return f"{what}, so that this node's clock stands at 0; {remedy}"


def other_clock(stamp_ns: int, now_ns: int, is_simulated: bool, publishers: Sequence[str]) -> str:
    """Why an image's stamp cannot be of the node's clock, in one line; empty where it can.

    Args:
        stamp_ns: of the image.
        now_ns: the node's clock when it came.
        is_simulated: whether that is simulated time.
        publishers: nodes that publish /clock.
    """
    off_s = (now_ns - stamp_ns) / 1e9
    if abs(off_s) <= OTHER_CLOCK_S:
        return ""
    if not stamp_ns:
        clock = _TOPIC if is_simulated else _WALL
        return f"images are not stamped (0); let the driver stamp each with the time of its exposure by {clock}"
    own = f"this node's clock ({_TOPIC})" if is_simulated else f"this node's ({_WALL})"
    far = f"{in_words(off_s)} {'behind' if off_s > 0 else 'ahead'}"
    what = f"images are stamped by another clock: theirs says {_shown(stamp_ns)}, {own} {_shown(now_ns)}, {far}"
    if is_simulated:
        return f"{what}; set use_sim_time to true where the images come from, or to false on this node"
    if publishers:
        return f"{what}; set use_sim_time to true on this node, since {', '.join(publishers)} publishes {_TOPIC}"
    recorded = "play a recording with --clock and set use_sim_time to true"
    return f"{what}; {recorded}, or let the driver stamp with the system's time (chrony, PTP)"


def _shown(at_ns: int) -> str:
    if at_ns < _SINCE_START_NS:
        return f"{at_ns * 1e-9:.1f} s"
    return datetime.fromtimestamp(at_ns // 10**9, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
