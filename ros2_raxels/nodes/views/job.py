"""A PredictViews goal that was accepted: when it must end, and what its client is told meanwhile."""

from __future__ import annotations

import time
from typing import Any

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CompressedImage

from ros2_raxels.nodes.common.interfaces import PredictViews
from ros2_raxels.nodes.views.goal import CODES, GoalError, ViewRequest

STATES = PredictViews.Feedback
"""Where the states are."""


class ViewJob:
    """One goal. The worker's, except `preempt`.

    Args:
        handle: rclpy's ServerGoalHandle.
        request: the goal in numbers.
        limit_s: the server's own bound of its duration.
    """

    def __init__(self, handle: Any, request: ViewRequest, limit_s: float) -> None:
        self.handle, self.request = handle, request
        self._accepted_at = time.monotonic()
        self.limit_s = min(limit_s, request.max_duration_s or limit_s)
        self._preempted = ""
        self._stopped: GoalError | None = None
        self._feedback = PredictViews.Feedback(views_total=request.views)
        self._denoising_since = 0.0

    @property
    def elapsed_s(self) -> float:
        """Since acceptance."""
        return time.monotonic() - self._accepted_at

    @property
    def remaining_s(self) -> float:
        """Until the goal must end; never negative."""
        return max(0.0, self.limit_s - self.elapsed_s)

    def preempt(self, reason: str) -> None:
        """Let it end soon; any thread may ask."""
        self._preempted = self._preempted or reason

    def why_stop(self) -> GoalError | None:
        """Why it must end, once it must: the first reason found stays."""
        if self._stopped is None:
            self._stopped = self._reason()
        return self._stopped

    def _reason(self) -> GoalError | None:
        if self.handle.is_cancel_requested:
            return GoalError(CODES.CANCELLED, "cancelled by the client")
        if self._preempted:
            return GoalError(CODES.PREEMPTED, self._preempted)
        if not self.remaining_s:
            return GoalError(CODES.TIMEOUT, f"max_duration of {self.limit_s:.3f} s has passed")
        return None

    @property
    def stopped(self) -> GoalError | None:
        """The reason that `why_stop` found; None while work is, or was, done to its end."""
        return self._stopped

    def enter(self, state: int) -> None:
        """Tell the client what is being done."""
        self._feedback.state, self._feedback.remaining = state, Duration()
        self._send()

    def proceed(self, done: int, total: int) -> bool:
        """Before each denoising step: tell the client, and say whether to go on."""
        if self._feedback.state != STATES.STATE_DENOISING:
            self._denoising_since = time.monotonic()
        self._feedback.state = STATES.STATE_DENOISING
        self._feedback.step, self._feedback.steps = done, total
        if done:
            spent_s = time.monotonic() - self._denoising_since
            self._feedback.remaining = duration_message(spent_s / done * (total - done))
        self._send()
        return self.why_stop() is None

    def finished_view(self, count: int, preview: CompressedImage, pose: PoseStamped) -> None:
        """Tell the client about a view, the count-th, with its picture if it asked for that."""
        self._feedback.views_done = count
        if self.request.stream:
            self._feedback.preview, self._feedback.preview_pose = preview, pose
        self._send()
        self._feedback.preview, self._feedback.preview_pose = CompressedImage(), PoseStamped()

    def _send(self) -> None:
        self._feedback.elapsed = duration_message(self.elapsed_s)
        self.handle.publish_feedback(self._feedback)


def duration_message(seconds: float) -> Duration:
    """builtin_interfaces/Duration."""
    whole, rest = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(sec=whole, nanosec=rest)
