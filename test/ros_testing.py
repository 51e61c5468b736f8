"""What the tests of nodes need: processes that end, a node that asks, and waiting with a limit."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

START_S = 30.0
"""In which a process has started, also on a busy machine."""

ROOT = Path(__file__).resolve().parent.parent


def wait_until(
    condition: Callable[[], Any], timeout_s: float = 8.0, what: str = "condition", every_s: float = 0.01
) -> Any:
    """The first true value of ``condition``; fails the test when there is none in time.

    The only way for a test to wait. Where the condition publishes something, ``every_s`` is how long it then gives the
    other side before it asks again.
    """
    until = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > until:
            pytest.fail(f"{what} not within {timeout_s} s")
        time.sleep(every_s)
    return value


def paced(rate_hz: float, count: int) -> Iterator[int]:
    """0 to ``count`` - 1, each when it falls due at this rate: as a camera or an odometer sends."""
    begun = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begun + number / rate_hz - time.monotonic()))
        yield number


def be_slow(seconds: float) -> None:
    """What a test has scripted takes so long. For slowness that is itself under test, never to wait for somebody."""
    time.sleep(seconds)


def threads_of(pid: int) -> list[str]:
    """Names of the threads of a process, without numbers; each ROS context has one "dds.ev"."""
    names = []
    for comm in Path(f"/proc/{pid}/task").glob("*/comm"):
        # A thread may end between the two.
        with suppress(FileNotFoundError, ProcessLookupError):
            names.append(comm.read_text().strip())
    return [re.sub(r"[.\d]+$", "", name) for name in names]


class NodeProcess:
    """A node in a process of its own, its output in a file."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._path = log
        self._file = log.open("w")
        self.process = subprocess.Popen(command, stdout=self._file, stderr=subprocess.STDOUT, cwd=ROOT)

    @property
    def log(self) -> str:
        """All it has printed so far."""
        return self._path.read_text(errors="replace")

    @property
    def lines(self) -> list[str]:
        """What it has printed, without what the middleware says about its environment."""
        return [line for line in self.log.strip().splitlines() if "[rmw_" not in line]

    @property
    def rss_mib(self) -> float:
        """What it has in RAM now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    def _held(self, what: str) -> int:
        """How many ``task`` (threads) or ``fd`` (files and sockets) it has now."""
        return len(list(Path(f"/proc/{self.process.pid}/{what}").iterdir()))

    def assert_keeps_nothing_of(self, work: Callable[[], None], most_mib: float) -> None:
        """Fails the test where work that it does leaves it with more threads, open files or memory than before."""
        before_mib, threads, files = self.rss_mib, self._held("task"), self._held("fd")
        work()
        assert self.rss_mib - before_mib < most_mib
        assert self._held("task") <= threads
        assert self._held("fd") <= files

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def wait(self, timeout_s: float = 20.0) -> int:
        """Exit status once it ends by itself."""
        return self.process.wait(timeout_s)

    def stop(self, number: int = signal.SIGINT, timeout_s: float = 10.0) -> tuple[int, float]:
        """Send a signal; exit status, and how long it took, s."""
        begun = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(timeout_s), time.monotonic() - begun

    def kill(self) -> None:
        """End it, whatever its state."""
        if self.alive:
            # Asked first: a killed process leaves its shared memory behind.
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3.0)
        if self.alive:
            self.process.kill()
            self.process.wait()
        self._file.close()


Spawn = Callable[..., NodeProcess]


class Probe:
    """A node of the test process: publishes, collects, asks."""

    def __init__(self, name: str = "probe") -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node(name, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._ending = False
        self._round_trips: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._ending:
            self._executor.spin_once(timeout_sec=0.1)

    def publisher(self, kind: Any, topic: str, qos: Any = 10) -> Any:
        """A publisher; see `matched`."""
        return self.node.create_publisher(kind, topic, qos)

    def collect(self, kind: Any, topic: str, qos: Any = 50) -> list[Any]:
        """A list to which every message of a topic is appended, once its publisher has been found."""
        received: list[Any] = []
        subscription = self.node.create_subscription(kind, topic, received.append, qos)
        self._executor.wake()
        wait_until(lambda: self.node.count_publishers(subscription.topic_name), START_S, f"publisher of {topic}")
        return received

    def call(self, kind: Any, name: str, request: Any, timeout_s: float = 8.0) -> Any:
        """Response of a service."""
        client = self.node.create_client(kind, name)
        self._executor.wake()
        assert client.wait_for_service(5.0), f"no service {name}"
        future = client.call_async(request)
        wait_until(future.done, timeout_s, f"response of {name}")
        self.node.destroy_client(client)
        return future.result()

    def round_trip(self, node: str) -> None:
        """Waits until a node has taken all that this one has sent to it so far.

        What one process sends to another arrives in order, and of all that waits the executor serves subscriptions
        before services. Acknowledgements would tell it too, but the last one comes with the writer's next heartbeat,
        up to 3 s later.
        """
        from rcl_interfaces.srv import ListParameters

        if node not in self._round_trips:
            self._round_trips[node] = self.node.create_client(ListParameters, f"{node}/list_parameters")
            self._executor.wake()
        client = self._round_trips[node]
        assert client.wait_for_service(5.0), f"no node {node}"
        wait_until(client.call_async(ListParameters.Request()).done, what=f"response of {node}")

    def close(self) -> None:
        """Leave the network."""
        self._ending = True
        self._executor.wake()
        self._thread.join(3.0)
        self.node.destroy_node()
        self._context.try_shutdown()


def matched(publisher: Any) -> Any:
    """The publisher, once somebody subscribes."""
    wait_until(publisher.get_subscription_count, START_S, what=f"subscriber of {publisher.topic_name}")
    return publisher


def group_of(item: pytest.Item) -> str:
    """The group of tests that run in one process, to which a test belongs."""
    marker = item.get_closest_marker("xdist_group")
    assert marker is not None
    return str(marker.args[0])


def documented_tests(text: str) -> set[str]:
    """Names of the tests that a text tells of, as `test_x.py::test_y`, with or without the folder below test/.

    Fails the test for one that is not there.
    """
    names = set()
    for module, name in re.findall(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`", text):
        sources = [path.read_text(encoding="utf-8") for path in (ROOT / "test").rglob(module)]
        assert any(re.search(rf"^ *def {name}\(", source, re.MULTILINE) for source in sources), (
            f"there is no {module} with {name}"
        )
        names.add(name)
    return names
