"""Which frame the poses of a goal place: the one whose pose the pose node publishes as ``~/pose``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ros2_raxels.geometry.frame_tree import FrameError, NotConnectedError, UnknownFrameError, bare
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common.tf_listener import TransformReader
from ros2_raxels.nodes.views.goal import CODES, GoalError
from ros2_raxels.nodes.views.parameters import BASE_FRAME

WaitingLookup = Callable[[str, str, int], FloatArray]
"""As `TransformReader.lookup`, but waits for the transform, and raises GoalError."""


class PlacedFrame:
    """The frame that poses of a goal place unless it asks for the optical one.

    It is the robot's base where TF connects that with the camera. Without a base it is what the pose node says that its
    poses are of, which is then the optical frame. Where no pose node is heard, and TF knows no frame of the usual name,
    it is the optical frame too. So a pose that is copied from ``~/pose`` into a goal means the same there.

    Args:
        reader: of TF.
        base: parameter ``base_frame``; empty for a camera without a robot.
        child_of_pose: child frame of the pose node's poses; empty where it is not known.

    Attributes:
        words: which frame it was for the last goal, and why where that is not the base; empty before.
    """

    def __init__(self, reader: TransformReader, base: str, child_of_pose: Callable[[], str]) -> None:
        self._reader, self._base, self._child_of_pose = reader, bare(base), child_of_pose
        self._has_no_base = False
        self.words = ""

    def find(self, optical: str, stamp_ns: int, wait_for: WaitingLookup, first: str = "") -> tuple[str, FloatArray]:
        """The frame, and its pose: ``optical_to_frame`` (4x4).

        Args:
            optical: frame of the camera of the views.
            stamp_ns: of the goal.
            wait_for: how a transform is waited for.
            first: optical frame of the first camera of a rig, whose poses are placed where there is no base; empty
                where that is `optical`.

        Raises:
            GoalError: NO_TRANSFORM or UNKNOWN_FRAME; there must be a base, and it is not connected with the camera.
        """
        child = bare(self._child_of_pose())
        if not self._base:
            return self._camera(first or optical, optical, stamp_ns, wait_for, "base_frame is empty")
        if self._is_connected(optical, stamp_ns):
            return self._frame(self._base, optical, stamp_ns, wait_for)
        if child == optical:
            self._say(optical, f"the pose node's poses are of it, and TF does not connect it with {self._base}")
            return optical, np.eye(4)
        if child:
            return self._frame(child, optical, stamp_ns, wait_for)
        if self._has_no_base:
            return self._camera(first or optical, optical, stamp_ns, wait_for, f"TF has no {self._base}")
        try:
            return self._frame(self._base, optical, stamp_ns, wait_for)
        except GoalError as error:
            if error.code != CODES.UNKNOWN_FRAME:
                raise
            if self._base != BASE_FRAME:
                raise GoalError(
                    error.code, f"{error}; set base_frame to the robot's base, or to '' for poses of the camera"
                ) from error
        # What was waited for in vain is not waited for again.
        self._has_no_base = True
        return self._camera(first or optical, optical, stamp_ns, wait_for, f"TF has no {self._base}")

    def _is_connected(self, optical: str, stamp_ns: int) -> bool:
        try:
            self._reader.lookup(self._base, optical, stamp_ns)
        except (UnknownFrameError, NotConnectedError):
            return False
        except FrameError:
            # Not yet, or not any more.
            return True
        return True

    def _frame(self, name: str, optical: str, stamp_ns: int, wait_for: WaitingLookup) -> tuple[str, FloatArray]:
        optical_to_frame = wait_for(name, optical, stamp_ns)
        self._has_no_base, self.words = False, name
        return name, optical_to_frame

    def _camera(
        self, camera: str, optical: str, stamp_ns: int, wait_for: WaitingLookup, why: str
    ) -> tuple[str, FloatArray]:
        between: FloatArray = np.eye(4) if camera == optical else wait_for(camera, optical, stamp_ns)
        self._say(camera, why)
        return camera, between

    def _say(self, camera: str, why: str) -> None:
        self.words = f"{camera}, because {why}"
