"""Frames that were missed, looked for again when all keyframes are known: for recordings, which have an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.tracking.frame import KeyframePose, StreamFrame
from ros2_raxels.tracking.keyframe_map import KeyframeMap
from ros2_raxels.tracking.resection import FrameSolver

_MOST = 1000
"""Kept; beyond that every other one goes. An image takes 77 kB."""

_VOTES = 6
_CONFIDENCE = 0.3
_INLIERS = 30
_STEP = 0.1
"""Of the unit, away from the keyframe that shows most of the same, where two views tell the direction alone."""


class MissedFrames:
    """Keeps missed frames, and finds them.

    Args:
        keyframes: among which they are looked for; those that are found are added, and may show others.
        solver: places them.
    """

    def __init__(self, keyframes: KeyframeMap, solver: FrameSolver) -> None:
        self._keyframes, self._solver = keyframes, solver
        self._frames: list[StreamFrame] = []
        self._found: dict[int, KeyframePose] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def keep(self, frames: Iterable[StreamFrame]) -> None:
        """Remember frames for later."""
        for frame in frames:
            frame.features.keypoints = None
            self._frames.append(frame)
        if len(self._frames) > _MOST:
            self._frames = self._frames[::2]

    def look_again(self, next_number: int) -> Iterator[bool]:
        """Look for all of them, and again for the others as long as some are found; each time whether it was.

        Args:
            next_number: of the next keyframe: found frames become the newest.
        """
        found = True
        while found:
            found, left = False, []
            for frame in self._frames:
                keyframe = self._find(frame, next_number)
                if keyframe is None:
                    left.append(frame)
                else:
                    found, next_number = True, next_number + 1
                    self._found[frame.number] = KeyframePose(keyframe.number, np.eye(4), 0.0)
                yield keyframe is not None
            self._frames = left

    def _find(self, frame: StreamFrame, number: int) -> StreamFrame | None:
        like, votes = self._keyframes.like(frame)
        if like is None or votes < _VOTES:
            return None
        anchors = self._keyframes.around(like)
        asked = replace(frame, number=number, parent=like.number)
        evidence = self._keyframes.shared.between(anchors, asked)
        starts = [like.camera_to_world, anchors[-1].camera_to_world]
        solved = self._solver.solve(starts, anchors, evidence, _STEP * self._keyframes.unit_of(like))
        if solved is None or solved.confidence < _CONFIDENCE or solved.inliers < _INLIERS:
            self._keyframes.shared.forget_pairs(asked)
            frame.features.keypoints = None
            return None
        asked.camera_to_world = solved.camera_to_world
        self._keyframes.insert(asked, anchors)
        return asked

    def place(self, number: int) -> FloatArray | None:
        """camera_to_world (4x4) of a frame that was missed, by its number; None unless it was found."""
        found = self._found.get(number)
        return None if found is None else self._keyframes.place(found)
