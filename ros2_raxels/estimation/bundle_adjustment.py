"""Bundle adjustment of the cameras of a clip, with one inverse depth per track, over several hypotheses at once.

The model: a track starts at bearing ``d = (x, y, 1)`` of its anchor frame *a* with inverse depth ``rho`` (1 / z-depth
in that frame, in units of the clip). In frame *j* it is seen at ``q = R_ja d + rho t_ja`` divided by its z. Residuals
are in pixels, under a Geman-McClure loss whose width is annealed; poses and inverse depths are solved together by
Levenberg-Marquardt, the depths eliminated by their (diagonal) Schur complement.

Through a lens that is not flat (`Camera.is_flat`) *d* has length 1, and ``rho`` is 1 / distance. An observation is
compared in a frame of its own there, which looks along the observed ray: the residual is the tangent of the angle
between that and *q*, in px of the lens's focal length at the ray. It is the same for all lenses as far as it is small.

Everything is written over dense arrays of shape (hypotheses H, anchors A, frames N, tracks M per anchor), so that a
step of all hypotheses is a few dozen NumPy calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, rotation_from_vector, skew
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.utils.right_of_way import give_way

_MIN_Z = 0.05
_BEHIND_PX = 1e3
_DEPTH_DAMPING, _RELATIVE_DEPTH_DAMPING = 1e-6, 1e-3
_DEPTH_WIDTH_PX = 2.0
"""Of the loss by which observations choose between candidate depths."""

KNOWN_WIDTH_PX = 2.0
"""Least width of the loss for depths that a sensor has measured: four of their standard deviations."""

_WIDTH_OVER_MEDIAN = 4.0
"""Of the loss with which a rig's solve begins, over what half of the observations miss by: wider ones are left out."""

_RIG_DAMPING, _LEAST_RIG_DAMPING = 1e-5, 1e-9
"""Of the poses of a rig, when a solve begins and at least, likewise small."""

_RIGID, _NO_LENGTH = 1e3, 1e-9
"""Times the largest entry of normal equations: what does not give way."""

_NO_INFORMATION = 1e-9
"""Over the largest there is: what is as good as not told."""

_RIVAL_COST = 1.1
"""Times the lowest cost: hypotheses up to there explain the evidence almost as well."""


@dataclass(frozen=True)
class RefineSettings:
    """Settings of a refinement.

    Attributes:
        widths_px: width of the Geman-McClure loss in each iteration, the last one repeated.
        iterations: maximum number of Levenberg-Marquardt steps.
        tolerance: stop when every hypothesis gains less than this share of its cost in a step.
        noise_px: standard deviation assumed for inliers, for covariances.
    """

    widths_px: tuple[float, ...] = (6.0, 4.0, 3.0, 2.0)
    iterations: int = 12
    tolerance: float = 1e-4
    noise_px: float = 0.5


@dataclass(frozen=True, eq=False)
class PlacePrior:
    """What is known of where cameras are besides what they show: a square of their places, which may leave much open.

    Attributes:
        places: (N, 3) from which it is told.
        cost: square of how far these are from it, in standard deviations.
        pull: (3 N,) half of the gradient of that there.
        information: (3 N, 3 N) half of its second derivatives.
    """

    places: FloatArray
    cost: float
    pull: FloatArray
    information: FloatArray

    def pull_at(self, pose: FloatArray) -> FloatArray:
        """`pull` (H, 3 N) at poses (H, N, 4, 4)."""
        return np.asarray(self.pull + self._off(pose) @ self.information)

    def cost_at(self, pose: FloatArray) -> FloatArray:
        """`cost` (H,) of poses (H, N, 4, 4)."""
        off = self._off(pose)
        return np.asarray(self.cost + (off * (2.0 * self.pull + off @ self.information)).sum(axis=1))

    def _off(self, pose: FloatArray) -> FloatArray:
        return np.asarray((pose[..., :3, 3] - self.places).reshape(len(pose), -1))


@dataclass(frozen=True)
class Refined:
    """Hypotheses after refinement, best first.

    Attributes:
        order: (H,) index of each among the hypotheses that were given.
        camera_to_first: (H, N, 4, 4).
        inverse_depth: (H, P), one per track of the evidence, 0 = infinitely far.
        cost: (H,) sum over observations of weight * Geman-McClure, each in [0, 1).
        residual_px: (H, P, N) reprojection distances, NaN where a track was not seen.
        information_of: by rank, from 0, the information (6N, 6N) of the pose updates of a hypothesis (rotation in the
            camera, translation in the first frame), after elimination of the depths, in 1/px^2 units of
            `RefineSettings.noise_px`. Rows of fixed frames are zero. Computed when called: mostly the best one's is
            wanted alone.
    """

    order: npt.NDArray[np.integer]
    camera_to_first: FloatArray
    inverse_depth: FloatArray
    cost: FloatArray
    residual_px: FloatArray
    information_of: Callable[[int], FloatArray]

    def best(self, count: int) -> Refined:
        """The first `count` hypotheses."""
        return self._ranked(np.arange(len(self.order))[:count])

    def led_by(self, rank: int) -> Refined:
        """The same with one hypothesis first, the others in their order."""
        others = np.delete(np.arange(len(self.order)), rank)
        return self._ranked(np.concatenate([[rank], others]))

    def _ranked(self, ranks: npt.NDArray[np.integer]) -> Refined:
        return Refined(
            self.order[ranks],
            self.camera_to_first[ranks],
            self.inverse_depth[ranks],
            self.cost[ranks],
            self.residual_px[ranks],
            lambda rank: self.information_of(int(ranks[rank])),
        )

    @property
    def contenders(self) -> FloatArray:
        """camera_to_first (C, N, 4, 4) of the best hypothesis and of all that explain the evidence almost as well."""
        return np.asarray(self.camera_to_first[self.cost < _RIVAL_COST * self.cost[0] + 1e-9])


