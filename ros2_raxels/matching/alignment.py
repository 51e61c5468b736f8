"""Patches of one image aligned to another, to a few hundredths of a pixel: the last word on where a point lies.

Inverse compositional Lucas-Kanade (Baker and Matthews 2004): slopes and normal equations belong to the patch, are
computed once, and serve for every image in which it is looked for. A difference of brightness and contrast does not
count.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray

_RADIUS_PX = 6
_NOISE, _START_PX = 3.0, 0.5
"""Standard deviations of a grey value, and of the point from which it is started: where a patch shows no slope in a
direction it stays there."""

_STAY = np.float32((_NOISE / _START_PX) ** 2)
"""What a px away from there weighs against squared differences of grey values."""

_ROUNDS = 3
_MOST_PX = 3.0
"""Further away from where it was started nothing is believed."""

_NEIGHBOURS = 9
_FLAT_PX = 0.4
_MOST_WARP = 0.3

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Patches:
    """Square patches around K points of an image, S pixels each.

    Attributes:
        values: (K, S) grey values, their mean taken off.
        slopes: (K, 2, S) grey values per px in x and y, their means taken off.
        inverse: (K, 2, 2) of the normal matrix.
        strength: (K,) root of the sum of squares of the values.
    """

    values: Float32Array
    slopes: Float32Array
    inverse: Float32Array
    strength: Float32Array

    def __getitem__(self, chosen: npt.NDArray[np.integer]) -> Patches:
        return Patches(self.values[chosen], self.slopes[chosen], self.inverse[chosen], self.strength[chosen])


def cut_patches(image: npt.NDArray[np.uint8], centres: FloatArray) -> Patches:
    """Patches around points (K, 2) px of an image; beyond its border it goes on as its outermost pixels."""
    side = 2 * _RADIUS_PX + 3
    offset = np.arange(side, dtype=np.float32) - (_RADIUS_PX + 1)
    x, y = (np.asarray(centres[:, k], np.float32)[:, None, None] for k in range(2))
    shape = (len(centres), side, side)
    x, y = np.broadcast_to(x + offset, shape), np.broadcast_to(y + offset[:, None], shape)
    wide = _sampled(image, x, y).reshape(shape)
    inner = slice(1, -1)
    slopes = np.stack([wide[:, inner, 2:] - wide[:, inner, :-2], wide[:, 2:, inner] - wide[:, :-2, inner]], axis=1) / 2
    values, slopes = wide[:, inner, inner].reshape(len(centres), -1), slopes.reshape(len(centres), 2, -1)
    values = values - values.mean(axis=1, keepdims=True)
    slopes = slopes - slopes.mean(axis=2, keepdims=True)
    normal = slopes @ np.swapaxes(slopes, 1, 2) + _STAY * np.eye(2, dtype=np.float32)
    return Patches(values, slopes, np.linalg.inv(normal), np.linalg.norm(values, axis=1))


def align(
    patches: Patches, image: npt.NDArray[np.uint8], start: FloatArray, warp: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Where patches lie in an image.

    Args:
        patches: K of them.
        image: (height, width).
        start: (K, 2) px, right to about a pixel.
        warp: (K, 2, 2) px there per px in the patch; None where it is neither turned nor zoomed.

    Returns:
        (K, 2) px, and (K,) correlations of the grey values there with those of the patch, -1 to 1; -1 where it went
        astray.
    """
    size = np.arange(-_RADIUS_PX, _RADIUS_PX + 1, dtype=np.float32)
    offset = np.stack([np.tile(size, len(size)), np.repeat(size, len(size))])
    there = np.broadcast_to(offset, (len(start), *offset.shape)) if warp is None else warp.astype(np.float32) @ offset
    first = np.asarray(start, np.float32)
    moved = np.zeros_like(first)
    correlation = np.zeros(len(start), np.float32)
    for _ in range(_ROUNDS):
        now = first + (moved if warp is None else (warp @ moved[..., None])[..., 0].astype(np.float32))
        seen = _sampled(image, now[:, :1] + there[:, 0], now[:, 1:] + there[:, 1])
        seen -= seen.mean(axis=1, keepdims=True)
        strength = np.sqrt(np.einsum("ks,ks->k", seen, seen)) + 1e-6
        seen *= (patches.strength / strength)[:, None]
        correlation = np.einsum("ks,ks->k", seen, patches.values) / np.maximum(patches.strength**2, 1e-6)
        seen -= patches.values
        gradient = (patches.slopes @ seen[..., None])[..., 0] + _STAY * moved
        moved = moved - (patches.inverse @ gradient[..., None])[..., 0]
    far = np.abs(moved).max(axis=1, initial=0.0) > _MOST_PX
    end = first + (moved if warp is None else (warp @ moved[..., None])[..., 0])
    return np.where(far[:, None], start, end).astype(float), np.where(far, -1.0, correlation).astype(float)


def local_warps(at: FloatArray, here: FloatArray, there: FloatArray) -> FloatArray:
    """(K, 2, 2) px there per px here around K points (K, 2) px, from matches (M, 2) px in their neighbourhood.

    The identity where there are few, or where they do not lie on one surface.
    """
    identity = np.broadcast_to(np.eye(2), (len(at), 2, 2))
    if len(here) < _NEIGHBOURS:
        return identity
    apart = (at[:, :1] - here[:, 0]) ** 2 + (at[:, 1:] - here[:, 1]) ** 2
    nearest = np.argpartition(apart, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
    p, q = here[nearest], there[nearest]
    p, q = p - p.mean(axis=1, keepdims=True), q - q.mean(axis=1, keepdims=True)
    spread = np.swapaxes(p, 1, 2) @ p
    warp = np.swapaxes(q, 1, 2) @ p @ np.linalg.inv(spread + np.eye(2))
    miss = np.sqrt(((q - p @ np.swapaxes(warp, 1, 2)) ** 2).sum(axis=-1).mean(axis=1))
    flat = (miss < _FLAT_PX) & (np.abs(warp - np.eye(2)).max(axis=(1, 2)) < _MOST_WARP)
    return np.where(flat[:, None, None], warp, identity)


def _sampled(image: npt.NDArray[np.uint8], x: Float32Array, y: Float32Array) -> Float32Array:
    """Grey values (K, S) at (K, ...) px, between pixels interpolated."""
    count = len(x)
    maps = (np.ascontiguousarray(m.reshape(count, -1), np.float32) for m in (x, y))
    found = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)
