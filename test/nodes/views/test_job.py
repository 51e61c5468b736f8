"""nodes.views.job: when a goal must end, what its client is told, and which of several goals runs."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CompressedImage

from ros2_raxels.nodes.views import job as module
from ros2_raxels.nodes.views.goal import ViewRequest, code_name
from ros2_raxels.nodes.views.job import STATES, JobQueue, ViewJob, duration_message

REQUEST = ViewRequest(("map",), np.eye(4)[None], "map", False, 0, 1, False, None, None, 0, None, False)


class Handle:
    """A goal of no server: what is sent to its client is noted down."""

    is_cancel_requested = False

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def publish_feedback(self, message: Any) -> None:
        """The message is one and the same every time."""
        names = ("state", "step", "steps", "views_done", "views_total")
        found = {name: getattr(message, name) for name in names}
        found["elapsed_s"], found["remaining_s"] = (
            d.sec + d.nanosec * 1e-9 for d in (message.elapsed, message.remaining)
        )
        found["preview"] = bytes(message.preview.data)
        self.heard.append(found)


class Time:
    """A clock that is set by hand, s."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def make(module_probe: Probe) -> Any:
    """Makes jobs; results go to an executor that nobody waits for."""

    def job(limit_s: float = 30.0, **changes: Any) -> ViewJob:
        return ViewJob(Handle(), replace(REQUEST, **changes), limit_s, module_probe.node.executor)

    return job


def reason(job: ViewJob) -> tuple[str, str]:
    stop = job.why_stop()
    return ("", "") if stop is None else (code_name(stop.code), str(stop))


# ---------------------------------------------------------------------------------------------------------- one goal


def test_a_goal_ends_after_the_shorter_of_its_own_limit_and_that_of_the_server(make: Any, time: Time):
    short, long = make(limit_s=30.0, max_duration_s=2.0), make(limit_s=5.0, max_duration_s=60.0)
    time.now += 1.5
    assert (short.elapsed_s, short.remaining_s, reason(short)) == (1.5, 0.5, ("", ""))
    time.now += 1.0
    assert short.remaining_s == 0.0
    assert reason(short) == ("TIMEOUT", "max_duration of 2.000 s has passed")
    assert reason(long) == ("", "")
    time.now += 3.0
    assert reason(long) == ("TIMEOUT", "max_duration of 5.000 s has passed")


def test_the_first_reason_to_stop_is_kept(make: Any, time: Time):
    job = make()
    assert job.stopped is None
    job.preempt("a newer goal took over")
    job.preempt("the server was deactivated")
    # Nobody has looked yet.
    assert job.stopped is None
    assert reason(job) == ("PREEMPTED", "a newer goal took over")
    job.handle.is_cancel_requested = True
    time.now += 60.0
    assert reason(job) == ("PREEMPTED", "a newer goal took over")
    assert code_name(job.stopped.code) == "PREEMPTED"


def test_cancellation_takes_precedence_over_a_timeout(make: Any, time: Time):
    job = make()
    job.handle.is_cancel_requested = True
    time.now += 60.0
    assert reason(job) == ("CANCELLED", "cancelled by the client")


def test_feedback_counts_steps_and_estimates_the_remaining_time(make: Any, time: Time):
    job = make(views=6)
    job.enter(STATES.STATE_PREPARING)
    time.now += 1.0
    assert job.proceed(0, 4)
    time.now += 3.0
    assert job.proceed(1, 4)
    time.now += 1.0
    assert job.proceed(2, 4)
    job.enter(STATES.STATE_CHECKING)
    told = [(m["state"], m["step"], m["steps"], m["elapsed_s"], m["remaining_s"]) for m in job.handle.heard]
    assert told == [
        (STATES.STATE_PREPARING, 0, 0, 0.0, 0.0),
        (STATES.STATE_DENOISING, 0, 4, 1.0, 0.0),
        (STATES.STATE_DENOISING, 1, 4, 4.0, 9.0),
        (STATES.STATE_DENOISING, 2, 4, 5.0, 4.0),
        (STATES.STATE_CHECKING, 2, 4, 5.0, 0.0),
    ]
    assert {m["views_total"] for m in job.handle.heard} == {6}
    job.preempt("a newer goal took over")
    assert not job.proceed(3, 4)


