"""How far away is what known frames show: dense flow between them, triangulated; and what that says of other views."""

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
from ros2_raxels.view_synthesis.plane_sweep import depths_for, sweep

_GRID_PX = 2
"""As fine as the flow, which is found on images of half the size."""

_CHECK_PX = 1.5
"""Flow must come back this close, and end this close to where the cameras allow it to."""

_FLOW_PX = 0.5
"""Error of flow that is right."""

_AGREE = 2.0
"""Distances agree when they are within so many errors."""

_NEAREST_PERCENT, _MARGIN = 99.0, 1.1
_LEAST_POINTS = 50
_VOTE_SPREAD_PX, _VOTE_SPREAD_PLANES = 0.8, 0.7
_LEAST_PARALLAX = 1e-12
_TELLING = 0.25
"""Of the range of a sweep: points whose inverse depth is known no better tell nothing of a view."""
_IN_FRONT = 1e-3


@dataclass(frozen=True, eq=False)
class KnownPoints:
    """P points that known frames show.

    Attributes:
        homogeneous: (P, 4) x, y, z, w in the world: the point is (x, y, z) / w, with w = 0 infinitely far away. Scaled
            so that w is the inverse of its z-depth in the frame that shows it.
        error: (P,) of w.
        weight: (P,) share of the other frames that agree, times the pixels of the frame that the point stands for.
        focal_px: of the frames, as far as they were looked at.
    """

    homogeneous: FloatArray
    error: FloatArray
    weight: FloatArray
    focal_px: float

    def seen_from(self, camera: PinholeCamera, camera_to_world: FloatArray, largest_error: float) -> SeenPoints:
        """Those in the image of a camera whose inverse depth there is known to `largest_error`."""
        local = self.homogeneous @ inverse_pose(camera_to_world).T
        front = local[:, 2] > _IN_FRONT
        local, depth_like, weight = local[front], local[front, 2], self.weight[front]
        error = self.error[front] / depth_like
        pixels = camera.project(local[:, :3])
        inside = ((pixels > -0.5) & (pixels < (camera.width - 0.5, camera.height - 0.5))).all(axis=1)
        kept = inside & (error < largest_error)
        scale = (camera.fx / self.focal_px) ** 2
        return SeenPoints(pixels[kept], (local[:, 3] / depth_like)[kept], error[kept], weight[kept] * scale)


@dataclass(frozen=True, eq=False)
class SeenPoints:
    """P points in an image.

    Attributes:
        pixels: (P, 2).
        inverse_depth: (P,) 0 or more.
        error: (P,) of it.
        weight: (P,) pixels of the image that each stands for, times how far it is to be believed, 0 to 1.
    """

    pixels: FloatArray
    inverse_depth: FloatArray
    error: FloatArray
    weight: FloatArray

    def nearest(self) -> float | None:
        """Inverse depth that next to nothing exceeds; None where too few points tell."""
        if len(self.pixels) < _LEAST_POINTS:
            return None
        surely = np.maximum(self.inverse_depth - self.error, 0.0)
        return float(np.percentile(surely, _NEAREST_PERCENT)) * _MARGIN

    def votes(self, shape: tuple[int, int], inverse_depths: FloatArray) -> npt.NDArray[np.float32]:
        """(planes, height, width) how many frames saw, at each pixel, something on each plane.

        Args:
            shape: (height, width) of the image.
            inverse_depths: of the planes, growing.
        """
        planes = len(inverse_depths)
        place = np.interp(self.inverse_depth, inverse_depths, np.arange(planes))
        error_planes = self.error / np.interp(self.inverse_depth, inverse_depths, np.gradient(inverse_depths))
        weight = self.weight / np.maximum(error_planes, 1.0)
        below = np.minimum(place.astype(int), planes - 2)
        above_share = place - below
        column, row = np.rint(self.pixels).astype(int).T
        cell = (below * shape[0] + row) * shape[1] + column
        cells = planes * shape[0] * shape[1]
        count = np.bincount(cell, weight * (1.0 - above_share), cells)
        count += np.bincount(cell + shape[0] * shape[1], weight * above_share, cells)
        return _blurred(count.reshape(planes, *shape).astype(np.float32))


@dataclass(frozen=True, eq=False)
class ViewEvidence:
    """What known frames say of a view.

    Attributes:
        swept: (K, 4, planes, H, W) uint8, see `sweep.sweep`.
        votes: (planes, H, W) see `SeenPoints.votes`.
        inverse_depths: (planes,) of the planes.
    """

    swept: npt.NDArray[np.uint8]
    votes: npt.NDArray[np.float32]
    inverse_depths: FloatArray


def evidence_of_view(
    points: KnownPoints,
    images: Sequence[ImageArray],
    camera_to_world: Sequence[FloatArray],
    camera: PinholeCamera,
    target_to_world: FloatArray,
    planes: int,
) -> ViewEvidence:
    """The sweep of known frames into a view, over the depths that their points have there, and these points' votes.

    Args:
        points: of `find_points` for these frames, which may have been larger then.
        images, camera_to_world, camera, target_to_world, planes: as for `sweep.sweep`.
    """
    guessed = depths_for(camera, camera_to_world, target_to_world, planes)[-1]
    seen = points.seen_from(camera, target_to_world, guessed * _TELLING)
    nearest = seen.nearest()
    depths = depths_for(camera, camera_to_world, target_to_world, planes, nearest)
    swept = sweep(images, camera_to_world, camera, target_to_world, planes, nearest)
    return ViewEvidence(swept, seen.votes((camera.height, camera.width), depths), depths)


