"""Scores of candidate paths, from what known frames have shown: room for the body, the unknown, and the outlook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from ros2_raxels.geometry.poses import FloatArray, interpolate_pose
from ros2_raxels.view_synthesis.seen_space import SeenSpace

MOST_PATHS, MOST_POSES = 64, 256
LARGEST_RADIUS = 50.0
"""Of a body, in the unit of the world: larger ones are a slip of the unit."""

_USUAL_HORIZON = 10.0
"""In radii."""

_MOST_STOPS = 48
"""Places of the body that are looked at along a path."""

_PROBES = 40
"""Points inside the body that are looked up in what was seen."""

_LEAST_ERROR = 0.05
"""Of a surface's place, as a share of the distance from which the camera saw it; from rendered worlds."""

_OUTLIERS = 3
"""Points that may be wrong before an obstacle is believed."""

_TELLING = 0.0025
"""Share of the points whose distance tells whether there is room: fewer may be wrong, more are not near the body."""

_FARTHEST = 20.0
"""Room, in standard errors, above which more of it says nothing."""

_ODDS = (-0.5, 2.8, 1.3, 1.1)
"""Of the odds that a path is free; from rendered worlds, see `_log_odds`."""

_BLOCKED_WHEN_UNSEEN = 0.2
"""Probability that something is met on a path of which nothing was seen, however far all that was seen is from it."""

_USUALLY_UNSURE = 0.5
"""Share of the pixels whose depth is unsure in an ordinary scene."""

_VIEW_COLUMNS, _VIEW_ROWS, _VIEW_DEPTHS = 12, 9, 8
_CELLS = 24
"""Of the horizon, along each axis, in which unknown space is counted once."""


@dataclass(frozen=True)
class Body:
    """What moves along a path.

    Attributes:
        radius: around the pose, in the unit of the world.
        height_min, height_max: between which it extends along `up` from the pose; both 0 for a ball.
        up: unit vector in the frame of the poses.

    Raises:
        ValueError: a radius that is not within 0 and `LARGEST_RADIUS`, or heights that are not in their order.
    """

    radius: float
    height_min: float = 0.0
    height_max: float = 0.0
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        if not 0.0 < self.radius <= LARGEST_RADIUS:
            raise ValueError(f"radius = {self.radius:g} must be above 0 and at most {LARGEST_RADIUS:g}; give it in m")
        heights = (self.height_min, self.height_max)
        if heights != (0.0, 0.0) and not -LARGEST_RADIUS <= heights[0] < heights[1] <= LARGEST_RADIUS:
            raise ValueError(
                f"heights from {heights[0]:g} to {heights[1]:g} must rise, within {LARGEST_RADIUS:g}; both 0 are a ball"
            )

    @property
    def is_ball(self) -> bool:
        """Whether it has no heights of its own."""
        return self.height_min == self.height_max == 0.0

    def distances(self, poses: FloatArray, points: FloatArray) -> FloatArray:
        """(N, P) distance of points (P, 3) from the axis, or the centre of a ball, of bodies (N, 4, 4).

        Infinite for what is below or above.
        """
        at = poses[:, :3, 3]
        squares = (at**2).sum(axis=1)[:, None] + (points**2).sum(axis=1) - 2.0 * at @ points.T
        if self.is_ball:
            return np.asarray(np.sqrt(np.maximum(squares, 0.0)))
        up = poses[:, :3, :3] @ np.array(self.up)
        height = up @ points.T - (up * at).sum(axis=1)[:, None]
        beside = np.sqrt(np.maximum(squares - height**2, 0.0))
        return np.where((height >= self.height_min) & (height <= self.height_max), beside, np.inf)

    def probes(self) -> FloatArray:
        """(N, 3) points all over the body, in the frame of its pose."""
        # A Fibonacci spiral fills disc and ball evenly, always with the same points.
        number = np.arange(_PROBES) + 0.5
        angle, share = number * np.pi * (1.0 + 5.0**0.5), number / _PROBES
        if self.is_ball:
            z = 1.0 - 2.0 * share
            out = np.sqrt(1.0 - z * z)
            size = self.radius * ((number * 0.618034) % 1.0) ** (1 / 3)
            return np.asarray(np.stack([out * np.cos(angle), out * np.sin(angle), z], axis=1) * size[:, None])
        up = np.array(self.up)
        across = np.cross(up, (1.0, 0.0, 0.0) if abs(up[0]) < 0.9 else (0.0, 1.0, 0.0))
        across /= np.linalg.norm(across)
        flat = self.radius * np.sqrt(share)[:, None]
        height = self.height_min + (number * 0.618034) % 1.0 * (self.height_max - self.height_min)
        ring = np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * np.cross(up, across)
        return np.asarray(flat * ring + height[:, None] * up)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A path of N poses: of the body, and of the camera's optical frame, (N, 4, 4) each, in the world."""

    body: FloatArray
    camera: FloatArray


