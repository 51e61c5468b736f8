"""Notices when poses begin to be those of another frame, or the camera sits elsewhere on the base. Free of ROS."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from ros2_raxels.geometry.frame_tree import KEEP_S
from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad

_MOVED_M, _TURNED_DEG = 0.01, 1.0
"""A mount that differs by less is the same."""


class FrameChanges:
    """What has changed from one pose to the next, said once.

    A camera on a joint moves all the time: that is said when it begins to.

    Args:
        clock: steady, s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._frames: tuple[str, str, str] | None = None
        self._mount: FloatArray = np.eye(4)
        self._moved_at = -math.inf

    def of(self, parent: str, child: str, optical: str, optical_to_child: FloatArray, why: str) -> str:
        """What is different from the pose before, in one line; empty if nothing is.

        Args:
            parent, child: frames of the pose.
            optical: frame of the camera.
            optical_to_child: 4x4, where the camera sits on the child.
            why: why the child is not the base, in one line; empty if it is.
        """
        before, self._frames = self._frames, (parent, child, optical)
        if before is None or before[1:] != (child, optical):
            self._mount, self._moved_at = optical_to_child, -math.inf
        if before is None:
            return ""
        was_parent, was_child, was_optical = before
        if child == was_child:
            moved = self._moved(child, optical_to_child)
            return moved if parent == was_parent else f"poses of {child} are now in {parent}, no longer in {was_parent}"
        cause = ""
        if optical == was_optical:
            cause = f": {why}" if child == optical else f": TF now says where {optical} is on {child}"
        return (
            f"poses are now those of {child} in {parent}, no longer of {was_child} in {was_parent}{cause}; the origin "
            f"of {parent} is where {child} began"
        )

    def _moved(self, child: str, mount: FloatArray) -> str:
        moved_m = float(np.linalg.norm(mount[:3, 3] - self._mount[:3, 3]))
        turned_deg = math.degrees(rotation_angle_rad(self._mount[:3, :3].T @ mount[:3, :3]))
        if moved_m < _MOVED_M and turned_deg < _TURNED_DEG:
            return ""
        self._mount, steady_since, self._moved_at = mount, self._moved_at, self._clock()
        if self._moved_at - steady_since < KEEP_S:
            return ""
        return (
            f"the camera's place on {child} in TF has changed by {moved_m:.3f} m and {turned_deg:.1f} deg: poses of "
            f"{child} follow it"
        )
