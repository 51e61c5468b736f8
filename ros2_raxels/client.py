"""A client of ``raxels_views`` whose every wait has a bound: trajectories in, views as arrays out."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_quaternion
from ros2_raxels.nodes.common.interfaces import PredictViews
from ros2_raxels.nodes.common.messages import image_array, pose_message, stamp_message, stamp_ns
from ros2_raxels.nodes.views.goal import CODES, code_name
from ros2_raxels.nodes.views.job import ALL_OF_A_BURST, duration_message
from ros2_raxels.recordings.camera_info import camera_from_info
from ros2_raxels.recordings.image_codec import ImageArray

ACTION = "/raxels_views/predict_views"
CONNECT_S = 5.0
"""Default bound, s, on finding the server, and on its answer to a goal or to a cancel request."""

RESULT_S = 60.0
"""Default bound on a result, s."""

_SPIN_S = 0.1
_ENDED = {
    GoalStatus.STATUS_SUCCEEDED: "succeeded",
    GoalStatus.STATUS_ABORTED: "aborted",
    GoalStatus.STATUS_CANCELED: "canceled",
}


class ViewClientError(RuntimeError):
    """No answer in time, or a rejected goal; the message, one line, says which."""


@dataclass(frozen=True, eq=False)
class Views:
    """A result as arrays.

    Attributes:
        ended: ``succeeded``, ``aborted`` or ``canceled``.
        code: one of PredictViews.Result; 0 when all requested views are there.
        message: the same in words; empty for 0.
        images: (H, W, 3) RGB uint8, in the order of the trajectory; fewer than requested unless `ok`.
        camera: of the images; None when there are none.
        stamp_ns: time for which the views were predicted.
        optical_frame: of the camera.
        frame_id: of the poses.
        poses: (T, 4, 4) optical frame of each view in `frame_id`.
        confidence: (T,) 0 to 1, probability that each view is close to what the camera would see.
        rotation_rad, translation: (T,) self-consistency, NaN where unknown; see the action.
        seed: reproduces the views.
        model_id: of the model that made them.
        inference_s: time inside the engine.
        depths: (H, W) float32 z-depth for each view, where the goal wanted it: in m if `depth_is_metric`, else in the
            unit of the poses; infinite where it is too far to tell.
        depth_is_metric: whether depths are in m.
        errors: (H, W) float32 error to expect of each pixel, 0 to 1 of full range, where the goal wanted it.
        unseen: (H, W) bool, true where no known image has shown what is there, where the goal wanted it.
    """

    ended: str
    code: int
    message: str
    images: list[ImageArray]
    camera: Camera | None
    stamp_ns: int
    optical_frame: str
    frame_id: str
    poses: FloatArray
    confidence: FloatArray
    rotation_rad: FloatArray
    translation: FloatArray
    seed: int
    model_id: str
    inference_s: float
    depths: Sequence[npt.NDArray[np.float32]] = ()
    depth_is_metric: bool = False
    errors: Sequence[npt.NDArray[np.float32]] = ()
    unseen: Sequence[npt.NDArray[np.bool_]] = ()

    @property
    def ok(self) -> bool:
        """Whether all requested views are there."""
        return bool(self.code == CODES.NONE)

    @property
    def code_name(self) -> str:
        """Name of `code`, as in the action."""
        return code_name(self.code)

    @classmethod
    def of(cls, response: Any) -> Views:
        """From the answer of the action server: a status and a PredictViews.Result.

        Raises:
            ViewClientError: the server does not know the goal any more.
            ImageError, CameraInfoError: images or camera cannot be read.
        """
        if response.status not in _ENDED:
            raise ViewClientError("the server does not know the goal any more; ask for its result sooner")
        result = response.result
        poses = [_pose(stamped.pose) for stamped in result.view_poses]
        return cls(
            _ENDED[response.status],
            int(result.error_code),
            str(result.error_msg),
            [image_array(view) for view in result.views],
            camera_from_info(result.camera_info, rectified=True) if result.views else None,
            stamp_ns(result.camera_info.header.stamp),
            result.camera_info.header.frame_id,
            result.view_poses[0].header.frame_id if poses else "",
            np.array(poses).reshape(-1, 4, 4),
            np.array(result.confidence),
            np.array(result.self_consistency_rotation),
            np.array(result.self_consistency_translation),
            int(result.seed_used),
            str(result.model_id),
            result.inference_time.sec + result.inference_time.nanosec * 1e-9,
            [_values(image, np.float32) for image in result.depths],
            bool(result.depth_is_metric),
            [_values(image, np.float32) for image in result.errors],
            [_values(image, np.uint8) > 0 for image in result.unseen],
        )


def make_goal(
    poses: npt.ArrayLike = (),
    frame_id: str = "",
    *,
    place_base: bool = False,
    views: int = 0,
    size: tuple[int, int] = (0, 0),
    steps: int = 0,
    seed: int = 0,
    reference_ns: int = 0,
    max_duration_s: float = 0.0,
    stream: bool = False,
    depth: bool = False,
    depth_in_units: bool = False,
    error: bool = False,
    unseen: bool = False,
    camera: str = "",
) -> Any:
    """A PredictViews.Goal on the server's live images.

    Args:
        poses: (N, 4, 4) in `frame_id`; without any the model imagines a trajectory of `views` poses.
        frame_id: any frame that TF connects to the camera.
        place_base: the poses place the frame whose pose the pose node publishes as ``~/pose``: the robot's base, or
            the camera's optical frame where TF has no base. If false, they place the optical frame in any case.
        views: spread over the trajectory; 0 makes one for each pose.
        size: width and height, px; (0, 0) is the engine's own.
        steps: of denoising; 0 is the server's default.
        seed: of the noise; 0 lets the server draw one.
        reference_ns: time of transforms and images; 0 is that of the newest image.
        max_duration_s: 0 is the server's limit.
        stream: whether each view is sent as feedback when it is done.
        depth: whether the result has the depth of each view, in m...
        depth_in_units: ...or, where the scale is not known, in the unit of the poses.
        error: whether the result has the error to expect of each pixel.
        unseen: whether the result tells what no known image has shown.
        camera: of the rig, by its name in the server's parameter `cameras`; empty is the first one.
    """
    goal = PredictViews.Goal()
    placed = np.asarray(poses, float).reshape(-1, 4, 4)
    goal.trajectory = Path(poses=[PoseStamped(pose=pose_message(pose)) for pose in placed])
    goal.trajectory.header.frame_id = frame_id
    goal.pose_of = goal.POSE_OF_BASE if place_base else goal.POSE_OF_OPTICAL
    goal.num_views, goal.steps, goal.seed, goal.stream_views = views, steps, seed, stream
    goal.width, goal.height = size
    goal.camera = camera
    goal.want_depth, goal.depth_in_units, goal.want_error, goal.want_unseen = depth, depth_in_units, error, unseen
    goal.reference_time = stamp_message(reference_ns)
    goal.max_duration = duration_message(max_duration_s)
    return goal


class _ActionClient(ActionClient):
    """An action client in which no answer overtakes the request that it answers.

    rclpy sends a request and registers afterwards what waits for the answer. In some versions its executor may take
    the answer in between; it is then lost.

    Attributes:
        sending: to be held while a request is sent.
    """

    def __init__(self, node: Node, action: str) -> None:
        self.sending = threading.Lock()
        super().__init__(
            node,
            PredictViews,
            action,
            goal_service_qos_profile=ALL_OF_A_BURST,
            result_service_qos_profile=ALL_OF_A_BURST,
            cancel_service_qos_profile=ALL_OF_A_BURST,
        )

    async def execute(self, taken_data: Any) -> None:
        """Called by rclpy with answers that have arrived."""
        with self.sending:
            pass
        await super().execute(taken_data)


class PendingViews:
    """A goal that was accepted."""

    def __init__(self, handle: Any, sending: threading.Lock) -> None:
        self._handle, self._sending = handle, sending
        with sending:
            self._result = handle.get_result_async()

    def cancel(self, timeout_s: float = CONNECT_S) -> bool:
        """Ask the server to stop; whether it will. The result then holds the views that are done.

        Raises:
            ViewClientError: no answer in time.
        """
        return bool(_await(self._ask_to_cancel(), timeout_s, "answer to the cancel request").goals_canceling)

    def _ask_to_cancel(self) -> Any:
        with self._sending:
            return self._handle.cancel_goal_async()

    def result(self, timeout_s: float = RESULT_S) -> Views:
        """Wait for the views.

        Raises:
            ViewClientError: none in time; the goal is then cancelled, since nobody waits for it any more.
        """
        try:
            return Views.of(_await(self._result, timeout_s, "result"))
        except ViewClientError:
            self._ask_to_cancel()
            raise


class ViewClient:
    """A client of a view server, usable from any thread. It has a node and a thread of its own.

    Args:
        action: name of the action.
        node_name: of the node.
    """

    def __init__(self, action: str = ACTION, node_name: str = "raxels_view_client") -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node: Node = rclpy.create_node(node_name, context=self._context)
        self._client = _ActionClient(self.node, action)
        self._action = action
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._ending = False
        self._thread = threading.Thread(target=self._spin, name="view client", daemon=True)
        self._thread.start()

    def __enter__(self) -> ViewClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spin(self) -> None:
        while not self._ending:
            self._executor.spin_once(timeout_sec=_SPIN_S)

    def send(
        self, goal: Any, timeout_s: float = CONNECT_S, on_feedback: Callable[[Any], None] | None = None
    ) -> PendingViews:
        """Send a goal, and wait until it is accepted.

        Args:
            goal: PredictViews.Goal; see `make_goal`.
            timeout_s: bound on finding the server and on its answer together.
            on_feedback: called with each PredictViews.Feedback, in the client's thread.

        Raises:
            ViewClientError: there is no server, no answer, or the goal was rejected.
        """
        until = time.monotonic() + timeout_s
        if not self._client.wait_for_server(timeout_s):
            raise ViewClientError(
                f"no server of {self._action} within {timeout_s:g} s; start view_server, and check ROS_DOMAIN_ID and "
                "the discovery range of both sides"
            )
        heard = None if on_feedback is None else (lambda message: on_feedback(message.feedback))
        with self._client.sending:
            future = self._client.send_goal_async(goal, feedback_callback=heard)
        handle = _await(future, until - time.monotonic(), "answer to the goal")
        if not handle.accepted:
            raise ViewClientError(f"{self._action} rejected the goal; the server's log and /diagnostics say why")
        return PendingViews(handle, self._client.sending)

    def predict(
        self, goal: Any, timeout_s: float = RESULT_S, on_feedback: Callable[[Any], None] | None = None
    ) -> Views:
        """Send a goal and wait for its views.

        A result with an error code is returned, not raised: it may hold views.

        Raises:
            ViewClientError: there is no server, the goal was rejected, or there was no result in time.
        """
        return self.send(goal, min(timeout_s, CONNECT_S), on_feedback).result(timeout_s)

    def close(self) -> None:
        """Leave the network."""
        self._ending = True
        self._executor.wake()
        self._thread.join(1.0)
        self._executor.shutdown(0.0)
        self._client.destroy()
        self.node.destroy_node()
        self._context.try_shutdown()


def _await(future: Any, timeout_s: float, what: str) -> Any:
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    if not done.wait(max(0.0, timeout_s)):
        raise ViewClientError(f"no {what} within {timeout_s:.3g} s; look at the server's diagnostics, or wait longer")
    return future.result()


def _values(image: Any, kind: type[np.generic]) -> npt.NDArray[Any]:
    """(H, W) of an image with one channel without padding."""
    swapped = bool(image.is_bigendian) != (sys.byteorder == "big")
    values = np.frombuffer(bytes(image.data), np.dtype(kind)).reshape(image.height, image.width)
    return values.byteswap() if swapped else values


def _pose(pose: Any) -> FloatArray:
    at, turn = pose.position, pose.orientation
    return make_pose(rotation_from_quaternion((turn.x, turn.y, turn.z, turn.w)), (at.x, at.y, at.z))
