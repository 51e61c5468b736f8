"""Depths of points of one camera from another one that is fixed beside it, through whatever lenses.

A point of unknown depth lies on a curve in the other image. The patch around it is compared with what is seen along
that curve, the place that is most alike is made exact in both directions of the image, and how far that lies from the
curve tells whether the cameras stand where they are said to.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.alignment import align, cut_patches
from ros2_raxels.matching.features import Features, GreyImage

IntArray = npt.NDArray[np.integer]

_NEAREST = 2.5
"""Baselines: nothing closer is looked for."""

_SEARCH_PIXELS = 20_000
"""The image in which the curve is searched is halved until it has no more."""

_SEARCH_RADIUS = 3
_STEP_PX = 1.0
"""Of the image that is searched."""

_LEAST_STEPS, _MOST_STEPS = 4, 96
_USUAL = 0.3
"""Of the largest inverse depth: where the shape of patches is right in the search."""

_LEAST_ALIKE = 0.6
_RIVAL = 0.05
"""A place further along that is alike within this leaves the depth open."""

_RIVAL_STEPS = 2
_ALIKE = 0.8
"""Correlation of the patches at the end."""

_OFF_CURVE_PX = 3.0
"""Further from the curve it is something else, or the cameras stand otherwise than is said."""

_GREY_NOISE = 3.0
_TO_SIGMA = 1.4826
"""Of a median of absolute values."""

_LEAST_PX, _MOST_PX = 0.08, 0.5
"""Bounds of the standard deviation of a place along the curve; what is less certain is not told."""

_MOST_WARP = 8.0
"""Area of a patch there over that here, or the other way round."""


@dataclass(frozen=True, eq=False)
class StereoDepths:
    """Of K points.

    Attributes:
        inverse_depth: (K,) 1/m, 0 or more; NaN where not known.
        sigma: (K,) its standard deviation, 1/m; NaN where not known.
        pixels: (K, 2) px where the points lie in the other working image; NaN where not known.
        off_curve_px: (K,) how far that is from where the geometry of the cameras allows it, in px of the other image as
            measured, signed; NaN where not known.
    """

    inverse_depth: FloatArray
    sigma: FloatArray
    pixels: FloatArray
    off_curve_px: FloatArray


def stereo_depths(
    here: Features,
    here_camera: Camera,
    there: Features,
    there_camera: Camera,
    here_to_there: FloatArray,
    pixels: FloatArray,
) -> StereoDepths:
    """Depths of points of one camera's working image, where another one sees them at the same time.

    Args:
        here, there: images of the same moment.
        here_camera, there_camera: of their working images.
        here_to_there: 4x4 between their optical frames, m.
        pixels: (K, 2) px of the first working image.
    """
    pixels = np.asarray(pixels, float).reshape(-1, 2)
    pair = _Pair(here, here_camera, there, there_camera, here_to_there)
    found = _nothing(len(pixels))
    usable = here.may_use(pixels) & np.isfinite(here_camera.rays(pixels)).all(axis=1)
    asked: IntArray = np.flatnonzero(usable)
    if len(asked):
        asked, coarse = _search(pair, pixels, asked)
    if len(asked):
        _measure(pair, pixels, asked, coarse, found)
    return found


def _nothing(count: int) -> StereoDepths:
    nowhere = np.full(count, np.nan)
    return StereoDepths(nowhere.copy(), nowhere.copy(), np.full((count, 2), np.nan), nowhere.copy())


@dataclass(frozen=True, eq=False)
class _Pair:
    here: Features
    here_camera: Camera
    there: Features
    there_camera: Camera
    here_to_there: FloatArray

    @property
    def most(self) -> float:
        """Largest inverse depth that is looked for, 1/m."""
        return 1.0 / (_NEAREST * float(np.linalg.norm(self.here_to_there[:3, 3])))

    def points(self, rays: FloatArray, inverse_depth: FloatArray) -> FloatArray:
        """Points (..., 3) on the rays (..., 3), in the other optical frame, times their inverse depth (...)."""
        turned = rays @ self.here_to_there[:3, :3].T
        return np.asarray(turned + inverse_depth[..., None] * self.here_to_there[:3, 3])


def _project(camera: Camera, points: FloatArray) -> FloatArray:
    """Pixels (..., 2) of points (..., 3)."""
    return np.asarray(camera.project(points.reshape(-1, 3)).reshape(*points.shape[:-1], 2))


def _warps(pair: _Pair, here: Camera, there: Camera, pixels: FloatArray, inverse_depth: FloatArray) -> FloatArray:
    """(K, 2, 2) px there per px here of a surface that faces the camera."""
    beside = pixels[:, None] + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    rays = here.rays(beside.reshape(-1, 2)).reshape(len(pixels), 3, 3)
    seen = _project(there, pair.points(rays, np.repeat(inverse_depth[:, None], 3, axis=1)))
    warp = np.stack([seen[:, 1] - seen[:, 0], seen[:, 2] - seen[:, 0]], axis=-1)
    area = np.linalg.det(np.where(np.isfinite(warp), warp, 0.0))
    good = (area > 1.0 / _MOST_WARP) & (area < _MOST_WARP)
    return np.where(good[:, None, None], warp, np.eye(2))


def _small(grey: GreyImage) -> GreyImage:
    while grey.size > _SEARCH_PIXELS:
        grey = np.asarray(cv2.pyrDown(grey), np.uint8)
    return grey


def _patches(image: GreyImage, centres: FloatArray, warp: FloatArray) -> FloatArray:
    """Normalised grey values (..., S) around points (..., 2) px, of patches warped (..., 2, 2); NaN becomes zeros."""
    side = np.arange(-_SEARCH_RADIUS, _SEARCH_RADIUS + 1, dtype=np.float32)
    offset = np.stack([np.tile(side, len(side)), np.repeat(side, len(side))])
    at = np.asarray(centres, np.float32)[..., None] + warp.astype(np.float32) @ offset
    maps = (np.ascontiguousarray(at[..., k, :]).reshape(-1, offset.shape[1]) for k in range(2))
    values = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    values /= np.sqrt(np.einsum("ks,ks->k", values, values))[:, None] + 1e-3
    return np.asarray(values.reshape(*centres.shape[:-1], -1))


def _search(pair: _Pair, pixels: FloatArray, asked: IntArray) -> tuple[IntArray, FloatArray]:
    """Which of the points are found along their curves, and their inverse depths there."""
    small, other = _small(pair.here.grey), _small(pair.there.grey)
    here, there = (
        camera.resized(image.shape[1], image.shape[0])
        for camera, image in ((pair.here_camera, small), (pair.there_camera, other))
    )
    shrink = np.array([small.shape[k] / pair.here.grey.shape[k] for k in (1, 0)])
    at = (pixels[asked] + 0.5) * shrink - 0.5
    rays = here.rays(at)
    rho = _sampled_depths(pair, there, rays)
    curve = _project(there, pair.points(rays[:, None], np.broadcast_to(rho, (len(rays), len(rho)))))
    inside = np.asarray(((curve > -0.5) & (curve < (other.shape[1] - 0.5, other.shape[0] - 0.5))).all(axis=-1))
    warp = _warps(pair, here, there, at, np.full(len(rays), _USUAL * pair.most))
    mine = _patches(small, at, np.broadcast_to(np.eye(2), warp.shape))
    seen = _patches(other, np.where(inside[..., None], curve, 0.0), warp[:, None])
    alike = np.where(inside, np.einsum("ks,kjs->kj", mine, seen), -1.0)
    place, sure = _clear_peak(alike)
    found = np.interp(place, np.arange(len(rho)), rho)
    return asked[sure], np.asarray(np.maximum(found[sure], 0.0))


def _sampled_depths(pair: _Pair, there: Camera, rays: FloatArray) -> FloatArray:
    """Inverse depths that lie a step apart on the longest of the curves; the first is a step beyond infinity."""
    ends = _project(there, pair.points(rays[:, None], np.broadcast_to([0.0, pair.most], (len(rays), 2))))
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    longest = float(np.nanmax(length)) if np.isfinite(length).any() else 0.0
    steps = int(np.clip(np.ceil(longest / _STEP_PX) + 1, _LEAST_STEPS, _MOST_STEPS))
    return np.linspace(-pair.most / (steps - 1), pair.most, steps + 1)


def _clear_peak(alike: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Where along the curves (K, D) patches are most alike, between samples, and whether there and nowhere else."""
    best, rows, last = alike.argmax(axis=1), np.arange(len(alike)), alike.shape[1] - 1
    score = alike[rows, best]
    apart = np.abs(np.arange(last + 1) - best[:, None]) > _RIVAL_STEPS
    rival = np.where(apart, alike, -1.0).max(axis=1)
    sure = (score > _LEAST_ALIKE) & (rival < score - _RIVAL) & (best < last)
    before, after = alike[rows, np.maximum(best - 1, 0)], alike[rows, np.minimum(best + 1, last)]
    bend = np.maximum(2 * score - before - after, 1e-6)
    return best + np.clip(0.5 * (after - before) / bend, -0.5, 0.5), np.asarray(sure)


