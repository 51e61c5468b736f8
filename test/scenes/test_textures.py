"""Texture atlases: what a material says of its tile, sampling across borders and over footprints, patterns."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ros2_raxels.scenes.textures import PATTERNS, TEXEL_M, TILE_PX, Materials, TextureAtlas, fractal_noise


def test_a_material_says_which_tile_how_large_and_in_what_colour() -> None:
    ramp = np.tile((np.arange(TILE_PX) // 8).astype(np.uint8)[:, None], (TILE_PX, 1, 3))
    atlas = TextureAtlas.build([np.zeros_like(ramp), ramp])
    made = Materials(np.array([1]), np.array([0.25]), np.array([[-1.0, 0.5, 2.0]]), np.array([[200.0, 0.0, -40.0]]))
    texels = np.array([80.0, 404.0, 640.0])
    uv = np.stack([texels * 0.25, np.ones(3)], axis=1)
    colours = TextureAtlas(atlas.pixels, made).sample(np.zeros(3, np.intp), uv, np.full(3, 0.25))
    grey = texels // 8
    np.testing.assert_allclose(
        colours, np.stack([200 - grey, grey / 2, np.maximum(2 * grey - 40, 0)], axis=1), atol=1.0
    )


def test_texture_is_averaged_over_what_a_pixel_covers() -> None:
    board = np.kron(np.indices((TILE_PX // 4, TILE_PX // 4)).sum(axis=0) % 2 * 255, np.ones((4, 4)))
    atlas = TextureAtlas.build([np.repeat(board[..., None], 3, axis=2).astype(np.uint8)])
    uv = np.random.default_rng(0).uniform(-50, 50, (2000, 2))
    zeros = np.zeros(2000, np.intp)
    sharp = atlas.sample(zeros, uv, np.full(2000, TEXEL_M / 4))
    coarse = atlas.sample(zeros, uv, np.full(2000, TEXEL_M * 32))
    assert sharp.std() > 100
    np.testing.assert_allclose(coarse, 127.5, atol=1.0)


def test_texture_is_found_where_it_lies_across_tile_borders() -> None:
    ramp = np.tile((np.arange(TILE_PX) % 64 * 4).astype(np.uint8), (TILE_PX, 1))
    atlas = TextureAtlas.build([np.zeros((TILE_PX, TILE_PX, 3), np.uint8), np.repeat(ramp[..., None], 3, axis=2)])
    texels = np.arange(-3 * TILE_PX, 3 * TILE_PX)
    uv = np.stack([texels * TEXEL_M, np.full(len(texels), 0.7)], axis=1)
    colours = atlas.sample(np.ones(len(texels), np.intp), uv, np.full(len(texels), TEXEL_M))
    np.testing.assert_allclose(colours[:, 0], texels % 64 * 4, atol=1.0)


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_seeded_and_have_detail_at_every_scale(name: str) -> None:
    texture = PATTERNS[name](np.random.default_rng(5), 1)
    np.testing.assert_array_equal(texture, PATTERNS[name](np.random.default_rng(5), 1))
    assert texture.shape == (TILE_PX, TILE_PX, 3)
    assert texture.dtype == np.uint8
    level = texture.astype(np.float32).mean(axis=2)
    for _ in range(6):
        smaller = cv2.resize(level, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        detail = level - cv2.resize(smaller, level.shape[::-1], interpolation=cv2.INTER_NEAREST)
        assert detail.std() > 1.5
        level = smaller


def test_noise_is_periodic() -> None:
    noise = fractal_noise(np.random.default_rng(1), 4, 0.5)
    seam, inside = np.abs(noise[0] - noise[-1]).mean(), np.abs(np.diff(noise, axis=0)).mean()
    assert seam < 1.5 * inside
