"""Procedural textures with detail at every scale, and the mip-mapped atlas from which they are sampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray

TILE_PX = 1024
"""Side of a texture in texels; it repeats beyond."""
TEXEL_M = 0.005
"""Side of a texel on the surface, m, where a material does not say otherwise."""
MAX_TILES = 31
"""Capacity of an atlas: OpenCV addresses no more than 32767 rows."""

_BORDER_PX = 1
_LEVELS = 9
_REMAP_COLUMNS = 256

_INK = ((32, 36, 44), (240, 236, 226), (214, 73, 51), (242, 177, 52), (38, 110, 128), (92, 145, 94), (120, 78, 122))


@dataclass(frozen=True, eq=False)
class Materials:
    """How the tiles of an atlas are mapped onto surfaces.

    Attributes:
        tile: (M,) which tile of the atlas.
        texel_m: (M,) side of a texel on the surface, m.
        gain, offset: (M, 3) float32; a surface's colour is ``gain * texel + offset``, at least 0, in [0, 255] per unit.
    """

    tile: npt.NDArray[np.intp]
    texel_m: FloatArray
    gain: FloatArray
    offset: FloatArray

    @staticmethod
    def plain(count: int) -> Materials:
        """Every tile unchanged."""
        return Materials(
            np.arange(count),
            np.full(count, TEXEL_M, np.float32),
            np.ones((count, 3), np.float32),
            np.zeros((count, 3), np.float32),
        )


@dataclass(frozen=True, eq=False)
class TextureAtlas:
    """All tiles of a world in one image: tiles below each other, their mip levels beside each other.

    Every level has a border of wrapped texels, so that one bilinear lookup never sees a neighbour.

    Attributes:
        pixels: uint8 RGB.
        materials: of the surfaces; the texture of a surface is an index into these.
    """

    pixels: ImageArray
    materials: Materials

    @staticmethod
    def build(textures: list[ImageArray]) -> TextureAtlas:
        """From periodic textures (TILE_PX, TILE_PX, 3) uint8, at most MAX_TILES of them."""
        strips = np.concatenate([_mip_strip(texture) for texture in textures])
        return TextureAtlas(strips, Materials.plain(len(textures)))

    def sample(self, texture: npt.NDArray[np.intp], uv_m: FloatArray, footprint_m: FloatArray) -> FloatArray:
        """Colours (N, 3) float32, not negative, averaged over approximately the footprint (trilinear).

        Args:
            texture: (N,) index of a material.
            uv_m: (N, 2) position on the surface, m.
            footprint_m: (N,) side of the area covered by a pixel, m.
        """
        made = self.materials
        texel_m = made.texel_m[texture]
        level = np.log2(np.maximum(footprint_m, 1e-9) / texel_m).clip(0, _LEVELS - 1.001).astype(np.float32)
        fine = level.astype(np.intp)
        texels = (uv_m / texel_m[:, None]).astype(np.float32)
        row = (made.tile[texture] * (TILE_PX + 2 * _BORDER_PX)).astype(np.float32)
        near, far = self._look_up(row, texels, fine), self._look_up(row, texels, fine + 1)
        far -= near
        far *= (level - fine)[:, None]
        far += near
        far *= made.gain[texture]
        far += made.offset[texture]
        return np.asarray(np.maximum(far, 0, out=far))

    def _look_up(self, row: FloatArray, texels: FloatArray, level: npt.NDArray[np.intp]) -> FloatArray:
        shrink, size, column = _SHRINK[level], _SIZE[level], _COLUMN[level]
        at = [(texels[:, axis] + 0.5) * shrink - 0.5 for axis in (0, 1)]
        x, y = (a - np.floor(a / size) * size + _BORDER_PX for a in at)
        return _remap(self.pixels, x + column, y + row)


_SHRINK = (0.5 ** np.arange(_LEVELS)).astype(np.float32)
_SIZE = (TILE_PX * _SHRINK).astype(np.float32)
_COLUMN = np.concatenate([[0], np.cumsum(_SIZE + 2 * _BORDER_PX)[:-1]]).astype(np.float32)


def _remap(pixels: ImageArray, x: FloatArray, y: FloatArray) -> FloatArray:
    # OpenCV's remap is bilinear sampling at memory speed, but wants its points as an image.
    padding = -len(x) % _REMAP_COLUMNS
    maps = [np.pad(a, (0, padding)).astype(np.float32).reshape(-1, _REMAP_COLUMNS) for a in (x, y)]
    sampled = np.asarray(cv2.remap(pixels, maps[0], maps[1], cv2.INTER_LINEAR))
    return sampled.reshape(-1, 3)[: len(x)].astype(np.float32)


def _mip_strip(texture: ImageArray) -> ImageArray:
    height = TILE_PX + 2 * _BORDER_PX
    levels, level = [], texture
    for _ in range(_LEVELS):
        padded = np.pad(level, ((_BORDER_PX, _BORDER_PX), (_BORDER_PX, _BORDER_PX), (0, 0)), mode="wrap")
        levels.append(np.pad(padded, ((0, height - len(padded)), (0, 0), (0, 0))))
        level = np.asarray(cv2.resize(level, (len(level) // 2, len(level) // 2), interpolation=cv2.INTER_AREA))
    return np.concatenate(levels, axis=1)


# ------------------------------------------------------------------------------------------------------- patterns


def fractal_noise(generator: np.random.Generator, coarsest: int = 4, roughness: float = 0.6) -> FloatArray:
    """Periodic noise (TILE_PX, TILE_PX) float32 of zero mean and unit deviation, equal detail in every octave."""
    total = np.zeros((TILE_PX, TILE_PX), np.float32)
    cells, weight = coarsest, 1.0
    while cells <= TILE_PX:
        grid = generator.standard_normal((cells, cells)).astype(np.float32)
        total += weight * _enlarge(grid)
        cells, weight = cells * 2, weight * roughness
    return np.asarray((total - total.mean()) / total.std())


def _enlarge(grid: FloatArray) -> FloatArray:
    """Smooth periodic interpolation of a coarse grid."""
    wrapped = np.pad(grid, 2, mode="wrap")
    factor = TILE_PX // len(grid)
    large = cv2.resize(wrapped, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[2 * factor : -2 * factor, 2 * factor : -2 * factor])


def _tinted(base: tuple[int, int, int], shade: FloatArray) -> FloatArray:
    return np.asarray(np.array(base, np.float32) * (1.0 + shade[..., None]))


def _finished(pixels: FloatArray) -> ImageArray:
    return pixels.clip(0, 255).astype(np.uint8)


def plaster(generator: np.random.Generator, variant: int = 0) -> ImageArray:
    """Painted wall with blotches, cracks and pictures."""
    tones = ((214, 204, 184), (160, 184, 192), (208, 186, 170), (176, 190, 166))
    tone = tones[variant % len(tones)]
    pixels = _tinted(tone, 0.07 * fractal_noise(generator) + 0.05 * fractal_noise(generator, 64, 0.8))
    image = _finished(pixels)
    for _ in range(60):
        start = generator.integers(0, TILE_PX, 2)
        steps = np.cumsum(generator.normal(0, 14, (9, 2)), axis=0).astype(int)
        cv2.polylines(image, [(start + steps).reshape(-1, 1, 2)], False, _shade(tone, 0.6), 1, cv2.LINE_AA)
    hung = np.zeros(image.shape[:2], bool)
    for _ in range(40):
        _draw_picture(image, hung, generator)
    return image


def planks(generator: np.random.Generator, variant: int = 0) -> ImageArray:
    """Wooden floor."""
    wood = ((156, 110, 72), (124, 96, 76), (176, 140, 100))[variant % 3]
    boards, board_px = 16, TILE_PX // 16
    pixels = np.empty((TILE_PX, TILE_PX, 3), np.float32)
    grain = cv2.resize(fractal_noise(generator, 8, 0.75), (TILE_PX, TILE_PX * 6))[:TILE_PX].T
    blotch = fractal_noise(generator, 4, 0.65)
    for board in range(boards):
        rows = slice(board * board_px, (board + 1) * board_px)
        tone = 1.0 + 0.16 * generator.standard_normal()
        shift = int(generator.integers(TILE_PX))
        shade = 0.13 * np.roll(grain, shift, axis=1)[rows] + 0.1 * np.roll(blotch, shift, axis=1)[rows]
        pixels[rows] = _tinted(wood, shade) * tone
        pixels[rows.start : rows.start + 2] *= 0.45
        for joint in generator.integers(0, TILE_PX, 3):
            pixels[rows, joint : joint + 2] *= 0.5
    image = _finished(pixels)
    for _ in range(70):
        centre = tuple(int(v) for v in generator.integers(8, TILE_PX - 8, 2))
        cv2.circle(image, centre, int(generator.integers(2, 6)), (74, 48, 30), -1, cv2.LINE_AA)
    return image


def bricks(generator: np.random.Generator, variant: int = 0) -> ImageArray:
    """Wall of bricks, each of its own tone."""
    clay = ((158, 88, 66), (150, 142, 132), (118, 92, 84))[variant % 3]
    rows, columns = 32, 16
    tone = 1.0 + 0.2 * generator.standard_normal((rows, columns))
    brick_h, brick_w = TILE_PX // rows, TILE_PX // columns
    large = np.kron(tone, np.ones((brick_h, brick_w))).astype(np.float32)
    mortar = np.zeros((TILE_PX, TILE_PX), bool)
    for row in range(rows):
        at = slice(row * brick_h, (row + 1) * brick_h)
        shift = brick_w // 2 * (row % 2)
        large[at] = np.roll(large[at], shift, axis=1)
        mortar[at.start : at.start + 4] = True
        for column in range(columns):
            begin = (column * brick_w + shift) % TILE_PX
            mortar[at, begin : begin + 4] = True
    noise = 0.1 * fractal_noise(generator, 16, 0.8)
    pixels = _tinted(clay, noise + large - 1.0)
    pixels[mortar] = _tinted((196, 188, 176), noise)[mortar]
    return _finished(pixels)


def carton(generator: np.random.Generator, variant: int = 0) -> ImageArray:
    """Printed cardboard, for boxes."""
    tones = ((196, 156, 110), (72, 118, 138), (226, 216, 198), (196, 92, 66), (222, 176, 80), (92, 132, 104))
    tone = tones[variant % len(tones)]
    image = _finished(_tinted(tone, 0.08 * fractal_noise(generator, 8, 0.75)))
    for _ in range(260):
        _draw_mark(image, generator)
    return image


def marble(generator: np.random.Generator, variant: int = 0) -> ImageArray:
    """Veined stone, for round things."""
    veins = np.abs(fractal_noise(generator, 8, 0.62))
    blend = np.exp(-3.0 * veins)[..., None]
    pairs = (((224, 219, 208), (54, 62, 80)), ((60, 104, 110), (228, 208, 160)), ((176, 84, 60), (245, 226, 200)))
    ground, vein = (np.array(c, np.float32) for c in pairs[variant % len(pairs)])
    pixels = ground * (1 - blend) + vein * blend
    return _finished(pixels * (1 + 0.08 * fractal_noise(generator, 32, 0.85)[..., None]))


PATTERNS: dict[str, Callable[[np.random.Generator, int], ImageArray]] = {
    "plaster": plaster,
    "planks": planks,
    "bricks": bricks,
    "carton": carton,
    "marble": marble,
}
"""Every kind of surface by name: from a generator and a choice of colour, a periodic (TILE_PX, TILE_PX, 3) uint8."""


def _shade(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    red, green, blue = (int(c * factor) for c in colour)
    return red, green, blue


def _draw_picture(image: ImageArray, hung: npt.NDArray[np.bool_], generator: np.random.Generator) -> None:
    """Draw a framed picture of random shapes, unless it would overlap another."""
    width, height = (int(v) for v in generator.integers(70, 190, 2))
    x, y = (int(generator.integers(10, TILE_PX - side - 10)) for side in (width, height))
    if hung[y : y + height, x : x + width].any():
        return
    hung[max(0, y - 12) : y + height + 12, max(0, x - 12) : x + width + 12] = True
    canvas = image[y : y + height, x : x + width]
    ink = [_INK[i] for i in generator.permutation(len(_INK))]
    canvas[:] = _shade(ink[0], 0.9)
    canvas[9:-9, 9:-9] = ink[1]
    inner = canvas[12:-12, 12:-12]
    for k in range(14):
        a, b = generator.integers(0, (inner.shape[1], inner.shape[0]), (2, 2)).tolist()
        colour = ink[k % len(ink)]
        if k % 3 == 0:
            cv2.circle(inner, a, int(generator.integers(4, 24)), colour, -1, cv2.LINE_AA)
        elif k % 3 == 1:
            cv2.line(inner, a, b, colour, int(generator.integers(1, 5)), cv2.LINE_AA)
        else:
            cv2.rectangle(inner, a, b, colour, int(generator.choice([1, 2, -1])))
    grain = generator.normal(1.0, 0.05, canvas.shape[:2])[..., None]
    canvas[:] = (canvas * grain).clip(0, 255)


def _draw_mark(image: ImageArray, generator: np.random.Generator) -> None:
    """A stripe, a label, a dot or a word."""
    x, y = (int(v) for v in generator.integers(30, TILE_PX - 110, 2))
    colour = _INK[generator.integers(len(_INK))]
    kind = int(generator.integers(4))
    if kind == 0:
        length, thickness = int(generator.integers(20, 100)), int(generator.integers(2, 9))
        cv2.line(image, (x, y), (x + length, y), colour, thickness, cv2.LINE_AA)
    elif kind == 1:
        corner = (x + int(generator.integers(12, 80)), y + int(generator.integers(10, 50)))
        cv2.rectangle(image, (x, y), corner, colour, -1)
        cv2.rectangle(image, (x + 4, y + 4), (x + 16, y + 10), _shade(colour, 0.5), -1)
    elif kind == 2:
        cv2.circle(
            image, (x, y), int(generator.integers(4, 26)), colour, int(generator.choice([2, 4, -1])), cv2.LINE_AA
        )
    else:
        word = "".join(chr(65 + k) for k in generator.integers(0, 26, 4))
        size = float(generator.uniform(0.5, 1.3))
        cv2.putText(image, word, (x, y), cv2.FONT_HERSHEY_DUPLEX, size, colour, 2, cv2.LINE_AA)
