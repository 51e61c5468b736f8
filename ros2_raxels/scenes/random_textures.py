"""Random surfaces: families of patterns, a pool of tiles, and materials that recolour and rescale the tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.scenes.textures import PATTERNS, TILE_PX, Materials, TextureAtlas, fractal_noise

Colour = tuple[int, int, int]

_POOL_TILES = 30
_KEPT_POOLS = 2
_WALLS = ("plaster", "bricks", "checks", "stripes", "noise", "planks", "speckle", "faint", "panels")


def random_colours(generator: np.random.Generator, count: int) -> FloatArray:
    """(count, 3) RGB in [0, 255]: any hue, more often pale than vivid, rarely black."""
    hue = generator.uniform(0, 360, count)
    saturation, value = generator.beta(1.0, 3.5, count), generator.uniform(0.18, 1.0, count)
    hsv = np.stack([hue, saturation, value], axis=1).astype(np.float32)[None]
    return np.asarray(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0])


def _ink(generator: np.random.Generator) -> Colour:
    red, green, blue = (int(c) for c in random_colours(generator, 1)[0])
    return red, green, blue


def _graded(generator: np.random.Generator, shade: FloatArray) -> FloatArray:
    """Colours (H, W, 3) of a shade about 0 with unit deviation, along a gradient of four random colours."""
    stops = random_colours(generator, 4)
    place = (0.5 + 0.25 * shade).clip(0, 1)
    return np.stack([np.interp(place, np.linspace(0, 1, 4), stops[:, k]) for k in range(3)], axis=2)


def _finished(generator: np.random.Generator, pixels: FloatArray) -> ImageArray:
    """Add grain: every real surface has some, and flat colour cannot be matched."""
    grain = generator.uniform(0.02, 0.09) * fractal_noise(generator, 16, generator.uniform(0.7, 0.95))
    return np.asarray((pixels * (1 + grain[..., None])).clip(0, 255), np.uint8)


def _log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))


def _wrapped(place: list[int], reach: int) -> Iterator[tuple[int, int]]:
    """The places at which a shape must be drawn for the tile to be periodic."""
    x, y = place
    for across in (0, TILE_PX, -TILE_PX):
        for down in (0, TILE_PX, -TILE_PX):
            if -reach < x + across < TILE_PX + reach and -reach < y + down < TILE_PX + reach:
                yield x + across, y + down


def _waves(generator: np.random.Generator, most: int) -> FloatArray:
    """(TILE_PX, TILE_PX) phase in turns of a periodic plane wave, bent a little by noise."""
    along, across = generator.integers((0, -most), most + 1)
    if generator.random() < 0.6:
        along, across = generator.permutation([0, most])
    rows, columns = np.indices((TILE_PX, TILE_PX), np.float32) / np.float32(TILE_PX)
    bend = generator.choice([0.0, 0.02, 0.3]) * fractal_noise(generator, 4, 0.5)
    return np.asarray(rows * float(along) + columns * float(across) + bend, np.float32)


def noise(generator: np.random.Generator) -> ImageArray:
    """Band-limited noise of several octaves, in the colours of a random gradient; sometimes with creases."""
    shade = fractal_noise(generator, int(2 ** generator.integers(2, 6)), generator.uniform(0.5, 0.95))
    if generator.random() < 0.3:
        shade = 2.5 * np.abs(shade) - 2.0
    return _finished(generator, _graded(generator, shade))


def stripes(generator: np.random.Generator) -> ImageArray:
    """Soft or hard stripes, straight or wavy."""
    wave = np.sin(2 * np.pi * _waves(generator, int(_log_uniform(generator, 3, 48))))
    if generator.random() < 0.6:
        wave = np.tanh(wave * 8) + 0.3 * fractal_noise(generator, 8, 0.8)
    return _finished(generator, _graded(generator, 1.4 * wave))


def checks(generator: np.random.Generator) -> ImageArray:
    """Tiles of two or more colours, with or without joints."""
    rows, columns = (int(2 ** generator.integers(2, 6)) for _ in range(2))
    colours = random_colours(generator, int(generator.integers(2, 6)))
    chosen = generator.integers(0, len(colours), (rows, columns))
    if generator.random() < 0.5:
        chosen = np.indices((rows, columns)).sum(axis=0) % 2
    tone = 1 + generator.uniform(0, 0.15) * generator.standard_normal((rows, columns, 1))
    pixels = np.kron(colours[chosen] * tone, np.ones((TILE_PX // rows, TILE_PX // columns, 1))).astype(np.float32)
    if generator.random() < 0.6:
        joint, ink = int(generator.integers(1, 6)), random_colours(generator, 1)[0]
        for offset in range(joint):
            pixels[offset :: TILE_PX // rows] = ink
            pixels[:, offset :: TILE_PX // columns] = ink
    return _finished(generator, pixels)


def panels(generator: np.random.Generator) -> ImageArray:
    """A facade: a grid of windows, doors or panels, alike but for their panes."""
    pixels = _graded(generator, 0.4 * fractal_noise(generator, 8, 0.8)).astype(np.float32)
    rows, columns = (int(generator.choice([2, 4, 8])) for _ in range(2))
    height, width = TILE_PX // rows, TILE_PX // columns
    low, high = np.sort(generator.uniform([0.1, 0.6], [0.35, 0.9], (2, 2)), axis=1).T
    frame, panes = random_colours(generator, 1)[0], random_colours(generator, 3)
    cross = generator.random(2) < 0.6
    for row in range(rows):
        for column in range(columns):
            top, left = int((row + low[0]) * height), int((column + low[1]) * width)
            bottom, right = int((row + high[0]) * height), int((column + high[1]) * width)
            edge = max(2, min(height, width) // 40)
            pixels[top:bottom, left:right] = frame
            sky = np.linspace(0.6, 1.2, bottom - top - 2 * edge)[:, None, None]
            pixels[top + edge : bottom - edge, left + edge : right - edge] = sky * panes[generator.integers(3)]
            if cross[0]:
                pixels[(top + bottom) // 2 - edge // 2 : (top + bottom) // 2 + edge // 2 + 1, left:right] = frame
            if cross[1]:
                pixels[top:bottom, (left + right) // 2 - edge // 2 : (left + right) // 2 + edge // 2 + 1] = frame
    return _finished(generator, pixels)


def leaves(generator: np.random.Generator) -> ImageArray:
    """Overlapping shapes of all sizes, with the statistics of natural images (dead leaves)."""
    image = _finished(generator, _graded(generator, fractal_noise(generator)))
    inks, squared = random_colours(generator, 24).astype(int).tolist(), generator.random() < 0.4
    for _ in range(700):
        radius = int(min(6 / np.sqrt(generator.uniform(0.002, 1.0)), 110))
        centre, ink = generator.integers(0, TILE_PX, 2), inks[generator.integers(24)]
        axes, turn = (radius, max(2, int(radius * generator.uniform(0.3, 1.0)))), generator.uniform(0, 180)
        for place in _wrapped(centre.tolist(), radius):
            if squared:
                corners = cv2.boxPoints((place, (2 * axes[0], 2 * axes[1]), turn)).astype(np.int32)
                cv2.fillConvexPoly(image, corners, ink, cv2.LINE_AA)
            else:
                cv2.ellipse(image, place, axes, turn, 0, 360, ink, -1, cv2.LINE_AA)
    return _finished(generator, image.astype(np.float32))


def strokes(generator: np.random.Generator) -> ImageArray:
    """Grass, fur or scratches: short strokes of about one direction."""
    image = _finished(generator, _graded(generator, fractal_noise(generator, 8, 0.8)))
    count, spread, heading = 3000, generator.uniform(0.1, 1.2), generator.uniform(0, np.pi)
    inks, length = random_colours(generator, 12).astype(int).tolist(), _log_uniform(generator, 12, 70)
    start = generator.integers(0, TILE_PX, (count, 2))
    angle = heading + spread * generator.standard_normal(count)
    step = length * generator.uniform(0.4, 1.0, (count, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    ink_of = generator.integers(0, 12, count)
    for place, (dx, dy), ink in zip(start.tolist(), step.astype(int).tolist(), ink_of, strict=True):
        for x, y in _wrapped(place, int(length)):
            cv2.line(image, (x, y), (x + dx, y + dy), inks[ink], 2 if ink % 3 else 4, cv2.LINE_AA)
    return image


def glyphs(generator: np.random.Generator) -> ImageArray:
    """Blocks of lines of letters, in several sizes."""
    image = _finished(generator, _graded(generator, 0.3 * fractal_noise(generator, 4, 0.8)))
    for _ in range(int(generator.integers(4, 14))):
        left, top = (int(v) for v in generator.integers(0, TILE_PX - 200, 2))
        size, ink = _log_uniform(generator, 0.5, 3.0), _ink(generator)
        if generator.random() < 0.5:
            width, height = (int(v) for v in generator.integers(150, 500, 2))
            cv2.rectangle(image, (left - 12, top - 12), (left + width, top + height), _ink(generator), -1)
        for line in range(int(generator.integers(1, 8))):
            text = "".join(map(chr, generator.integers(33, 123, int(generator.integers(4, 14)))))
            below = (left, top + int(32 * size * (line + 1)))
            cv2.putText(image, text, below, int(generator.integers(0, 8)), size, ink, 1 + round(size), cv2.LINE_AA)
    return image


def speckle(generator: np.random.Generator) -> ImageArray:
    """Gravel, terrazzo or asphalt: spots of one size on noise."""
    shade = fractal_noise(generator, int(2 ** generator.integers(6, 8)), 0.8)
    spots = (fractal_noise(generator, int(2 ** generator.integers(5, 8)), 0.3) > generator.uniform(0.3, 1.5))[..., None]
    pixels = np.where(spots, _graded(generator, shade), _graded(generator, 0.4 * shade))
    return _finished(generator, pixels)


def faint(generator: np.random.Generator) -> ImageArray:
    """Almost no texture: painted wall, plastic, sheet metal."""
    shade = fractal_noise(generator, 2, 0.5)[..., None]
    ground = random_colours(generator, 1)[0] * (1 + generator.uniform(0.02, 0.1) * shade)
    fine = 1 + 0.012 * fractal_noise(generator, 64, 0.9)[..., None]
    return np.asarray((ground * fine).clip(0, 255), np.uint8)


def clouds(generator: np.random.Generator) -> ImageArray:
    """Soft, pale, from blue to white: distant sky."""
    shade = (0.5 + 0.25 * fractal_noise(generator, 4, 0.5)).clip(0, 1)[..., None]
    deep = np.array([90.0, 140.0, 200.0]) * generator.uniform(0.7, 1.1, 3)
    return np.asarray((deep * (1 - shade) + 245.0 * shade).clip(0, 255), np.uint8)


RANDOM_PATTERNS: dict[str, Callable[[np.random.Generator], ImageArray]] = {
    "noise": noise,
    "stripes": stripes,
    "checks": checks,
    "panels": panels,
    "leaves": leaves,
    "strokes": strokes,
    "glyphs": glyphs,
    "speckle": speckle,
    "faint": faint,
    "clouds": clouds,
}
"""Families of patterns by name: from a generator alone, a periodic (TILE_PX, TILE_PX, 3) uint8."""


@dataclass(frozen=True, eq=False)
class TexturePool:
    """Tiles that worlds share, because drawing them takes longer than building a world.

    Attributes:
        atlas: the tiles, plain.
        family: of each tile, a key of `RANDOM_PATTERNS` or of `textures.PATTERNS`.
        mean: (T, 3) colour of each tile.
    """

    atlas: TextureAtlas
    family: tuple[str, ...]
    mean: FloatArray


@lru_cache(maxsize=_KEPT_POOLS)
def texture_pool(seed: int) -> TexturePool:
    """Tiles of all families, those of `RANDOM_PATTERNS` about twice each. The last pools are kept, read only."""
    generator = np.random.default_rng(seed)
    families = (*PATTERNS, *RANDOM_PATTERNS, *RANDOM_PATTERNS, "noise", "leaves", "glyphs", "strokes", "panels")
    tiles = [_draw(family, generator) for family in families[:_POOL_TILES]]
    mean = np.array([tile.mean(axis=(0, 1)) for tile in tiles], np.float32)
    return TexturePool(TextureAtlas.build(tiles), families[:_POOL_TILES], mean)


def _draw(family: str, generator: np.random.Generator) -> ImageArray:
    if family in RANDOM_PATTERNS:
        return RANDOM_PATTERNS[family](generator)
    return PATTERNS[family](generator, int(generator.integers(12)))


class Wardrobe:
    """Draws materials for one world from a pool and collects them for its atlas."""

    def __init__(self, pool: TexturePool, generator: np.random.Generator) -> None:
        self._pool, self._generator = pool, generator
        self._rows: list[tuple[int, float, FloatArray, FloatArray]] = []

    def anything(self, extent_m: float) -> int:
        """Index of a new material of any family but clouds, for a thing of about this size, m."""
        others = [k for k, family in enumerate(self._pool.family) if family != "clouds"]
        return self._add(int(self._generator.choice(others)), extent_m * _log_uniform(self._generator, 0.8, 6.0))

    def wall(self, extent_m: float) -> int:
        """Index of a new material for walls, floors and facades; two in five have very little texture."""
        family = "faint" if self._generator.random() < 0.2 else str(self._generator.choice(_WALLS))
        weak = self._generator.uniform(0.1, 0.4) if self._generator.random() < 0.25 else 1.0
        return self._add(self._one_of(family), extent_m * _log_uniform(self._generator, 0.3, 1.2), weak)

    def of(self, family: str, extent_m: float) -> int:
        """Index of a new material of one family in its own colours, whose tile spans this much, m."""
        return self._add(self._one_of(family), extent_m, keep=True)

    def atlas(self) -> TextureAtlas:
        """The pool's tiles with all materials drawn so far."""
        tile, texel_m, gain, offset = (np.array(column) for column in zip(*self._rows, strict=True))
        made = Materials(tile, texel_m.astype(np.float32), gain.astype(np.float32), offset.astype(np.float32))
        return TextureAtlas(self._pool.atlas.pixels, made)

    def _one_of(self, family: str) -> int:
        return int(self._generator.choice([k for k, name in enumerate(self._pool.family) if name == family]))

    def _add(self, tile: int, span_m: float, contrast: float = 1.0, keep: bool = False) -> int:
        gain, offset = np.ones(3), np.zeros(3)
        if not keep and self._generator.random() < 0.7:
            gain = contrast * self._generator.uniform(0.5, 1.2) * self._generator.uniform(0.75, 1.25, 3)
            if self._generator.random() < 0.1:
                gain = -gain
            offset = random_colours(self._generator, 1)[0] - gain * self._pool.mean[tile]
        self._rows.append((tile, span_m / TILE_PX, gain, offset))
        return len(self._rows) - 1
