"""Each test with a view server of its own: policy, absence of input, start and end; and a client alone."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

import scripted_views as script
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from views_rig import CAMERA, EYE, PARAMETERS, WORLD, ViewsRig, at, with_context

from ros2_raxels.client import ViewClient, ViewClientError, make_goal
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message
from ros2_raxels.nodes.views import job
from ros2_raxels.nodes.views.view_server import ViewServer
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


def test_the_reject_policy_rejects_goals_while_one_runs(served: Serve):
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


def test_when_the_worker_ends_its_goal_is_answered_and_others_are_refused(probe: Probe):
    server = ViewServer(_Quitting, context=probe.node.context)
    server.start()
    probe.node.executor.add_node(server)
    goal = with_context(make_goal(views=1), [time.time_ns()])
    try:
        with ViewClient() as client:
            found = client.predict(goal, timeout_s=10.0)
            assert found.code_name == "INTERNAL"
            assert (
                found.message
                == "goals are no longer served after an internal error; deactivate and activate the server"
            )
            with pytest.raises(ViewClientError, match="rejected"):
                client.send(goal)
    finally:
        probe.node.executor.remove_node(server)
        server.stop()
        server.destroy_node()


def test_without_images_goals_end_with_a_reason(served: Serve):
    rig = served()
    rig.place(WORLD, EYE, at(), static=True)
    found = wait_until(lambda: _tried(rig, make_goal([at()], WORLD)), what="known frame")
    assert found.code_name == "NO_CONTEXT"
    assert found.message.startswith("no image with camera_info yet: /camera_info has a publisher (probe)")


def test_compressed_images_are_context_and_a_bag_loop_clears_it(served: Serve):
    rig = served("-p", "image_transport:=compressed", "-p", "context.max_age_s:=3600.0", compressed=True)
    rig.settle()
    lap = time.time_ns() - 100 * 10**9

    def of_the_new_lap() -> bool:
        rig.place(WORLD, EYE, at(0.2), lap)
        rig.send(np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8), lap)
        found = rig.client.predict(make_goal([at()], WORLD, seed=1))
        return found.stamp_ns == lap and int(found.images[0][0, 0, 1]) == 1

    wait_until(of_the_new_lap, what="views of the new lap, from its frame alone", every_s=0.15)


def test_images_that_differ_from_their_camera_in_size_end_the_goal_with_a_reason(served: Serve):
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
    rig.warned("image cannot be used as context: image is 20x10 px")
    rig.settle()


def test_images_are_used_with_the_camera_info_of_their_stamp_even_if_a_newer_one_is_there(served: Serve):
    rig = served()
    rig.settle()
    stamp = rig.look(at(0.5)) + 1
    rig.place(WORLD, EYE, at(0.5), stamp)
    header = Header(frame_id=EYE, stamp=stamp_message(stamp))
    rig.infos.publish(camera_info_message(CAMERA, header))
    next_one = Header(frame_id=EYE, stamp=stamp_message(stamp + 1))
    rig.infos.publish(camera_info_message(CAMERA.resized(32, 24), next_one))
    rig.taken()
    rig.images.publish(image_message(np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8), header))

    def served_or_refused() -> Any:
        found = rig.client.predict(make_goal([at()], WORLD))
        return found if found.stamp_ns == stamp or not found.ok else None

    found = wait_until(served_or_refused, what="views from the image, or a word about it")
    assert (found.code_name, found.message, found.stamp_ns) == ("NONE", "", stamp)


def test_malformed_images_are_skipped_and_the_last_good_one_is_used(served: Serve):
    rig = served()
    rig.settle()
    generator = np.random.default_rng(0)
    stamp = rig.look(at(0.5))
    for _ in range(10):
        bad = malformed_image(generator, Header(frame_id=EYE, stamp=stamp_message(time.time_ns())))
        rig.images.publish(bad)
        rig.taken()
    rig.warned("image cannot be used as context: ")
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


def test_it_exits_with_status_0_while_a_goal_runs(served: Serve):
    rig = served()
    rig.settle()
    rig.client.send(make_goal([at(0.1)], WORLD, steps=60))
    code, seconds = rig.node.stop()
    assert code == 0, rig.node.log
    assert seconds < 4.0
    assert "Traceback" not in rig.node.log
