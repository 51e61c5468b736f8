"""learned_look: evidence by learned keypoints beside what is known otherwise, and what happens when they fail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from learned_rig import FakeGraphs, NearestGraph
from walk import CAMERA, Walk

from ros2_raxels.engine import EngineError
from ros2_raxels.geometry.camera import Camera
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import KEYPOINT
from ros2_raxels.tracking.depth_prior import DepthPrior
from ros2_raxels.tracking.learned_look import LearnedLook
from ros2_raxels.tracking.shared_matches import SharedMatches


@dataclass
class Shown:
    """A frame, as far as matches need it."""

    number: int
    features: Features
    camera: Camera = CAMERA
    depth: DepthPrior | None = None


def shown(walk: Walk) -> list[Shown]:
    matcher = Matcher()
    return [Shown(k, matcher.look(walk.images[k])) for k in (0, 4, 8)]


def test_evidence_has_learned_keypoints_and_what_was_known_stays(walk: Walk) -> None:
    graphs, frames = FakeGraphs(), shown(walk)
    shared = SharedMatches(Matcher())
    classic = shared.between(frames[:2], frames[2])  # type: ignore[arg-type]
    known = len(shared)
    found = LearnedLook(LearnedMatcher(graphs)).between(shared, frames[:2], frames[2])  # type: ignore[arg-type]
    assert found is not None
    assert len(shared) == known
    learned = frames[0].features.learned
    assert learned is not None
    mine = (found.kind == KEYPOINT) & (found.anchor == 0)
    assert mine.sum() > 20
    np.testing.assert_array_equal(found.pixels[mine, 0], learned.pixels[found.index[mine]])
    again = shared.between(frames[:2], frames[2])  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.pixels, classic.pixels)


def test_networks_that_fail_are_named_once_and_not_asked_again(walk: Walk) -> None:
    broken, said = NearestGraph(error=EngineError("out of memory")), list[str]()
    look, frames = LearnedLook(LearnedMatcher(FakeGraphs(stages=[broken])), said.append), shown(walk)
    assert look.may_look_again(1)
    for _ in range(2):
        assert look.between(SharedMatches(Matcher()), frames[:2], frames[2]) is None  # type: ignore[arg-type]
    assert said == ["matcher: classic from now on, because the learned one failed: out of memory"]
    assert not look.may_look_again(1)


def test_a_long_loss_is_looked_at_ever_less_often() -> None:
    look = LearnedLook(LearnedMatcher(FakeGraphs()))
    assert [k for k in range(1, 40) if look.may_look_again(k)] == [1, 2, 4, 8, 16, 32]
