"""Frames that were missed, looked for again when all keyframes are known: for recordings, which have an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.tracking.frame import KeyframePose, SolvedFrame, StreamFrame
from ros2_raxels.tracking.mapping import Mapper
from ros2_raxels.tracking.pose_covariance import accumulated
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
        mapper: of the map in which they are looked for; those that are found are added, and may show others.
        solver: places them.
    """

    def __init__(self, mapper: Mapper, solver: FrameSolver) -> None:
        self._mapper, self._solver = mapper, solver
        self._frames: list[StreamFrame] = []
        self._found: dict[int, KeyframePose] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def keep(self, frames: Iterable[StreamFrame]) -> None:
        """Remember frames for later."""
        for frame in frames:
            frame.features.forget_details()
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
                is_found = self._find(frame, next_number)
                if is_found:
                    self._found[frame.number] = KeyframePose(next_number, np.eye(4), 0.0)
                    found, next_number = True, next_number + 1
                else:
                    left.append(frame)
                yield is_found
            self._frames = left

    def _find(self, frame: StreamFrame, number: int) -> bool:
        """Whether a frame shows what some keyframe shows; it becomes one then, under this number."""
        alike, votes = self._mapper.most_alike(frame)
        if alike is None or votes < _VOTES:
            return False
        anchors, shared = self._mapper.around(alike), self._mapper.shared
        asked = StreamFrame(number, frame.stamp_ns, frame.features, frame.camera)
        evidence = shared.between(anchors, asked)
        starts = [alike.camera_to_world, anchors[-1].camera_to_world]
        solved = self._solver.solve(starts, anchors, evidence, _STEP * self._mapper.keyframes.unit_of(alike))
        if solved is None or solved.quality.confidence < _CONFIDENCE or solved.quality.inliers < _INLIERS:
            shared.forget_pairs(asked)
            frame.features.forget_details()
            return False
        unit = self._mapper.keyframes.unit_of(anchors[-1])
        covariance = accumulated(anchors, solved.camera_to_world, solved.covariance, solved.quality, unit)
        placed = SolvedFrame(asked, solved.camera_to_world, covariance)
        self._mapper.insert(placed, alike.number, anchors)
        return True

    def place(self, number: int) -> FloatArray | None:
        """camera_to_world (4x4) of a frame that was missed, by its number; None unless it was found."""
        found = self._found.get(number)
        return None if found is None else self._mapper.keyframes.place(found)