@dataclass(frozen=True, eq=False)
class BundleProblem:
    """Evidence arranged for solving, built once for any number of solves: P tracks as A anchors of M tracks, padded.

    Attributes:
        evidence: P tracks over N frames.
        anchors: (A,) frames in which tracks start.
        index: (A, M) of the tracks in the evidence, -1 where padded.
        used: (A, M) where not padded.
        seen: (A, N, M) where a track was found outside its anchor.
        weight: (1 or H, A, N, M) of the observations, 0 where not seen.
        bearing: (A, M, 3) rays of depth 1 in the anchor.
        x, y: (A, N, M) observations on the plane z = 1 of their frames of comparison, 0 where not seen.
        focal: (N, 1) px, or (A, N, M) where it is another for every observation.
        turn: (A, N, 3, 3, M) rotation from the camera to the frame of comparison; None where that is the camera's.
        known: (2, A, M) inverse depths that a sensor has measured, and the px that being off by 1 counts as, 0 where
            it says nothing; None without one.
    """

    evidence: Evidence
    anchors: npt.NDArray[np.integer]
    index: npt.NDArray[np.integer]
    used: npt.NDArray[np.bool_]
    seen: npt.NDArray[np.bool_]
    weight: FloatArray
    bearing: FloatArray
    x: FloatArray
    y: FloatArray
    focal: FloatArray
    turn: FloatArray | None
    known: FloatArray | None = None

    @classmethod
    def of(cls, evidence: Evidence) -> BundleProblem:
        """Arrange evidence, with its own weights."""
        anchors = np.unique(evidence.anchor)
        by_anchor = [np.flatnonzero(evidence.anchor == anchor) for anchor in anchors]
        index = np.full((len(anchors), max(map(len, by_anchor), default=0)), -1)
        for row, tracks in zip(index, by_anchor, strict=True):
            row[: len(tracks)] = tracks
        used = index >= 0
        seen = evidence.seen[index] & used[..., None]
        seen[np.arange(len(anchors)), :, anchors] = False
        seen = np.moveaxis(seen, 2, 1)
        weight = _gathered(evidence.weight[None], index, seen)
        seen_rays = _arranged_rays(evidence, anchors, index, used, seen)
        return cls(evidence, anchors, index, used, seen, weight, *seen_rays, _arranged_known(evidence, index, used))

    def weighted(self, weights: FloatArray | None) -> BundleProblem:
        """The same with extra weights (P, N) or (H, P, N) of the observations."""
        if weights is None:
            return self
        weight = self.evidence.weight * np.asarray(weights, float)
        return replace(self, weight=_gathered(weight if weight.ndim == 3 else weight[None], self.index, self.seen))

    def only(self, hypothesis: int) -> BundleProblem:
        """The same with the weights of one hypothesis, by index."""
        return self if len(self.weight) == 1 else replace(self, weight=self.weight[hypothesis : hypothesis + 1])

    def through(self, cameras: Sequence[Camera]) -> BundleProblem:
        """The same pixels seen through N other cameras."""
        evidence = self.evidence.with_cameras(cameras)
        bearing, x, y, focal, turn = _arranged_rays(evidence, self.anchors, self.index, self.used, self.seen)
        return replace(self, evidence=evidence, bearing=bearing, x=x, y=y, focal=focal, turn=turn)

    def turned(self, vectors: FloatArray) -> FloatArray:
        """Vectors (H, A, N, 3, 1 or M) of the cameras in the frames of comparison."""
        if self.turn is None:
            return vectors
        return np.asarray((self.turn * vectors[:, :, :, None]).sum(axis=-2))

    def turned_back(self, jacobian: FloatArray) -> FloatArray:
        """Derivatives (H, A, N, 6, 2, M) by motions in the frames of comparison, as those by motions in the cameras."""
        if self.turn is None:
            return jacobian
        by_motion = jacobian.reshape(*jacobian.shape[:3], 2, 3, *jacobian.shape[4:])
        return np.asarray(np.einsum("anikm,hanbicm->hanbkcm", self.turn, by_motion)).reshape(jacobian.shape)

    def arranged(self, values: FloatArray) -> FloatArray:
        """(H, P) values of the tracks as (H, A, M), 0 where padded."""
        return np.where(self.used, values[:, self.index], 0.0)

    def scattered(self, values: FloatArray, fill: float) -> FloatArray:
        """(H, A, ..., M) back to (H, P, ...)."""
        out = np.full((len(values), len(self.evidence.anchor), *values.shape[2:-1]), fill)
        out[:, self.index[self.used]] = np.moveaxis(values, -1, 2)[:, self.used]
        return out


def _gathered(weight: FloatArray, index: npt.NDArray[np.integer], seen: npt.NDArray[np.bool_]) -> FloatArray:
    """Weights (1 or H, P, N) as (1 or H, A, N, M), 0 where a track was not seen."""
    return np.ascontiguousarray(np.where(seen, np.moveaxis(weight[:, index], 3, 2), 0.0))


def _arranged_rays(
    evidence: Evidence,
    anchors: npt.NDArray[np.integer],
    index: npt.NDArray[np.integer],
    used: npt.NDArray[np.bool_],
    seen: npt.NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray | None]:
    """What depends on the cameras: bearings, x, y, focal lengths and turns of `BundleProblem`."""
    starts = used & evidence.seen[index, anchors[:, None]]
    bearing = np.where(starts[..., None], evidence.rays(index, anchors[:, None]), (0.0, 0.0, 1.0))
    lens = evidence.lens
    plane = evidence.plane if lens is None else lens.compared
    x, y = (np.ascontiguousarray(np.where(seen, np.moveaxis(plane[index], 2, 1)[..., k], 0.0)) for k in range(2))
    if lens is None:
        return bearing, x, y, evidence.focal_px[:, None], None
    focal = np.ascontiguousarray(np.where(seen, np.moveaxis(lens.scale_px[index], 2, 1), 1.0))
    if lens.turn is None:
        return bearing, x, y, focal, None
    return bearing, x, y, focal, np.ascontiguousarray(np.moveaxis(lens.turn[index], 1, 4))


