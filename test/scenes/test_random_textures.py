"""Random patterns are seeded, varied and never flat, and a pool of them fits one atlas."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ros2_raxels.scenes.random_textures import RANDOM_PATTERNS, texture_pool
from ros2_raxels.scenes.textures import TILE_PX

# To draw the tiles takes eight seconds, and one process keeps them.
pytestmark = pytest.mark.xdist_group("tiles")


@pytest.mark.parametrize("name", RANDOM_PATTERNS)
def test_random_patterns_are_seeded_varied_and_never_flat(name: str) -> None:
    first, again, other = (RANDOM_PATTERNS[name](np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (TILE_PX, TILE_PX, 3)
    assert first.dtype == np.uint8
    assert np.abs(first.astype(int) - other).mean() > 4
    assert cv2.resize(first, (256, 256), interpolation=cv2.INTER_AREA).std(axis=(0, 1)).max() > 1.5


def test_a_pool_has_every_family_and_fits_one_atlas() -> None:
    pool = texture_pool(0)
    assert set(RANDOM_PATTERNS) <= set(pool.family)
    assert max(pool.atlas.pixels.shape) < 2**15
    assert texture_pool(0) is pool
