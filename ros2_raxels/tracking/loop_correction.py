"""What a loop closure does to the map: all keyframes give way by their share, and loops that contradict it are dropped.

Steps of the trajectory enter as they are now, refined by bundle adjustment. Loops enter as they were measured, with the
covariance of their solve: one that the rest of the graph contradicts shows by how far it is strained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, inverse_pose, relative_pose
from ros2_raxels.tracking.frame import Keyframe, grown
from ros2_raxels.tracking.keyframe_map import KeyframeMap, Loop, distance
from ros2_raxels.tracking.pose_graph import Edge, relax

RIGID = 0.02
"""Variance of the shortest edge; longer ones give way in proportion to their length and turn."""

_BREAK = 1e4
"""Variance of the joint where a new trajectory was begun: all of it gives way before anything else does."""

_STRAIN = 0.15
"""Of the unit (a turn counts one per radian): a loop that is this far from its measurement after all have given way is
contradicted by the rest of the graph."""


@dataclass(frozen=True)
class LoopEffect:
    """What a loop closure did.

    Attributes:
        growth: factor by which distances around its second keyframe have grown.
        dropped: older loops that it contradicted, with the rest of the graph on its side.
    """

    growth: float
    dropped: tuple[Loop, ...] = ()


def close_loop(keyframes: KeyframeMap, loop: Loop) -> LoopEffect | None:
    """Let the keyframes of both trajectories give way, so that a loop's second keyframe comes to where it was found.

    Two trajectories become one, which begins where the older one began: in metres if either was, else in the unit of
    the older one.

    Args:
        keyframes: corrected in place.
        loop: just measured between two of them.

    Returns:
        None where the loop itself is what the others contradict; nothing has changed then.
    """
    known, found = keyframes.keyframes[loop.first], keyframes.keyframes[loop.second]
    trajectories = {known.trajectory, found.trajectory}
    frames = [k for k in keyframes.all if k.trajectory in trajectories]
    graph = _Graph(keyframes, frames)
    loops, dropped = [*_loops_among(keyframes, frames), loop], []
    while True:
        poses, log_growth = graph.relaxed(loops)
        worst, strain = graph.most_strained(loops, poses, log_growth)
        if strain < _STRAIN:
            break
        if worst is loop:
            return None
        loops.remove(worst)
        dropped.append(worst)
    for keyframe, pose, growth in zip(frames, poses, log_growth, strict=True):
        keyframes.move_keyframe(keyframe.number, pose)
        keyframes.grow(keyframe.number, float(np.exp(growth)))
    gone = {(old.first, old.second) for old in dropped}
    keyframes.loops = [old for old in keyframes.loops if (old.first, old.second) not in gone] + [loop]
    growth = float(np.exp(log_growth[graph.index[found.number]]))
    if len(trajectories) == 2:
        newer = max(known, found, key=lambda k: k.trajectory)
        growth *= _join(keyframes, trajectories, float(np.exp(-log_growth[graph.index[newer.number]])))
    return LoopEffect(growth, tuple(dropped))


def _loops_among(keyframes: KeyframeMap, frames: Sequence[Keyframe]) -> list[Loop]:
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
        self._steps = [self._step(i) for i in range(1, len(frames))]

    def _step(self, i: int) -> Edge:
        parent = self._frames[i].parent
        first = self.index.get(-1 if parent is None else parent)
        pose = relative_pose(self._poses[i - 1 if first is None else first], self._poses[i])
        if first is None:
            return Edge(i - 1, i, pose, 0.0, _BREAK)
        return Edge(first, i, pose, 0.0, RIGID + float(distance(pose, self._units[first])))

    def _edge(self, loop: Loop) -> Edge:
        first = self.index[loop.first]
        sigma = np.sqrt(np.diag(loop.covariance))
        # In the same measure as the steps, which give way in proportion to their length and turn.
        left_open = float(np.linalg.norm(sigma[:3]) / self._units[first] + np.linalg.norm(sigma[3:]))
        return Edge(first, self.index[loop.second], loop.pose, loop.log_scale, RIGID + left_open)

    def relaxed(self, loops: Sequence[Loop]) -> tuple[FloatArray, FloatArray]:
        """(N, 4, 4) camera_to_world and (N,) logarithms of growth, see `relax`."""
        return relax(self._poses, [*self._steps, *map(self._edge, loops)], held=0)

    def most_strained(self, loops: Sequence[Loop], poses: FloatArray, log_growth: FloatArray) -> tuple[Loop, float]:
        """The loop that is furthest from its measurement in a relaxed graph, and how far, in units and radians."""
        strains = []
        for loop in loops:
            first, second = self.index[loop.first], self.index[loop.second]
            measured = grown(loop.pose, log_growth[first])
            off = inverse_pose(measured) @ relative_pose(poses[first], poses[second])
            stretch = abs(loop.log_scale + log_growth[first] - log_growth[second])
            strains.append(float(distance(off, self._units[first] * np.exp(log_growth[first]))) + float(stretch))
        worst = int(np.argmax(strains))
        return loops[worst], strains[worst]