def _measure(pair: _Pair, pixels: FloatArray, asked: IntArray, coarse: FloatArray, found: StereoDepths) -> None:
    """Make depths exact on the images as measured, and write them down in place."""
    full_here, full_there = pair.here.full, pair.there.full
    here, there = (
        camera.resized(full.image.shape[1], full.image.shape[0])
        for camera, full in ((pair.here_camera, full_here), (pair.there_camera, full_there))
    )
    at = full_here.to_full(pixels[asked])
    rays = here.rays(at)
    start = _project(there, pair.points(rays, coarse))
    finite = np.flatnonzero(np.isfinite(start[:, 0]))
    asked, at, rays, coarse, start = asked[finite], at[finite], rays[finite], coarse[finite], start[finite]
    warp = _warps(pair, here, there, at, coarse)
    patches = cut_patches(full_here.image, at)
    end, alike = align(patches, full_there.image, start, warp)
    rho, across, slope = _onto_curve(pair, there, rays, coarse, end)
    length = np.linalg.norm(slope, axis=1)
    along = slope / np.maximum(length, 1e-12)[:, None]
    in_patch = np.linalg.solve(warp, along[..., None])[..., 0]
    spread = _GREY_NOISE**2 * np.einsum("ki,kij,kj->k", in_patch, patches.inverse.astype(float), in_patch)
    working = full_there.from_full(end)
    texture_px = np.sqrt(_LEAST_PX**2 + spread)
    good = (alike > _ALIKE) & (np.abs(across) < _OFF_CURVE_PX) & (texture_px < _MOST_PX) & (length > 0)
    # Places are as uncertain along the curve as they are across, where the truth is known.
    off_px = _TO_SIGMA * float(np.median(np.abs(across[good]))) if good.any() else 0.0
    sigma_px = np.maximum(texture_px, off_px)
    good &= pair.there.may_use(working) & (rho > -2 * sigma_px / np.maximum(length, 1e-12))
    kept = asked[good]
    found.inverse_depth[kept] = np.maximum(rho[good], 0.0)
    found.sigma[kept] = sigma_px[good] / length[good]
    found.pixels[kept] = working[good]
    found.off_curve_px[kept] = across[good]


def _onto_curve(
    pair: _Pair, there: Camera, rays: FloatArray, coarse: FloatArray, end: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The nearest point of each curve to a place (K, 2) px: inverse depth (K,), distance (K,) px and slope (K, 2)."""
    rho = coarse.copy()
    across, slope = np.zeros(len(rho)), np.zeros((len(rho), 2))
    for _ in range(2):
        points = pair.points(rays, rho)
        slope = there.jacobian(points) @ pair.here_to_there[:3, 3]
        off = end - _project(there, points)
        squared = np.maximum((slope**2).sum(axis=1), 1e-12)
        rho = rho + (off * slope).sum(axis=1) / squared
        across = (slope[:, 0] * off[:, 1] - slope[:, 1] * off[:, 0]) / np.sqrt(squared)
    return rho, across, slope
