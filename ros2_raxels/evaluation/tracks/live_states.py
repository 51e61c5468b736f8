"""Answers of the tracker as a robot gets them: placed as the pose node places them, before any later correction."""

from __future__ import annotations

from dataclasses import dataclass

from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.frame_tree import UnknownFrameError
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.pose.placement import FrameNames, Placement, TfMode
from ros2_raxels.tracking.frame_state import FrameState
from ros2_raxels.tracking.types import TrackedPose, TrackState

_OPTICAL = "camera_optical_frame"
_BEFORE_POSES = (TrackState.WAITING, TrackState.INITIALISING)


@dataclass(frozen=True)
class _Mount:
    """The tree of a robot of which the mount of its camera is all that is known."""

    base: str
    camera_to_base: FloatArray

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        """``source_to_target``, 4x4; raises FrameError."""
        if (target, source) != (self.base, _OPTICAL):
            raise UnknownFrameError(f"only {_OPTICAL} in {self.base} is known")
        return self.camera_to_base


class LiveStates:
    """Turns answers into states, of the base where the mount of the camera is given, otherwise of the camera.

    Args:
        camera_to_base: 4x4 of the optical frame in the base, m; None for poses of the camera.
    """

    def __init__(self, camera_to_base: FloatArray | None = None) -> None:
        names = FrameNames()
        self._placement = None
        if camera_to_base is not None:
            self._placement = Placement(names, _Mount(names.base, camera_to_base), lambda child, world: "")

    def of(self, answer: TrackedPose) -> FrameState:
        """The state of a frame; without a pose where the pose node publishes none."""
        pose: FloatArray | None = answer.camera_to_world
        covariance = answer.covariance
        if answer.state in _BEFORE_POSES and answer.covariance[0, 0] >= UNKNOWN_VARIANCE:
            pose = None
        elif self._placement is not None:
            placed = self._placement.place(answer, _OPTICAL, TfMode.WORLD_TO_BASE)
            pose, covariance = placed.pose, placed.covariance
        return FrameState(
            answer.stamp_ns,
            answer.state.name,
            pose,
            covariance,
            answer.confidence,
            answer.scale.is_metric,
            answer.stated,
        )
