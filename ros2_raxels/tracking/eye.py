"""Keyframes as one camera sees them: the first one, or another one of a rig, for where the first one is dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ros2_raxels.geometry.covariance import compounded, with_unit
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.tracking.frame import Keyframe
from ros2_raxels.tracking.resection import FrameSolve
from ros2_raxels.tracking.rig_tracks import RigTracks
from ros2_raxels.tracking.shared_matches import SharedMatches


class Eye:
    """One camera.

    Args:
        shared: what its images have in common.
        rig: the other cameras; None for the first one.
        name: of the camera among those; empty for the first one.
    """

    def __init__(self, shared: SharedMatches, rig: RigTracks | None = None, name: str = "") -> None:
        self.shared, self._rig, self._name = shared, rig, name

    def views(self, keyframes: Sequence[Keyframe]) -> list[Keyframe]:
        """Those of the keyframes that the camera has an image of, as it sees them."""
        return list(keyframes) if self._rig is None else self._rig.views(self._name, keyframes)

    def pose_of(self, leader_to_world: FloatArray) -> FloatArray:
        """camera_to_world (4x4) where the first camera is there (4x4)."""
        return leader_to_world if self._rig is None else leader_to_world @ self._rig.mount(self._name)

    def as_leader(self, solved: FrameSolve) -> FrameSolve:
        """What was solved of the camera, as the first one's."""
        if self._rig is None:
            return solved
        seen = solved.camera_to_world
        pose = seen @ inverse_pose(self._rig.mount(self._name))
        covariance = compounded(with_unit(solved.covariance, 0.0), seen, pose)[:6, :6]
        return replace(solved, camera_to_world=pose, covariance=covariance)
