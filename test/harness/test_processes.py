"""Children end when their family does, in order, and their last words are kept."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ros_testing import wait_until

from ros2_raxels.harness import processes
from ros2_raxels.harness.processes import Child, Family

Start = Callable[[str], Child]

WAITS = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit("asked to end"))
print("waiting", flush=True)
time.sleep(60)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("waiting", flush=True)
time.sleep(60)
"""


@pytest.fixture
def family() -> Iterator[Family]:
    family = Family()
    yield family
    family.end()


@pytest.fixture
def start(family: Family, tmp_path: Path) -> Start:
    """Starts a module of these lines, and waits for its first words."""

    def begin(lines: str) -> Child:
        name = f"made_up_{len(list(tmp_path.glob('*.py')))}"
        (tmp_path / f"{name}.py").write_text(lines)
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        child = family.start(name, [], environment, tmp_path / f"{name}.log")
        wait_until(lambda: child.last_words or child.code is not None, what=f"words of {name}")
        return child

    return begin


def test_what_a_child_says_last_and_how_it_ended_are_kept(start: Start) -> None:
    child = start("import sys\nfor k in range(20):\n    print(k)\nprint()\nsys.exit('broken')\n")
    wait_until(lambda: child.code is not None, what="its end")
    assert child.code == 1
    assert child.last_words == [*(str(k) for k in range(9, 20)), "broken"]
    assert child.end() == 1


def test_a_child_is_asked_to_end(start: Start) -> None:
    child = start(WAITS)
    assert child.code is None
    assert child.end() == 1
    assert child.last_words[-1] == "asked to end"


def test_a_child_that_does_not_listen_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PATIENCE_S", 0.2)
    child = start(DEAF)
    assert child.end() == -signal.SIGKILL
    assert not Path(f"/proc/{child.pid}").exists()


def test_the_youngest_ends_first_and_a_child_does_not_hear_the_terminal(
    family: Family, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = [start(WAITS) for _ in range(2)]
    # Ctrl-C goes to the group of the parent.
    assert not {os.getpgid(child.pid) for child in children} & {os.getpgid(0)}
    ended: list[Child] = []
    end = Child.end
    monkeypatch.setattr(Child, "end", lambda child: (ended.append(child), end(child))[1])
    family.end()
    assert ended == children[::-1]
    assert not any(Path(f"/proc/{child.pid}").exists() for child in children)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_child_is_started_comes_afterwards_and_no_child_is_lost(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    made: list[Child] = []

    def interrupted(*arguments: object) -> Child:
        made.append(Child(*arguments))  # type: ignore[arg-type]
        os.kill(os.getpid(), number)
        return made[0]

    def stop(signal_number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, stop)
    try:
        monkeypatch.setattr(processes, "Child", interrupted)
        with pytest.raises(KeyboardInterrupt):
            family.start("this", [], dict(os.environ), tmp_path / "log")
    finally:
        signal.signal(number, before)
    family.end()
    assert not Path(f"/proc/{made[0].pid}").exists()
