"""What can be asked of the pose node: each request is carried out by the worker, between two images."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_srvs.srv import Trigger

from raxels_interfaces.srv import LoadKeyframes, SaveKeyframes, SetPose
from ros2_raxels.geometry.frame_tree import FrameError
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common.messages import MessageError, covariance_array, pose_array
from ros2_raxels.nodes.common.rclpy_compat import Answer
from ros2_raxels.nodes.pose.intake import Errand
from ros2_raxels.nodes.pose.placement import Placement
from ros2_raxels.utils.files import FileError, make_folder, user_folder

NOT_ACTIVE = "the node is not active; activate it first"


class KeyframeKeeper(Protocol):
    """What is asked of the tracker."""

    def set_pose(self, camera_to_world: FloatArray, covariance: FloatArray) -> None:
        """Say where the camera is."""

    def keyframes_to_save(self, path: Path) -> Callable[[], int]:
        """What writes the keyframes of now, in any thread, and says how many."""

    def load_keyframes(self, path: Path) -> int:
        """Read keyframes; how many."""

    @property
    def map_remark(self) -> str:
        """What of them is not used, in a line."""


class PoseServices:
    """~/reset, ~/set_pose, ~/save_keyframes, ~/load_keyframes, and the topic initialpose.

    Args:
        node: that offers them.
        tracker: used by the worker only.
        placement: turns poses of the robot into poses of the camera.
        run: lets the worker do something; why it will not, or an empty string.
        reset: lets tracking begin anew; called by the worker.
        folder: of keyframe files; no request reaches beyond it.
    """

    def __init__(
        self,
        node: Node,
        tracker: KeyframeKeeper,
        placement: Placement,
        run: Callable[[Errand], str],
        reset: Callable[[], None],
        folder: Path,
    ) -> None:
        self._node, self._tracker, self._placement, self._folder = node, tracker, placement, folder
        self._run, self._reset = run, reset
        self._writing = threading.Lock()
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

    def destroy(self) -> None:
        """Offer nothing any more."""
        for service in self._services:
            self._node.destroy_service(service)
        self._node.destroy_subscription(self._initial)
        # The executor may refer to a destroyed service for a while, and so to the engine.
        del self._tracker

    async def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        def reset() -> tuple[str, int]:
            self._reset()
            return "the next image is the new origin", 0

        response.success, response.message, _ = await self._done(reset)
        return response

    async def _on_set_pose(self, request: SetPose.Request, response: SetPose.Response) -> SetPose.Response:
        response.success, response.message, _ = await self._done(lambda: self._set_pose(request.pose))
        return response

    async def _on_save(self, request: Any, response: Any) -> Any:
        answer: Answer[tuple[bool, str, int]] = Answer(self._node.executor)

        def begin() -> tuple[str, int]:
            path = file_in(self._folder, request.path)
            make_folder(self._folder)
            save = self._tracker.keyframes_to_save(path)

            def write() -> tuple[str, int]:
                # One at a time: two may be asked to write the same file.
                with self._writing:
                    count = save()
                return f"{count} keyframes written to {path}", count

            # The worker goes on with the next image meanwhile.
            writing = threading.Thread(target=lambda: answer.give(_outcome(write)), name="raxels-save", daemon=True)
            writing.start()
            return "", 0

        def tell(outcome: tuple[bool, str, int]) -> None:
            if not outcome[0]:
                answer.give(outcome)

        self._ask(begin, tell)
        response.success, response.message, response.keyframes = await answer
        return response

    async def _on_load(self, request: Any, response: Any) -> Any:
        def load() -> tuple[str, int]:
            path = file_in(self._folder, request.path)
            count = self._tracker.load_keyframes(path)
            remark = self._tracker.map_remark
            return f"{count} keyframes read from {path}; looking for a known place{remark and '; '}{remark}", count

        response.success, response.message, response.keyframes = await self._done(load)
        return response

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        def say(outcome: tuple[bool, str, int]) -> None:
            done, words, _ = outcome
            if done:
                self._node.get_logger().info(f"initialpose: {words}")
            else:
                self._node.get_logger().warning(f"initialpose is ignored: {words}")

        self._ask(lambda: self._set_pose(message), say)

    def _set_pose(self, message: PoseWithCovarianceStamped) -> tuple[str, int]:
        pose, covariance = pose_array(message.pose.pose), covariance_array(message.pose.covariance)
        camera, turned = self._placement.camera_pose(pose, covariance, message.header.frame_id)
        self._tracker.set_pose(camera, turned)
        return f"the pose is set in {message.header.frame_id}", 0

    async def _done(self, work: Callable[[], tuple[str, int]]) -> tuple[bool, str, int]:
        """Success, message and count of what the worker was asked to do."""
        answer: Answer[tuple[bool, str, int]] = Answer(self._node.executor)
        self._ask(work, answer.give)
        return await answer

    def _ask(self, work: Callable[[], tuple[str, int]], tell: Callable[[tuple[bool, str, int]], None]) -> None:
        """Let the worker do something, and tell what became of it, even if it is nothing."""
        errand = Errand(lambda: tell(_outcome(work)), lambda reason: tell((False, reason, 0)))
        if refusal := self._run(errand):
            errand.refuse(refusal)


def _outcome(work: Callable[[], tuple[str, int]]) -> tuple[bool, str, int]:
    try:
        return True, *work()
    except (FileError, FrameError, MessageError) as error:
        return False, str(error), 0
    except Exception as error:
        # Whatever goes wrong, the client must get its answer.
        return False, f"internal error: {type(error).__name__}: {error}", 0


def keyframe_folder(parameter: str) -> Path:
    """Where keyframe files are, as the parameter says; without one ``$XDG_DATA_HOME/ros2_raxels/keyframes``."""
    if parameter:
        return Path(parameter).expanduser()
    return user_folder("XDG_DATA_HOME", ".local/share") / "keyframes"


def file_in(folder: Path, text: str) -> Path:
    """The file that a request names.

    Raises:
        FileError: it names none, or one outside of the folder: whoever may call a service may not read and replace
            what the node's user may.
    """
    if not text.strip() or "\0" in text:
        raise FileError(f"path = {text!r} names no file; name one in {folder}, which is keyframes.folder")
    path = Path(os.path.realpath(folder / text))
    root = Path(os.path.realpath(folder))
    if root not in path.parents:
        raise FileError(f"path = {text!r} is not in {folder}; name a file there, or set keyframes.folder")
    return path
