"""Fixtures shared by all tests. ROS is only touched by the tests that ask for it."""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest
from ros_testing import ROOT, NodeProcess, Probe, Spawn, group_of, threads_of, wait_until

from ros2_raxels.utils.ros_environment import ros_environment

DATA = Path(os.environ.get("RAXELS_DATA", ROOT.parent / "shared" / "data"))

_open = ExitStack()
"""Of this process, from its start to its end."""


def _free_domain() -> tuple[int, IO[str]]:
    """A ROS_DOMAIN_ID (1-101) that no other test process of this machine uses, and the lock on it.

    The one that has been free for the longest: what was killed on a network haunts it for 20 s.
    """
    files = {d: Path(tempfile.gettempdir()) / f"ros2_raxels_domain_{d}.lock" for d in range(1, 102)}
    for domain in sorted(files, key=lambda d: files[d].stat().st_mtime if files[d].exists() else 0.0):
        lock = files[domain].open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return domain, lock
    raise RuntimeError("all 101 ROS domains are taken by other test processes")


@contextmanager
def _own_network() -> Iterator[None]:
    """A ROS network that nobody else is on, for this process and those that it starts."""
    domain, lock = _free_domain()
    before = os.environ.get("ROS_DOMAIN_ID")
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    with lock:
        os.utime(lock.name)
        try:
            yield
        finally:
            os.utime(lock.name)
            if before is not None:
                os.environ["ROS_DOMAIN_ID"] = before


def pytest_configure() -> None:
    """Before anything imports rclpy: this process, and so its children, on a ROS network of their own."""
    # Tests must not meet a robot that shares the user's network settings.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.update(ros_environment())
    _open.enter_context(_own_network())
    os.environ["ROS_LOG_DIR"] = _open.enter_context(tempfile.TemporaryDirectory(prefix="raxels_test_log_"))
    python_path = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, python_path)))


def pytest_unconfigure() -> None:
    """The network is free for others again."""
    _open.close()


@pytest.fixture(scope="module", autouse=True)
def _network_of_the_module() -> Iterator[None]:
    """A network for each module, on which nothing of the one before lingers; and nothing of it may stay behind."""
    before = threads_of(os.getpid()).count("dds.ev")
    with _own_network():
        yield

    def is_closed() -> bool:
        if threads_of(os.getpid()).count("dds.ev") <= before:
            return True
        # Nodes are in reference cycles; what is closed and only waits to be collected is no leak.
        gc.collect()
        return False

    wait_until(is_closed, what="end of the ROS contexts that this module opened", every_s=0.1)


def _spawner(folder: Path, started: list[NodeProcess]) -> Spawn:
    def spawn(what: str, *ros_arguments: str) -> NodeProcess:
        """Start a module (``ros2_raxels.nodes...``) or a script of this folder with ``--ros-args``."""
        target = [str(ROOT / "test" / what)] if what.endswith(".py") else ["-m", what]
        command = [sys.executable, *target, *(["--ros-args", *ros_arguments] if ros_arguments else [])]
        started.append(NodeProcess(command, folder / f"node_{len(started)}.log"))
        return started[-1]

    return spawn


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files stay together where tests are spread over processes, and so do files that share what is dear to make.

    Those with slow tests come first: of one that begins last, all processes but one would wait for the end.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(ROOT))))
    slow = {group_of(item) for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: group_of(item) not in slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Ungrouped, every process would make anew what tests share, and nobody would notice but by the clock."""
    is_grouped = "PYTEST_XDIST_WORKER" in os.environ and getattr(session.config.option, "loadgroup", False)
    if is_grouped and any("@" not in item.nodeid for item in session.items):
        raise pytest.UsageError(
            f"pytest {pytest.__version__} and this pytest-xdist do not keep groups of tests together; install the "
            "versions of requirements/dev.txt"
        )


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """Models this small gain nothing from threads, and threads that wait for each other on busy cores cost minutes."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Starts node processes that do not outlive the test."""
    started: list[NodeProcess] = []
    yield _spawner(tmp_path, started)
    for node in started:
        node.kill()


@pytest.fixture(scope="module")
def module_spawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spawn]:
    """Starts node processes that all tests of a module share."""
    started: list[NodeProcess] = []
    yield _spawner(tmp_path_factory.mktemp("nodes"), started)
    for node in started:
        node.kill()


@pytest.fixture
def empty_network() -> Iterator[None]:
    """A network for the test alone: what it starts from here on meets nothing of the other tests of its module."""
    with _own_network():
        yield


@pytest.fixture
def probe() -> Iterator[Probe]:
    """A ROS node of the test process, on a network that no other test process shares."""
    pytest.importorskip("rclpy")
    instance = Probe()
    yield instance
    instance.close()


@pytest.fixture(scope="module")
def module_probe() -> Iterator[Probe]:
    """The same for all tests of a module."""
    pytest.importorskip("rclpy")
    instance = Probe()
    yield instance
    instance.close()
