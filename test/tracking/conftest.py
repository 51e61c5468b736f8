"""The walk, rendered once in a process, and the tracker at its end."""

from __future__ import annotations

import numpy as np
import pytest
from walk import (
    Walk,
    follow,
    similarity,
    solved_from,
)

from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose


@pytest.fixture(scope="session")
def walk() -> Walk:
    return Walk()


@pytest.fixture(scope="session")
def walked(walk: Walk) -> tuple[Tracker, list[TrackedPose]]:
    """A tracker at the end of the walk, for one test to go on with, and what it said on the way."""
    tracker = Tracker()
    return tracker, follow(tracker, walk.images)


@pytest.fixture(scope="session")
def tracked(walked: tuple[Tracker, list[TrackedPose]]) -> list[TrackedPose]:
    return walked[1]


@pytest.fixture(scope="session")
def scale(walk: Walk, tracked: list[TrackedPose]) -> float:
    """Metres of one unit of the tracker."""
    chosen = list(range(solved_from(tracked), len(tracked)))
    return similarity(np.array([tracked[k].camera_to_world[:3, 3] for k in chosen]), walk.poses[chosen, :3, 3])[0]
