"""Frames that were missed, looked for again when all keyframes are known: for recordings, which have an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ros2_raxels.frame_solver import FrameSolver
from ros2_raxels.geometry import FloatArray
from ros2_raxels.keyframe_map import Anchor, KeyframeMap
from ros2_raxels.keyframes import View

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
        self._views: list[View] = []
        self._found: dict[int, Anchor] = {}

    def __len__(self) -> int:
        return len(self._views)

    def keep(self, views: Iterable[View]) -> None:
        """Remember frames for later."""
        for view in views:
            view.features.keypoints = None
            self._views.append(view)
        if len(self._views) > _MOST:
            self._views = self._views[::2]

    def look_again(self, next_number: int) -> Iterator[bool]:
        """Look for all of them, and again for the others as long as some are found; each time whether it was.

        Args:
            next_number: of the next keyframe: found frames become the newest.
        """
        found = True
        while found:
            found, left = False, []
            for view in self._views:
                keyframe = self._find(view, next_number)
                if keyframe is None:
                    left.append(view)
                else:
                    found, next_number = True, next_number + 1
                    self._found[view.number] = Anchor(keyframe.number, np.eye(4), 0.0)
                yield keyframe is not None
            self._views = left

    def _find(self, view: View, number: int) -> View | None:
        like, votes = self._keyframes.like(view)
        if like is None or votes < _VOTES:
            return None
        anchors = self._keyframes.around(like)
        asked = replace(view, number=number, parent=like.number)
        evidence = self._keyframes.shared.between(anchors, asked)
        starts = [like.camera_to_world, anchors[-1].camera_to_world]
        solved = self._solver.solve(starts, anchors, evidence, _STEP * self._keyframes.unit)
        if solved is None or solved.confidence < _CONFIDENCE or solved.inliers < _INLIERS:
            self._keyframes.shared.forget_pairs(asked)
            view.features.keypoints = None
            return None
        asked.camera_to_world = solved.camera_to_world
        self._keyframes.insert(asked, anchors)
        return asked

    def place(self, number: int) -> FloatArray | None:
        """camera_to_world (4x4) of a frame that was missed, by its number; None unless it was found."""
        found = self._found.get(number)
        return None if found is None else self._keyframes.place(found)
