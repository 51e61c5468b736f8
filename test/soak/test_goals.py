"""Goals of a soak: of every kind, at places ahead of the newest pose, each with what became of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ros_testing import wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from ros2_raxels.client import ViewClientError
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.messages import pose_array
from ros2_raxels.soak import goals
from ros2_raxels.soak.goals import Goals

POSE = make_pose(rotation_from_vector([0.0, np.pi / 2, 0.0]), (1.0, 2.0, 3.0))
COUNT = 40


class Planner:
    """In place of a client of a view server."""

    def __init__(self, action: str, node_name: str) -> None:
        self.action, self.goals, self.cancelled, self.closed = action, [], [], False
        self.next_error: Exception | None = None

    def send(self, goal: Any) -> Any:
        number = len(self.goals)
        self.goals.append(goal)
        error, self.next_error = self.next_error, None
        if error:
            raise error

        def result() -> Any:
            name = "CANCELLED" if number in self.cancelled else "NONE"
            return SimpleNamespace(code_name=name, message="stopped" if number in self.cancelled else "")

        return SimpleNamespace(cancel=lambda: self.cancelled.append(number), result=result)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def newest() -> list[tuple[str, FloatArray]]:
    """What the listener knows: nothing yet."""
    return []


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, newest: list[tuple[str, FloatArray]]) -> Iterator[Goals]:
    monkeypatch.setattr(goals, "ViewClient", Planner)
    monkeypatch.setattr(goals, "_CANCEL_AFTER_S", 0.001)
    ticks = itertools.count()
    sent = Goals(0.001, 3, lambda: newest[-1] if newest else None, lambda: float(next(ticks)))
    yield sent
    sent.close()


def planner(sent: Goals) -> Planner:
    client: Any = sent._client
    return client


def test_goals_of_every_kind_are_sent_from_the_newest_pose(sent: Goals, newest: list[tuple[str, FloatArray]]) -> None:
    assert planner(sent).action == "/soak/raxels_views/predict_views"
    assert sent.ended == []
    newest.append(("world", POSE))
    wait_until(lambda: len(sent.ended) >= COUNT, what="goals")
    ended, goals_sent = sent.ended[:COUNT], planner(sent).goals[:COUNT]
    shares = ["ahead", "imagined", "cancelled", "nonsense"], [0.7, 0.1, 0.1, 0.1]
    generator = np.random.default_rng(3)
    assert [goal.kind for goal in ended] == [str(generator.choice(shares[0], p=shares[1])) for _ in range(COUNT)]
    assert [goal.at_s for goal in ended] == list(range(COUNT))
    for goal, asked in zip(ended, goals_sent, strict=True):
        assert goal.outcome == ("CANCELLED" if goal.kind == "cancelled" else "NONE")
        assert goal.words == ("stopped" if goal.kind == "cancelled" else "")
        poses = [stamped.pose for stamped in asked.trajectory.poses]
        if goal.kind == "imagined":
            assert (asked.num_views, poses) == (4, [])
            continue
        assert asked.trajectory.header.frame_id == "world"
        if goal.kind == "nonsense":
            assert all(np.isnan(pose.position.z) for pose in poses)
            continue
        # Ahead of this camera is along x.
        places = [pose_array(pose) for pose in poses]
        np.testing.assert_allclose([p[:3, 3] for p in places], [[1 + 0.05 * k, 2, 3] for k in range(1, 5)], atol=1e-9)
        np.testing.assert_allclose([p[:3, :3] for p in places], [POSE[:3, :3]] * 4, atol=1e-9)


@pytest.mark.parametrize(
    ("error", "outcome", "words"),
    [
        (ViewClientError("/soak/x rejected the goal"), "rejected", "/soak/x rejected the goal"),
        (ViewClientError("no result within 60 s"), "no answer", "no result within 60 s"),
        (RuntimeError("context is gone"), "no answer", "RuntimeError: context is gone"),
    ],
)
def test_a_goal_without_a_result_says_why(
    sent: Goals, newest: list[tuple[str, FloatArray]], error: Exception, outcome: str, words: str
) -> None:
    planner(sent).next_error = error
    newest.append(("world", POSE))
    first = wait_until(lambda: sent.ended, what="a goal")[0]
    assert (first.outcome, first.words) == (outcome, words)


def test_a_goal_that_ends_after_the_soak_does_not_count(sent: Goals, newest: list[tuple[str, FloatArray]]) -> None:
    newest.append(("world", POSE))
    wait_until(lambda: sent.ended, what="a goal")
    sent.close()
    assert planner(sent).closed
    sent._thread.join(5.0)
    assert not sent._thread.is_alive()
    assert len(planner(sent).goals) - len(sent.ended) in (0, 1)
