"""Pose of one frame from one start: keyframes fixed, an inverse depth per track solved with the pose.

The keyframes' own observations of a track, and what a sensor has measured of its depth, are summed up once as a depth
and its information, which stays the same while the pose is sought. What is left has six unknowns and one per track, a
tenth of the work of `bundle_adjustment.refine`, which gives the same answer.

Cameras that are fixed to this one add tracks of their own keyframes, and no unknown: their poses follow from its pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimation.bundle_adjustment import KNOWN_WIDTH_PX, RefineSettings
from ros2_raxels.geometry.poses import FloatArray, orthogonal, rotation_from_vector, skew
from ros2_raxels.matching.tracks import Evidence, KnownDepths

_MIN_Z = 0.05
_WIDTHS_PX = (0.5, 2.0)
"""Of the Geman-McClure loss at the end: what half of the tracks miss by, times a factor, within these bounds. Where
parallax is small, wrong matches within a px or two would bend the pose and still agree."""

_WIDTH_OVER_MEDIAN = 4.0
_DEPTH_WIDTH_PX = 0.6
"""Of the loss of the keyframes' own observations."""

_WIDEST_PX = 20.0
_NARROWING = 0.5
_ENOUGH_KNOWN = 12
_ITERATIONS, _ROUGH_ITERATIONS = 12, 4
"""The second where the result is a start for more tracks."""

_LEAST_GAIN = 1e-3
"""Of the cost in a step; less ends the search. A tenth of it moves cameras by 1e-4 degrees and takes a fifth longer."""

_DAMPING = 1e-6
_BEHIND_PX2 = 1e6


@dataclass(frozen=True)
class PoseSolve:
    """What was found.

    Attributes:
        camera_to_world: 4x4.
        information: 6x6 of (rotation in the camera, translation in the world), depths eliminated, 1/px^2.
        inverse_depth: (P,) of the tracks in their anchors.
        residual_px: (P,) in the frame.
    """

    camera_to_world: FloatArray
    information: FloatArray
    inverse_depth: FloatArray
    residual_px: FloatArray


@dataclass(frozen=True, eq=False)
class Beside:
    """What another camera of a rig has seen at the same time.

    Attributes:
        evidence: tracks over its keyframes and, last, its new image, which sees all of them.
        keyframes: its camera_to_world (4x4) of the keyframes, in which all tracks start.
        to_leader: camera_to_leader, 4x4 in world units, of the camera whose pose is sought.
    """

    evidence: Evidence
    keyframes: Sequence[FloatArray]
    to_leader: FloatArray


@dataclass(frozen=True, eq=False)
class _Tracks:
    """P tracks as the frame is to explain them: points ``ray + rho * centre`` in the world, seen at (x, y).

    That is where they lie in the frame of comparison, see `LensRays.turn`. `turn` leads there from the camera that is
    sought, `offset` is where another one stands that sees them.
    """

    ray: FloatArray  # (P, 3)
    centre: FloatArray  # (P, 3)
    x: FloatArray
    y: FloatArray
    weight: FloatArray  # (P,)
    depth: FloatArray  # (P,) as the keyframes see it
    information: FloatArray  # (P,) of that, 1/px^2
    focal_px: float | FloatArray
    turn: FloatArray | None  # (P, 3, 3)
    offset: FloatArray | None = None  # (P, 3) in the camera whose pose is sought

    def towards(self, pose: FloatArray) -> FloatArray:
        """The anchors (P, 3) in the frames of comparison."""
        found = (self.centre - pose[:3, 3]) @ pose[:3, :3]
        return self.turned(found if self.offset is None else found - self.offset)

    @cached_property
    def swung(self) -> FloatArray:
        """(3, 3, P) how a turn about each axis moves the cameras that stand beside, in the frames of comparison."""
        if self.offset is None:
            return np.zeros((3, 3, len(self.depth)))
        # Offset cross axis, for the three axes.
        moved = np.moveaxis(skew(self.offset), -1, 0)
        return np.stack([self.turned(vectors).T for vectors in moved])

    def turned(self, vectors: FloatArray) -> FloatArray:
        """Vectors (P, 3) of the camera, or one (3,) for all, in the frames of comparison."""
        return vectors if self.turn is None else np.asarray((self.turn @ vectors[..., None])[..., 0])


@dataclass
class _Linear:
    """Residuals at one point, and what they depend on."""

    u: FloatArray
    v: FloatArray
    dx: FloatArray  # px
    dy: FloatArray
    squared: FloatArray
    scale: FloatArray  # focal / z; 0 behind the camera
    towards: FloatArray  # (P, 3) of the anchors, in the frame of comparison


