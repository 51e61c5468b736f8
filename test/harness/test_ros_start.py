"""A command starts ROS: in the environment of our nodes, and once, however often the wheels start it anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ros_testing import ROOT

from ros2_raxels.harness.ros_start import start_ros
from ros2_raxels.utils import ros_environment
from ros2_raxels.utils.ros_environment import RosNotFoundError

SCRIPT = """
import json, os, sys
from ros2_raxels.harness.ros_start import start_ros

with open(sys.argv[1], "a") as file:
    file.write("begun\\n")
start_ros()
import raxels_interfaces.msg
assert "rclpy" in sys.modules
print(json.dumps(dict(os.environ)))
"""


@pytest.mark.ros
def test_a_process_without_any_ros_variable_gets_all_that_nodes_need(tmp_path: Path) -> None:
    pytest.importorskip("raxels_interfaces")
    unset = ("AMENT_PREFIX_PATH", "RMW_IMPLEMENTATION", "ROS_AUTOMATIC_DISCOVERY_RANGE", "OPENBLAS_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "begun")]
    ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    # A single line: what follows is not done in the process that the wheels replace.
    found = json.loads(ran.stdout)
    assert found["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp"
    assert found["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert found["OPENBLAS_NUM_THREADS"] == "1"
    assert found["AMENT_PREFIX_PATH"]
    assert set((tmp_path / "begun").read_text().split()) == {"begun"}


def test_a_missing_package_is_named_before_anything_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    monkeypatch.setattr(ros_environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RosNotFoundError, match="Python package rclpy cannot be imported by"):
        start_ros()
    assert dict(os.environ) == before
