"""What a loop closure does to the map: all keyframes give way by their share, and a contradicted loop is dropped.

Loops enter as they were measured, with the covariance of their solve. Steps of the trajectory enter as bundle
adjustment left them before any loop was closed. So a loop that all the rest contradicts shows by how hard it pulls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, inverse_pose, relative_pose
from ros2_raxels.tracking.frame import Keyframe, grown
from ros2_raxels.tracking.keyframe_map import KeyframeMap, Link, distance
from ros2_raxels.tracking.pose_graph import Edge, relax

RIGID = 0.02
"""Variance of the shortest edge; longer ones give way in proportion to their length and turn."""

_BREAK = 1e4
"""Variance of the joint where a new trajectory was begun: all of it gives way before anything else does."""

_CONTRADICTION = 0.6
"""A loop contradicts the rest of the graph where the rest would have to be wrong by this share of its own length. Drift
is a fifth of that at most."""


@dataclass(frozen=True)
class LoopEffect:
    """What a loop closure did.

    Attributes:
        growth: factor by which distances around its second keyframe have grown.
        dropped: an older loop that it contradicted, with the rest of the graph on its side.
    """

    growth: float
    dropped: Link | None = None


def close_loop(keyframes: KeyframeMap, loop: Link, unsettled: int = 0) -> LoopEffect | None:
    """Let the keyframes of both trajectories give way, so that a loop's second keyframe comes to where it was found.

    Two trajectories become one, which begins where the older one began: in metres if either was, else in the unit of
    the older one.

    Args:
        keyframes: corrected in place.
        loop: just measured between two of them.
        unsettled: so many of the newest keyframes are still being refined.

    Returns:
        None where the loop itself is what the others contradict; nothing has changed then.
    """
    known, found = keyframes.keyframes[loop.first], keyframes.keyframes[loop.second]
    trajectories = {known.trajectory, found.trajectory}
    frames = [k for k in keyframes.all if k.trajectory in trajectories]
    keyframes.settle(k.number for k in frames[: len(frames) - unsettled])
    graph = _Graph(keyframes, frames)
    loops = [*_loops_among(keyframes, frames), loop]
    odd, relaxed = _without_the_odd_one(graph, loops)
    if odd is loop:
        return None
    if odd is not None:
        keyframes.loops = [old for old in keyframes.loops if (old.first, old.second) != (odd.first, odd.second)]
    keyframes.loops.append(loop)
    log_growth = relaxed.log_growth
    for keyframe, pose, growth in zip(frames, relaxed.poses, log_growth, strict=True):
        keyframes.move_keyframe(keyframe.number, pose)
        keyframes.grow(keyframe.number, float(np.exp(growth)))
    growth = float(np.exp(log_growth[graph.index[found.number]]))
    if len(trajectories) == 2:
        newer = max(known, found, key=lambda k: k.trajectory)
        growth *= _join(keyframes, trajectories, float(np.exp(-log_growth[graph.index[newer.number]])))
    return LoopEffect(growth, odd)


def _without_the_odd_one(graph: _Graph, loops: Sequence[Link]) -> tuple[Link | None, _Relaxed]:
    """The one loop without which the others agree, and the graph relaxed without it.

    With all of them, and None, where all agree, or where several could be the wrong one.
    """
    with_all = graph.relaxed(loops)
    if max(with_all.pulls) < _CONTRADICTION:
        return None, with_all
    suspects = [loop for loop, pull in zip(loops, with_all.pulls, strict=True) if pull > _CONTRADICTION / 2.0]
    odd = []
    for suspect in suspects:
        others = [loop for loop in loops if loop is not suspect]
        without = graph.relaxed(others) if others else None
        if without is not None and max(without.pulls) < _CONTRADICTION:
            odd.append((suspect, without))
    return odd[0] if len(odd) == 1 else (None, with_all)


def _loops_among(keyframes: KeyframeMap, frames: Sequence[Keyframe]) -> list[Link]:
    """Earlier loops between these, in the units of now."""
    there = {k.number: k for k in frames}
    return [
        loop.between(there[loop.first], there[loop.second])
        for loop in keyframes.loops
        if loop.first in there and loop.second in there
    ]


def _join(keyframes: KeyframeMap, trajectories: set[int], shrunk: float) -> float:
    """Make one of two trajectories, in the unit of the older one already; by which factor that grows after all.

    Args:
        keyframes: the map.
        trajectories: the two.
        shrunk: factor that brings back the unit that the newer one had.
    """
    older, newer = sorted(trajectories)
    facts, dissolved = keyframes.trajectories[older], keyframes.join(older, newer)
    if facts.scale.is_metric or not dissolved.scale.is_metric:
        return 1.0
    keyframes.know_scale(older, replace(dissolved.scale, metres_per_unit=shrunk))
    first = next(k for k in keyframes.all if k.trajectory == older)
    keyframes.rescale(older, shrunk, first.camera_to_world[:3, 3].copy())
    return shrunk


class _Relaxed(NamedTuple):
    """A graph in which every edge has given way by its share.

    Attributes:
        poses: (N, 4, 4) camera_to_world.
        log_growth: (N,) natural logarithms of new over old unit.
        pulls: how hard each loop pulls: how far it is from its measurement, over its variance. The rest of the graph
            pulls as hard the other way: its steps give way by their length times that.
    """

    poses: FloatArray
    log_growth: FloatArray
    pulls: Sequence[float]


class _Graph:
    """Some keyframes and the steps between them, for `relax`.

    Args:
        keyframes: the map.
        frames: of one or two trajectories, by number; the first one is held.
    """

    def __init__(self, keyframes: KeyframeMap, frames: Sequence[Keyframe]) -> None:
        self._frames = frames
        self._units = [keyframes.unit_of(k) for k in frames]
        self.index: Mapping[int, int] = {k.number: i for i, k in enumerate(frames)}
        self._poses = np.array([k.camera_to_world for k in frames])
        self._settled = keyframes.steps
        self._steps = [self._step(i) for i in range(1, len(frames))]

    def _step(self, i: int) -> Edge:
        """To a keyframe from its parent: as measured where that is kept, else as it is now."""
        keyframe = self._frames[i]
        first = self.index.get(-1 if keyframe.parent is None else keyframe.parent)
        if first is None:
            return Edge(i - 1, i, relative_pose(self._poses[i - 1], self._poses[i]), 0.0, _BREAK)
        pose, log_scale = relative_pose(self._poses[first], self._poses[i]), 0.0
        if keyframe.number in self._settled:
            now = self._settled[keyframe.number].between(self._frames[first], keyframe)
            pose, log_scale = now.pose, now.log_scale
        return Edge(first, i, pose, log_scale, RIGID + float(distance(pose, self._units[first])))

    def _edge(self, loop: Link) -> Edge:
        first = self.index[loop.first]
        sigma = np.sqrt(np.diag(loop.covariance))
        # In the same measure as the steps, which give way in proportion to their length and turn.
        left_open = float(np.linalg.norm(sigma[:3]) / self._units[first] + np.linalg.norm(sigma[3:]))
        return Edge(first, self.index[loop.second], loop.pose, loop.log_scale, RIGID + left_open)

    def relaxed(self, loops: Sequence[Link]) -> _Relaxed:
        """The graph with these loops."""
        poses, log_growth = relax(self._poses, [*self._steps, *map(self._edge, loops)], held=0)
        pulls = []
        for loop in loops:
            first, second = self.index[loop.first], self.index[loop.second]
            off = inverse_pose(grown(loop.pose, log_growth[first])) @ relative_pose(poses[first], poses[second])
            stretch = abs(loop.log_scale + log_growth[first] - log_growth[second])
            apart = float(distance(off, self._units[first] * np.exp(log_growth[first]))) + float(stretch)
            pulls.append(apart / self._edge(loop).variance)
        return _Relaxed(poses, log_growth, pulls)