def solve_pose(
    start: FloatArray, keyframes: Sequence[FloatArray], evidence: Evidence, beside: Sequence[Beside] = ()
) -> PoseSolve:
    """The pose of the last frame of some evidence.

    Args:
        start: 4x4, camera_to_world, right to some tens of px.
        keyframes: camera_to_world (4x4) of the frames before it, in which all tracks start.
        evidence: tracks over the keyframes and the frame, which sees all of them.
        beside: what other cameras of a rig have seen; their tracks come behind, P in all.
    """
    tracks = _arranged(np.array(keyframes), evidence)
    if beside:
        others = [(_arranged(np.array(other.keyframes), other.evidence), other.to_leader) for other in beside]
        tracks = _of_all([(tracks, np.eye(4)), *others])
    pose, rho = np.array(start, float), tracks.depth.copy()
    known = tracks.information > 0
    if known.sum() >= _ENOUGH_KNOWN and not known.all():
        # Depths that no other keyframe knows would bend a pose that is off; they are seen from where the others put it.
        pose, rho[known], _ = _solved(_picked(tracks, known), pose, rho[known], _ROUGH_ITERATIONS)
        rho[~known] = _seen_from(_picked(tracks, ~known), pose)
    pose, rho, width = _solved(tracks, pose, rho)
    now = _evaluate(tracks, pose, rho)
    _, _, information = _step(tracks, pose, rho, now, width, 0.0)
    return PoseSolve(orthogonal(pose), information, rho, np.sqrt(now.squared))


def _picked(tracks: _Tracks, chosen: npt.NDArray[np.bool_]) -> _Tracks:
    values = ((part.name, getattr(tracks, part.name)) for part in fields(_Tracks))
    return replace(tracks, **{name: value[chosen] for name, value in values if isinstance(value, np.ndarray)})


def _of_all(parts: Sequence[tuple[_Tracks, FloatArray]]) -> _Tracks:
    """Tracks of several cameras, each with its camera_to_leader (4x4), as one camera's."""
    whole = {}
    for name in ("ray", "centre", "x", "y", "weight", "depth", "information"):
        whole[name] = np.concatenate([getattr(tracks, name) for tracks, _ in parts])
    counts = [len(tracks.depth) for tracks, _ in parts]
    focal = [np.broadcast_to(tracks.focal_px, n) for (tracks, _), n in zip(parts, counts, strict=True)]
    turns = [
        np.broadcast_to(to_leader[:3, :3].T if tracks.turn is None else tracks.turn @ to_leader[:3, :3].T, (n, 3, 3))
        for (tracks, to_leader), n in zip(parts, counts, strict=True)
    ]
    offset = np.repeat([to_leader[:3, 3] for _, to_leader in parts], counts, axis=0)
    return _Tracks(**whole, focal_px=np.concatenate(focal), turn=np.concatenate(turns), offset=offset)


def _seen_from(tracks: _Tracks, pose: FloatArray) -> FloatArray:
    """Inverse depths (P,) that fit the frame best if it is there."""
    q = tracks.turned(tracks.ray @ pose[:3, :3])
    towards = tracks.towards(pose)
    seen = np.column_stack([tracks.x, tracks.y])
    slope, level = towards[:, :2] - seen * towards[:, 2:], seen * q[:, 2:] - q[:, :2]
    return np.asarray(np.maximum((slope * level).sum(axis=1) / np.maximum((slope**2).sum(axis=1), 1e-12), 0.0))


def _solved(
    tracks: _Tracks, pose: FloatArray, rho: FloatArray, most: int = _ITERATIONS
) -> tuple[FloatArray, FloatArray, float]:
    """Pose, inverse depths and last width of the loss, by Levenberg-Marquardt from the ones given, in so many steps."""
    now = _evaluate(tracks, pose, rho)
    width = min(max(3.0 * _median_px(now), _WIDTHS_PX[1]), _WIDEST_PX)
    damping = 1e-4
    for _ in range(most):
        step, moved, _ = _step(tracks, pose, rho, now, width, damping)
        tried = pose.copy()
        tried[:3, :3], tried[:3, 3] = pose[:3, :3] @ rotation_from_vector(step[:3]), pose[:3, 3] + step[3:]
        trial_rho = np.maximum(rho + moved, 0.0)
        trial = _evaluate(tracks, tried, trial_rho)
        before, after = (_cost(tracks, s, r, width) for s, r in ((now, rho), (trial, trial_rho)))
        better = after < before
        if better:
            pose, rho, now = tried, trial_rho, trial
        damping = max(damping / 5.0, 1e-7) if better else damping * 10.0
        narrowest = float(np.clip(_WIDTH_OVER_MEDIAN * _median_px(now), *_WIDTHS_PX))
        if width <= narrowest and (not better or before - after < _LEAST_GAIN * before):
            break
        width = max(width * _NARROWING, narrowest)
    return pose, rho, width


