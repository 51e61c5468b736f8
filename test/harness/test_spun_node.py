"""A node that its owner spins: it receives, and an interrupt ends it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from threading import Event

import pytest
from ros_testing import Probe, matched, wait_until

pytest.importorskip("rclpy")

from std_msgs.msg import String

from ros2_raxels.harness.spun_node import SpunNode

pytestmark = pytest.mark.ros


@pytest.fixture
def interrupted() -> Event:
    return Event()


@pytest.fixture
def node(interrupted: Event) -> Iterator[SpunNode]:
    node = SpunNode("listener", interrupted, namespace="/here")
    yield node
    node.close()


def test_messages_come_in_while_it_is_spun(node: SpunNode, probe: Probe) -> None:
    heard: list[str] = []
    node.node.create_subscription(String, "words", lambda message: heard.append(message.data), 10)
    words = matched(probe.publisher(String, "/here/words"))

    def comes_in() -> bool:
        words.publish(String(data="hello"))
        node.spin(0.05)
        return bool(heard)

    wait_until(comes_in, what="a message")
    assert set(heard) == {"hello"}


def test_it_is_spun_for_as_long_as_it_was_told(node: SpunNode) -> None:
    begun = time.monotonic()
    node.spin(0.2)
    node.drain(0.1)
    assert time.monotonic() - begun >= 0.3


def test_an_interrupt_that_was_swallowed_ends_the_spinning_but_not_the_draining(
    node: SpunNode, interrupted: Event
) -> None:
    """Where C++ calls back into Python the exception of a signal is printed and forgotten; the event is not."""
    node.spin(0.05)
    interrupted.set()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        node.spin(0.1)
    node.drain(0.1)
    assert time.monotonic() - begun >= 0.1


def test_a_signal_reaches_its_handler_between_callbacks(node: SpunNode, probe: Probe) -> None:
    """An exception in a callback would go through the C++ of the executor that is driven by events."""
    heard: list[str] = []

    def hear(message: String) -> None:
        signal.raise_signal(signal.SIGINT)
        heard.append(message.data)

    node.node.create_subscription(String, "words", hear, 10)
    words = matched(probe.publisher(String, "/here/words"))
    words.publish(String(data="hello"))
    with pytest.raises(KeyboardInterrupt):
        node.spin(5.0)
    assert heard == ["hello"]
