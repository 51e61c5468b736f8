"""A tree of named frames with stamped poses, and the pose of any frame in any other, as tf2 has it; free of ROS."""

from __future__ import annotations

import bisect
import difflib
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ros2_raxels.geometry.poses import FloatArray, interpolate_pose, inverse_pose, make_pose, rotation_from_quaternion

KEEP_S = 10.0
"""How long poses of an edge are kept, and how long a parent counts after it was last heard; tf2's default."""

JUMP_BACK_S = 1.0
"""A pose older than the newest of its edge by more than this means that time started again (bag loop, simulation)."""

_UNIT_TOLERANCE = 1e-2
"""Of the squared norm of a quaternion; that of tf2."""

_MOST_FRAMES = 10_000
_MOST_POSES = 20_000
_CLOSE_MATCHES = 3

Sample = tuple[float, ...]
"""x, y, z and the quaternion x, y, z, w of a child in its parent."""


class FrameError(ValueError):
    """A pose that the tree cannot give; the message names the frame or edge to blame."""


class UnknownFrameError(FrameError):
    """A frame that no edge has ever named."""


class NotConnectedError(FrameError):
    """Both frames are known, but no path of edges leads from one to the other."""


class NoDataError(FrameError):
    """There is a path, but an edge of it has no pose at that stamp."""


@dataclass
class _Edges:
    """All edges to one child. Its parent may change: each pose has its own."""

    stamps_ns: list[int] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    fixed: tuple[str, Sample] | None = None
    heard_at: dict[str, float] = field(default_factory=dict)

    @property
    def newest_parent(self) -> str | None:
        if self.fixed is not None:
            return self.fixed[0]
        return self.parents[-1] if self.parents else None

    def forget_moving(self) -> None:
        for samples in (self.stamps_ns, self.parents, self.samples):
            samples.clear()

    def add(self, stamp_ns: int, parent: str, sample: Sample, keep_ns: int) -> None:
        at = bisect.bisect_right(self.stamps_ns, stamp_ns)
        if at and self.stamps_ns[at - 1] == stamp_ns:
            self.parents[at - 1], self.samples[at - 1] = parent, sample
            return
        self.stamps_ns.insert(at, stamp_ns)
        self.parents.insert(at, parent)
        self.samples.insert(at, sample)
        old = bisect.bisect_left(self.stamps_ns, self.stamps_ns[-1] - keep_ns)
        old = max(old, len(self.stamps_ns) - _MOST_POSES)
        for samples in (self.stamps_ns, self.parents, self.samples):
            del samples[:old]

    def at(self, child: str, stamp_ns: int) -> tuple[str, FloatArray]:
        """Parent and ``child_to_parent``, interpolated between two poses in one parent, else the earlier of the two."""
        if self.fixed is not None:
            return self.fixed[0], _pose(self.fixed[1])
        after = bisect.bisect_left(self.stamps_ns, stamp_ns)
        if after < len(self.stamps_ns) and self.stamps_ns[after] == stamp_ns:
            return self.parents[after], _pose(self.samples[after])
        if not 0 < after < len(self.stamps_ns):
            raise NoDataError(self._why_no_data(child, stamp_ns))
        before = after - 1
        if self.parents[before] != self.parents[after]:
            return self.parents[before], _pose(self.samples[before])
        span = self.stamps_ns[after] - self.stamps_ns[before]
        share = (stamp_ns - self.stamps_ns[before]) / span
        return self.parents[before], interpolate_pose(_pose(self.samples[before]), _pose(self.samples[after]), share)

    def _why_no_data(self, child: str, stamp_ns: int) -> str:
        edge = f"{self.newest_parent} -> {child}"
        if stamp_ns > self.stamps_ns[-1]:
            late_ms = (stamp_ns - self.stamps_ns[-1]) * 1e-6
            return f"no pose of {edge} at {_seconds(stamp_ns)}: that is {late_ms:.1f} ms after its newest"
        early_ms = (self.stamps_ns[0] - stamp_ns) * 1e-6
        return f"no pose of {edge} at {_seconds(stamp_ns)}: that is {early_ms:.1f} ms before its oldest"


