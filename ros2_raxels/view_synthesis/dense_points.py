"""Points that context frames show: dense optical flow between the frames, triangulated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, relative_pose
from ros2_raxels.matching.matcher import Matcher, flow_at
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.view_synthesis.context import Mask
from ros2_raxels.view_synthesis.seen_points import SeenPoints

_GRID_PX = 2
"""As fine as the flow, which is found on images of half the size."""

_CHECK_PX = 1.5
"""Largest error of flow that is followed forth and back, and largest distance of its end from the epipolar line."""

_FLOW_PX = 0.5
"""Standard error of flow that is right."""

_AGREE = 2.0
"""Inverse depths agree when they differ by less than this many standard errors."""

_LEAST_PARALLAX = 1e-12
_IN_FRONT = 1e-3


@dataclass(frozen=True, eq=False)
class KnownPoints:
    """P points that context frames show.

    Attributes:
        homogeneous: (P, 4) x, y, z, w in the world: the point is (x, y, z) / w, with w = 0 infinitely far away. Scaled
            so that w is the inverse of its z-depth in the frame that shows it.
        error: (P,) standard error of w.
        weight: (P,) share of the other frames that agree, times the number of pixels that the point stands for.
        focal_px: focal length of the frames at the size at which flow was computed.
    """

    homogeneous: FloatArray
    error: FloatArray
    weight: FloatArray
    focal_px: float

    @property
    def telling(self) -> float:
        """Share of the points whose inverse depth is more than two standard errors; 0 without points."""
        return float((self.homogeneous[:, 3] > _AGREE * self.error).mean()) if len(self.error) else 0.0

    def seen_from(self, camera: PinholeCamera, camera_to_world: FloatArray, largest_error: float) -> SeenPoints:
        """The points inside the image of a camera whose inverse depth there has less than `largest_error`."""
        local = self.homogeneous @ inverse_pose(camera_to_world).T
        front = local[:, 2] > _IN_FRONT
        local, depth_like, weight = local[front], local[front, 2], self.weight[front]
        error = self.error[front] / depth_like
        pixels = camera.project(local[:, :3])
        inside = ((pixels > -0.5) & (pixels < (camera.width - 0.5, camera.height - 0.5))).all(axis=1)
        kept = inside & (error < largest_error)
        scale = (camera.fx / self.focal_px) ** 2
        return SeenPoints(pixels[kept], (local[:, 3] / depth_like)[kept], error[kept], weight[kept] * scale)


def find_points(
    matcher: Matcher,
    images: Sequence[ImageArray],
    camera: PinholeCamera,
    camera_to_world: FloatArray,
    seen: Sequence[Mask] | None = None,
) -> KnownPoints:
    """Points that at least two of K frames show.

    Args:
        matcher: computes the flow.
        images: K frames (H, W, 3) RGB uint8.
        camera: of all frames, without distortion.
        camera_to_world: (K, 4, 4) optical frames.
        seen: (H, W) of each frame, where it shows anything; None where all do everywhere.
    """
    frames = [matcher.look(image) for image in images]
    pairs = list(itertools.combinations(range(len(frames)), 2))
    working = frames[0].working_camera(camera)
    flow = {}
    for (a, b), (there, back) in zip(
        pairs, matcher.dense_flow([(frames[a], frames[b]) for a, b in pairs]), strict=True
    ):
        flow[a, b], flow[b, a] = there, back
    masks = [None] * len(frames) if seen is None else seen
    parts = [_points_of(k, flow, working, camera_to_world, masks[k]) for k in range(len(frames))] if flow else []
    nothing = (np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    homogeneous, error, weight = (np.concatenate(p) for p in zip(nothing, *parts, strict=True))
    return KnownPoints(homogeneous, error, weight, working.fx)


def _points_of(
    anchor: int,
    flow: Mapping[tuple[int, int], FloatArray],
    camera: PinholeCamera,
    camera_to_world: FloatArray,
    seen: Mask | None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """`KnownPoints` of one frame: homogeneous, error, weight."""
    others = [k for k in range(len(camera_to_world)) if k != anchor]
    each = []
    for k in others:
        start, end = checked_flow(flow[anchor, k], flow[k, anchor])
        if seen is not None:
            end[~_at(seen, start, camera)] = np.nan
        to_other = relative_pose(camera_to_world[k], camera_to_world[anchor])
        each.append(_triangulated(camera.normalise(start), camera.normalise(end), camera.fx, to_other))
    inverse_depth, certainty, agreeing = _agreed(*(np.array(values) for values in zip(*each, strict=True)))
    found = agreeing > 0
    rays = _rays(camera.normalise(start[found]))
    local = np.concatenate([rays, inverse_depth[found, None]], axis=1)
    weight = agreeing[found] / len(others) * _GRID_PX**2
    return local @ camera_to_world[anchor].T, certainty[found] ** -0.5, weight


def checked_flow(there: FloatArray, back: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points (G, 2) of a grid and where they lie in the other frame, px; NaN where the flow back does not return.

    Args:
        there, back: (H, W, 2) flow, px, from one frame to the other and back, as `Matcher.dense_flow` computes it.
    """
    height, width = there.shape[:2]
    y, x = np.mgrid[0:height:_GRID_PX, 0:width:_GRID_PX]
    start, step = np.stack([x, y], axis=-1), there[::_GRID_PX, ::_GRID_PX]
    end = (start + step).astype(np.float32)
    closed = np.linalg.norm(step + flow_at(back, end), axis=-1) < _CHECK_PX
    return start.reshape(-1, 2), np.where(closed[..., None], end, np.nan).reshape(-1, 2)


