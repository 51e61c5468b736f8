"""What can be asked of the pose node: each request is carried out by the worker, between two images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from raxels_interfaces.srv import LoadKeyframes, SaveKeyframes, SetPose
from ros2_raxels.files import FileError, shown
from ros2_raxels.frames import FrameError
from ros2_raxels.geometry import FloatArray
from ros2_raxels.nodes.messages import MessageError, covariance_array, pose_array
from ros2_raxels.placement import Placement

NOT_ACTIVE = "the node is not active"
_SUFFIX = ".safetensors"


class KeyframeKeeper(Protocol):
    """What is asked of the tracker."""

    def set_pose(self, camera_to_world: FloatArray, covariance: FloatArray) -> None:
        """Say where the camera is."""

    def save_keyframes(self, path: Path) -> int:
        """Write keyframes; how many."""

    def load_keyframes(self, path: Path) -> int:
        """Read keyframes; how many."""


class PoseServices:
    """~/reset, ~/set_pose, ~/save_keyframes, ~/load_keyframes, and the topic initialpose.

    Args:
        node: that offers them.
        tracker: used by the worker only.
        placement: turns poses of the robot into poses of the camera.
        run: lets the worker do something; False when there is none.
        reset: lets the worker begin anew, for a reason; False when there is none.
        folder: that keyframe files must lie in; empty allows any.
    """

    def __init__(
        self,
        node: Node,
        tracker: KeyframeKeeper,
        placement: Placement,
        run: Callable[[Callable[[], None]], bool],
        reset: Callable[[str], bool],
        folder: str,
    ) -> None:
        self._node, self._tracker, self._placement = node, tracker, placement
        self._run, self._reset, self._folder = run, reset, folder
        # Not in the node's own group, of which nothing else may run while a request waits for the worker.
        group = ReentrantCallbackGroup()
        self._services = [
            node.create_service(kind, f"~/{name}", answer, callback_group=group)
            for kind, name, answer in (
                (Trigger, "reset", self._on_reset),
                (SetPose, "set_pose", self._on_set_pose),
                (SaveKeyframes, "save_keyframes", self._on_save),
                (LoadKeyframes, "load_keyframes", self._on_load),
            )
        ]
        self._initial = node.create_subscription(PoseWithCovarianceStamped, "initialpose", self._on_initial_pose, 1)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._reset("asked for through ~/reset")
        response.message = "the next image is the new origin" if response.success else NOT_ACTIVE
        return response

    async def _on_set_pose(self, request: SetPose.Request, response: SetPose.Response) -> SetPose.Response:
        response.success, response.message, _ = await self._done(lambda: self._set_pose(request.pose))
        return response

    async def _on_save(self, request: Any, response: Any) -> Any:
        def save() -> tuple[str, int]:
            count = self._tracker.save_keyframes(_path(request.path, self._folder))
            return f"{count} keyframes written to {request.path}", count

        response.success, response.message, response.keyframes = await self._done(save)
        return response

    async def _on_load(self, request: Any, response: Any) -> Any:
        def load() -> tuple[str, int]:
            count = self._tracker.load_keyframes(_path(request.path, self._folder))
            return f"{count} keyframes read from {request.path}; looking for known ground", count

        response.success, response.message, response.keyframes = await self._done(load)
        return response

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        def place() -> None:
            try:
                words, _ = self._set_pose(message)
                self._node.get_logger().info(f"initialpose: {words}")
            except (FrameError, MessageError) as error:
                self._node.get_logger().warning(f"initialpose is ignored: {error}")

        self._run(place)

    def _set_pose(self, message: PoseWithCovarianceStamped) -> tuple[str, int]:
        pose, covariance = pose_array(message.pose.pose), covariance_array(message.pose.covariance)
        camera, turned = self._placement.camera_pose(pose, covariance, message.header.frame_id)
        self._tracker.set_pose(camera, turned)
        return f"the pose is set in {message.header.frame_id}", 0

    async def _done(self, work: Callable[[], tuple[str, int]]) -> tuple[bool, str, int]:
        """Success, message and count of what the worker was asked to do."""
        executor = self._node.executor
        done: Future = Future(executor=executor)

        def errand() -> None:
            done.set_result(_outcome(work))
            # A future that is done does not wake the executor that awaits it.
            executor.wake()

        if not self._run(errand):
            return False, NOT_ACTIVE, 0
        answer: tuple[bool, str, int] = await done
        return answer


def _outcome(work: Callable[[], tuple[str, int]]) -> tuple[bool, str, int]:
    try:
        return True, *work()
    except (FileError, FrameError, MessageError) as error:
        return False, str(error), 0
    except Exception as error:
        # Whatever goes wrong, the client must get its answer.
        return False, f"internal error: {type(error).__name__}: {error}", 0


def _path(text: str, folder: str) -> Path:
    """The file that a request names. Whoever may call a service must not reach the other files of the node's user."""
    if not text.strip():
        raise FileError("path is empty; name a file on the node's machine")
    path = Path(text).expanduser()
    if path.suffix != _SUFFIX or "\0" in text:
        raise FileError(f"path {shown(text)} does not end in {_SUFFIX}; keyframes are such files, no other is touched")
    if not folder:
        return path
    inside = Path(folder).expanduser().resolve()
    path = (inside / path).resolve()
    if not path.is_relative_to(inside):
        raise FileError(f"path {shown(text)} lies outside of keyframes.folder = {folder}; name a file in it")
    return path