def _arranged_known(
    evidence: Evidence, index: npt.NDArray[np.integer], used: npt.NDArray[np.bool_]
) -> FloatArray | None:
    """What `BundleProblem.known` holds."""
    if evidence.known is None:
        return None
    depth = np.where(evidence.known.there, evidence.known.inverse_depth, 0.0)
    per_unit_px = evidence.known.per_sigma(RefineSettings.noise_px)
    return np.stack([np.where(used, values[index], 0.0) for values in (depth, per_unit_px)])


@dataclass
class _State:
    """Residuals at one point, everything (H, A, N, M) unless said otherwise."""

    pose: FloatArray  # (H, N, 4, 4)
    rho: FloatArray  # (H, A, M)
    rotation: FloatArray  # R_ja (H, A, N, 3, 3)
    offset: FloatArray  # t_ja (H, A, N, 3)
    u: FloatArray
    v: FloatArray
    scale: FloatArray  # focal / z, px; 0 behind the camera
    dx: FloatArray  # px
    dy: FloatArray
    squared: FloatArray  # px^2, large behind the camera

    def only(self, hypothesis: int) -> _State:
        """Of one hypothesis, by index."""
        return _State(**{name: value[hypothesis : hypothesis + 1] for name, value in vars(self).items()})


def _relative(pose: FloatArray, anchors: npt.NDArray[np.integer]) -> tuple[FloatArray, FloatArray]:
    rotation, centre = pose[..., :3, :3], pose[..., :3, 3]
    to_frame = np.swapaxes(rotation, -1, -2)[:, None]
    relative = to_frame @ rotation[:, anchors, None]
    offset = (to_frame @ (centre[:, anchors, None] - centre[:, None])[..., None])[..., 0]
    return relative, offset


def _rotated(problem: BundleProblem, rotation: FloatArray) -> FloatArray:
    """Bearings in every frame without parallax: (H, A, N, 3, M)."""
    return np.asarray(rotation @ np.swapaxes(problem.bearing, -1, -2)[None, :, None])


def _evaluate(problem: BundleProblem, pose: FloatArray, rho: FloatArray) -> _State:
    rotation, offset = _relative(pose, problem.anchors)
    q = _rotated(problem, rotation)
    q += offset[..., None] * rho[:, :, None, None, :]
    q = problem.turned(q)
    front = q[..., 2, :] > _MIN_Z
    inverse_z = 1.0 / np.where(front, q[..., 2, :], 1.0)
    u, v = q[..., 0, :] * inverse_z, q[..., 1, :] * inverse_z
    scale = np.where(front, problem.focal * inverse_z, 0.0)
    dx, dy = (u - problem.x) * problem.focal, (v - problem.y) * problem.focal
    squared = np.where(front, dx * dx + dy * dy, _BEHIND_PX**2)
    return _State(pose, rho, rotation, offset, u, v, scale, dx, dy, squared)


def _cost(problem: BundleProblem, s: _State, width_px: float) -> FloatArray:
    cost = (problem.weight * s.squared / (s.squared + width_px * width_px)).sum(axis=(1, 2, 3))
    if problem.known is not None:
        squared, wide = _off_known_px(problem.known, s.rho) ** 2, _width_of_known(width_px)
        cost = cost + (wide / width_px) ** 2 * (squared / (squared + wide * wide)).sum(axis=(1, 2))
    return np.asarray(cost)


def _off_known_px(known: FloatArray, rho: FloatArray) -> FloatArray:
    """How far inverse depths (H, A, M) are from those that a sensor has measured, in px as observations count."""
    return np.asarray((rho - known[0]) * known[1])


def _width_of_known(width_px: float) -> float:
    """Width of the loss for measured depths, which are to pull also where the cameras are still off in scale."""
    return max(width_px, KNOWN_WIDTH_PX)


