"""Each test with a view server of its own: policy, absence of input, start and end; and a client alone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from ros_testing import ROOT, Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

import scripted_views as script
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from views_rig import CAMERA, EYE, PARAMETERS, WORLD, ViewsRig, at, with_context

from ros2_raxels.client import ViewClient, ViewClientError, make_goal
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message
from ros2_raxels.nodes.views import job
from ros2_raxels.nodes.views.view_server import ViewServer
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.soak.malformed import malformed_image

pytestmark = pytest.mark.ros

Serve = Callable[..., ViewsRig]


@pytest.fixture
def served(spawn: Spawn, probe: Probe) -> Iterator[Serve]:
    """Starts a server with parameters."""
    rigs: list[ViewsRig] = []

    def serve(*parameters: str, compressed: bool = False) -> ViewsRig:
        node = spawn("scripted_views.py", *PARAMETERS, *parameters)
        rigs.append(ViewsRig(probe, node, compressed=compressed))
        return rigs[-1]

    yield serve
    for rig in rigs:
        rig.close()


def test_while_one_runs_others_are_rejected_if_the_policy_says_so(served: Serve):
    rig = served("-p", "goal_policy:=reject")
    rig.settle()
    running = rig.client.send(make_goal([at(0.1)], WORLD, steps=60))
    with pytest.raises(ViewClientError, match="rejected"):
        rig.client.send(make_goal([at(0.1)], WORLD))
    rig.warned("another goal is running and goal_policy is reject")
    assert running.cancel()
    assert running.result().code_name == "CANCELLED"
    rig.look(at(0.5))
    assert rig.client.predict(make_goal([at(0.1)], WORLD)).ok


class _Slow(deque[Any]):
    """The goals that wait: between one being taken and being said to run, there is time for another to be sent."""

    taken, answered = threading.Event(), threading.Event()

    def popleft(self) -> Any:
        job = super().popleft()
        self.taken.set()
        self.answered.wait(0.5)
        return job


def test_no_goal_slips_in_between_another_being_taken_and_running(probe: Probe, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job, "deque", _Slow)
    policy = Parameter("goal_policy", value="reject")
    server = ViewServer(script.PaintingPredictor, context=probe.node.context, parameter_overrides=[policy])
    server.start()
    probe.node.executor.add_node(server)
    try:
        with ViewClient() as client:
            running = client.send(with_context(make_goal(views=1, steps=60), [time.time_ns()]))
            assert _Slow.taken.wait(5.0)
            with pytest.raises(ViewClientError, match="rejected"):
                client.send(make_goal(views=1))
            _Slow.answered.set()
            assert running.cancel()
            assert running.result().code_name == "CANCELLED"
    finally:
        _Slow.answered.set()
        probe.node.executor.remove_node(server)
        server.stop()
        server.destroy_node()


class _Quitting(script.PaintingPredictor):
    """Ends the thread that it runs in."""

    def imagine(self, *_: Any, **__: Any) -> Any:
        raise SystemExit("as the test asked")


def test_when_the_worker_has_ended_its_goal_is_answered_and_others_are_refused(probe: Probe):
    server = ViewServer(_Quitting, context=probe.node.context)
    server.start()
    probe.node.executor.add_node(server)
    goal = with_context(make_goal(views=1), [time.time_ns()])
    try:
        with ViewClient() as client:
            found = client.predict(goal, timeout_s=10.0)
            assert found.code_name == "INTERNAL"
            assert found.message == "goals are no longer served after an internal error; deactivate and activate the server"
            with pytest.raises(ViewClientError, match="rejected"):
                client.send(goal)
    finally:
        probe.node.executor.remove_node(server)
        server.stop()
        server.destroy_node()


def test_without_images_goals_end_in_words(served: Serve):
    rig = served()
    rig.place(WORLD, EYE, at(), static=True)
    found = wait_until(lambda: _tried(rig, make_goal([at()], WORLD)), what="known frame")
    assert found.code_name == "NO_CONTEXT"
    assert found.message.startswith("no image with camera_info yet: /camera_info has a publisher (probe)")


def test_compressed_images_are_context_and_a_bag_loop_begins_anew(served: Serve):
    rig = served("-p", "image_transport:=compressed", "-p", "context.max_age_s:=3600.0", compressed=True)
    rig.settle()
    lap = time.time_ns() - 100 * 10**9

    def of_the_new_lap() -> bool:
        rig.place(WORLD, EYE, at(0.2), lap)
        rig.send(np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8), lap)
        time.sleep(0.15)
        found = rig.client.predict(make_goal([at()], WORLD, seed=1))
        return found.stamp_ns == lap and int(found.images[0][0, 0, 1]) == 1

    wait_until(of_the_new_lap, what="views of the new lap, from its frame alone")


def test_images_of_another_size_than_their_camera_end_in_words(served: Serve):
    rig = served()
    rig.settle()

    def refused() -> bool:
        stamp = time.time_ns()
        rig.place(WORLD, EYE, at(7.0), stamp)
        rig.send(np.full((10, 20, 3), 90, np.uint8), stamp)
        found = rig.client.predict(make_goal([at()], WORLD))
        words = "context image cannot be used: image is 20x10 px but camera_info describes 64x48 px"
        return found.code_name == "NO_CONTEXT" and words in found.message

    wait_until(refused, what="a word about the size")
    rig.warned("image cannot be context: image is 20x10 px")
    rig.settle()


def test_images_go_with_the_camera_info_of_their_stamp_even_if_that_of_the_next_is_there(served: Serve):
    rig = served()
    rig.settle()
    stamp = rig.look(at(0.5)) + 1
    rig.place(WORLD, EYE, at(0.5), stamp)
    header = Header(frame_id=EYE, stamp=stamp_message(stamp))
    rig.infos.publish(camera_info_message(CAMERA, header))
    next_one = Header(frame_id=EYE, stamp=stamp_message(stamp + 1))
    rig.infos.publish(camera_info_message(CAMERA.resized(32, 24), next_one))
    assert rig.infos.wait_for_all_acked(Duration(seconds=5.0))
    rig.images.publish(image_message(np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8), header))

    def served_or_refused() -> Any:
        found = rig.client.predict(make_goal([at()], WORLD))
        return found if found.stamp_ns == stamp or not found.ok else None

    found = wait_until(served_or_refused, what="views from the image, or a word about it")
    assert (found.code_name, found.message, found.stamp_ns) == ("NONE", "", stamp)


def test_malformed_images_are_passed_over_and_the_last_good_one_serves(served: Serve):
    rig = served()
    rig.settle()
    generator = np.random.default_rng(0)
    stamp = rig.look(at(0.5))
    for _ in range(10):
        bad = malformed_image(generator, Header(frame_id=EYE, stamp=stamp_message(time.time_ns())))
        rig.images.publish(bad)
        time.sleep(0.02)
    rig.warned("image cannot be context: ")
    found = rig.client.predict(make_goal([at()], WORLD))
    assert found.ok, found.message
    assert found.stamp_ns == stamp


def test_a_model_that_is_named_must_be_usable(spawn: Spawn):
    node = spawn("scripted_views.py", *PARAMETERS, "-p", "model:=broken")
    assert node.wait() == 2
    assert node.lines[-1].endswith("configure failed: model = 'broken' cannot be used: no such model")


def _tried(rig: ViewsRig, goal: Any) -> Any:
    try:
        return rig.client.predict(goal)
    except ViewClientError:
        return None


def test_a_server_that_is_not_there_is_named_in_time():
    with ViewClient("/nowhere/predict_views", "lonely") as client:
        begun = time.monotonic()
        with pytest.raises(ViewClientError, match=r"no server of /nowhere/predict_views within 0\.3 s"):
            client.predict(make_goal([at()], WORLD), timeout_s=0.3)
        assert time.monotonic() - begun < 5.0


def test_it_ends_with_status_0_while_a_goal_runs(served: Serve):
    rig = served()
    rig.settle()
    rig.client.send(make_goal([at(0.1)], WORLD, steps=60))
    code, seconds = rig.node.stop()
    assert code == 0, rig.node.log
    assert seconds < 4.0
    assert "Traceback" not in rig.node.log


# --------------------------------------------------------------------------------------------- with the real model


@pytest.fixture
def room(spawn: Spawn, probe: Probe) -> Iterator[Room]:
    """The shipped model, and a camera that has walked through a rendered room."""
    pytest.importorskip("onnxruntime")
    instance = Room(ViewsRig(probe, spawn("ros2_raxels.nodes.views.view_server")))
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
            for pose, image in zip(self.path, self.seen, strict=False):
                self.rig.look(pose, image, self.camera)
                time.sleep(0.12)
            counts = [p.value for s in self.rig.health("context") for p in s.values if p.key == "frames kept"]
            return bool(counts) and int(counts[-1]) >= 3

        wait_until(several, what="frames of several places", timeout_s=20.0)


def test_views_of_a_rendered_room_are_close_to_what_is_there(room: Room):
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


def test_goals_in_a_row_leave_nothing_behind_in_the_model(room: Room):
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
        time.sleep(0.1)
        return planner.poll() is not None

    wait_until(ended, what="end of the planner", timeout_s=60.0)
    output, problems = planner.communicate()
    assert planner.returncode == 0, problems
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["left", "straight", "right"]
    scores = {line.split()[0]: float(line.split()[1]) for line in lines[:3]}
    assert lines[3] == f"surest of the way {max(scores, key=scores.get)}"
    assert all("4 views, poses found again within" in line for line in lines[:3])
    assert 0.3 < min(scores.values()) <= max(scores.values()) <= 1.0
