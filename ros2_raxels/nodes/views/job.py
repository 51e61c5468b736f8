"""PredictViews goals that were accepted: when each must end, what its client is told meanwhile, and which one runs."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped
from rclpy.executors import Executor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage

from ros2_raxels.nodes.common.interfaces import PredictViews
from ros2_raxels.nodes.common.rclpy_compat import Answer
from ros2_raxels.nodes.views.goal import CODES, GoalError, ViewRequest

ALL_OF_A_BURST = QoSProfile(depth=500)
"""Of the action's services, on both sides. Every client gets the answers to all; with the usual depth of 10, the
eleventh that came while somebody was busy took the place of the first, whose client never heard anything."""

STATES = PredictViews.Feedback
"""Where the states are."""


class ViewJob:
    """One goal. The worker's, except `preempt`.

    Args:
        handle: rclpy's ServerGoalHandle.
        request: the goal in numbers.
        limit_s: the server's own bound of its duration.
        executor: that sends the result.

    Attributes:
        result: awaited by the executor, given by the worker: PredictViews.Result.
    """

    def __init__(self, handle: Any, request: ViewRequest, limit_s: float, executor: Executor) -> None:
        self.handle, self.request = handle, request
        self.result: Answer[Any] = Answer(executor)
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


class JobQueue:
    """The goal that runs and those that wait for it to end, from activation to deactivation.

    One lock guards all of it, as in nav2's SimpleActionServer: whoever asks between two changes sees a goal either
    wait, run or gone.

    Args:
        ended: how many goals have ended before, by name of their code.
    """

    def __init__(self, ended: Mapping[str, int] | None = None) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[ViewJob] = deque()
        self._running: ViewJob | None = None
        self._closed = ""
        self._ended = Counter(ended or {})

    @property
    def is_running(self) -> bool:
        """Whether a goal runs."""
        with self._changed:
            return self._running is not None

    @property
    def is_busy(self) -> bool:
        """Whether a goal runs or waits."""
        with self._changed:
            return self._running is not None or bool(self._waiting)

    @property
    def closed(self) -> str:
        """Why no goal is taken any more; empty while goals are."""
        with self._changed:
            return self._closed

    @property
    def ended(self) -> Counter[str]:
        """How many goals have ended, by name of their code."""
        with self._changed:
            return self._ended.copy()

    def put(self, job: ViewJob) -> bool:
        """Let a goal run next, in place of all others, which are told to end; False when none is taken any more."""
        with self._changed:
            if self._closed:
                return False
            must_wait = self._running is not None
            self._preempt_all("a newer goal took over")
            self._waiting.append(job)
            self._changed.notify()
        if must_wait:
            job.enter(STATES.STATE_WAITING)
        return True

    def take(self) -> ViewJob | None:
        """Wait for a goal, which runs from now on; None once the queue is closed and empty."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            self._running = self._waiting.popleft() if self._waiting else None
            return self._running

    def count(self, name: str) -> None:
        """The goal that ran has ended, with the code of this name."""
        with self._changed:
            self._running = None
            self._ended[name] += 1

    def close(self, reason: str) -> None:
        """Take no more goals, and tell those that are there to end."""
        with self._changed:
            self._closed = self._closed or reason
            self._preempt_all(reason)
            self._changed.notify_all()

    def abandon(self, reason: str) -> list[ViewJob]:
        """Close; the goals that nobody works on now."""
        self.close(reason)
        with self._changed:
            left = [job for job in (self._running, *self._waiting) if job is not None]
            self._running = None
            self._waiting.clear()
            return left

    def _preempt_all(self, reason: str) -> None:
        for job in (self._running, *self._waiting):
            if job is not None:
                job.preempt(reason)


def duration_message(seconds: float) -> Duration:
    """builtin_interfaces/Duration."""
    whole, rest = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(sec=whole, nanosec=rest)
