"""Keyframes compared with a frame by learned keypoints, where SIFT's and flow have not found it.

A second and more for one frame on a CPU: for work beside the frames, and for recordings that wait.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ros2_raxels.engine import EngineError, Say
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.tracking.frame import Keyframe, Seen
from ros2_raxels.tracking.shared_matches import SharedMatches

_LOG = logging.getLogger(__name__)


class LearnedLook:
    """Looks with learned keypoints as long as their networks run; says once if they do not any more.

    Args:
        matcher: not for use by two threads at once.
        warn: told in a line.
    """

    def __init__(self, matcher: LearnedMatcher, warn: Say = _LOG.warning) -> None:
        self._matcher: LearnedMatcher | None = matcher
        self._warn = warn

    @property
    def works(self) -> bool:
        """Whether its networks have not failed; any thread may ask."""
        return self._matcher is not None

    def between(self, shared: SharedMatches, anchors: Sequence[Keyframe], frame: Seen) -> Evidence | None:
        """Evidence of a frame with keyframes; None where the networks have failed, now or before.

        Args:
            shared: what they have in common otherwise, which stays as it is.
            anchors: the keyframes.
            frame: to be found among them.
        """
        if self._matcher is None:
            return None
        try:
            return shared.afresh(self._matcher).between(anchors, frame)
        except EngineError as error:
            self._matcher = None
            self._warn(f"matcher: classic from now on, because the learned one failed: {error}")
            return None

    def may_look_again(self, attempt: int) -> bool:
        """Whether an attempt in a row, counted from 1, is worth a look: the 1st, 2nd, 4th, 8th, ... is."""
        return self._matcher is not None and attempt & (attempt - 1) == 0
