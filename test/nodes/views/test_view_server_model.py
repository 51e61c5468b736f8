"""The view server with the shipped model, in a rendered room: one process for all tests."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from ros_testing import ROOT, Probe, Spawn, paced, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float32, Header
from views_rig import BASE, EYE, WORLD, ViewsRig

from ros2_raxels.client import make_goal
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, inverse_pose, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.messages import pose_message
from ros2_raxels.scenes.renderer import depth_map, render
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


# ---------------------------------------------------------------------------------------------------------- for Nav2

NAV2 = runpy.run_path(str(ROOT / "examples" / "nav2_paths.py"))


def test_the_piece_of_a_plan_begins_at_the_robot_and_has_the_length_that_was_asked_for() -> None:
    plan = np.array([(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (2.0, 3.0)])
    piece = NAV2["piece_ahead"](plan, np.array([1.1, 0.3]), 2.0)
    np.testing.assert_allclose(piece[[0, -1]], [(1.0, 0.0), (2.0, 1.0)], atol=1e-9)
    assert np.linalg.norm(np.diff(piece, axis=0), axis=1).max() < 0.19
    end = NAV2["piece_ahead"](plan, np.array([2.0, 3.1]), 2.0)
    np.testing.assert_allclose(end, np.tile([2.0, 3.0], (len(end), 1)))


def test_a_candidate_leaves_the_plan_to_its_left_and_looks_where_it_goes() -> None:
    places = np.stack([np.zeros(12), np.linspace(0.0, 2.0, 12)], axis=1)
    poses = NAV2["on_the_ground"](places, 0.1, 0.3)
    np.testing.assert_allclose(poses[0, :3, 3], (0.0, 0.0, 0.1), atol=1e-9)
    np.testing.assert_allclose(poses[-1, :3, 3], (-0.3, 2.0, 0.1), atol=1e-9)
    np.testing.assert_allclose(poses[5, :3, 0], (0.0, 1.0, 0.0), atol=1e-9)


@pytest.mark.parametrize(("free", "share"), [(1.0, 1.0), (0.95, 1.0), (0.675, 0.6), (0.4, 0.2), (0.0, 0.2)])
def test_the_speed_falls_with_the_odds_and_is_never_nothing(free: float, share: float) -> None:
    """No limit is what 0 means to Nav2."""
    assert NAV2["speed_share"](free, 0.4, 0.95, 0.2) == pytest.approx(share)
    assert NAV2["speed_share"](float("nan"), 0.4, 0.95, 0.2) == pytest.approx(0.2)


def straight_plan(length: float, eye: FloatArray) -> Path:
    """On the ground, from the camera on."""
    ahead = eye[:2, 2] / np.linalg.norm(eye[:2, 2])
    places = [(*(eye[:2, 3] + share * length * ahead), eye[2, 3]) for share in np.linspace(0.0, 1.0, 20)]
    poses = [PoseStamped(pose=pose_message(make_pose(np.eye(3), place))) for place in places]
    return Path(header=Header(frame_id=WORLD), poses=poses)


def test_the_robot_slows_down_where_its_plan_leads_into_a_wall(room: Room, module_spawn: Spawn) -> None:
    """The wall is five metres ahead. The points for a costmap lie on what the camera sees."""
    room.walk()
    rig, eye = room.rig, room.path[6]
    rig.place(EYE, BASE, inverse_pose(OPTICAL_TO_BODY), static=True)
    options = {"look_ahead": 9.0, "radius": 0.2, "height_min": -0.3, "height_max": 0.3, "max_speed": 1.0}
    example = module_spawn("../examples/nav2_paths.py", *(f for n, v in options.items() for f in ("-p", f"{n}:={v}")))
    speeds = rig.probe.collect(Float32, "/nav2_paths/speed_limit")
    best = rig.probe.collect(Path, "/nav2_paths/best_path")
    points = rig.probe.collect(PointCloud2, "/raxels_views/seen_points")
    plans = rig.probe.publisher(Path, "/plan")

    def limited(length: float, low: float, high: float) -> None:
        def told() -> bool:
            rig.look(eye, room.seen[-1], room.camera)
            plans.publish(straight_plan(length, eye))
            return bool(speeds) and low <= speeds[-1].data <= high

        wait_until(told, what=f"a limit for {length} m\n{example.log}", timeout_s=60.0, every_s=0.2)

    limited(2.0, 0.8, 1.0)
    limited(8.0, 0.2, 0.4)
    assert len(best[-1].poses) == NAV2["POSES"]
    cloud = points[-1]
    assert cloud.header.frame_id == WORLD
    places = np.frombuffer(bytes(cloud.data), np.float32).reshape(-1, 4)[:, :3].astype(float)
    local = (places - eye[:3, 3]) @ eye[:3, :3]
    pixels = np.rint(room.camera.project(local)).astype(int)
    inside = ((pixels >= 0) & (pixels < (room.camera.width, room.camera.height))).all(axis=1) & (local[:, 2] > 0)
    truth = depth_map(room.world, room.camera, eye)[pixels[inside, 1], pixels[inside, 0]]
    assert inside.mean() > 0.5
    assert (np.abs(local[inside, 2] / truth - 1.0) < 0.15).mean() > 0.7
