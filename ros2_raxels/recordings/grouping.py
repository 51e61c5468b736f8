"""Images of several cameras put together by their stamps: one group for each moment, whoever is missing."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")

_SILENT_AFTER = 3
"""Groups in a row in which a camera was missing; the next ones do not wait for it any more."""

_JUMP_NS = 1_000_000_000
"""An image so much older than what was put together is of a clock that was set back, and no late one."""

_EARLY = 0.6
"""Of its shortest period of late: sooner after its last image a camera is not waited for."""

_PERIODS = 8
_CHANCE = 8
"""After so many late images a camera is waited for once more: it may be back."""


@dataclass(frozen=True)
class Group(Generic[Item]):
    """What cameras saw at one moment.

    Attributes:
        stamp_ns: of the first camera by order that is in it.
        items: by name of the camera, in order; those that are missing are left out.
    """

    stamp_ns: int
    items: dict[str, Item]


@dataclass
class _Pending(Generic[Item]):
    stamp_ns: int
    seen: dict[str, tuple[int, Item]] = field(default_factory=dict)


class _Rhythm:
    """When images of one camera come."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._periods_ns: deque[int] = deque(maxlen=_PERIODS)

    def see(self, stamp_ns: int) -> None:
        if self._last_ns is not None and stamp_ns > self._last_ns:
            self._periods_ns.append(stamp_ns - self._last_ns)
        self._last_ns = stamp_ns

    def is_due(self, stamp_ns: int) -> bool:
        if self._last_ns is None or not self._periods_ns:
            return True
        return stamp_ns >= self._last_ns + _EARLY * min(self._periods_ns)


class Grouper(Generic[Item]):
    """Puts images together whose stamps lie within a tolerance, and waits for nobody longer than it must.

    A group is complete when all cameras that are due are in it, or when one that is in it sends its next image. A
    camera that was missing from the last groups is not waited for until it is in time again.

    Args:
        names: of the cameras, in order.
        tolerance_ns: between two stamps of one group.

    Attributes:
        missing: groups without a camera that was due, by name.
        late: images of a camera that came when their group was gone, by name.
        alone: so many groups in a row hold one camera, though others send images: their clocks or tolerance are wrong.
    """

    def __init__(self, names: Sequence[str], tolerance_ns: int) -> None:
        self._names, self._tolerance_ns = tuple(names), tolerance_ns
        self.missing: Counter[str] = Counter()
        self.late: Counter[str] = Counter()
        self.alone = 0
        self._absent: Counter[str] = Counter()
        self._begin()

    def _begin(self) -> None:
        self._pending: list[_Pending[Item]] = []
        self._last: _Pending[Item] | None = None
        self._rhythm = {name: _Rhythm() for name in self._names}

    def add(self, name: str, stamp_ns: int, item: Item) -> list[Group[Item]]:
        """Take an image; returns the groups that are complete now, the oldest first."""
        done: list[Group[Item]] = []
        if self._last is not None and stamp_ns < self._last.stamp_ns - _JUMP_NS:
            done = self.flush()
            self._begin()
        due = {n for n in self._names if self._rhythm[n].is_due(stamp_ns)}
        self._rhythm[name].see(stamp_ns)
        if self._is_late(name, stamp_ns):
            self.late[name] += 1
            if self.late[name] % _CHANCE == 0:
                self._absent[name] = min(self._absent[name], _SILENT_AFTER - 1)
            return done
        group = self._group_of(name, stamp_ns)
        group.seen[name] = (stamp_ns, item)
        done += self._out([p for p in self._pending if p.stamp_ns < group.stamp_ns and name in p.seen], due)
        if all(n in group.seen or n not in due for n in self._awaited()):
            done += self._out([p for p in self._pending if p.stamp_ns <= group.stamp_ns], due)
        return done

    def flush(self) -> list[Group[Item]]:
        """All that waits, complete or not."""
        return self._out(list(self._pending), set(self._names))

    @property
    def silent(self) -> tuple[str, ...]:
        """Names of the cameras that are not waited for."""
        return tuple(name for name in self._names if self._absent[name] >= _SILENT_AFTER)

    def _awaited(self) -> list[str]:
        return [name for name in self._names if self._absent[name] < _SILENT_AFTER]

    def _is_late(self, name: str, stamp_ns: int) -> bool:
        if self._last is None:
            return False
        since_ns = stamp_ns - self._last.stamp_ns
        return since_ns < -self._tolerance_ns or (since_ns <= self._tolerance_ns and name not in self._last.seen)

    def _group_of(self, name: str, stamp_ns: int) -> _Pending[Item]:
        """The nearest one without this camera, or a new one."""
        near = [p for p in self._pending if name not in p.seen and abs(stamp_ns - p.stamp_ns) <= self._tolerance_ns]
        if near:
            return min(near, key=lambda p: abs(stamp_ns - p.stamp_ns))
        group: _Pending[Item] = _Pending(stamp_ns)
        self._pending.append(group)
        self._pending.sort(key=lambda p: p.stamp_ns)
        return group

    def _out(self, groups: list[_Pending[Item]], due: set[str]) -> list[Group[Item]]:
        """These, and all that are older."""
        if not groups:
            return []
        done = [p for p in self._pending if p.stamp_ns <= groups[-1].stamp_ns]
        self._pending = self._pending[len(done) :]
        return [self._finished(p, due) for p in done]

    def _finished(self, group: _Pending[Item], due: set[str]) -> Group[Item]:
        for name in self._names:
            if name in group.seen:
                self._absent[name] = 0
            elif name in due:
                self.missing[name] += 1
                self._absent[name] += 1
        self._last = group
        self.alone = self.alone + 1 if len(group.seen) == 1 and len(self._awaited()) > 1 else 0
        present = [name for name in self._names if name in group.seen]
        return Group(group.seen[present[0]][0], {name: group.seen[name][1] for name in present})
