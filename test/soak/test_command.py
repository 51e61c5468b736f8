"""raxels soak through real nodes: a report however it ends, exit status 1 with a reason, and no process left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ros_testing import wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")


from ros2_raxels.harness.recording import Walk, recorded_walk


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_walk(Walk(4.0, 10.0, 320, 240), lambda done, total: None, tmp_path_factory.mktemp("walk"))


def soak(walk: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ros2_raxels", "soak", str(walk), "--rate", "10", "--out", str(out), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def children_of(pid: int) -> dict[str, int]:
    """Modules that a process runs, by their process number."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            words = (stat.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == pid and len(words) > 2:
            found[words[2].decode().rpartition(".")[2]] = int(stat.parent.name)
    return found


@pytest.mark.ros
@pytest.mark.slow
def test_a_short_soak_of_real_nodes_finds_nothing_broken(walk: Path, tmp_path: Path):
    # With this seed the first fault is a short one, so that there is time for it in 24 s.
    process = soak(walk, tmp_path, "--minutes", "0.4", "--seed", "2", "--goal-every", "2", "--least-poses", "1")
    output, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    report = json.loads((tmp_path / "soak.json").read_text())
    assert report["broken"] == []
    assert report["frames"]["tracked"] > 5
    assert report["frames"]["node_received"] == report["frames"]["node_processed"] + sum(
        report["frames"][name] for name in ("node_replaced", "node_rejected")
    )
    (event,) = report["events"]
    assert report["by_fault"][event["fault"]]["events"] == 1
    assert set(report["memory"]) == {"raxels_pose", "raxels_views"}
    assert report["goals"]["outcomes"]
    assert "with a pose" in output
    assert (tmp_path / "soak.png").stat().st_size > 50_000


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "modules", "names"),
    [
        ((), {"pose_node", "view_server"}, {"raxels_pose", "raxels_views"}),
        (("--one-process",), {"server"}, {"raxels"}),
    ],
)
def test_ctrl_c_writes_the_report_so_far_and_leaves_no_process(
    walk: Path, tmp_path: Path, arguments: tuple[str, ...], modules: set[str], names: set[str]
):
    process = soak(walk, tmp_path, "--minutes", "60", *arguments)
    children = wait_until(lambda: _once_all_are_there(process, modules), 30.0, "the nodes")
    assert process.stderr is not None
    _read_until(process, "tracking")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    report = json.loads((tmp_path / "soak.json").read_text())
    assert report["interrupted"]
    assert report["frames"]["tracked"] > 0
    assert set(report["memory"]) == names
    assert not any(Path(f"/proc/{pid}").exists() for pid in children.values())


@pytest.mark.ros
@pytest.mark.slow
def test_a_node_that_dies_ends_the_soak_with_its_name_and_status(walk: Path, tmp_path: Path):
    process = soak(walk, tmp_path, "--minutes", "60")
    _read_until(process, "frames")
    os.kill(children_of(process.pid)["view_server"], signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "raxels soak: raxels_views ended with exit status -9" in errors
    assert json.loads((tmp_path / "soak.json").read_text())["broken"][0].startswith("raxels_views ended")


def _once_all_are_there(process: subprocess.Popen[str], modules: set[str]) -> dict[str, int]:
    children = children_of(process.pid)
    return children if modules <= children.keys() else {}


def _read_until(process: subprocess.Popen[str], words: str, timeout_s: float = 60.0) -> None:
    """Progress is a line every two seconds where stderr is no terminal."""
    assert process.stderr is not None
    until = time.monotonic() + timeout_s
    while words not in (line := process.stderr.readline()):
        assert line, "it ended"
        assert time.monotonic() < until, f"no {words!r} within {timeout_s:g} s"
