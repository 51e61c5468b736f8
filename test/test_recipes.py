"""The configurations of docs/recipes.md: real parameters, taken by real nodes; and the example that draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ros_testing import ROOT, START_S, Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from pose_rig import FRAME, Rig
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import Image

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import inverse_pose
from ros2_raxels.nodes.common.messages import camera_info_message, image_array, pose_array, stamp_ns
from ros2_raxels.nodes.parameter_yaml import TABLES
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.utils.rig_file import read_rig, rig_names

RECIPES = sorted((ROOT / "config" / "recipes").glob("*.yaml"))
TYPES = {
    bool: "bool_value",
    int: "integer_value",
    float: "double_value",
    str: "string_value",
    list: "string_array_value",
}


def sections(path: Path) -> dict[str, dict[str, Any]]:
    """Parameters by node, of our nodes alone."""
    loaded = yaml.safe_load(path.read_text())
    return {key: loaded[key]["ros__parameters"] for key in loaded if key.split("/")[-1] in TABLES}


def started(probe: Probe, topic: str) -> None:
    """Wait for a process by what it publishes."""
    wait_until(lambda: probe.node.count_publishers(topic), START_S, f"publisher of {topic}")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_parameter_of_a_recipe_exists_and_may_have_its_value(path: Path):
    assert sections(path)
    for key, values in sections(path).items():
        rows = {row.name: row for row in TABLES[key.split("/")[-1]]}
        for name, value in values.items():
            assert name in rows, f"{path.name}: {name}"
            assert rows[name].refusal(value) == ""
            assert value != rows[name].default, f"{path.name}: {name} is the default anyhow"
    assert path.name in (ROOT / "docs" / "recipes.md").read_text()


@pytest.mark.parametrize("name", rig_names())
def test_every_parameter_of_a_rig_exists_and_the_page_names_it(name: str):
    rows = {row.name: row for row in TABLES["raxels_pose"]}
    for parameter, value in read_rig(name).parameters.items():
        assert rows[parameter].refusal(value) == ""
        assert value != rows[parameter].default, f"{parameter} is the default anyhow"
    assert f"`{name}`" in (ROOT / "docs" / "recipes.md").read_text()


def test_the_filter_is_told_of_every_odometry_what_to_take():
    values = yaml.safe_load((ROOT / "config/recipes/robot_localization.yaml").read_text())["ekf_filter_node"]
    for k in range(2):
        taken = values["ros__parameters"][f"odom{k}_config"]
        assert len(taken) == 15
        assert {type(each) for each in taken} == {bool}


@pytest.mark.ros
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_pose_node_takes_a_recipe(probe: Probe, spawn: Spawn, path: Path):
    key, values = next((k, v) for k, v in sections(path).items() if k.endswith("raxels_pose"))
    namespace = "" if key.startswith("/**") else key.removesuffix("/raxels_pose")
    options = ("-r", f"__ns:={namespace}") if namespace else ()
    node = spawn("scripted_node.py", *options, "--params-file", str(path))
    started(probe, f"{namespace}/raxels_pose/status")
    request = GetParameters.Request(names=list(values))
    response = probe.call(GetParameters, f"{namespace}/raxels_pose/get_parameters", request)
    found = [getattr(v, TYPES[type(w)]) for v, w in zip(response.values, values.values(), strict=True)]
    assert found == list(values.values()), node.log


@pytest.mark.ros
def test_two_robots_keep_out_of_each_others_frames(probe: Probe, spawn: Spawn, tmp_path: Path):
    recipe = (ROOT / "config" / "recipes" / "robot1.yaml").read_text()
    worlds = []
    for name in ("robot1", "robot2"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(recipe.replace("robot1", name))
        node = spawn("scripted_node.py", "-r", f"__ns:=/{name}", "--params-file", str(path))
        started(probe, f"/{name}/raxels_pose/status")
        rig = Rig(probe, node, f"/{name}")
        rig.settle()
        answer = rig.solve()
        assert answer.status.state == PoseStatus.STATE_TRACKING
        assert answer.pose.header.frame_id == f"{name}/raxels_world"
        worlds += [(edge.header.frame_id, edge.child_frame_id) for edge in answer.edges]
    # No base in TF: the camera itself, of which each robot has one with a name of its own.
    assert worlds == [("robot1/raxels_world", FRAME), ("robot2/raxels_world", FRAME)]


class Hand:
    """A camera in a hand, its pose node with the recipe, and the example."""

    def __init__(self, probe: Probe, spawn: Spawn) -> None:
        self.camera = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
        world, way = furnished_room(3), handheld_loop(7.0, 15.0, 3)[:24]
        self.seen = [render(world, self.camera, pose)[0] for pose in way]
        recipe = ROOT / "config" / "recipes" / "handheld.yaml"
        node = spawn("ros2_raxels.nodes.pose.pose_node", "--params-file", str(recipe), "-p", "model:=none")
        self.example = spawn("../examples/draw_in_scene.py")
        for topic in ("/raxels_pose/status", "/draw_in_scene/image"):
            started(probe, topic)
        self.drawn = probe.collect(Image, "/draw_in_scene/image", 50)
        self.rig = Rig(probe, node)
        self.answers: dict[int, tuple[np.ndarray, PoseStatus]] = {}

    def walk(self) -> None:
        info = camera_info_message(self.camera, self._header())
        self.rig.settle(info, self.seen[0])
        for image in self.seen:
            status = self.rig.seen(image, info)
            self.answers[stamp_ns(status.header.stamp)] = (image, status)

    @staticmethod
    def _header() -> Any:
        from std_msgs.msg import Header

        return Header(frame_id=FRAME)


@pytest.mark.ros
@pytest.mark.slow
def test_the_example_draws_a_cube_that_stands_still(probe: Probe, spawn: Spawn):
    import runpy

    hand = Hand(probe, spawn)
    hand.walk()
    tracked = [s for s, (_, status) in hand.answers.items() if status.state == PoseStatus.STATE_TRACKING]
    assert len(tracked) >= 12
    last = tracked[-1]
    picture = wait_until(lambda: hand.rig.stamped(hand.drawn, last), what=f"picture\n{hand.example.log}")
    pose = hand.rig.stamped(hand.rig.poses, last)
    assert stamp_ns(picture.header.stamp) == last
    # The base is left out by the recipe: poses are those of the camera.
    assert hand.answers[last][1].child_frame_id == FRAME
    example = runpy.run_path(str(ROOT / "examples" / "draw_in_scene.py"))
    to_camera = inverse_pose(pose_array(pose.pose.pose))
    corners = hand.camera.project(example["cube"]() @ to_camera[:3, :3].T + to_camera[:3, 3])
    changed = (image_array(picture) != hand.answers[last][0]).any(axis=2)
    rows, columns = np.nonzero(changed)
    inside = corners.clip((0, 0), (hand.camera.width - 1, hand.camera.height - 1))
    np.testing.assert_allclose([columns.min(), rows.min()], inside.min(axis=0), atol=3.0)
    np.testing.assert_allclose([columns.max(), rows.max()], inside.max(axis=0), atol=3.0)
    assert (image_array(picture)[changed] == example["COLOUR"]).all()