class FrameTree:
    """Edges ``parent -> child`` with stamped poses. Safe to use from several threads.

    A child has one parent at a time. Poses are kept for `keep_s`, static ones for ever. Leading slashes of names are
    dropped, as in tf2.

    Args:
        keep_s: age, relative to the newest pose of an edge, beyond which poses are dropped.
        clock: steady clock, s, that decides which parents are alive.
    """

    def __init__(self, keep_s: float = KEEP_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep_ns = round(keep_s * 1e9)
        self._keep_s, self._clock = keep_s, clock
        self._lock = threading.Lock()
        self._children: dict[str, _Edges] = {}
        self._parents: set[str] = set()

    def insert(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation: Sequence[float],
        quaternion: Sequence[float],
        static: bool = False,
    ) -> str:
        """Add a pose of `child` in `parent`.

        Args:
            parent, child: names of frames.
            stamp_ns: of the pose; a step back by more than `JUMP_BACK_S` first forgets the poses of the edge.
            translation: x, y, z.
            quaternion: x, y, z, w; rounding of its norm is mended.
            static: whether it holds at any time.

        Returns:
            Why the pose was ignored, in one line; empty if it was not.
        """
        parent, child = bare(parent), bare(child)
        sample = (*translation, *quaternion)
        reason = _refusal(parent, child, sample)
        if reason:
            return reason
        with self._lock:
            # What a topic sends must not fill the memory.
            if _is_full(self._children, child) or _is_full(self._parents, parent):
                return f"TF edge {parent} -> {child} ignored: there are {_MOST_FRAMES} frames already"
            edges = self._children.setdefault(child, _Edges())
            self._parents.add(parent)
            edges.heard_at[parent] = math.inf if static else max(self._clock(), edges.heard_at.get(parent, 0.0))
            return self._add(edges, parent, child, stamp_ns, sample, static)

    def _add(self, edges: _Edges, parent: str, child: str, stamp_ns: int, sample: Sample, static: bool) -> str:
        if static:
            edges.fixed = (parent, sample)
            edges.forget_moving()
        elif edges.fixed is not None:
            return f"TF edge {parent} -> {child} ignored: {child} is fixed to {edges.fixed[0]} by /tf_static"
        else:
            if edges.stamps_ns and stamp_ns < edges.stamps_ns[-1] - JUMP_BACK_S * 1e9:
                edges.forget_moving()
            edges.add(stamp_ns, parent, sample, self._keep_ns)
        return ""

    def clear(self) -> None:
        """Forget all but the static poses, because time jumped back."""
        with self._lock:
            for child in [child for child, edges in self._children.items() if edges.fixed is None]:
                del self._children[child]
            self._parents = {edges.fixed[0] for edges in self._children.values() if edges.fixed is not None}

    @property
    def frames(self) -> list[str]:
        """Names of all known frames, sorted."""
        with self._lock:
            return sorted(self._known())

    def other_parent(self, child: str, parent: str) -> str:
        """Another parent of `child` than `parent`, heard within the last `keep_s`; empty if there is none."""
        oldest = self._clock() - self._keep_s
        with self._lock:
            edges = self._children.get(bare(child), _Edges())
            alive = (other for other, at in edges.heard_at.items() if other != bare(parent) and at >= oldest)
            return next(alive, "")

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        """Pose of `source` in `target` at a stamp: ``source_to_target``, 4x4 float64.

        Interpolated between two poses of an edge; never extrapolated.

        Args:
            target, source: names of frames.
            stamp_ns: 0 means the latest moment at which all edges between the two are known.

        Raises:
            UnknownFrameError: the tree does not know one of the frames.
            NotConnectedError: no path leads from one to the other, or the edges form a loop.
            NoDataError: an edge of the path has no pose at that stamp.
        """
        target, source = bare(target), bare(source)
        with self._lock:
            for frame in (target, source):
                self._require(frame)
            if target == source:
                return np.eye(4)
            between = self._between(target, source)
            stamp_ns = stamp_ns or self._latest_common_ns(between)
            up, down = self._climb(source, stamp_ns, between), self._climb(target, stamp_ns, between)
            common = next((frame for frame in up if frame in down), None)
            if common is None:
                raise self._not_connected(target, source)
        return np.asarray(inverse_pose(down[common]) @ up[common])

    def _known(self) -> set[str]:
        return self._children.keys() | self._parents

    def _require(self, frame: str) -> None:
        known = self._known()
        if frame in known:
            return
        close = difflib.get_close_matches(frame, known, n=_CLOSE_MATCHES)
        hint = f"did you mean {', '.join(close)}?" if close else f"it knows {', '.join(sorted(known)[:8]) or 'none'}"
        raise UnknownFrameError(f"TF has never heard of frame {frame!r}; {hint}")

    def _climb(self, frame: str, stamp_ns: int, needed: Collection[str]) -> dict[str, FloatArray]:
        """``frame_to_ancestor`` for a frame and its ancestors, as far as they have poses at the stamp.

        Raises:
            NoDataError: one of the needed frames has none.
            NotConnectedError: the edges form a loop.
        """
        pose: FloatArray = np.eye(4)
        poses = {frame: pose}
        while (edges := self._children.get(frame)) is not None and edges.newest_parent is not None:
            try:
                parent, step = edges.at(frame, stamp_ns)
            except NoDataError:
                if frame in needed:
                    raise
                break
            if parent in poses:
                path = " -> ".join([parent, *reversed(poses)])
                raise NotConnectedError(f"TF edges form a loop ({path}); stop the publisher of one of them")
            pose = step @ pose
            poses[parent], frame = pose, parent
        return poses

    def _ancestors(self, frame: str) -> Iterator[str]:
        seen: set[str] = set()
        above: str | None = frame
        while above is not None and above not in seen:
            seen.add(above)
            yield above
            edges = self._children.get(above)
            above = edges.newest_parent if edges else None

    def _between(self, target: str, source: str) -> list[str]:
        """Frames below the nearest common ancestor, by newest parents."""
        up, down = list(self._ancestors(source)), list(self._ancestors(target))
        common = next((frame for frame in up if frame in down), None)
        if common is None:
            raise self._not_connected(target, source)
        return [*up[: up.index(common)], *down[: down.index(common)]]

    def _latest_common_ns(self, between: Sequence[str]) -> int:
        newest = [self._children[frame].stamps_ns[-1] for frame in between if self._children[frame].fixed is None]
        return min(newest, default=0)

    def _not_connected(self, target: str, source: str) -> NotConnectedError:
        of_source, of_target = (list(self._ancestors(frame))[-1] for frame in (source, target))
        return NotConnectedError(
            f"TF does not connect {source} (root of its tree: {of_source}) with {target} (root: {of_target}); publish "
            "an edge between the two trees"
        )


def bare(frame: str) -> str:
    """Name of a frame without leading slashes."""
    return frame.lstrip("/")


def _is_full(frames: Collection[str], frame: str) -> bool:
    return len(frames) >= _MOST_FRAMES and frame not in frames


def _refusal(parent: str, child: str, sample: Sample) -> str:
    edge = f"TF edge {parent} -> {child} ignored:"
    if not parent or not child:
        return f"{edge} a frame without a name"
    if parent == child:
        return f"{edge} a frame cannot be its own parent"
    if len(sample) != 7 or not all(map(math.isfinite, sample)):
        return f"{edge} x, y, z, qx, qy, qz, qw = {list(sample)} is not finite"
    squared = sum(q * q for q in sample[3:])
    if abs(squared - 1.0) > _UNIT_TOLERANCE:
        return f"{edge} its quaternion {list(sample[3:])} is not of unit norm"
    return ""


def _pose(sample: Sample) -> FloatArray:
    return make_pose(rotation_from_quaternion(sample[3:]), sample[:3])


def _seconds(stamp_ns: int) -> str:
    return f"{stamp_ns // 1_000_000_000}.{stamp_ns % 1_000_000_000:09d} s"
