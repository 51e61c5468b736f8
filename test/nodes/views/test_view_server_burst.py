"""Many clients at one view server over DDS, all at once: each hears how its goal ended, whatever the others do."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from ros_testing import ROOT, START_S, NodeProcess, Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

import rclpy
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from views_rig import PARAMETERS, with_context

from raxels_interfaces.action import PredictViews
from ros2_raxels.client import _ENDED, ViewClient, make_goal
from ros2_raxels.nodes.views.goal import CODES, code_name

pytestmark = pytest.mark.ros

ACTION = "/raxels_views/predict_views"
ANSWER_S = 20.0
CLIENTS = 15
"""More than the queue of a service holds by default."""


@pytest.fixture(scope="module")
def server(module_spawn: Spawn, module_probe: Probe) -> NodeProcess:
    """Ready to answer."""
    node = module_spawn("scripted_views.py", *PARAMETERS)
    module_probe.round_trip("/raxels_views")
    return node


def goal(seed: int, steps: int = 2) -> Any:
    return with_context(make_goal(views=1, steps=steps, seed=seed), [time.time_ns()])


class PlainClient:
    """rclpy's own action client with the queues that it has by default, and a thread that spins it."""

    def __init__(self, number: int) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node(f"planner_{number}", context=self._context)
        self._action = ActionClient(self._node, PredictViews, ACTION)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._ending = False
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        assert self._action.wait_for_server(START_S)

    def _spin(self) -> None:
        while not self._ending:
            self._executor.spin_once(timeout_sec=0.1)

    def ended(self, seed: int) -> tuple[str, str]:
        """See `outcome`."""
        sent = self._action.send_goal_async(goal(seed))
        wait_until(sent.done, ANSWER_S, f"answer to the goal of seed {seed}")
        assert sent.result().accepted
        asked = sent.result().get_result_async()
        wait_until(asked.done, ANSWER_S, f"result of the goal of seed {seed}")
        result = asked.result().result
        assert result.seed_used == seed
        assert bool(result.error_msg) == (result.error_code != CODES.NONE)
        return _ENDED[asked.result().status], code_name(result.error_code)

    def close(self) -> None:
        self._ending = True
        self._executor.wake()
        self._thread.join(3.0)
        self._action.destroy()
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.destroy()


@pytest.fixture
def planners(server: NodeProcess) -> Iterator[list[PlainClient]]:
    made = [PlainClient(number) for number in range(CLIENTS)]
    yield made
    for planner in made:
        planner.close()


@pytest.fixture
def view_clients(server: NodeProcess) -> Iterator[list[ViewClient]]:
    made = [ViewClient(node_name=f"view_client_{number}") for number in range(CLIENTS)]
    yield made
    for client in made:
        client.close()


def outcome(client: ViewClient, seed: int) -> tuple[str, str]:
    """How a goal that is sent now ended, and with which code."""
    found = client.send(goal(seed), ANSWER_S).result(ANSWER_S)
    assert found.seed == seed
    assert bool(found.message) == (found.code != CODES.NONE)
    return found.ended, found.code_name


def burst(ended: list[Callable[[int], tuple[str, str]]], seed: int) -> Counter[tuple[str, str]]:
    """How the goals ended that all send at once."""
    ready = threading.Barrier(len(ended))

    def send(number: int) -> tuple[str, str]:
        ready.wait()
        return ended[number](seed + number)

    with ThreadPoolExecutor(len(ended)) as pool:
        return Counter(pool.map(send, range(len(ended))))


def check(found: Counter[tuple[str, str]], least_served: int) -> None:
    """Each has heard; those that were not served were told of a newer goal."""
    assert set(found) <= {("succeeded", "NONE"), ("aborted", "PREEMPTED")}
    assert found[("succeeded", "NONE")] >= least_served
    assert sum(found.values()) == CLIENTS


def test_each_of_fifteen_clients_hears_how_its_goal_ended(planners: list[PlainClient]) -> None:
    for number in range(3):
        check(burst([planner.ended for planner in planners], 1 + number * CLIENTS), least_served=1)


_DIES = """
import sys, time
from views_rig import with_context
from ros2_raxels.client import _ENDED, ViewClient, make_goal
client = ViewClient(node_name="mortal")
client.send(with_context(make_goal(views=1, steps=60), [time.time_ns()]), 20.0)
print("accepted", flush=True)
sys.stdin.read()
"""


def test_clients_that_cancel_leave_and_die_take_nothing_from_the_others(
    view_clients: list[ViewClient], server: NodeProcess
) -> None:
    ended = [partial(outcome, client) for client in view_clients]
    over = threading.Event()

    def cancels() -> list[str]:
        codes = []
        with ViewClient(node_name="fickle") as client:
            while not over.is_set():
                pending = client.send(goal(5, steps=60), ANSWER_S)
                pending.cancel(ANSWER_S)
                codes.append(pending.result(ANSWER_S).code_name)
        return codes

    def leaves() -> int:
        count = 0
        while not over.is_set():
            with ViewClient(node_name="hasty") as client:
                client.send(goal(6, steps=60), ANSWER_S)
            count += 1
        return count

    def dies() -> int:
        command = [sys.executable, "-c", _DIES]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT / "test") as mortal:
            assert mortal.stdout is not None
            accepted = mortal.stdout.readline()
            mortal.kill()
        assert accepted == b"accepted\n"
        return mortal.returncode

    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(work) for work in (cancels, leaves, dies)]
        try:
            for number in range(3):
                # Perhaps none is served, because goals of the others come last.
                check(burst(ended, 1000 + number * CLIENTS), least_served=0)
            assert others[2].result(START_S) == -signal.SIGKILL
        finally:
            over.set()
        codes, left = others[0].result(START_S), others[1].result(START_S)
    assert set(codes) <= {"CANCELLED", "PREEMPTED"}
    assert len(codes) >= 2
    assert left >= 2
    check(burst(ended, 2000), least_served=1)
    assert server.alive
    assert "Traceback" not in server.log
