"""stereo_prior: each point is matched once, another camera fills in what the first partner does not see."""

from __future__ import annotations

import numpy as np
import pytest
from rig_walk import LENS, RigWalk, mounted, stereo

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.scenes.renderer import depth_map
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.frame import Side
from ros2_raxels.tracking.metric_scale import ScaleSource
from ros2_raxels.tracking.stereo_prior import Partner, StereoPrior, partners_of

MATCHER = Matcher()


@pytest.fixture(scope="module")
def walk() -> RigWalk:
    return stereo()


@pytest.fixture(scope="module")
def grid() -> FloatArray:
    return np.asarray(MATCHER.grid((180, 240)), float)


def partner(walk: RigWalk, half: slice | None = None) -> Partner:
    """The right camera, or it with one half of its image covered."""
    image = walk.images[0]["right"].copy()
    if half is not None:
        image[:, half] = 0
    return Partner(Side(MATCHER.look(image), LENS), walk.rig.between("left", "right"))


def prior(walk: RigWalk, *partners: Partner) -> StereoPrior:
    return StereoPrior(MATCHER.look(walk.images[0]["left"]), partners)


def test_depths_are_those_of_the_room_in_metres(walk: RigWalk, grid: FloatArray) -> None:
    found = prior(walk, partner(walk))
    assert (found.source, found.scale_sigma) == (ScaleSource.STEREO, 0.003)
    depth, sigma = found.at(grid, LENS)
    column, row = grid.astype(int).T
    true = (
        1.0 / depth_map(furnished_room(3), LENS, walk.base_to_world[0] @ walk.rig["left"].camera_to_base)[row, column]
    )
    known = np.isfinite(depth)
    assert known.mean() > 0.6
    assert np.median(np.abs(depth - true)[known] / sigma[known]) < 1.2


def test_a_point_is_matched_once(walk: RigWalk, grid: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prior(walk, partner(walk))
    first = found.at(grid, LENS)
    asked = []
    match = found._match
    monkeypatch.setattr(found, "_match", lambda pixels, camera: asked.append(len(pixels)) or match(pixels, camera))
    again = found.at(grid[::-1][:40], LENS)
    np.testing.assert_array_equal(again[0], first[0][::-1][:40])
    assert asked == []
    found.at(np.concatenate([grid[:5], grid[:3] + 0.5]), LENS)
    assert asked == [3]
    assert len(found.at(np.zeros((0, 2)), LENS)[0]) == 0


def test_what_one_camera_does_not_see_another_one_may(walk: RigWalk, grid: FloatArray) -> None:
    left_half, right_half = partner(walk, slice(0, 120)), partner(walk, slice(120, 240))
    one, both = (prior(walk, *partners).at(grid, LENS)[0] for partners in ([left_half], [left_half, right_half]))
    whole = prior(walk, partner(walk)).at(grid, LENS)[0]
    assert np.isfinite(one).sum() < 0.7 * np.isfinite(whole).sum()
    assert np.isfinite(both).sum() > 0.85 * np.isfinite(whole).sum()


def test_partners_are_those_that_see_enough_of_the_same(walk: RigWalk) -> None:
    names = {
        "left": mounted(0.0, 0.0, 0.06),
        "far": mounted(0.4, 0.0, -0.06),
        "side": mounted(1.6, 0.0, 0.0),
        "right": mounted(0.0, 0.0, -0.06),
    }
    assert partners_of(Rig(names)) == ("right", "far")
    assert partners_of(Rig({"left": names["left"], "side": names["side"]})) == ()
