"""busy: as many processes as were asked for, each at work, and none that outlives the block or its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ros_testing import ROOT, wait_until

from ros2_raxels.harness.busy import busy_processes


def cpu_ticks(process: int) -> int:
    """Of a process, in its own code."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11])


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_they_compute_at_our_priority_until_the_block_ends() -> None:
    with busy_processes(2) as children:
        numbers = [child.pid for child in children]
        assert len(set(numbers)) == 2
        for number in numbers:
            assert os.getpriority(os.PRIO_PROCESS, number) == os.getpriority(os.PRIO_PROCESS, 0)
            assert os.sched_getaffinity(number) == os.sched_getaffinity(0)
        begun = [cpu_ticks(number) for number in numbers]
        wait_until(lambda: all(cpu_ticks(n) > b + 5 for n, b in zip(numbers, begun, strict=True)), what="work of both")
    assert not any(map(runs, numbers))


def test_none_is_none() -> None:
    with busy_processes(0) as children:
        assert children == []


def test_an_error_in_the_block_ends_them() -> None:
    numbers: list[int] = []

    def breaks_off() -> None:
        with busy_processes(1) as children:
            numbers.extend(child.pid for child in children)
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        breaks_off()
    assert not runs(numbers[0])


def test_they_end_with_a_parent_that_is_killed() -> None:
    code = (
        "from ros2_raxels.harness.busy import busy_processes\n"
        "with busy_processes(1) as children:\n    print(children[0].pid, flush=True)\n    input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_until(lambda: cpu_ticks(child) > 0, what="its work")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    wait_until(lambda: not runs(child), what="its end")