@dataclass(frozen=True)
class PathScore:
    """See the message of the same name."""

    free_probability: float
    seen_share: float
    expected_quality: float
    closest_obstacle: float
    closest_pose: int
    information_gain: float


def check_candidates(candidates: Sequence[Candidate]) -> None:
    """Refuse candidates that cannot be scored; they may differ in length.

    Raises:
        ValueError: none or too many, or a path without poses or with too many.
    """
    if not 1 <= len(candidates) <= MOST_PATHS:
        raise ValueError(f"{len(candidates)} paths: give 1 to {MOST_PATHS} at once")
    for index, candidate in enumerate(candidates):
        if not 1 <= len(candidate.body) <= MOST_POSES or len(candidate.body) != len(candidate.camera):
            raise ValueError(f"paths[{index}] has {len(candidate.body)} poses: give 1 to {MOST_POSES}")


def score_paths(
    space: SeenSpace,
    candidates: Sequence[Candidate],
    body: Body,
    been: FloatArray,
    horizon: float | None = None,
) -> list[PathScore]:
    """One score for each candidate.

    Args:
        space: what was seen.
        candidates: in the world of `space`.
        body: what moves along them.
        been: (M, 4, 4) where the body has been: there was room.
        horizon: how far the camera looks for what was never seen; None for ten radii.

    Raises:
        ValueError: as `check_candidates`.
    """
    check_candidates(candidates)
    reach = horizon or _USUAL_HORIZON * body.radius
    return [_score(space, candidate, body, been, reach) for candidate in candidates]


def _score(space: SeenSpace, candidate: Candidate, body: Body, been: FloatArray, horizon: float) -> PathScore:
    stops, number = _stops(candidate.body, body.radius)
    distance = body.distances(stops, space.points)
    nearest, room = np.full(len(stops), np.inf), _FARTHEST
    if distance.shape[1] > _OUTLIERS:
        few = np.partition(distance, _OUTLIERS, axis=1)[:, _OUTLIERS]
        nearest = np.where(np.isfinite(few), few, np.inf)
        room = _room(space, distance - body.radius)
    never = _never_seen(space, stops, body, been)
    closest = int(nearest.argmin())
    free = expit(_log_odds(room, float(never.max()), space.unsure)) * (1.0 - _BLOCKED_WHEN_UNSEEN * never.mean())
    quality, gain = _outlook(space, candidate.camera, horizon)
    return PathScore(
        float(free), float(1.0 - never.mean()), quality, float(nearest[closest]), int(number[closest]), gain
    )


def _room(space: SeenSpace, beside: FloatArray) -> float:
    """Least room along a path, in standard errors, from the distances (N, P) between body and points at N stops."""
    telling = max(_OUTLIERS, round(_TELLING * beside.shape[1]))
    errors = np.partition(beside / np.hypot(space.error, _LEAST_ERROR * space.distance), telling, axis=1)
    return float(np.clip(errors[:, telling].min(), -_FARTHEST, _FARTHEST))


