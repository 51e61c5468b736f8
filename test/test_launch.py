"""The launch files: importable, complete, and with the arguments that the documentation names."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from ros_testing import ROOT

pytest.importorskip("launch_ros")

from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch_ros.actions import Node

EXPECTED = {
    "raxels.launch.py": {
        *("namespace", "params_file", "image", "camera_info"),
        *("views", "autostart", "use_sim_time", "log_level"),
    },
    "demo.launch.py": {"source", "rate", "loop", "log_level"},
}


def entities(name: str) -> list[Any]:
    spec = importlib.util.spec_from_file_location(name.partition(".")[0], ROOT / "launch" / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description().entities


@pytest.mark.parametrize("name", EXPECTED)
def test_every_argument_is_declared_and_described(name: str):
    declared = {entity.name: entity for entity in entities(name) if isinstance(entity, DeclareLaunchArgument)}
    assert set(declared) == EXPECTED[name]
    assert all(entity.description for entity in declared.values())


@pytest.mark.parametrize(
    ("name", "executables"),
    [("raxels.launch.py", ["pose_node", "view_server"]), ("demo.launch.py", ["camera_player"])],
)
def test_nodes_of_this_package_are_started_and_views_only_if_asked(name: str, executables: list[str]):
    nodes = [entity for entity in entities(name) if isinstance(entity, Node)]
    assert [node.node_package for node in nodes] == ["ros2_raxels"] * len(executables)
    assert [node.node_executable for node in nodes] == executables
    assert [node.condition is not None for node in nodes] == [name == "view_server" for name in executables]


def test_shared_memory_is_given_room_unless_the_user_has_seen_to_it(monkeypatch: pytest.MonkeyPatch):
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert [e for e in entities("raxels.launch.py") if isinstance(e, SetEnvironmentVariable)]
    monkeypatch.setenv(names[0], "/mine.xml")
    assert not [e for e in entities("raxels.launch.py") if isinstance(e, SetEnvironmentVariable)]
