"""missed_frames: missed frames are found when the map is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from walk import (
    BLACK,
    TRACKING,
    Walk,
    follow,
    states,
)

from ros2_raxels.tracking.missed_frames import MissedFrames
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import LostPolicy, TrackerSettings


def test_frames_that_were_missed_are_found_when_all_is_known(walk: Walk, scale: float) -> None:
    """Places that nothing known shows yet come first; the way there comes later."""
    tracker = Tracker(TrackerSettings(history=True, lost_policy=LostPolicy.STOP))
    order = [*range(14), 55, 56, 57, *range(14, 52)]
    found = follow(tracker, [*walk[order[:14]], *walk[order[14:17]], BLACK, *walk[order[17:]]])
    assert TRACKING not in states(found)[14:18]
    tracker.improve()
    missed = found[14:17]
    held = [tracker.pose_now(f) for f in missed]
    assert tracker.missed >= 3
    looks = list(tracker.look_again())
    assert sum(looks) >= 3
    again = [replace(f, camera_to_world=tracker.pose_now(f)) for f in missed]
    off, turn = walk.error(again, order[14:17], scale)
    assert off < 0.05
    assert turn < 2.0
    assert all(np.linalg.norm((a.camera_to_world - h)[:3, 3]) > 0.05 for a, h in zip(again, held, strict=True))
    # Whoever goes on from here has them as keyframes, and they are no better known than those beside them.
    assert all(np.trace(k.covariance[:3, :3]) > 0 for k in tracker._live.keyframes.all[-3:])
    assert len({f.number for f in tracker._live.keyframes.all}) == len(tracker._live.keyframes.all)
    assert states(follow(tracker, walk[50:52])) == [TRACKING] * 2


def test_missed_frames_are_kept_only_where_they_will_be_asked_for_and_not_without_bound(walk: Walk) -> None:
    live = Tracker(TrackerSettings(lost_policy=LostPolicy.STOP))
    follow(live, [*walk[:14], *walk[55:58]])
    assert live.missed == 0
    assert list(live.look_again()) == []
    kept = MissedFrames(live._live.mapper, live._solver)
    for k in range(1001):
        kept.keep([replace(live._live.keyframes.all[0].frame, number=k)])
    assert len(kept) == 501
