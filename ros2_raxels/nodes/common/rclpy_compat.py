"""What the nodes use of rclpy that it does not promise to keep, and how its releases differ. Nothing else may.

Each entry says what is private and why it is needed. All were read in rclpy 3.3.15 (Humble), 7.1.3 (Jazzy) and 9.1.2
(Kilted). `test_rclpy_compat.py` fails on a release that has dropped one of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from functools import partial
from inspect import Parameter, Signature
from io import UnsupportedOperation
from typing import Any, Generic, TypeVar

from rclpy import lifecycle
from rclpy.action.server import RCLError
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.task import Future
from rclpy.timer import Timer

T = TypeVar("T")


def _stir(executor: Executor) -> None:
    """Let an executor look at what its callbacks await; any thread may call."""
    executor.wake()
    if isinstance(executor, Executor):
        return
    # One that is driven by events looks only after an event of a message, a service or a timer: so here is one.
    for node in [node for node in executor.get_nodes() if node.context.ok()][:1]:
        timers: list[Timer] = []
        ready = partial(_end, node, timers)
        timers.append(node.create_timer(0.0, ready, ReentrantCallbackGroup(), Clock(clock_type=ClockType.STEADY_TIME)))


def _end(node: Node, timers: list[Timer]) -> None:
    # It may be due before it is known here: then it is so once more.
    while timers:
        node.destroy_timer(timers.pop())


class Answer(Generic[T]):
    """A result that an async callback awaits while a thread of ours works for it.

    Nothing of it is private. But a future that is done does not wake the executor whose callback awaits it: without
    the wake-up the callback goes on only when the next message happens to come.

    Args:
        executor: that runs the callback.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._future: Future = Future(executor=executor)

    def give(self, result: T) -> None:
        """Let the callback go on; any thread may call, once."""
        self._future.set_result(result)
        _stir(self._executor)

    def __await__(self) -> Generator[Any, None, T]:
        result: T = yield from self._future.__await__()
        return result


EXECUTOR_VARIABLE = "RAXELS_EXECUTOR"
"""What serves the callbacks: ``events``, the default where the release has that, or ``wait_sets``."""

FOREVER_S = 1e8
"""To spin without a limit: given none, the events executor of Kilted computes without a pause and receives nothing."""


class ExecutorError(ValueError):
    """No such executor is known; one line naming the variable, its value and what is allowed."""


def make_executor(context: Context | None = None) -> Executor:
    """What serves the callbacks of nodes in one thread: driven by events where rclpy has that, else by wait sets.

    Nothing of it is private, but experimental. A wait set is built anew in Python for each message, which costs a node
    with one subscription .37 ms against .06, and more with each topic, service and timer.

    Give every spin a limit, if only `FOREVER_S`. And let no signal raise an exception during a spin: what comes up in a
    callback goes through the C++ of the events executor of Kilted, which may end the process with SIGABRT. Nor may the
    context go down during a spin, as rclpy's own handlers of signals make it: that has ended a process with SIGSEGV.

    Args:
        context: of the nodes; None is the default one.

    Raises:
        ExecutorError: `EXECUTOR_VARIABLE` asks for another one.
    """
    asked = os.environ.get(EXECUTOR_VARIABLE) or "events"
    if asked not in ("events", "wait_sets"):
        raise ExecutorError(
            f"{EXECUTOR_VARIABLE}={asked!r} is not known; set it to events or to wait_sets, or unset it"
        )
    if asked == "wait_sets":
        return QuietExecutor(context=context)
    try:
        from rclpy.experimental.events_executor import EventsExecutor

        executor: Executor = EventsExecutor(context=context)
    except (ImportError, UnsupportedOperation):
        # It writes crashes to the file behind stderr, and a notebook has none.
        return QuietExecutor(context=context)
    return executor


class QuietExecutor(SingleThreadedExecutor):
    """One that a signal may catch half made.

    Private is `_sigint_gc`: ``Executor.__del__`` reads it, and complains on stderr when ``__init__`` did not get that
    far.
    """

    _sigint_gc = None


class LifecycleNode(lifecycle.LifecycleNode):
    """One that refuses a transition which its state does not allow, and says in which state it is.

    Private is `__change_state`, overridden by its mangled name: in Humble and Jazzy it raises for such a transition,
    with which anybody on the network could end the process. Kilted catches the error itself.

    Private is `_state_machine`: there is no other way to ask a node for its state.
    """

    @property
    def state_label(self) -> str:
        """Name of the state, as ``ros2 lifecycle get`` shows it."""
        return str(self._state_machine.current_state[1])

    def destroy_node(self) -> None:
        """Leave the network.

        rclpy leaves the state machine, and with it the node, to the end of the interpreter.
        """
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _LifecycleNodeMixin__change_state(self, transition: int) -> TransitionCallbackReturn:
        try:
            return super()._LifecycleNodeMixin__change_state(transition)
        except RCLError as error:
            self.get_logger().error(f"transition {transition} is not possible while {self.state_label}: {error}")
            return TransitionCallbackReturn.ERROR


def with_message_info(callback: Callable[[Any, dict[str, Any]], None]) -> Callable[..., None]:
    """What to give a subscription for a callback that takes the message and what the middleware tells about it.

    Nothing of it is private. But rclpy asks the signature of a callback what to call it with, so that a ``partial`` or
    a default would mislead it; Humble passes the message alone: there the second one is empty; and the events executor
    of Kilted passes both as one.
    """
    if not hasattr(Subscription, "CallbackType"):
        return lambda message: callback(message, {})

    def received(*heard: Any) -> None:
        message, about = heard if len(heard) == 2 else heard[0]
        callback(message, about)

    received.__signature__ = Signature(  # type: ignore[attr-defined]
        [Parameter(name, Parameter.POSITIONAL_ONLY) for name in ("message", "about")]
    )
    return received


_GID_BYTES = 16
"""Releases pad them differently."""


def publisher_gid(about: Mapping[str, Any]) -> bytes:
    """Whose message it is, by what the middleware tells about it; empty in releases that do not tell."""
    gid = about.get("publisher_gid") or {}
    return bytes(gid.get("data", b""))[:_GID_BYTES]


def endpoint_gid(info: Any) -> bytes:
    """The same of a publisher (``TopicEndpointInfo``)."""
    return bytes(info.endpoint_gid)[:_GID_BYTES]


def no_event_callbacks() -> Any:
    """``SubscriptionEventCallbacks`` of a subscription whose events are not to be logged.

    Nothing of it is private, but Humble has it in another module.
    """
    try:
        from rclpy.event_handler import SubscriptionEventCallbacks
    except ImportError:
        from rclpy.qos_event import SubscriptionEventCallbacks
    return SubscriptionEventCallbacks(use_default_callbacks=False)


def parameter_overrides(node: Node) -> Mapping[str, Any]:
    """The values given at start, by name; without them a misspelt name would be ignored silently.

    Private is `_parameter_overrides`: there is no other way to see them.
    """
    return getattr(node, "_parameter_overrides", {})
