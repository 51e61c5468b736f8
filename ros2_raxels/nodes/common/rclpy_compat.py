"""What the nodes use of rclpy that it does not promise to keep, and how its releases differ. Nothing else may.

Each entry says what is private and why it is needed. All were read in rclpy 3.3.15 (Humble), 7.1.3 (Jazzy) and 9.1.2
(Kilted). `test_rclpy_compat.py` fails on a release that has dropped one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Generic, TypeVar

from rclpy import lifecycle
from rclpy.action.server import RCLError
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.task import Future

T = TypeVar("T")


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
        self._executor.wake()

    def __await__(self) -> Generator[Any, None, T]:
        result: T = yield from self._future.__await__()
        return result


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

    def _LifecycleNodeMixin__change_state(self, transition: int) -> TransitionCallbackReturn:
        try:
            return super()._LifecycleNodeMixin__change_state(transition)
        except RCLError as error:
            self.get_logger().error(f"transition {transition} is not possible while {self.state_label}: {error}")
            return TransitionCallbackReturn.ERROR


def with_message_info(callback: Callable[[Any, dict[str, Any]], None]) -> Callable[..., None]:
    """What to give a subscription for a callback that takes the message and what the middleware tells about it.

    Nothing of it is private. But rclpy counts the arguments of a callback to see what to call it with, so that a
    ``partial`` or a default would mislead it; and Humble passes the message alone: there the second one is empty.
    """
    if not hasattr(Subscription, "CallbackType"):
        return lambda message: callback(message, {})

    def received(message: Any, about: dict[str, Any]) -> None:
        callback(message, about)

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
