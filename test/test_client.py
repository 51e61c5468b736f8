"""The client of the view server: goals as messages, results as arrays, and no wait without an end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from raxels_interfaces.action import PredictViews
from ros2_raxels.client import ViewClient, ViewClientError, Views, make_goal
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.messages import camera_info_message, pose_array, pose_message, stamp_message, stamp_ns
from ros2_raxels.recordings.image_codec import encode_compressed

ACTION = "/scripted/predict_views"
CAMERA = PinholeCamera(16, 12, 15.0, 15.0, 7.5, 5.5)
STAMP_NS = 1_700_000_000_123_456_789
POSES = np.array([make_pose(rotation_from_vector([0.1, 0.2, 0.3]), (k, 2.0, 3.0)) for k in range(2)])


def result_of(poses: FloatArray, code: int = 0, message: str = "") -> PredictViews.Result:
    """A view for each pose, of one grey level each."""
    result = PredictViews.Result(error_code=code, error_msg=message, seed_used=7, model_id="m")
    result.view_poses = [PoseStamped(header=Header(frame_id="map"), pose=pose_message(pose)) for pose in poses]
    for k in range(len(poses)):
        view = CompressedImage(format="png", data=encode_compressed(np.full((12, 16, 3), 10 * k, np.uint8), "png"))
        result.views.append(view)
    result.camera_info = camera_info_message(CAMERA, Header(frame_id="eye", stamp=stamp_message(STAMP_NS)))
    result.confidence = [0.5] * len(poses)
    result.self_consistency_rotation = [0.25] * len(poses)
    result.self_consistency_translation = [float("nan")] * len(poses)
    result.inference_time = Duration(sec=1, nanosec=500_000_000)
    return result


# ------------------------------------------------------------------------------------------------------------ messages


def test_a_goal_holds_what_it_is_told() -> None:
    goal = make_goal(
        POSES, "map", place_base=True, views=5, size=(64, 48), steps=3, seed=9, reference_ns=STAMP_NS,
        max_duration_s=2.5, stream=True, depth=True, unseen=True,
    )  # fmt: skip
    assert goal.trajectory.header.frame_id == "map"
    np.testing.assert_allclose([pose_array(p.pose) for p in goal.trajectory.poses], POSES, atol=1e-12)
    assert goal.pose_of == goal.POSE_OF_BASE
    assert (goal.num_views, goal.width, goal.height, goal.steps, goal.seed) == (5, 64, 48, 3, 9)
    assert stamp_ns(goal.reference_time) == STAMP_NS
    assert (goal.max_duration.sec, goal.max_duration.nanosec) == (2, 500_000_000)
    assert goal.stream_views
    assert (goal.want_depth, goal.depth_in_units, goal.want_error, goal.want_unseen) == (True, False, False, True)


def test_a_goal_without_anything_leaves_all_to_the_server() -> None:
    goal = make_goal()
    assert goal == PredictViews.Goal(pose_of=PredictViews.Goal.POSE_OF_OPTICAL)


def test_a_result_becomes_arrays() -> None:
    views = Views.of(SimpleNamespace(status=GoalStatus.STATUS_SUCCEEDED, result=result_of(POSES)))
    assert views.ok
    assert (views.ended, views.code_name, views.message) == ("succeeded", "NONE", "")
    np.testing.assert_array_equal(views.images, [np.full((12, 16, 3), 10 * k) for k in range(2)])
    assert views.camera == CAMERA
    assert (views.stamp_ns, views.optical_frame, views.frame_id) == (STAMP_NS, "eye", "map")
    np.testing.assert_allclose(views.poses, POSES, atol=1e-12)
    np.testing.assert_array_equal(views.confidence, [0.5, 0.5])
    np.testing.assert_array_equal(views.rotation_rad, [0.25, 0.25])
    assert np.isnan(views.translation).all()
    assert (views.seed, views.model_id, views.inference_s) == (7, "m", 1.5)


@pytest.mark.parametrize("order", ["<", ">"])
def test_images_that_go_with_views_become_arrays(order: str) -> None:
    values, result = np.arange(6, dtype=np.float32).reshape(2, 3), result_of(POSES[:1])
    swapped = values.astype(f"{order}f4").tobytes()
    image = Image(height=2, width=3, encoding="32FC1", step=12, is_bigendian=order == ">", data=swapped)
    result.depths, result.errors, result.depth_is_metric = [image], [image], True
    result.unseen = [Image(height=1, width=3, encoding="mono8", step=3, data=bytes([0, 255, 0]))]
    views = Views.of(SimpleNamespace(status=GoalStatus.STATUS_SUCCEEDED, result=result))
    np.testing.assert_array_equal(views.depths, [values])
    np.testing.assert_array_equal(views.errors, [values])
    np.testing.assert_array_equal(views.unseen, [[[False, True, False]]])
    assert views.depth_is_metric


def test_a_result_without_views_has_no_camera_and_its_code_has_a_name() -> None:
    result = PredictViews.Result(error_code=PredictViews.Result.NO_CONTEXT, error_msg="no image yet")
    views = Views.of(SimpleNamespace(status=GoalStatus.STATUS_ABORTED, result=result))
    assert not views.ok
    assert (views.ended, views.code_name, views.message) == ("aborted", "NO_CONTEXT", "no image yet")
    assert (views.images, views.camera, views.frame_id, views.poses.shape) == ([], None, "", (0, 4, 4))


def test_a_goal_that_the_server_has_forgotten_is_an_error() -> None:
    with pytest.raises(ViewClientError, match="does not know the goal any more; ask for its result sooner"):
        Views.of(SimpleNamespace(status=GoalStatus.STATUS_UNKNOWN, result=PredictViews.Result()))


# ------------------------------------------------------------------------------------------------------------- network


class Server:
    """An action server whose goals run until the test lets them go; a goal of seed 13 is rejected."""

    def __init__(self, probe: Probe) -> None:
        self.go = threading.Event()
        self.cancelled = False
        self._server = ActionServer(
            probe.node,
            PredictViews,
            ACTION,
            self._execute,
            callback_group=ReentrantCallbackGroup(),
            goal_callback=lambda goal: GoalResponse.REJECT if goal.seed == 13 else GoalResponse.ACCEPT,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
            handle_accepted_callback=self._accepted,
        )

    def _accepted(self, handle: Any) -> None:
        # A thread of its own, since the probe's executor has only one.
        threading.Thread(target=self._run, args=(handle,), daemon=True).start()

    def _run(self, handle: Any) -> None:
        if handle.request.stream_views:
            handle.publish_feedback(PredictViews.Feedback(step=1, steps=4))
        while not self.go.wait(0.01):
            if handle.is_cancel_requested:
                self.cancelled = True
                break
        handle.execute()

    def _execute(self, handle: Any) -> PredictViews.Result:
        if self.cancelled:
            handle.canceled()
            return result_of(POSES[:1], PredictViews.Result.CANCELLED, "the client asked")
        handle.succeed()
        return result_of(np.array([pose_array(stamped.pose) for stamped in handle.request.trajectory.poses]))

    def close(self) -> None:
        self.go.set()
        self._server.destroy()


@pytest.fixture
def server(probe: Probe) -> Iterator[Server]:
    server = Server(probe)
    yield server
    server.close()


@pytest.fixture
def client() -> Iterator[ViewClient]:
    with ViewClient(ACTION) as client:
        yield client


@pytest.mark.ros
def test_views_come_for_the_trajectory_that_was_sent(server: Server, client: ViewClient) -> None:
    server.go.set()
    views = client.predict(make_goal(POSES, "map"))
    assert views.ok
    np.testing.assert_allclose(views.poses, POSES, atol=1e-12)


@pytest.mark.ros
def test_feedback_is_passed_on_while_the_goal_runs(server: Server, client: ViewClient) -> None:
    heard: list[Any] = []
    pending = client.send(make_goal(POSES, "map", stream=True), on_feedback=heard.append)
    wait_until(lambda: heard, what="feedback")
    assert (heard[0].step, heard[0].steps) == (1, 4)
    server.go.set()
    assert pending.result().ok


@pytest.mark.ros
def test_a_goal_that_is_cancelled_ends_with_what_is_done(server: Server, client: ViewClient) -> None:
    pending = client.send(make_goal(POSES, "map"))
    assert pending.cancel()
    views = pending.result()
    assert (views.ended, views.code_name, len(views.images)) == ("canceled", "CANCELLED", 1)


@pytest.mark.ros
def test_a_result_that_does_not_come_in_time_is_an_error_and_the_goal_is_cancelled(
    server: Server, client: ViewClient
) -> None:
    with pytest.raises(ViewClientError, match=r"no result within 0\.1 s; look at the server's diagnostics"):
        client.send(make_goal(POSES, "map"), timeout_s=30.0).result(0.1)
    wait_until(lambda: server.cancelled, what="the cancel request")


@pytest.mark.ros
def test_a_rejected_goal_names_the_action(server: Server, client: ViewClient) -> None:
    with pytest.raises(ViewClientError, match=f"{ACTION} rejected the goal; the server's log and /diagnostics say why"):
        client.send(make_goal(seed=13))


@pytest.mark.ros
def test_without_a_server_it_says_so_in_time(client: ViewClient) -> None:
    with pytest.raises(ViewClientError, match=r"no server of /scripted/predict_views within 0\.2 s; start view_server"):
        client.predict(make_goal(), timeout_s=0.2)