@pytest.mark.parametrize("stream", [True, False])
def test_a_view_is_sent_once_and_only_to_the_client_that_asked_for_it(make: Any, stream: bool):
    job = make(stream=stream)
    job.finished_view(1, CompressedImage(data=b"picture"), PoseStamped())
    job.enter(STATES.STATE_CHECKING)
    assert [(m["views_done"], m["preview"]) for m in job.handle.heard] == [(1, b"picture" if stream else b""), (1, b"")]


def test_durations_are_exact_to_the_nanosecond():
    for seconds, expected in ((0.0, (0, 0)), (2.25, (2, 250_000_000)), (0.9999999999, (1, 0))):
        message = duration_message(seconds)
        assert (message.sec, message.nanosec) == expected


# --------------------------------------------------------------------------------------------------------- the queue


def test_the_newest_goal_runs_next_and_all_others_are_told_to_stop(make: Any):
    queue, (first, second, third) = JobQueue(), (make() for _ in range(3))
    assert (queue.is_busy, queue.is_running) == (False, False)
    assert queue.put(first)
    assert (queue.is_busy, queue.is_running) == (True, False)
    assert queue.take() is first
    assert (queue.is_busy, queue.is_running) == (True, True)
    assert queue.put(second)
    assert queue.put(third)
    assert [reason(job)[0] for job in (first, second, third)] == ["PREEMPTED", "PREEMPTED", ""]
    # Who must wait is told; the first did not have to.
    assert [[m["state"] for m in job.handle.heard] for job in (first, second)] == [[], [STATES.STATE_WAITING]]
    queue.count("PREEMPTED")
    assert (queue.is_busy, queue.is_running) == (True, False)
    # Each gets its answer, in order.
    assert queue.take() is second
    queue.count("PREEMPTED")
    assert queue.take() is third
    queue.count("NONE")
    assert queue.ended == {"PREEMPTED": 2, "NONE": 1}
    assert not queue.is_busy


def test_counts_are_kept_and_cannot_be_changed_from_outside():
    queue = JobQueue({"NONE": 3})
    queue.count("NONE")
    queue.ended["NONE"] = 99
    assert queue.ended == {"NONE": 4}


def test_once_closed_no_goal_is_accepted_and_waiting_ones_are_still_answered(make: Any):
    queue, running, waiting = JobQueue(), make(), make()
    queue.put(running)
    queue.take()
    queue.put(waiting)
    queue.close("the server was deactivated")
    queue.close("something else")
    assert queue.closed == "the server was deactivated"
    assert not queue.put(make())
    assert reason(waiting) == ("PREEMPTED", "the server was deactivated")
    assert queue.take() is waiting
    assert queue.take() is None


def test_closing_ends_the_wait_for_a_goal():
    queue, taken = JobQueue(), []
    worker = threading.Thread(target=lambda: taken.append(queue.take()))
    worker.start()
    queue.close("the server was deactivated")
    worker.join(5.0)
    assert taken == [None]


def test_a_goal_ends_the_wait_for_one(make: Any):
    queue, taken, goal = JobQueue(), [], make()
    worker = threading.Thread(target=lambda: taken.append(queue.take()))
    worker.start()
    queue.put(goal)
    wait_until(lambda: taken == [goal], what="the goal")
    worker.join(5.0)


def test_goals_left_by_the_worker_are_handed_back_once(make: Any):
    queue, running, waiting = JobQueue(), make(), make()
    queue.put(running)
    queue.take()
    queue.put(waiting)
    assert queue.abandon("it has ended") == [running, waiting]
    assert queue.abandon("again") == []
    assert (queue.closed, queue.is_busy) == ("it has ended", False)
    assert not queue.put(make())
