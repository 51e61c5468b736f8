"""The recent frames of all cameras of a rig, each camera with a `LiveContext` of its own."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

from ros2_raxels.nodes.views.live_context import LiveContext
from ros2_raxels.view_synthesis.context import ContextFrame


class RigContext:
    """Frames of all cameras.

    Args:
        cameras: by name, at least one; the first one leads. A camera that has no others beside it has an empty name.
    """

    def __init__(self, cameras: Mapping[str, LiveContext]) -> None:
        self.cameras = dict(cameras)
        self.names = tuple(self.cameras)

    def __getitem__(self, name: str) -> LiveContext:
        """Of a camera by name; of the first one where that is empty."""
        return self.cameras[name or self.names[0]]

    def update(self) -> None:
        """As `LiveContext.update`."""
        for live in self.cameras.values():
            live.update()

    def forget(self) -> None:
        """As `LiveContext.forget`."""
        for live in self.cameras.values():
            live.forget()

    def destroy(self) -> None:
        """As `LiveContext.destroy`."""
        for live in self.cameras.values():
            live.destroy()

    @property
    def frames(self) -> tuple[ContextFrame, ...]:
        """That are kept of all cameras, oldest first."""
        kept = (frame for live in self.cameras.values() for frame in live.frames)
        return tuple(sorted(kept, key=attrgetter("stamp_ns")))

    @property
    def kept(self) -> int:
        """How many frames are kept, of all cameras."""
        return sum(live.kept for live in self.cameras.values())

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest image of any camera."""
        return max((live.newest_ns for live in self.cameras.values() if live.newest_ns is not None), default=None)

    def why_empty(self) -> str:
        """Why there is no image, in one line; empty when a camera has one."""
        return "" if self.newest_ns is not None else self[""].why_empty()

    def missing(self, max_age_s: float) -> dict[str, str]:
        """By name of each camera of a rig, why it adds nothing; empty words for one that does.

        Args:
            max_age_s: how much older than the newest image of all cameras that of one may be.
        """
        if len(self.names) < 2:
            return {}
        return {name: self._why_missing(live, max_age_s) for name, live in self.cameras.items()}

    def _why_missing(self, live: LiveContext, max_age_s: float) -> str:
        newest, own = self.newest_ns, live.newest_ns
        if newest is None or own is None:
            return live.why_empty()
        if newest - own > max_age_s * 1e9:
            return live.why_old()
        return live.why_unplaced()
