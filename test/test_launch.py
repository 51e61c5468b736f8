"""The launch files: importable, complete, and with the arguments that the documentation names."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml
from ros_testing import ROOT

pytest.importorskip("launch_ros")

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from launch import LaunchContext
from ros2_raxels.utils.rig_file import RigFileError, read_rig, rig_names
from ros2_raxels.utils.ros_environment import PROFILE_VARIABLES

EXPECTED = {
    "raxels.launch.py": {
        *("namespace", "params_file", "rig", "image", "camera_info", "odom", "imu"),
        *("views", "one_process", "respawn", "autostart", "use_sim_time", "log_level"),
    },
    "demo.launch.py": {"source", "rate", "loop", "log_level"},
}


def entities(name: str) -> list[Any]:
    spec = importlib.util.spec_from_file_location(name.partition(".")[0], ROOT / "launch" / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description().entities


def nodes(name: str, context: LaunchContext, **given: str) -> list[Node]:
    """Those that a launch with these arguments comes to."""
    context.launch_configurations.update(given)
    found: list[Node] = []
    for entity in entities(name):
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
        elif isinstance(entity, OpaqueFunction):
            found += entity.execute(context)
        elif isinstance(entity, Node):
            found.append(entity)
    return found


def parameters(node: Node, context: LaunchContext) -> dict[str, Any]:
    """What the node is given in files, the last one last; sections are of this node alone."""
    node._perform_substitutions(context)
    found: dict[str, Any] = {}
    for path, is_file in node._Node__expanded_parameter_arguments:
        assert is_file
        for section in yaml.safe_load(Path(path).read_text()).values():
            found |= section["ros__parameters"]
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_every_argument_is_declared_and_described(name: str):
    declared = {entity.name: entity for entity in entities(name) if isinstance(entity, DeclareLaunchArgument)}
    assert set(declared) == EXPECTED[name]
    assert all(entity.description for entity in declared.values())


@pytest.mark.parametrize(
    ("name", "given", "executables"),
    [
        ("raxels.launch.py", {}, ["pose_node"]),
        ("raxels.launch.py", {"one_process": "true"}, ["pose_node"]),
        ("raxels.launch.py", {"views": "true"}, ["pose_node", "view_server"]),
        ("raxels.launch.py", {"views": "true", "one_process": "true"}, ["server"]),
        ("demo.launch.py", {"source": "somewhere"}, ["camera_player"]),
    ],
)
def test_nodes_of_this_package_are_started_and_views_only_if_asked(
    name: str, given: dict[str, str], executables: list[str]
):
    found = nodes(name, LaunchContext(), **given)
    assert [node.node_package for node in found] == ["ros2_raxels"] * len(executables)
    assert [node.node_executable for node in found] == executables
    assert all(node.condition is None for node in found)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"autostart": False, "use_sim_time": True}),
        ({"autostart": "true"}, {"autostart": True, "use_sim_time": True}),
        ({"use_sim_time": "false"}, {"autostart": False, "use_sim_time": False}),
        ({"autostart": "true", "use_sim_time": "false"}, {"autostart": True, "use_sim_time": False}),
    ],
)
def test_an_argument_overrides_the_file_of_parameters_only_where_it_is_given(
    tmp_path: Path, given: dict[str, str], expected: dict[str, bool]
):
    said = {"autostart": False, "use_sim_time": True}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": said}}))
    context = LaunchContext()
    for node in nodes("raxels.launch.py", context, params_file=str(file), views="true", **given):
        assert parameters(node, context) == expected


def mapped_topics(node: Node, context: LaunchContext) -> dict[str, str]:
    node._perform_substitutions(context)
    return {str(topic): str(to) for topic, to in node.expanded_remapping_rules}


@pytest.mark.parametrize("rig", rig_names())
def test_a_rig_brings_its_topics_and_parameters_to_the_nodes(rig: str):
    context = LaunchContext()
    pose, views = nodes("raxels.launch.py", context, rig=rig, views="true")
    wanted = read_rig(rig)
    found, mapped = parameters(pose, context), mapped_topics(pose, context)
    assert {name: found[name] for name in wanted.parameters} == wanted.parameters
    assert {topic: mapped[topic] for topic in wanted.topics} == wanted.topics
    # Views are made of all cameras.
    seen, of_views = mapped_topics(views, context), parameters(views, context)
    assert {topic: seen[topic] for topic in wanted.topics} == wanted.topics
    for name in ("cameras", "image_rectified"):
        assert of_views[name] == found[name]
    assert "rig.tolerance_s" not in of_views


def test_a_topic_that_is_given_outranks_that_of_the_rig_and_a_rig_that_is_not_there_is_named():
    context = LaunchContext()
    (pose,) = nodes("raxels.launch.py", context, rig="oak_d", imu="/mine")
    assert mapped_topics(pose, context)["imu"] == "/mine"
    with pytest.raises(RigFileError, match="rig 'oak' is not there; give one of four_cameras, oak_d, "):
        nodes("raxels.launch.py", LaunchContext(), rig="oak")


@pytest.mark.parametrize(("given", "expected"), [({}, False), ({"respawn": "true"}, True)])
@pytest.mark.parametrize("one_process", ["false", "true"])
def test_what_has_ended_is_started_again_only_if_asked(given: dict[str, str], expected: bool, one_process: str):
    found = nodes("raxels.launch.py", LaunchContext(), views="true", one_process=one_process, **given)
    assert [node._ExecuteLocal__respawn for node in found] == [expected] * len(found)


def set_variables() -> dict[str, str]:
    found = [entity for entity in entities("raxels.launch.py") if isinstance(entity, SetEnvironmentVariable)]
    return {text(entity.name): text(entity.value) for entity in found}


def text(substitutions: list[Any]) -> str:
    return "".join(part.perform(LaunchContext()) for part in substitutions)


def test_shared_memory_is_given_room_unless_the_user_has_seen_to_it(monkeypatch: pytest.MonkeyPatch):
    for name in (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    profile = str(ROOT / "config" / "fastdds.xml")
    assert set_variables() == {"FASTDDS_DEFAULT_PROFILES_FILE": profile, "OPENBLAS_NUM_THREADS": "1"}
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.setenv(name, "/mine.xml")
        assert set_variables() == {}
        monkeypatch.delenv(name)
