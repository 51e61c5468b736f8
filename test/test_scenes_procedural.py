"""scenes: random worlds are varied, and the truth of clips in them is exact."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.scenes.clips import NEAR, RenderedClip, render_clip
from ros2_raxels.scenes.motion import KINDS
from ros2_raxels.scenes.procedural import WORLD_KINDS

SEEDS = range(12)


@pytest.fixture(scope="module")
def clips() -> list[RenderedClip]:
    return [render_clip(np.random.default_rng(seed), 4, 96, 72) for seed in SEEDS]


def test_a_clip_is_what_it_says(clips: list[RenderedClip]) -> None:
    for clip in clips:
        assert clip.images.shape == (4, 72, 96, 3)
        assert clip.images.dtype == np.uint8
        assert clip.depth.shape == (4, 72, 96)
        assert clip.depth.dtype == np.float32
        assert np.isfinite(clip.depth).all()
        np.testing.assert_allclose(clip.camera_to_first[0], np.eye(4), atol=1e-12)
        assert np.median(clip.depth[0]) == pytest.approx(1.0, abs=1e-6)
        assert clip.depth.min() > NEAR / 2
        assert clip.world_kind in WORLD_KINDS
        assert clip.motion_kind in KINDS
        assert 40 < clip.images[0].mean() < 190
        assert clip.images[0].std() > 5
