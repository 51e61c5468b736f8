"""Where things are on a robot, by the messages of /tf_static."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ros2_raxels.geometry.frame_tree import FrameError, FrameTree, bare
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, rotation_angle_rad
from ros2_raxels.recordings.source import SourceError

MOVED_M, MOVED_RAD = 0.002, 0.005
"""A mount that differs by more from another of the same camera is not the same."""

BASE_FRAMES = ("base_link", "base_footprint")
"""Names that the base of a robot has (REP-105), the first that there is."""


class StaticFrames:
    """A tree of frames that do not move.

    Args:
        messages: of tf2_msgs/TFMessage.

    Attributes:
        tree: of the first pose that was told of each frame.
        changed: frames of which another pose was told later.
    """

    def __init__(self, messages: Iterable[Any]) -> None:
        self.tree, self.changed = FrameTree(), set[str]()
        parents: dict[str, str] = {}
        for message in messages:
            for edge in message.transforms:
                parent, child = bare(edge.header.frame_id), bare(edge.child_frame_id)
                if child not in parents:
                    parents[child] = parent
                    _insert(self.tree, parent, child, edge.transform)
                elif self._differs(parents[child], parent, child, edge.transform):
                    self.changed.add(child)

    def _differs(self, before: str, parent: str, child: str, transform: Any) -> bool:
        again = FrameTree()
        _insert(again, parent, child, transform)
        try:
            return before != parent or is_other_mount(self.tree.lookup(parent, child), again.lookup(parent, child))
        except FrameError:
            return False

    def knows(self, frame: str) -> bool:
        """Whether any edge names this frame."""
        return bare(frame) in self.tree.frames

    def to_base(self, frame: str) -> FloatArray | None:
        """frame_to_base (4x4, m) of the base of the robot; None where there is none."""
        for base in BASE_FRAMES:
            if self.knows(base) and self.knows(frame):
                try:
                    return self.tree.lookup(base, bare(frame))
                except FrameError:
                    continue
        return None


def _insert(tree: FrameTree, parent: str, child: str, transform: Any) -> None:
    t, r = transform.translation, transform.rotation
    tree.insert(parent, child, 0, (t.x, t.y, t.z), (r.x, r.y, r.z, r.w), static=True)


def is_other_mount(known: FloatArray, found: FloatArray) -> bool:
    """Whether two mounts (4x4, m) of one camera differ by more than they are known."""
    moved = inverse_pose(known) @ found
    return float(np.linalg.norm(moved[:3, 3])) > MOVED_M or float(rotation_angle_rad(moved[:3, :3])) > MOVED_RAD


def mount_of(static: Iterable[Any], optical: str, base: str, where: str) -> FloatArray:
    """camera_to_base (4x4, m) by the messages of /tf_static.

    Raises:
        SourceError: they do not tell.
    """
    try:
        return StaticFrames(static).tree.lookup(base, bare(optical))
    except FrameError as error:
        raise SourceError(
            f"{where}: /tf_static does not tell where the camera is on the robot: {error}; record it with the bag"
        ) from error
