"""Each test with a view server of its own: policy, absence of input, start and end; and a client alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ros_testing import Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

from views_rig import EYE, PARAMETERS, WORLD, ViewsRig, at

from ros2_raxels.client import ViewClient, ViewClientError, make_goal

pytestmark = pytest.mark.ros

Serve = Callable[..., ViewsRig]


@pytest.fixture
def served(spawn: Spawn, probe: Probe) -> Iterator[Serve]:
    """Starts a server with parameters."""
    rigs: list[ViewsRig] = []

    def serve(*parameters: str) -> ViewsRig:
        rigs.append(ViewsRig(probe, spawn("scripted_views.py", *PARAMETERS, *parameters)))
        return rigs[-1]

    yield serve
    for rig in rigs:
        rig.close()


def test_while_one_runs_others_are_rejected_if_the_policy_says_so(served: Serve):
    rig = served("-p", "goal_policy:=reject")
    rig.settle()
    running = rig.client.send(make_goal([at(0.1)], WORLD, steps=5))
    with pytest.raises(ViewClientError, match="rejected"):
        rig.client.send(make_goal([at(0.1)], WORLD))
    rig.warned("another goal runs and goal_policy is reject")
    assert running.result().ok
    assert rig.client.predict(make_goal([at(0.1)], WORLD)).ok


def test_without_images_goals_end_in_words(served: Serve):
    rig = served()
    rig.place(WORLD, EYE, at(), static=True)
    found = wait_until(lambda: _tried(rig, make_goal([at()], WORLD)), what="known frame")
    assert found.code_name == "NO_CONTEXT"
    assert found.message.startswith("no image with camera_info yet: /camera_info has a publisher (probe)")


def test_a_model_that_is_named_must_be_usable(spawn: Spawn):
    node = spawn("scripted_views.py", *PARAMETERS, "-p", "model:=broken")
    assert node.wait() == 2
    assert node.lines[-1] == "model = 'broken' cannot be used: no such model"


def _tried(rig: ViewsRig, goal: Any) -> Any:
    try:
        return rig.client.predict(goal)
    except ViewClientError:
        return None


def test_a_server_that_is_not_there_is_named_in_time():
    with ViewClient("/nowhere/predict_views", "lonely") as client:
        begun = time.monotonic()
        with pytest.raises(ViewClientError, match=r"no server of /nowhere/predict_views within 0\.3 s"):
            client.predict(make_goal([at()], WORLD), timeout_s=0.3)
        assert time.monotonic() - begun < 5.0


def test_it_ends_with_status_0_while_a_goal_runs(served: Serve):
    rig = served()
    rig.settle()
    rig.client.send(make_goal([at(0.1)], WORLD, steps=60))
    code, seconds = rig.node.stop()
    assert code == 0, rig.node.log
    assert seconds < 4.0
    assert "Traceback" not in rig.node.log
