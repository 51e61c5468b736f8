"""The view server with the shipped model, in a rendered room: one process for all tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from ros_testing import ROOT, Probe, Spawn, paced, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

from views_rig import EYE, WORLD, ViewsRig

from ros2_raxels.client import make_goal
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def room(module_spawn: Spawn, module_probe: Probe) -> Iterator[Room]:
    """The shipped model, and a camera that walks through a rendered room."""
    pytest.importorskip("onnxruntime")
    instance = Room(ViewsRig(module_probe, module_spawn("ros2_raxels.nodes.views.view_server")))
    yield instance
    instance.rig.close()


class Room:
    """A camera in a rendered room."""

    camera = PinholeCamera(160, 120, 140.0, 140.0, 79.5, 59.5)

    def __init__(self, rig: ViewsRig) -> None:
        self.rig, self.world = rig, furnished_room()
        self.path = handheld_loop(seconds=10.0, rate_hz=10.0)[:12]
        self.seen = [render(self.world, self.camera, pose)[0] for pose in self.path[:7]]

    def walk(self) -> None:
        """Until the server keeps frames of several places."""

        def several() -> bool:
            for number in paced(8.0, len(self.seen)):
                self.rig.look(self.path[number], self.seen[number], self.camera)
            counts = [p.value for s in self.rig.health("context") for p in s.values if p.key == "frames kept"]
            return bool(counts) and int(counts[-1]) >= 3

        wait_until(several, what="frames of several places", timeout_s=20.0)


def test_views_of_a_rendered_room_are_close_to_the_truth(room: Room):
    room.walk()
    ahead = room.path[7:11]
    goal = make_goal(ahead, WORLD, seed=3)
    found = room.rig.client.predict(goal)
    assert found.ok, found.message
    np.testing.assert_allclose(found.poses, ahead, atol=1e-9)
    assert found.camera == room.camera.resized(128, 96)
    for pose, image in zip(ahead, found.images, strict=True):
        truth = cv2.resize(render(room.world, room.camera, pose)[0], (128, 96), interpolation=cv2.INTER_AREA)
        last = cv2.resize(room.seen[-1], (128, 96), interpolation=cv2.INTER_AREA)
        assert cv2.PSNR(image, truth) > max(24.0, cv2.PSNR(last, truth) + 3.0)
    assert (found.confidence > 0.5).all()
    assert np.degrees(found.rotation_rad).max() < 2.0
    assert found.translation.max() < 0.1
    assert found.model_id.startswith("compact_views: ")
    assert 0.0 < found.inference_s < 30.0
    room.rig.look(room.path[6], room.seen[-1], room.camera)
    behind = room.path[6] @ make_pose(rotation_from_vector([0.0, np.pi, 0.0]), (0.0, 0.0, 0.0))
    unseen = room.rig.client.predict(make_goal([behind], WORLD, seed=3))
    assert unseen.confidence[0] < 0.2


def test_consecutive_goals_leak_nothing_in_the_model(room: Room):
    def serve(count: int) -> None:
        for _ in range(count):
            room.rig.look(room.path[6], room.seen[-1], room.camera)
            assert room.rig.client.predict(make_goal(room.path[7:8], WORLD)).ok

    room.walk()
    serve(3)
    room.rig.node.assert_keeps_nothing_of(lambda: serve(10), most_mib=8.0)


def test_the_example_scores_three_paths(room: Room):
    room.walk()
    command = [sys.executable, str(ROOT / "examples" / "score_paths.py"), "--camera-frame", EYE]
    planner = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ended() -> bool:
        room.rig.look(room.path[6], room.seen[-1], room.camera)
        return planner.poll() is not None

    wait_until(ended, what="end of the planner", timeout_s=60.0, every_s=0.1)
    output, problems = planner.communicate()
    assert planner.returncode == 0, problems
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["left", "straight", "right"]
    scores = {line.split()[0]: float(line.split()[1]) for line in lines[:3]}
    assert lines[3] == f"surest of the way {max(scores, key=scores.get)}"
    assert all("4 views, poses found again within" in line for line in lines[:3])
    assert 0.3 < min(scores.values()) <= max(scores.values()) <= 1.0
