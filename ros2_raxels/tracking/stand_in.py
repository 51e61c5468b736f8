"""By which camera of a rig a trajectory begins: the first one, or another one while that shows nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.geometry.turns import Turn
from ros2_raxels.tracking.frame import SolvedFrame, StreamFrame
from ros2_raxels.tracking.initializer import Waiting
from ros2_raxels.tracking.rig_tracks import shows, side_frame

_DARK = 3
"""Frames in a row in which a camera shows nothing, after which another one takes its place: a flash is no reason."""


class StandIn:
    """Frames as the camera has them by which a trajectory begins, and what is found of them as the first one's.

    Args:
        rig: cameras and mounts, m; None for one camera.

    Attributes:
        name: of that camera; empty for the first one.
    """

    def __init__(self, rig: Rig | None) -> None:
        self._rig, self.name = rig, ""
        self._dark = 0
        self._whole: dict[int, StreamFrame] = {}

    def see(self, frame: StreamFrame, has_frames: bool) -> bool:
        """Take the next frame; whether another camera is chosen with it.

        Args:
            frame: the next one.
            has_frames: whether frames of the present camera are collected, which a change gives up.
        """
        if self._rig is None or shows(frame, self.name):
            self._dark = 0
            return False
        other = next((name for name in ("", *self._rig.others) if shows(frame, name)), self.name)
        self._dark += 1
        if other == self.name or (has_frames and self._dark < _DARK):
            return False
        self.name, self._dark, self._whole = other, 0, {}
        return True

    def seen_in(self, frame: StreamFrame) -> StreamFrame | None:
        """The frame as that camera's; None where it has no image."""
        if not self.name:
            return frame
        if self.name not in frame.sides:
            return None
        self._whole[frame.number] = frame
        return side_frame(frame, self.name)

    def keep_only(self, frames: Iterable[StreamFrame]) -> None:
        """These are wanted still."""
        numbers = {frame.number for frame in frames}
        self._whole = {number: frame for number, frame in self._whole.items() if number in numbers}

    def whole(self, frames: Sequence[StreamFrame]) -> list[StreamFrame]:
        """The frames of the first camera, with all others."""
        return [self._whole[frame.number] for frame in frames] if self.name else list(frames)

    @property
    def to_leader(self) -> FloatArray:
        """camera_to_leader (4x4), m, which a world that begins takes for its unit."""
        return np.eye(4) if self._rig is None or not self.name else self._rig.to_leader(self.name)

    def of_leader(self, waiting: Waiting) -> Waiting:
        """The same with turns and frames of the first camera."""
        if not self.name:
            return waiting
        given_up = self.whole(waiting.given_up)
        return replace(waiting, given_up=given_up, turn=self._turn(waiting.turn), advance=self._turn(waiting.advance))

    def solved_of_leader(self, solved: Sequence[SolvedFrame]) -> list[SolvedFrame]:
        """Poses (4x4) in a world whose unit is taken for the metre, as the first camera's."""
        if not self.name:
            return list(solved)
        frames, from_leader = self.whole([s.frame for s in solved]), inverse_pose(self.to_leader)
        return [
            replace(s, frame=frame, camera_to_world=s.camera_to_world @ from_leader)
            for s, frame in zip(solved, frames, strict=True)
        ]

    def _turn(self, turn: Turn | None) -> Turn | None:
        axes = self.to_leader[:3, :3]
        return None if turn is None else replace(turn, rotation=axes @ turn.rotation @ axes.T)
