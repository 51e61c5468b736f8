"""`raxels`: help, exit statuses, and how errors end a command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands_rig import CapSys, error_line
from ros_testing import ROOT

from ros2_raxels import __version__
from ros2_raxels.cli.main import main


def test_help_names_each_command_in_a_line_and_returns_at_once() -> None:
    begun = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "ros2_raxels.cli.main", "--help"], capture_output=True, text=True, cwd=ROOT, timeout=20
    )
    took_s = time.monotonic() - begun
    assert ran.returncode == 0
    assert ran.stderr == ""
    for command in ("estimate", "track", "evaluate", "demo"):
        assert sum(line.strip().startswith(command) for line in ran.stdout.splitlines()) == 1
    # 0.15 s on an idle machine; a busy one must not fail the test, an import of OpenCV or ROS must.
    assert took_s < 1.5


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from ros2_raxels.cli.main import main; main(['--help']); "
        "sys.exit(','.join({'numpy', 'cv2', 'rclpy', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=20)
    assert ran.returncode == 0, ran.stderr


def test_version(capsys: CapSys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"raxels {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["sing"], ["estimate"], ["track"], ["evaluate", "--peer", "all"]])
def test_wrong_usage_is_status_2(arguments: list[str], capsys: CapSys) -> None:
    assert main(arguments) == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["estimate", "track", "evaluate", "demo"])
def test_every_command_has_help(command: str, capsys: CapSys) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: raxels {command}" in capsys.readouterr().out


def test_a_module_is_the_command(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ros2_raxels", "track", "gone", "--out", str(tmp_path / "a.tum")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=20,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("raxels: gone does not exist")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    # Unbuffered, argparse meets the closed pipe first, and keeps it to itself.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        ran = subprocess.run(
            [sys.executable, "-m", "ros2_raxels", "--version"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
            timeout=20,
        )
    assert ran.returncode == 141
    assert ran.stderr == ""


def test_the_unexpected_is_one_line_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, clips_json: Path, tmp_path: Path, capsys: CapSys
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("ros2_raxels.cli.estimate.write_answers", fail)
    arguments = ["estimate", "--clips", str(clips_json), "--out", str(tmp_path / "answer.json")]
    assert main(arguments) == 3
    assert error_line(capsys) == "raxels: unexpected RuntimeError: two lines (RAXELS_DEBUG=1 shows where)\n"
    monkeypatch.setenv("RAXELS_DEBUG", "1")
    assert main(arguments) == 3
    assert "Traceback" in capsys.readouterr().err