def _at(seen: Mask, pixels: FloatArray, camera: PinholeCamera) -> npt.NDArray[np.bool_]:
    """(G,) whether pixels (G, 2) of the images of a camera lie in what a mask of any size says is seen."""
    size = (camera.width, camera.height)
    small = cv2.resize(seen.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    column, row = pixels.round().astype(int).T
    return np.asarray(small[row, column], bool)


def _rays(plane: FloatArray) -> FloatArray:
    """(G, 3) rays at z = 1 through (G, 2) points of the image plane."""
    return np.concatenate([plane, np.ones((len(plane), 1))], axis=1)


def _triangulated(
    start: FloatArray, end: FloatArray, focal_px: float, to_other: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Inverse depth (G,) in the first of two frames, and its certainty, 1 / variance.

    A point ``ray + inverse depth * to_other[:3, 3]`` is seen at `end`: two equations, linear in the one unknown. The
    certainty is 0 where the cameras rule the correspondence out.

    Args:
        start, end: (G, 2) on the image planes (z = 1) of the first and the other frame.
        focal_px: of both.
        to_other: 4x4, from the first to the other frame.
    """
    rays, shift = _rays(start) @ to_other[:3, :3].T, to_other[:3, 3]
    apart = rays[:, :2] - end * rays[:, 2:]
    slope = shift[:2] - end * shift[2]
    square = (slope**2).sum(axis=1) + _LEAST_PARALLAX
    inverse_depth = -(apart * slope).sum(axis=1) / square
    depth_like = rays[:, 2] + inverse_depth * shift[2]
    focal = focal_px / np.maximum(depth_like, _IN_FRONT)
    missed_px = focal * np.linalg.norm(apart + inverse_depth[:, None] * slope, axis=1)
    certainty = focal**2 * square / _FLOW_PX**2
    # Where nothing is finite nothing compares.
    allowed = (missed_px < _CHECK_PX) & (depth_like > _IN_FRONT) & (inverse_depth * certainty**0.5 > -_AGREE)
    return np.where(allowed, inverse_depth.clip(min=0.0), 0.0), np.where(allowed, certainty, 0.0)


def _agreed(inverse_depth: FloatArray, certainty: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Consensus over K of (K, G): inverse depth, certainty and number of those that agree, (G,) each."""

    def agree_with(value: FloatArray) -> npt.NDArray[np.bool_]:
        close: npt.NDArray[np.bool_] = (inverse_depth - value) ** 2 * certainty < _AGREE**2
        return close & (certainty > 0.0)

    support = np.array([agree_with(value).sum(axis=0) for value in inverse_depth]) * (certainty > 0.0)
    # Of those with the same support the most certain.
    order = support + certainty / (2.0 * certainty.max(axis=0) + _LEAST_PARALLAX)
    chosen = np.take_along_axis(inverse_depth, order.argmax(axis=0)[None], axis=0)[0]
    agreeing = agree_with(chosen)
    total = np.maximum((certainty * agreeing).sum(axis=0), _LEAST_PARALLAX)
    return (inverse_depth * certainty * agreeing).sum(axis=0) / total, total, agreeing.sum(axis=0).astype(float)
