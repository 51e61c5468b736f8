"""Keyframes are made on a copy of the map, beside the frames that go on; the tracker takes it over in one step."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.background import AtOnce, InBackground, StuckError
from ros2_raxels.tracking.frame import SolvedFrame
from ros2_raxels.tracking.loop_closure import LoopCloser
from ros2_raxels.tracking.mapping import Mapper
from ros2_raxels.tracking.resection import FrameSolver
from ros2_raxels.utils.right_of_way import RightOfWay

PATIENCE_S = 10.0
"""Making a keyframe takes a tenth of a second, on a busy machine a whole one; after this it is given up."""

_LONG_S = 2.0
"""The map has fallen behind."""

_SMOOTHING = 0.3
"""Weight of the newest keyframe in how long they take."""


@dataclass(frozen=True, eq=False)
class MapUpdate:
    """What has become of a copy of the map.

    Attributes:
        mapper: of the copy.
        frame: that was made a keyframe, with the pose that it had before.
        keyframe: number of the keyframe.
        growth: factor by which distances around it have grown; None when no loop was closed.
        joined: whether the loop made one trajectory of two.
    """

    mapper: Mapper
    frame: SolvedFrame
    keyframe: int
    growth: float | None
    joined: bool


@dataclass(frozen=True)
class MappingState:
    """How mapping is, for diagnostics.

    Attributes:
        made: keyframes since the beginning.
        failed: that raised an error.
        stuck: that were given up.
        busy_s: for how long the present one has been in the making.
    """

    made: int = 0
    failed: int = 0
    stuck: int = 0
    busy_s: float = 0.0

    @property
    def trouble(self) -> str:
        """What is wrong now, in a line; empty where nothing is."""
        if self.busy_s < _LONG_S:
            return ""
        return (
            f"a keyframe has been in the making for {self.busy_s:.1f} s; poses go on with the map as it is, and it is "
            f"given up after {PATIENCE_S:g} s"
        )

    def values(self) -> dict[str, str]:
        """For diagnostics."""
        return {
            "keyframes made": str(self.made),
            "keyframes failed": str(self.failed),
            "keyframes given up": str(self.stuck),
        }


class KeyframeMaker:
    """Makes keyframes on copies of the map, and looks for loops there.

    Args:
        matcher: of all frames.
        solver: places a keyframe among older ones; only its caller's thread may use the denoiser.
        loops: whether any are looked for.
        in_background: by a thread of its own, with a matcher of its own; else when it is begun.
        way: the frames', which that thread gives way to.
        clock: s.
    """

    def __init__(
        self,
        matcher: Matcher,
        solver: FrameSolver,
        loops: bool,
        in_background: bool,
        way: RightOfWay | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loops_wanted, self._in_background = loops, in_background
        self._matcher, self._solver = matcher, solver
        self._counts: Counter[str] = Counter()
        self._clock, self._begun_s, self._takes_s = clock, 0.0, 0.0
        self._work: AtOnce[MapUpdate] | InBackground[MapUpdate] = (
            InBackground("raxels-mapping", PATIENCE_S, way=way) if in_background else AtOnce()
        )
        self._frame: SolvedFrame | None = None
        self.forget()

    @property
    def state(self) -> MappingState:
        """Any thread may ask."""
        busy_s = self._work.busy_s if isinstance(self._work, InBackground) else 0.0
        return MappingState(self._counts["made"], self._counts["failed"], self._counts["stuck"], busy_s)

    @property
    def frame(self) -> SolvedFrame | None:
        """That is being made a keyframe."""
        return self._frame

    @property
    def is_busy(self) -> bool:
        """Whether nothing can be begun now."""
        return self._work.is_busy

    @property
    def is_ready(self) -> bool:
        """Whether `finished` has an update."""
        return self._frame is not None and self._work.is_ready

    def forget(self) -> None:
        """Another map is gone on with."""
        self.drop()
        self._renew()

    @property
    def takes_s(self) -> float:
        """From asking for a keyframe to having it, of late; 0 where it is made at once."""
        return self._takes_s

    def drop(self) -> None:
        """The map has become another one meanwhile: what is in the making does not fit it."""
        self._frame = None
        self._work.drop()

    def begin(self, mapper: Mapper, frame: SolvedFrame) -> None:
        """Make a keyframe of a frame, on a copy of the map as it is now; not while busy.

        Raises:
            StuckError: too many are stuck.
        """
        beside, loops = mapper.aside(self._own_matcher), self._loops
        self._work.begin(lambda: _update(beside, loops, frame))
        self._frame, self._begun_s = frame, self._clock()

    def finished(self) -> MapUpdate | None:
        """What has become of the copy, once; None while it is not known.

        Raises:
            StuckError: it was given up.
            BaseException: whatever went wrong; the map is as it was.
        """
        try:
            update = self._work.outcome()
        except StuckError:
            self._counts["stuck"] += 1
            self._frame = None
            self._renew()
            raise
        except BaseException:
            self._counts["failed"] += 1
            self._frame = None
            raise
        if update is not None:
            self._counts["made"] += 1
            self._frame = None
            if self._in_background:
                took_s = self._clock() - self._begun_s
                self._takes_s += _SMOOTHING * (took_s - self._takes_s) if self._takes_s else took_s
        return update

    def wait(self) -> None:
        """Until `finished` has an answer."""
        self._work.wait()

    def _renew(self) -> None:
        # What is stuck or not wanted any more may be at work with the old ones still.
        self._own_matcher = Matcher(self._matcher.settings, threads=1) if self._in_background else self._matcher
        self._loops = LoopCloser(self._solver, self._own_matcher) if self._loops_wanted else None


def _update(mapper: Mapper, loops: LoopCloser | None, frame: SolvedFrame) -> MapUpdate:
    before = len(mapper.keyframes.trajectories)
    keyframe = mapper.add(frame)
    growth = None if loops is None else loops.close(mapper, keyframe)
    joined = len(mapper.keyframes.trajectories) < before
    return MapUpdate(mapper, frame, keyframe.number, growth, joined)