def _jacobian(problem: BundleProblem, s: _State, width_px: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted Jacobians towards the relative pose (phi, tau of dq = phi x q + rho tau) and the inverse depth.

    Returns (H, A, N, 6, 2, M), (H, A, N, 2, M) and the weighted residual (H, A, N, 2, M).
    """
    c2 = width_px * width_px
    root = np.sqrt(problem.weight) * (width_px / (s.squared + c2)) * (s.scale > 0)
    f, depth_step = root * problem.focal, root * s.scale
    fu, fv = f * s.u, f * s.v
    tau = depth_step * s.rho[:, :, None]
    jacobian = np.zeros((*s.u.shape[:3], 6, 2, s.u.shape[3]))
    jacobian[..., 0, 0, :] = -fu * s.v
    jacobian[..., 1, 0, :] = f + fu * s.u
    jacobian[..., 2, 0, :] = -fv
    jacobian[..., 3, 0, :] = tau
    jacobian[..., 5, 0, :] = -tau * s.u
    jacobian[..., 0, 1, :] = -f - fv * s.v
    jacobian[..., 1, 1, :] = fu * s.v
    jacobian[..., 2, 1, :] = fu
    jacobian[..., 4, 1, :] = tau
    jacobian[..., 5, 1, :] = -tau * s.v
    x, y, z = np.moveaxis(problem.turned(s.offset[..., None]), 3, 0)
    depth = np.stack([depth_step * (x - s.u * z), depth_step * (y - s.v * z)], axis=-2)
    return problem.turned_back(jacobian), depth, np.stack([root * s.dx, root * s.dy], axis=-2)


def _pose_map(s: _State, anchors: npt.NDArray[np.integer]) -> FloatArray:
    """Linear map (H, A, 6N, 6N) from updates (rotation in the camera, translation) of all cameras to (phi, tau)."""
    hypotheses, frames = s.pose.shape[:2]
    out = np.zeros((hypotheses, len(anchors), frames, 6, frames, 6))
    to_frame = np.swapaxes(s.pose[..., :3, :3], -1, -2)
    for j in range(frames):
        out[:, :, j, :3, j, :3] = -np.eye(3)
        out[:, :, j, 3:, j, 3:] = -to_frame[:, None, j]
    turned = skew(s.offset) @ s.rotation
    for row, anchor in enumerate(anchors):
        out[:, row, :, :3, anchor, :3] += s.rotation[:, row]
        out[:, row, :, 3:, anchor, :3] += turned[:, row]
        out[:, row, :, 3:, anchor, 3:] += to_frame
    return out.reshape(hypotheses, len(anchors), 6 * frames, 6 * frames)


@dataclass
class _Normal:
    """Reduced normal equations and what is needed to recover the depths."""

    matrix: FloatArray  # (H, 6N, 6N)
    gradient: FloatArray  # (H, 6N)
    pose_map: FloatArray
    cross: FloatArray  # (H, A, 6N, M)
    depth_matrix: FloatArray  # (H, A, M)
    depth_gradient: FloatArray


def _normal_equations(
    problem: BundleProblem,
    s: _State,
    width_px: float,
    keep_depths: bool = False,
    depth_damping: float = _RELATIVE_DEPTH_DAMPING,
) -> _Normal:
    jacobian, depth, residual = _jacobian(problem, s, width_px)
    if keep_depths:
        depth = np.zeros_like(depth)
    h, a, n, _, _, m = jacobian.shape
    flat = jacobian.reshape(h, a, n, 6, 2 * m)
    own = flat @ np.swapaxes(flat, -1, -2)
    gradient = (flat @ residual.reshape(h, a, n, 2 * m, 1))[..., 0].reshape(h, a, 6 * n)
    by_depth = jacobian[..., 0, :] * depth[:, :, :, None, 0] + jacobian[..., 1, :] * depth[:, :, :, None, 1]
    cross = by_depth.reshape(h, a, 6 * n, m)
    depth_matrix = (depth * depth).sum(axis=(2, 3)) * (1.0 + depth_damping) + _DEPTH_DAMPING
    depth_gradient = (depth * residual).sum(axis=(2, 3))
    if problem.known is not None and not keep_depths:
        off, wide = _off_known_px(problem.known, s.rho), _width_of_known(width_px)
        root = wide * wide / width_px / (off * off + wide * wide)
        depth_matrix += (root * problem.known[1]) ** 2
        depth_gradient += root * root * problem.known[1] * off
    scaled = cross / depth_matrix[:, :, None]
    reduced = -(scaled @ np.swapaxes(cross, -1, -2))
    for j in range(n):
        block = slice(6 * j, 6 * j + 6)
        reduced[:, :, block, block] += own[:, :, j]
    gradient = gradient - (scaled @ depth_gradient[..., None])[..., 0]
    pose_map = _pose_map(s, problem.anchors)
    transposed = np.swapaxes(pose_map, -1, -2)
    matrix = (transposed @ reduced @ pose_map).sum(axis=1)
    return _Normal(
        matrix, (transposed @ gradient[..., None])[..., 0].sum(axis=1), pose_map, cross, depth_matrix, depth_gradient
    )


def _pull(normal: _Normal, s: _State, prior: PlacePrior, share: float) -> None:
    """Add what is known of the places to the normal equations, as so much of a square as an observation of 1 px."""
    places = np.arange(normal.matrix.shape[1]).reshape(-1, 6)[:, 3:].ravel()
    normal.matrix[:, places[:, None], places] += share * prior.information
    normal.gradient[:, places] += share * prior.pull_at(s.pose)


def _step(
    problem: BundleProblem,
    s: _State,
    normal: _Normal,
    damping: FloatArray,
    fixed: npt.NDArray[np.bool_],
    keep_depths: bool,
) -> _State:
    """The damped step of every hypothesis, evaluated."""
    held = np.repeat(fixed, 6, axis=1)
    matrix = np.where(held[:, :, None] | held[:, None], 0.0, normal.matrix)
    diagonal = np.einsum("hii->hi", matrix)
    matrix = matrix + np.eye(matrix.shape[1]) * (damping[:, None] * diagonal + 1e-9)[:, None]
    update = -np.linalg.solve(matrix, np.where(held, 0.0, normal.gradient)[..., None])[..., 0]
    rho = s.rho
    if not keep_depths:
        relative = (normal.pose_map @ update[:, None, :, None])[..., 0]
        moved = (relative[:, :, None] @ normal.cross)[:, :, 0]
        rho = np.maximum(s.rho - (normal.depth_gradient + moved) / normal.depth_matrix, 0.0)
    delta = update.reshape(len(update), -1, 6)
    pose = s.pose.copy()
    pose[..., :3, :3] = s.pose[..., :3, :3] @ rotation_from_vector(delta[..., :3])
    pose[..., :3, 3] += delta[..., 3:]
    return _evaluate(problem, pose, rho)


def _choose(better: npt.NDArray[np.bool_], new: _State, old: _State) -> _State:
    merged = {
        name: np.where(better.reshape(-1, *(1,) * (value.ndim - 1)), value, getattr(old, name))
        for name, value in vars(new).items()
    }
    return _State(**merged)


def _unit_scale(s: _State) -> _State:
    """Clip units: the camera furthest from the first one is at distance 1. Residuals do not change."""
    size = np.linalg.norm(s.pose[..., :3, 3], axis=-1).max(axis=-1)
    size = np.where(size > 1e-9, size, 1.0)
    pose = s.pose.copy()
    pose[..., :3, 3] /= size[:, None, None]
    return replace(s, pose=pose, rho=s.rho * size[:, None, None], offset=s.offset / size[:, None, None, None])


def parallax_px(problem: BundleProblem, camera_to_first: FloatArray) -> FloatArray:
    """How far every observation lies from where it would be if the scene were infinitely far.

    Args:
        problem: P tracks over N frames.
        camera_to_first: (N, 4, 4).

    Returns:
        (P, N) px, NaN where a track was not seen and at its anchor. Where it is mere noise, the cameras only turned and
        nothing fixes their positions.
    """
    state = _evaluate(problem, np.asarray(camera_to_first, float)[None], np.zeros((1, *problem.used.shape)))
    parallax: FloatArray = problem.scattered(np.where(problem.seen, np.sqrt(state.squared), np.nan), np.nan)[0]
    return parallax


def triangulate(
    evidence: Evidence | BundleProblem, camera_to_first: FloatArray, weights: FloatArray | None = None
) -> FloatArray:
    """Inverse depth (H, P) of every track for given cameras (H, N, 4, 4), robust to one wrong observation.

    Candidates are the least-squares depth of all observations and of each alone; the one that the most observations
    agree with wins.

    Args:
        evidence: P tracks over N frames; arranged already where several solves share it.
        camera_to_first: (H, N, 4, 4).
        weights: (P, N) or (H, P, N) extra weight per observation.
    """
    problem = _arranged(evidence).weighted(weights)
    return problem.scattered(_triangulate(problem, np.asarray(camera_to_first, float)), 0.0)


def _triangulate(problem: BundleProblem, pose: FloatArray) -> FloatArray:
    rotation, offset = _relative(pose, problem.anchors)
    q = problem.turned(_rotated(problem, rotation))
    tx, ty, tz = np.moveaxis(problem.turned(offset[..., None]), 3, 0)
    slope = np.stack([tx - problem.x * tz, ty - problem.y * tz])
    level = np.stack([problem.x * q[..., 2, :] - q[..., 0, :], problem.y * q[..., 2, :] - q[..., 1, :]])
    numerator = (slope * level).sum(axis=0) * problem.weight
    denominator = (slope * slope).sum(axis=0) * problem.weight
    together = numerator.sum(axis=2, keepdims=True) / np.maximum(denominator.sum(axis=2, keepdims=True), 1e-12)
    candidates = np.concatenate([together, numerator / np.maximum(denominator, 1e-12)], axis=2)
    if problem.known is not None:
        measured = np.where(problem.known[1] > 0, problem.known[0], together[:, :, 0])
        candidates = np.concatenate([candidates, measured[:, :, None]], axis=2)
    candidates = np.maximum(candidates, 0.0)
    best, best_cost = np.zeros(numerator.shape[:2] + numerator.shape[3:]), np.inf
    for k in range(candidates.shape[2]):
        rho = candidates[:, :, k]
        miss = ((slope * rho[:, :, None] - level) ** 2).sum(axis=0) * problem.focal**2
        cost = (problem.weight * miss / (miss + _DEPTH_WIDTH_PX**2)).sum(axis=2)
        if problem.known is not None:
            off2 = _off_known_px(problem.known, rho) ** 2
            cost += off2 / (off2 + _DEPTH_WIDTH_PX**2)
        best = np.where(cost < best_cost, rho, best)
        best_cost = np.minimum(cost, best_cost)
    if problem.known is None:
        return best
    z = np.maximum(q[..., 2, :] + best[:, :, None] * tz, _MIN_Z)
    return _joined(problem, problem.known, best, slope * problem.focal / z, level * problem.focal / z)


def _joined(
    problem: BundleProblem, known: FloatArray, best: FloatArray, slope: FloatArray, level: FloatArray
) -> FloatArray:
    """Inverse depths (H, A, M) from observations and measured depths together, both as robust as near the best ones.

    Args:
        problem, known: see there.
        best: (H, A, M), to start from, and where nothing was measured.
        slope, level: (2, H, A, N, M) px: an observation misses by ``slope * rho - level``.
    """
    squared = ((slope * best[:, :, None] - level) ** 2).sum(axis=0)
    robust = problem.weight * (_DEPTH_WIDTH_PX**2 / (squared + _DEPTH_WIDTH_PX**2)) ** 2
    off2 = _off_known_px(known, best) ** 2
    sure = (known[1] * KNOWN_WIDTH_PX**2 / (off2 + KNOWN_WIDTH_PX**2)) ** 2
    numerator = (robust * (slope * level).sum(axis=0)).sum(axis=2) + sure * known[0]
    denominator = (robust * (slope * slope).sum(axis=0)).sum(axis=2) + sure
    together = np.maximum(numerator / np.maximum(denominator, 1e-12), 0.0)
    return np.where(known[1] > 0, together, best)


def _arranged(evidence: Evidence | BundleProblem) -> BundleProblem:
    return evidence if isinstance(evidence, BundleProblem) else BundleProblem.of(evidence)


def refine(
    evidence: Evidence | BundleProblem,
    camera_to_first: npt.ArrayLike,
    settings: RefineSettings | None = None,
    *,
    weights: FloatArray | None = None,
    inverse_depth: FloatArray | None = None,
    fixed: npt.ArrayLike | None = None,
    keep_depths: bool = False,
    prior: PlacePrior | None = None,
) -> Refined:
    """Refine hypotheses of the cameras of a clip against its evidence.

    Args:
        evidence: P tracks over N frames; arranged already where several solves share it.
        camera_to_first: (H, N, 4, 4) starting poses.
        weights: (P, N) or (H, P, N) extra weight per observation, for example an inlier probability.
        inverse_depth: (H, P) starting depths; triangulated when absent.
        fixed: (N,) or (H, N), frames that keep their pose; frame 0 when absent. With one fixed frame the result is
            rescaled so that the camera furthest from the first is at distance 1; more fixed frames set the scale, and
            so do depths that a sensor has measured (`Evidence.known`).
        keep_depths: solve for the poses alone (resection).
        prior: of the places of all N frames; it sets the scale, too.
    """
    settings = settings or RefineSettings()
    problem = _arranged(evidence).weighted(weights)
    pose = np.array(camera_to_first, float)
    held = _fixed_frames(fixed, pose)
    own_scale = bool((held.sum(axis=1) < 2).all()) and not keep_depths and problem.known is None and prior is None
    rho = _triangulate(problem, pose) if inverse_depth is None else problem.arranged(np.asarray(inverse_depth, float))
    state = _evaluate(problem, pose, rho)
    damping = np.full(len(pose), 1e-3)
    for iteration in range(settings.iterations):
        width = settings.widths_px[min(iteration, len(settings.widths_px) - 1)]
        give_way()
        normal = _normal_equations(problem, state, width, keep_depths)
        # Told in the measure of the observations.
        share = (settings.noise_px / width) ** 2
        if prior is not None:
            _pull(normal, state, prior, share)
        give_way()
        trial = _step(problem, state, normal, damping, held, keep_depths)
        before, after = _cost(problem, state, width), _cost(problem, trial, width)
        if prior is not None:
            before, after = before + share * prior.cost_at(state.pose), after + share * prior.cost_at(trial.pose)
        better = after < before
        state = _choose(better, trial, state)
        damping = np.where(better, np.maximum(damping / 5.0, 1e-6), np.minimum(damping * 10.0, 1e3))
        if own_scale:
            state = _unit_scale(state)
        annealed = width == settings.widths_px[-1]
        if annealed and (better & (before - after < settings.tolerance * before)).all():
            break
    return _result(problem, state, settings, held)


def _fixed_frames(fixed: npt.ArrayLike | None, pose: FloatArray) -> npt.NDArray[np.bool_]:
    if fixed is None:
        fixed = np.arange(pose.shape[1]) == 0
    return np.broadcast_to(np.asarray(fixed, bool), pose.shape[:2])


def _result(problem: BundleProblem, s: _State, settings: RefineSettings, held: npt.NDArray[np.bool_]) -> Refined:
    width = settings.widths_px[-1]
    cost = _cost(problem, s, width)
    order = np.argsort(cost, kind="stable")
    residual = np.where(problem.seen, np.sqrt(s.squared), np.nan)

    def information_of(rank: int) -> FloatArray:
        which = int(order[rank])
        columns = np.repeat(held[which], 6)
        matrix = (
            _normal_equations(problem.only(which), s.only(which), width).matrix[0] * (width / settings.noise_px) ** 2
        )
        return np.where(columns[:, None] | columns, 0.0, matrix)

    return Refined(
        order,
        s.pose[order],
        problem.scattered(s.rho, 0.0)[order],
        cost[order],
        problem.scattered(residual, np.nan)[order],
        information_of,
    )


@dataclass(frozen=True, eq=False)
class Tie:
    """How the C cameras of a rig stand to the one that leads. Frame ``c * G + g`` is camera *c* at moment *g* of G.

    Attributes:
        mounts: (C, 4, 4) camera_to_leader, m; the identity first.
        units: world units of a metre.
    """

    mounts: FloatArray
    units: float

    def scaled(self, units: float) -> Tie:
        """In a world of another unit."""
        return replace(self, units=units)

    def poses(self, leader: FloatArray) -> FloatArray:
        """camera_to_world (C * G, 4, 4) of all, by those of the leader (G, 4, 4)."""
        mounts = self.mounts.copy()
        mounts[:, :3, 3] *= self.units
        return np.asarray((leader[None] @ mounts[:, None]).reshape(-1, 4, 4))

    def jacobian(self, leader: FloatArray) -> FloatArray:
        """(6 C G, 6 G + 1): updates of all (rotation in the camera, translation) by those of the leader.

        The last column is by the logarithm of the units.
        """
        moments = len(leader)
        out = np.zeros((len(self.mounts), moments, 6, 6 * moments + 1))
        for c, mount in enumerate(self.mounts):
            arm = mount[:3, 3] * self.units
            for g, rotation in enumerate(leader[:, :3, :3]):
                column = 6 * g
                out[c, g, :3, column : column + 3] = mount[:3, :3].T
                out[c, g, 3:, column : column + 3] = -rotation @ skew(arm)
                out[c, g, 3:, column + 3 : column + 6] = np.eye(3)
                out[c, g, 3:, -1] = rotation @ arm
        return out.reshape(-1, 6 * moments + 1)


def told_of_cameras(
    evidence: Evidence,
    camera_to_world: FloatArray,
    inverse_depth: FloatArray,
    less: Sequence[Camera],
    more: Sequence[Camera],
    width_px: float,
) -> tuple[float, float]:
    """How far the cameras of evidence are off along a change of all of them, poses and depths eliminated.

    It is linear: nothing is iterated, poses and depths stay as they are. What poses and depths can explain as well has
    no information.

    Args:
        evidence: P tracks over N frames.
        camera_to_world: (N, 4, 4), refined.
        inverse_depth: (P,) likewise; 0 where the track is infinitely far.
        less, more: the N cameras after a change by -1 and by 1.
        width_px: of the loss.

    Returns:
        The change that explains the evidence best, and its information: half of the second derivative of the cost, so
        that observations count by 1 / `width_px`.
    """
    problem = BundleProblem.of(evidence)
    pose, rho = camera_to_world[None], problem.arranged(inverse_depth[None])
    state = _evaluate(problem, pose, rho)
    before, after = (_evaluate(problem.through(cameras), pose, rho) for cameras in (less, more))
    by_change = np.stack([after.dx - before.dx, after.dy - before.dy], axis=-2) / 2.0
    jacobian, depth, residual = _jacobian(problem, state, width_px)
    root = np.sqrt(problem.weight) * (width_px / (state.squared + width_px**2)) * (state.scale > 0)
    by_change *= root[..., None, :]
    normal = _normal_equations(problem, state, width_px, depth_damping=0.0)
    by_depth = (by_change * depth).sum(axis=(2, 3))
    share = by_depth / normal.depth_matrix
    own = float((by_change**2).sum() - (by_depth * share).sum())
    pull = float((by_change * residual).sum() - (share * normal.depth_gradient).sum())
    relative = (jacobian * by_change[:, :, :, None]).sum(axis=(-2, -1)).reshape(*normal.cross.shape[:3])
    relative -= (normal.cross * share[:, :, None]).sum(axis=-1)
    cross = np.einsum("hai,haij->j", relative, normal.pose_map)
    inverse = np.linalg.pinv(normal.matrix[0], rcond=_NO_INFORMATION, hermitian=True)
    information = own - float(cross @ inverse @ cross)
    pull -= float(cross @ inverse @ normal.gradient[0])
    return (-pull / information, information) if information > _NO_INFORMATION * own else (0.0, 0.0)


@dataclass(frozen=True)
class UnitsPrior:
    """World units of a metre, and the information of their logarithm."""

    units: float
    information: float

    def grown(self, factor: float) -> UnitsPrior:
        """In a world whose lengths have become so many times as large."""
        return replace(self, units=self.units * factor)


@dataclass(frozen=True, eq=False)
class SeenByOne:
    """What one camera of a rig has seen: no track is of two cameras, so that what each sees is solved for by itself.

    Attributes:
        camera: position among the cameras of `Tie`.
        moments: (N,) at which its frames were taken, by position.
        evidence: P tracks over those frames.
    """

    camera: int
    moments: npt.NDArray[np.integer]
    evidence: Evidence


@dataclass(frozen=True)
class RefinedRig:
    """A rig after refinement.

    Attributes:
        leader_to_world: (G, 4, 4).
        units: world units of a metre.
        units_information: of their logarithm, after elimination of all else; 0 where nothing tells.
        inverse_depth: (P,) of the tracks of each part that was given.
        residual_px: (P, N) likewise, NaN where a track was not seen.
    """

    leader_to_world: FloatArray
    units: float
    units_information: float
    inverse_depth: Sequence[FloatArray]
    residual_px: Sequence[FloatArray]


@dataclass(frozen=True, eq=False)
class _TiedPart:
    """A part of the problem of a rig: frames are those of one camera, by their positions in `Tie`."""

    problem: BundleProblem
    frames: npt.NDArray[np.integer]

    @classmethod
    def of(cls, seen: SeenByOne, moments: int) -> _TiedPart:
        return cls(BundleProblem.of(seen.evidence), seen.camera * moments + np.asarray(seen.moments))

    def triangulated(self, poses: FloatArray) -> _State:
        here = poses[self.frames][None]
        return _evaluate(self.problem, here, _triangulate(self.problem, here))

    def rows(self, jacobian: FloatArray) -> FloatArray:
        """Of `Tie.jacobian`, of the frames of this part alone."""
        return np.asarray(jacobian.reshape(-1, 6, jacobian.shape[1])[self.frames].reshape(-1, jacobian.shape[1]))

    def normal(self, s: _State, width_px: float) -> _Normal:
        # Damped depths would hardly follow a change of the unit, which the images tell weakly.
        return _normal_equations(self.problem, s, width_px, depth_damping=0.0)

    def moved(self, s: _State, normal: _Normal, update: FloatArray, poses: FloatArray) -> _State:
        """After an update (6 N,) of its frames, which are at these of all poses then."""
        return _evaluate(self.problem, poses[self.frames][None], _depths_after(s, normal, update))

    def residual_px(self, s: _State) -> FloatArray:
        return np.asarray(self.problem.scattered(np.where(self.problem.seen, np.sqrt(s.squared), np.nan), np.nan)[0])


def refine_rig(
    seen: Sequence[SeenByOne],
    leader_to_world: FloatArray,
    tie: Tie,
    settings: RefineSettings,
    fixed: npt.NDArray[np.bool_],
    units_prior: UnitsPrior | None = None,
) -> RefinedRig:
    """Refine the poses of a rig over some moments, and the unit of the world where cameras that turn tell it.

    Args:
        seen: by each camera.
        leader_to_world: (G, 4, 4) starting poses.
        tie: of the cameras.
        settings: of the refinement.
        fixed: (G,) moments whose poses stay. Two of them hold the unit; where it is one, and the units are sought, the
            mean square of the distances from there stays.
        units_prior: what is known of the units, where they are sought, too; None where they stay as given.
    """
    leader = np.array(leader_to_world, float)
    parts = [_TiedPart.of(one, len(leader)) for one in seen]
    poses = tie.poses(leader)
    states = [part.triangulated(poses) for part in parts]
    held = np.append(np.repeat(fixed, 6), units_prior is None)
    length = np.zeros(len(held)) if units_prior is None else _lengths_held(leader, fixed)
    widths = _widths_from(parts, states, settings.widths_px)
    known, damping = units_prior or UnitsPrior(tie.units, 0.0), _RIG_DAMPING
    for iteration in range(settings.iterations):
        width = widths[min(iteration, len(widths) - 1)]
        give_way()
        normals = [part.normal(s, width) for part, s in zip(parts, states, strict=True)]
        jacobians = _jacobians(parts, tie, leader)
        prior = known.information * (settings.noise_px / width) ** 2
        off = float(np.log(tie.units / known.units))
        update = _tied_update(_tied(normals, jacobians), held, length, damping, prior, off)
        give_way()
        moved, tie_then = _tied_move(leader, tie, update)
        poses = tie_then.poses(moved)
        trial = [
            part.moved(s, normal, jacobian @ update, poses)
            for part, s, normal, jacobian in zip(parts, states, normals, jacobians, strict=True)
        ]
        before, after = (
            _tied_cost(parts, s, width) + prior * float(np.log(t.units / known.units)) ** 2
            for s, t in ((states, tie), (trial, tie_then))
        )
        if after < before:
            leader, tie, states, damping = moved, tie_then, trial, max(damping / 5.0, _LEAST_RIG_DAMPING)
        else:
            damping = min(damping * 10.0, 1e3)
        if width == settings.widths_px[-1] and after < before and before - after < settings.tolerance * before:
            break
    width = settings.widths_px[-1]
    normals = [part.normal(s, width) for part, s in zip(parts, states, strict=True)]
    matrix, _ = _tied(normals, _jacobians(parts, tie, leader))
    return RefinedRig(
        leader,
        tie.units,
        _units_information(matrix, held, length) * (width / settings.noise_px) ** 2,
        [part.problem.scattered(s.rho, 0.0)[0] for part, s in zip(parts, states, strict=True)],
        [part.residual_px(s) for part, s in zip(parts, states, strict=True)],
    )


def _jacobians(parts: Sequence[_TiedPart], tie: Tie, leader: FloatArray) -> list[FloatArray]:
    """`Tie.jacobian` of each part."""
    whole = tie.jacobian(leader)
    return [part.rows(whole) for part in parts]


def _tied_cost(parts: Sequence[_TiedPart], states: Sequence[_State], width_px: float) -> float:
    return sum(float(_cost(part.problem, s, width_px)[0]) for part, s in zip(parts, states, strict=True))


def _tied(normals: Sequence[_Normal], jacobians: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Normal equations of the leader and of the units: matrix (6 G + 1, 6 G + 1) and gradient (6 G + 1,)."""
    pairs = list(zip(normals, jacobians, strict=True))
    matrix = np.sum([jacobian.T @ normal.matrix[0] @ jacobian for normal, jacobian in pairs], axis=0)
    return matrix, np.sum([jacobian.T @ normal.gradient[0] for normal, jacobian in pairs], axis=0)


def _widths_from(parts: Sequence[_TiedPart], states: Sequence[_State], widths_px: Sequence[float]) -> Sequence[float]:
    """The widths that are left where a solve begins: wider ones would let wrong matches draw away what is right."""
    seen = np.concatenate([s.squared[0][part.problem.seen] for part, s in zip(parts, states, strict=True)])
    median_px = float(np.sqrt(np.median(seen))) if len(seen) else 0.0
    left = [width for width in widths_px[:-2] if width < _WIDTH_OVER_MEDIAN * median_px]
    return [*left, *widths_px[-2:]]


def _lengths_held(leader: FloatArray, fixed: npt.NDArray[np.bool_]) -> FloatArray:
    """(6 G + 1,) the direction in which updates of all change lengths, where one fixed pose alone holds no unit.

    All are counted from that pose: one distance alone would be as noisy as its ends. Zeros where more poses are fixed.
    """
    direction: FloatArray = np.zeros(6 * len(leader) + 1)
    if fixed.sum() == 1:
        away = leader[:, :3, 3] - leader[fixed][0, :3, 3]
        direction[:-1].reshape(-1, 6)[:, 3:] = away / max(float(np.linalg.norm(away)), _NO_LENGTH)
    return direction


def _with_length(matrix: FloatArray, length: FloatArray) -> FloatArray:
    """Normal equations in which a direction is as good as fixed."""
    return np.asarray(matrix + _RIGID * float(np.diag(matrix).max()) * np.outer(length, length))


def _tied_update(
    normal: tuple[FloatArray, FloatArray],
    held: npt.NDArray[np.bool_],
    length: FloatArray,
    damping: float,
    prior: float,
    off: float,
) -> FloatArray:
    """The damped step (6 G + 1,) of the leader and of the logarithm of the units, which is off its prior by so much."""
    matrix = _with_length(normal[0], length)
    gradient = normal[1] - length * (length @ normal[1])
    matrix[-1, -1] += prior
    gradient[-1] += prior * off
    matrix = np.where(held[:, None] | held, 0.0, matrix)
    matrix = matrix + np.diag(damping * np.diag(matrix) + 1e-9)
    return np.asarray(-np.linalg.solve(matrix, np.where(held, 0.0, gradient)))


def _tied_move(leader: FloatArray, tie: Tie, update: FloatArray) -> tuple[FloatArray, Tie]:
    delta = update[:-1].reshape(-1, 6)
    moved = leader.copy()
    moved[:, :3, :3] = leader[:, :3, :3] @ rotation_from_vector(delta[:, :3])
    moved[:, :3, 3] += delta[:, 3:]
    return moved, tie.scaled(tie.units * float(np.exp(np.clip(update[-1], -0.5, 0.5))))


def _depths_after(s: _State, normal: _Normal, update: FloatArray) -> FloatArray:
    """Inverse depths (1, A, M) after an update (6 N,) of all frames."""
    relative = normal.pose_map[0] @ update
    moved = np.einsum("ai,aim->am", relative, normal.cross[0])
    return np.asarray(np.maximum(s.rho - (normal.depth_gradient + moved[None]) / normal.depth_matrix, 0.0))


def _units_information(matrix: FloatArray, held: npt.NDArray[np.bool_], length: FloatArray) -> float:
    matrix = _with_length(matrix, length)
    free = np.flatnonzero(~held[:-1])
    inner, cross = matrix[np.ix_(free, free)], matrix[free, -1]
    return max(float(matrix[-1, -1] - cross @ np.linalg.solve(inner + 1e-9 * np.eye(len(free)), cross)), 0.0)