def find_points(
    matcher: Matcher, images: Sequence[ImageArray], camera: PinholeCamera, camera_to_world: FloatArray
) -> KnownPoints:
    """Points that at least two of some frames show.

    Args:
        matcher: finds the flow.
        images: (H, W, 3) RGB uint8.
        camera: of all of them, without distortion.
        camera_to_world: (K, 4, 4) optical frames.
    """
    frames = [matcher.look(image) for image in images]
    pairs = list(itertools.combinations(range(len(frames)), 2))
    working = frames[0].working_camera(camera)
    flow = {}
    for (a, b), (there, back) in zip(
        pairs, matcher.dense_flow([(frames[a], frames[b]) for a, b in pairs]), strict=True
    ):
        flow[a, b], flow[b, a] = there, back
    parts = [_points_of(k, flow, working, camera_to_world) for k in range(len(frames))] if flow else []
    nothing = (np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    homogeneous, error, weight = (np.concatenate(p) for p in zip(nothing, *parts, strict=True))
    return KnownPoints(homogeneous, error, weight, working.fx)


def _points_of(
    anchor: int, flow: Mapping[tuple[int, int], FloatArray], camera: PinholeCamera, camera_to_world: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """`KnownPoints` that one frame shows: homogeneous, error, weight."""
    others = [k for k in range(len(camera_to_world)) if k != anchor]
    each = []
    for k in others:
        start, end = checked_flow(flow[anchor, k], flow[k, anchor])
        to_other = relative_pose(camera_to_world[k], camera_to_world[anchor])
        each.append(_triangulated(camera.normalise(start), camera.normalise(end), camera.fx, to_other))
    inverse_depth, certainty, agreeing = _agreed(*(np.array(values) for values in zip(*each, strict=True)))
    found = agreeing > 0
    rays = _rays(camera.normalise(start[found]))
    local = np.concatenate([rays, inverse_depth[found, None]], axis=1)
    weight = agreeing[found] / len(others) * _GRID_PX**2
    return local @ camera_to_world[anchor].T, certainty[found] ** -0.5, weight


def checked_flow(there: FloatArray, back: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points (G, 2) of a grid and where they lie in the other frame, px; NaN where the flow does not come back.

    Args:
        there, back: (H, W, 2) px from a frame to another, and from that one, as `Matcher.dense_flow` finds them.
    """
    height, width = there.shape[:2]
    y, x = np.mgrid[0:height:_GRID_PX, 0:width:_GRID_PX]
    start, step = np.stack([x, y], axis=-1), there[::_GRID_PX, ::_GRID_PX]
    end = (start + step).astype(np.float32)
    closed = np.linalg.norm(step + flow_at(back, end), axis=-1) < _CHECK_PX
    return start.reshape(-1, 2), np.where(closed[..., None], end, np.nan).reshape(-1, 2)


def _rays(plane: FloatArray) -> FloatArray:
    """(G, 3) at z = 1."""
    return np.concatenate([plane, np.ones((len(plane), 1))], axis=1)


def _triangulated(
    start: FloatArray, end: FloatArray, focal_px: float, to_other: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """From (G, 2) on the image planes of two frames, inverse depth (G,) in the first and how certain, in 1 / error².

    A point ``ray + inverse depth * to_other[:3, 3]`` is seen at `end`: two equations linear in the one unknown. The
    certainty is 0 where the cameras forbid what was matched.
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
    """From (K, G) what most say: inverse depth, certainty and number of those that agree, (G,) each."""

    def agree_with(value: FloatArray) -> npt.NDArray[np.bool_]:
        close: npt.NDArray[np.bool_] = (inverse_depth - value) ** 2 * certainty < _AGREE**2
        return close & (certainty > 0.0)

    support = np.array([agree_with(value).sum(axis=0) for value in inverse_depth]) * (certainty > 0.0)
    # Among equals the most certain.
    order = support + certainty / (2.0 * certainty.max(axis=0) + _LEAST_PARALLAX)
    chosen = np.take_along_axis(inverse_depth, order.argmax(axis=0)[None], axis=0)[0]
    agreeing = agree_with(chosen)
    total = np.maximum((certainty * agreeing).sum(axis=0), _LEAST_PARALLAX)
    return (inverse_depth * certainty * agreeing).sum(axis=0) / total, total, agreeing.sum(axis=0).astype(float)


def _blurred(count: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Over neighbours in the image and planes: what is known of one is likely of the next."""
    planes = len(count)
    apart = np.subtract.outer(np.arange(planes), np.arange(planes)) / _VOTE_SPREAD_PLANES
    kernel = np.exp(-0.5 * apart**2)
    kernel /= kernel.sum(axis=0)
    mixed = (kernel.astype(np.float32) @ count.reshape(planes, -1)).reshape(count.shape)
    return np.array([cv2.GaussianBlur(plane, (0, 0), _VOTE_SPREAD_PX) for plane in mixed])
