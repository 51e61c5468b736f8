"""nodes.common.rclpy_compat: what is private in rclpy is used there alone, and the installed release still has it."""

from __future__ import annotations

import ast
import io
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from ros_testing import ROOT, Probe, wait_until

pytest.importorskip("rclpy")

import rclpy
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ros2_raxels.nodes.common.rclpy_compat import (
    EXECUTOR_VARIABLE,
    FOREVER_S,
    Answer,
    ExecutorError,
    QuietExecutor,
    endpoint_gid,
    make_executor,
    no_event_callbacks,
    publisher_gid,
    with_message_info,
)

PRIVATE = {"_LifecycleNodeMixin__change_state", "_state_machine", "_sigint_gc", "_parameter_overrides"}
"""What the module may use, and no other."""

HOOKS = {"notify_execute", "notify_goal_done", "take_data", "add_to_wait_set", "is_ready"}
"""Of rclpy's action server and its waitables: without an underscore, but for the executor alone."""


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("rclpy"):
            yield from str(node.module).split(".")


def test_private_parts_of_rclpy_are_used_in_one_module_only() -> None:
    private = PRIVATE | HOOKS | {"impl", "_rclpy_pybind11"}
    modules = [*(ROOT / "ros2_raxels" / "nodes").rglob("*.py"), ROOT / "ros2_raxels" / "client.py"]
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules
        if path.name != "rclpy_compat.py"
        for name in private & set(_names(path))
    }
    assert found == set()


@pytest.mark.ros
def test_the_installed_release_has_the_private_parts_that_are_used(probe: Probe) -> None:
    node = LifecycleNode("kept", context=probe.node.context)
    try:
        assert callable(node._LifecycleNodeMixin__change_state)
        assert node._state_machine.current_state[1] == "unconfigured"
        assert dict(node._parameter_overrides) == {}
    finally:
        node.destroy_node()
    assert "_sigint_gc" in Executor.__del__.__code__.co_names


EXECUTORS = pytest.mark.parametrize("make", [make_executor, QuietExecutor])
"""What nodes run in where the release has events, and else."""


def test_wait_sets_serve_callbacks_where_they_are_asked_for(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTOR_VARIABLE, "wait_sets")
    executor = make_executor(probe.node.context)
    assert isinstance(executor, QuietExecutor)
    executor.shutdown()


@pytest.mark.parametrize("asked", ["", "events"])
@pytest.mark.ros
def test_events_serve_callbacks_by_default_where_the_release_has_them(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    pytest.importorskip("rclpy.experimental.events_executor")
    monkeypatch.setenv(EXECUTOR_VARIABLE, asked)
    executor = make_executor(probe.node.context)
    assert not isinstance(executor, Executor)
    executor.shutdown()


def test_an_executor_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTOR_VARIABLE, "threads")
    words = "RAXELS_EXECUTOR='threads' is not known; set it to events or to wait_sets, or unset it"
    with pytest.raises(ExecutorError, match=words):
        make_executor()


@EXECUTORS
@pytest.mark.ros
def test_an_answer_wakes_the_callback_that_awaits_it(probe: Probe, make: Callable[..., Executor]) -> None:
    """The executor of the callback waits without a limit, and nothing else wakes it."""
    node = rclpy.create_node("server", context=probe.node.context, start_parameter_services=False)
    executor = make(context=probe.node.context)
    executor.add_node(node)
    ended: Future = Future()
    asked: list[Answer[str]] = []

    async def serve(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        asked.append(Answer(executor))
        response.message = await asked[-1]
        return response

    node.create_service(Trigger, "slow", serve)
    spinning = threading.Thread(target=executor.spin_until_future_complete, args=(ended, FOREVER_S))
    spinning.start()
    try:
        client = probe.node.create_client(Trigger, "slow")
        assert client.wait_for_service(5.0)
        future = client.call_async(Trigger.Request())
        wait_until(lambda: asked, what="request")
        assert not future.done()
        asked[-1].give("done")
        wait_until(future.done, what="response")
        assert future.result().message == "done"
    finally:
        executor.create_task(ended.set_result, None)
        executor.wake()
        spinning.join(5.0)
        assert not spinning.is_alive()
        executor.shutdown()
        node.destroy_node()


@pytest.mark.ros
def test_a_release_without_events_has_wait_sets(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rclpy.experimental.events_executor", None)
    executor = make_executor(probe.node.context)
    assert isinstance(executor, QuietExecutor)
    executor.shutdown()


@pytest.mark.ros
def test_where_stderr_is_no_file_there_are_wait_sets(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    executor = make_executor(probe.node.context)
    assert isinstance(executor, QuietExecutor)
    executor.shutdown()


@EXECUTORS
@pytest.mark.ros
def test_a_callback_with_message_info_gets_both(probe: Probe, make: Callable[..., Executor]) -> None:
    heard: list[tuple[str, object]] = []

    def hear(of: str, message: String, about: dict[str, object]) -> None:
        heard.append((of + message.data, about["source_timestamp"]))

    node = rclpy.create_node("listener", context=probe.node.context, start_parameter_services=False)
    executor = make(context=probe.node.context)
    executor.add_node(node)
    try:
        node.create_subscription(String, "told", with_message_info(partial(hear, "it says ")), 5)
        publisher = probe.publisher(String, "told")
        wait_until(publisher.get_subscription_count, what="subscriber")
        publisher.publish(String(data="yes"))
        executor.spin_once(timeout_sec=5.0)
    finally:
        executor.shutdown()
        node.destroy_node()
    (text, stamp), *others = heard
    assert (text, others) == ("it says yes", [])
    assert isinstance(stamp, int)


def test_where_rclpy_passes_the_message_alone_its_info_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ros2_raxels.nodes.common.rclpy_compat.Subscription", object)
    heard: list[tuple[object, object]] = []
    with_message_info(lambda message, about: heard.append((message, about)))("hello")
    assert heard == [("hello", {})]


def test_where_rclpy_does_not_tell_the_publisher_it_is_empty() -> None:
    assert publisher_gid({}) == b""


@pytest.mark.ros
def test_a_message_carries_the_id_of_its_publisher(probe: Probe) -> None:
    heard: list[bytes] = []
    probe.node.create_subscription(
        String, "signed", with_message_info(lambda _, about: heard.append(publisher_gid(about))), 5
    )
    publisher = probe.publisher(String, "signed")
    wait_until(publisher.get_subscription_count, what="subscriber")
    publisher.publish(String(data="yes"))
    wait_until(lambda: heard, what="message")
    assert heard == [endpoint_gid(info) for info in probe.node.get_publishers_info_by_topic("/signed")]


@pytest.mark.ros
def test_a_subscription_whose_events_are_of_no_interest_can_be_made(probe: Probe) -> None:
    heard: list[String] = []
    probe.node.create_subscription(String, "quiet", heard.append, 5, event_callbacks=no_event_callbacks())
    publisher = probe.publisher(String, "quiet")
    wait_until(publisher.get_subscription_count, what="subscriber")
    publisher.publish(String(data="yes"))
    wait_until(lambda: heard, what="message")
