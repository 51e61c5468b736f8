"""Things that move before rendered worlds: where they are, how they move, and that the world behind stays."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.scenes.clips import RenderedClip, render_clip
from ros2_raxels.scenes.moving_things import MOVING_KINDS, with_moving_thing

# To draw the tiles takes eight seconds, and one process keeps them.
pytestmark = pytest.mark.xdist_group("tiles")


@pytest.fixture(scope="module")
def still() -> RenderedClip:
    return render_clip(np.random.default_rng(3), 4, 96, 72)


@pytest.mark.parametrize("kind", MOVING_KINDS)
def test_the_world_behind_a_thing_stays_and_the_thing_is_before_it(still: RenderedClip, kind: str) -> None:
    found = with_moving_thing(np.random.default_rng(1), still, kind, 0.35)
    clip, moving = found.clip, found.moving
    assert found.kind == kind
    assert moving.shape == (4, 72, 96)
    np.testing.assert_array_equal(clip.images[~moving], still.images[~moving])
    np.testing.assert_array_equal(clip.depth[~moving], still.depth[~moving])
    np.testing.assert_array_equal(clip.camera_to_first, still.camera_to_first)
    assert (clip.images[moving] != still.images[moving]).any(axis=1).mean() > 0.9
    assert 0.1 < clip.depth[moving].min() < clip.depth[moving].max() < 1.5
    assert 0.1 < moving.mean() < 0.7


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_slab_covers_its_share_from_top_to_bottom_and_slides(still: RenderedClip, share: float) -> None:
    steps = []
    for seed in range(6):
        moving = with_moving_thing(np.random.default_rng(seed), still, "slab", share).moving
        columns = moving.any(axis=1)
        np.testing.assert_array_equal(moving, np.broadcast_to(columns[:, None], moving.shape))
        # Cut off at the border of the picture, and a little larger or smaller where it comes or goes.
        assert columns.mean(axis=1).max() < 1.2 * share
        middle = [np.flatnonzero(row).mean() for row in columns]
        steps.append(np.abs(np.diff(middle)).mean())
    # 4 to 14 px of 320 are 1.2 to 4.2 of 96, less where the border cuts off a side.
    assert 1.0 < np.mean(steps) < 4.2


def test_things_are_seeded(still: RenderedClip) -> None:
    first, again, other = (with_moving_thing(np.random.default_rng(s), still, "walker", 0.3) for s in (5, 5, 6))
    np.testing.assert_array_equal(first.clip.images, again.clip.images)
    assert (first.moving != other.moving).any()


def test_another_kind_is_refused(still: RenderedClip) -> None:
    with pytest.raises(KeyError, match="ghost"):
        with_moving_thing(np.random.default_rng(0), still, "ghost", 0.3)