def _log_odds(room: float, never: float, unsure: float) -> float:
    """Of a path without collision, from its room, the largest share of the body in unseen space, and the doubt.

    What room says fades the less sure the depths of the scene are: where little has texture all of them may be wrong.
    """
    one, of_room, of_never, of_doubt = _ODDS
    seen = np.sign(room) * np.log1p(abs(room))
    doubt = max(0.0, unsure - _USUALLY_UNSURE)
    return float(one + of_room * seen - of_never * never - of_doubt * doubt * max(0.0, seen))


def _stops(poses: FloatArray, radius: float) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Places of the body along a path, no further apart than its radius if they are not too many; and their poses."""
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    length = max(radius, float(steps.sum()) / _MOST_STOPS)
    stops, number = [poses[0]], [0]
    for index, step in enumerate(steps):
        count = max(1, int(np.ceil(step / length)))
        for part in range(1, count + 1):
            share = part / count
            stops.append(interpolate_pose(poses[index], poses[index + 1], share) if part < count else poses[index + 1])
            number.append(index + round(share))
    return np.array(stops), np.array(number)


def _never_seen(space: SeenSpace, stops: FloatArray, body: Body, been: FloatArray) -> FloatArray:
    """(N,) share of the body at each stop that lies in space that was never seen."""
    probes = body.probes()
    points = (np.einsum("nij,pj->npi", stops[:, :3, :3], probes) + stops[:, None, :3, 3]).reshape(-1, 3)
    known = space.has_seen(points)
    if len(been):
        known |= (body.distances(been, points) <= body.radius).any(axis=0)
    return np.asarray(1.0 - known.reshape(len(stops), -1).mean(axis=1))


def _outlook(space: SeenSpace, cameras: FloatArray, horizon: float) -> tuple[float, float]:
    """Expected quality of views along a path, and the volume never seen that they look into."""
    camera = space.frames.camera.resized(_VIEW_COLUMNS, _VIEW_ROWS)
    rays = camera.bearings().reshape(-1, 3)
    lengths = (np.arange(_VIEW_DEPTHS) + 0.5) / _VIEW_DEPTHS * horizon
    places, qualities = [], []
    for pose in cameras:
        surface, sharpness = _seen_from(space, pose)
        qualities.append(sharpness.mean())
        open_way = lengths < surface.reshape(-1, 1)
        ways = (rays[:, None] * lengths[:, None])[open_way]
        places.append(ways @ pose[:3, :3].T + pose[:3, 3])
    points = np.concatenate(places)
    unknown = points[~space.has_seen(points)]
    side = 2.0 * horizon / _CELLS
    cells = np.unique(np.floor(unknown / side).astype(np.int64), axis=0)
    return float(np.mean(qualities)), float(len(cells) * side**3)


def _seen_from(space: SeenSpace, pose: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of a coarse view: distance of the nearest surface, infinite where none is known, and how sharply it was seen."""
    camera = space.frames.camera.resized(_VIEW_COLUMNS, _VIEW_ROWS)
    local = (space.points - pose[:3, 3]) @ pose[:3, :3]
    ahead = np.maximum(local[:, 2], 1e-9)
    column = np.rint(camera.fx * local[:, 0] / ahead + camera.cx)
    row = np.rint(camera.fy * local[:, 1] / ahead + camera.cy)
    shown = (local[:, 2] > 0) & (column >= 0) & (column < _VIEW_COLUMNS) & (row >= 0) & (row < _VIEW_ROWS)
    cell = (row[shown] * _VIEW_COLUMNS + column[shown]).astype(int)
    distance = np.linalg.norm(local[shown], axis=1)
    surface, sharpness = np.full(_VIEW_ROWS * _VIEW_COLUMNS, np.inf), np.zeros(_VIEW_ROWS * _VIEW_COLUMNS)
    np.minimum.at(surface, cell, distance)
    # A surface seen from twice the distance has half the detail.
    np.maximum.at(sharpness, cell, np.minimum(1.0, distance / space.distance[shown]))
    return surface, sharpness