def _median_px(s: _Linear) -> float:
    return float(np.sqrt(np.median(s.squared)))


def _evaluate(tracks: _Tracks, pose: FloatArray, rho: FloatArray) -> _Linear:
    towards = tracks.towards(pose)
    q = tracks.turned(tracks.ray @ pose[:3, :3]) + rho[:, None] * towards
    front = q[:, 2] > _MIN_Z
    inverse_z = 1.0 / np.where(front, q[:, 2], 1.0)
    u, v = q[:, 0] * inverse_z, q[:, 1] * inverse_z
    dx, dy = (u - tracks.x) * tracks.focal_px, (v - tracks.y) * tracks.focal_px
    squared = np.where(front, dx * dx + dy * dy, _BEHIND_PX2)
    return _Linear(u, v, dx, dy, squared, np.where(front, tracks.focal_px * inverse_z, 0.0), towards)


def _cost(tracks: _Tracks, s: _Linear, rho: FloatArray, width: float) -> float:
    """In px^2, so that the depths of the keyframes weigh as much at any width."""
    robust = tracks.weight * s.squared * width**2 / (s.squared + width**2)
    return float(robust.sum() + (tracks.information * (rho - tracks.depth) ** 2).sum())


def _step(
    tracks: _Tracks, pose: FloatArray, rho: FloatArray, s: _Linear, width: float, damping: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Update (6,) of (rotation in the camera, translation), that of the depths (P,), and the information (6, 6)."""
    root = np.sqrt(tracks.weight) * width**2 / (s.squared + width**2) * (s.scale > 0)
    f, per_z = root * tracks.focal_px, root * s.scale
    jacobian = np.empty((7, 2, len(rho)))
    jacobian[0] = f * s.u * s.v, f * (1.0 + s.v * s.v)
    jacobian[1] = -f * (1.0 + s.u * s.u), -f * s.u * s.v
    jacobian[2] = f * s.v, -f * s.u
    if tracks.turn is not None:
        jacobian[:3] = np.einsum("pik,ijp->kjp", tracks.turn, jacobian[:3])
    moving = -per_z * rho
    for k in range(3):
        row = tracks.turned(pose[k, :3]).T
        jacobian[3 + k] = moving * (row[0] - s.u * row[2]), moving * (row[1] - s.v * row[2])
        if tracks.offset is not None:
            x, y, z = tracks.swung[k]
            jacobian[k] -= moving * (x - s.u * z), moving * (y - s.v * z)
    jacobian[6] = per_z * (s.towards[:, 0] - s.u * s.towards[:, 2]), per_z * (s.towards[:, 1] - s.v * s.towards[:, 2])
    residual = np.stack([root * s.dx, root * s.dy])
    poses, depth = jacobian[:6].reshape(6, -1), jacobian[6]
    own = (depth**2).sum(axis=0) + tracks.information + _DAMPING
    depth_gradient = (depth * residual).sum(axis=0) + tracks.information * (rho - tracks.depth)
    cross = (jacobian[:6] * depth).sum(axis=1)
    scaled = cross / own
    information = poses @ poses.T - scaled @ cross.T
    gradient = poses @ residual.ravel() - scaled @ depth_gradient
    damped = information + np.diag(damping * np.diag(information) + 1e-9)
    step = -np.linalg.solve(damped, gradient)
    return step, -(depth_gradient + step @ cross) / own, information


def _arranged(keyframes: FloatArray, evidence: Evidence) -> _Tracks:
    """The tracks, with the depths that the keyframes see."""
    new, count = len(keyframes), len(evidence.anchor)
    bearing = evidence.rays(np.arange(count), evidence.anchor)
    rotation, centres = keyframes[:, :3, :3], keyframes[:, :3, 3]
    ray = (rotation[evidence.anchor] @ bearing[..., None])[..., 0]
    centre = centres[evidence.anchor]
    depth, information = _depths(keyframes, evidence, ray, centre)
    lens, weight = evidence.lens, evidence.weight[:, new]
    if lens is None:
        x, y = evidence.plane[:, new].T
        return _Tracks(ray, centre, x, y, weight, depth, information, float(evidence.focal_px[new]), None)
    x, y = lens.compared[:, new].T
    turn = None if lens.turn is None else lens.turn[:, new]
    return _Tracks(ray, centre, x, y, weight, depth, information, lens.scale_px[:, new], turn)


def _depths(
    keyframes: FloatArray, evidence: Evidence, ray: FloatArray, centre: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Inverse depths (P,) as other keyframes than the anchors see them, robust to one wrong observation.

    The second is their information, 1/px^2, 0 where no other keyframe sees the track. Both with what a sensor has
    measured.
    """
    new, count = len(keyframes), len(evidence.anchor)
    seen = evidence.seen[:, :new].copy()
    seen[np.arange(count), evidence.anchor] = False
    weight = np.where(seen, evidence.weight[:, :new], 0.0)
    lens = evidence.lens
    plane = np.where(seen[..., None], (evidence.plane if lens is None else lens.compared)[:, :new], 0.0)
    rotation = keyframes[:, :3, :3]
    q = np.einsum("pi,jik->pjk", ray, rotation)
    towards = np.einsum("pji,jik->pjk", centre[:, None] - keyframes[:, :3, 3], rotation)
    if lens is not None and lens.turn is not None:
        q, towards = ((lens.turn[:, :new] @ vectors[..., None])[..., 0] for vectors in (q, towards))
    slope = towards[..., :2] - plane * towards[..., 2:]
    level = plane * q[..., 2:] - q[..., :2]
    numerator, denominator = (weight * (slope * x).sum(axis=2) for x in (level, slope))
    together = numerator.sum(axis=1) / np.maximum(denominator.sum(axis=1), 1e-12)
    candidates = np.column_stack([together, numerator / np.maximum(denominator, 1e-12)])
    known = evidence.known
    if known is not None:
        candidates = np.column_stack([candidates, np.where(known.there, known.inverse_depth, together)])
    candidates = np.maximum(candidates, 0.0)
    focal2 = np.where(seen, evidence.focal_px[:new] if lens is None else lens.scale_px[:, :new], 0.0) ** 2
    miss = ((slope[:, :, None] * candidates[:, None, :, None] - level[:, :, None]) ** 2).sum(axis=3)
    miss *= focal2[:, :, None]
    cost = (weight[:, :, None] * miss / (miss + _DEPTH_WIDTH_PX**2)).sum(axis=1)
    if known is not None:
        off2 = _off_known_px2(known, candidates)
        cost += off2 / (off2 + KNOWN_WIDTH_PX**2)
    best = cost.argmin(axis=1)
    rows = np.arange(count)
    depth = candidates[rows, best]
    robust = weight * (_DEPTH_WIDTH_PX**2 / (miss[rows, :, best] + _DEPTH_WIDTH_PX**2)) ** 2
    z = np.maximum(q[..., 2] + depth[:, None] * towards[..., 2], _MIN_Z)
    information = (robust * (slope**2).sum(axis=2) * focal2 / z**2).sum(axis=1)
    if known is None:
        return depth, information
    seen_depth = (robust * (slope * level).sum(axis=2) * focal2 / z**2).sum(axis=1)
    return _joined(known, depth, seen_depth, information)


def _off_known_px2(known: KnownDepths, candidates: FloatArray) -> FloatArray:
    """How far candidates (P, C) are from what a sensor has measured, squared, px^2 as observations count."""
    off = candidates - np.where(known.there, known.inverse_depth, 0.0)[:, None]
    return np.asarray((off * known.per_sigma(RefineSettings.noise_px)[:, None]) ** 2)


def _joined(
    known: KnownDepths, best: FloatArray, seen_depth: FloatArray, information: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Depths (P,) of keyframes and sensor together, and their information.

    Args:
        known: what the sensor has measured, which counts for the less the further it is from the best.
        best: (P,) the depths that most agree with, kept where nothing was measured.
        seen_depth: (P,) information times depth of the keyframes.
        information: (P,) of the keyframes, 1/px^2.
    """
    robust = (KNOWN_WIDTH_PX**2 / (_off_known_px2(known, best[:, None])[:, 0] + KNOWN_WIDTH_PX**2)) ** 2
    sure = robust * known.per_sigma(RefineSettings.noise_px) ** 2
    weighted = seen_depth + sure * np.where(known.there, known.inverse_depth, 0.0)
    together = np.maximum(weighted / np.maximum(information + sure, 1e-12), 0.0)
    return np.where(known.there, together, best), information + sure
