"""Between the executor and the worker: newest image wins, and which images the tracker may see. Free of ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from ros2_raxels.geometry.camera import Camera

T = TypeVar("T")


class Errand(NamedTuple):
    """What somebody asks of the worker and waits for: one of the two is called.

    Attributes:
        carry_out: by the worker, between two items.
        refuse: with the reason, when the worker has ended before.
    """

    carry_out: Callable[[], None]
    refuse: Callable[[str], None]


@dataclass(frozen=True)
class Work(Generic[T]):
    """What the worker is to do next: the errands, then the item if there is one."""

    item: T | None
    errands: tuple[Errand, ...] = ()


class NewestSlot(Generic[T]):
    """Room for one item; a newer one takes the place of one that nobody has taken yet."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._item: T | None = None
        self._errands: list[Errand] = []
        self._closed = False

    def put(self, item: T) -> bool:
        """Leave an item; True when an older one was thrown away for it."""
        with self._ready:
            replaced, self._item = self._item is not None, item
            self._ready.notify()
            return replaced

    def run_errand(self, errand: Errand) -> bool:
        """Let the worker do something before the next item; False when it takes nothing on any more."""
        with self._ready:
            if not self._closed:
                self._errands.append(errand)
                self._ready.notify()
            return not self._closed

    def take(self) -> Work[T] | None:
        """Wait for work; once closed only errands are left, for somebody waits for each, and then None."""
        with self._ready:
            while not self._closed and self._item is None and not self._errands:
                self._ready.wait()
            if self._closed and not self._errands:
                return None
            item = None if self._closed else self._item
            work = Work(item, tuple(self._errands))
            self._item, self._errands = None, []
            return work

    @property
    def closed(self) -> bool:
        """Whether the worker has been told to end."""
        with self._ready:
            return self._closed

    def close(self) -> None:
        """End the wait of the worker."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def abandon(self, reason: str) -> None:
        """Close, and refuse the errands that are left: the worker has ended."""
        with self._ready:
            self._closed = True
            left, self._errands = self._errands, []
        for errand in left:
            errand.refuse(reason)


class FrameRejectedError(ValueError):
    """An image that the tracker must not see, or cannot go on with; one line says why."""


class NotCalibratedError(FrameRejectedError):
    """An image whose camera is not known: there is no pose until it is."""


@dataclass(frozen=True)
class Verdict:
    """Whether an image may go to the tracker, and whether the tracker must forget the past first.

    Attributes:
        drop: why it may not; empty when it may.
        reset: why the tracker must be reset before it; empty when it need not.
    """

    drop: str = ""
    reset: str = ""


class OneCamera:
    """Lets the images of one camera through: in the slot those of another would only take the place of its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._frame: str | None = None
        self._heard_at = 0.0

    def refusal(self, frame: str, patience_s: float) -> str:
        """Why an image of this optical frame must not pass, in one line; empty when it may.

        Another camera takes over once nothing has come from the first for so long.
        """
        now = self._clock()
        if frame == self._frame or self._frame is None or now - self._heard_at > patience_s:
            self._frame, self._heard_at = frame, now
            return ""
        return (
            f"image of camera {frame!r} arrives between those of {self._frame!r}: remap one of them to a topic of "
            "its own"
        )


class FrameGate:
    """Guards what the tracker relies on: stamps that increase, one camera, one image size, intrinsics of that size."""

    def __init__(self) -> None:
        self._frame: str | None = None
        self._stamp_ns: int | None = None
        self._size: tuple[int, int] | None = None
        self._calibrated = False

    def forget(self) -> None:
        """The next image is the first."""
        self.__init__()  # type: ignore[misc]

    def check_stamp(self, stamp_ns: int, jump_back_s: float) -> Verdict:
        """Against the newest image admitted so far."""
        if self._stamp_ns is None or stamp_ns > self._stamp_ns:
            return Verdict()
        back_s = (self._stamp_ns - stamp_ns) * 1e-9
        if back_s > jump_back_s:
            return Verdict(reset=f"image stamps jumped back by {back_s:.3f} s (bag loop or clock reset)")
        if not back_s:
            return Verdict(drop=f"image stamp {stamp_ns} ns repeats; the driver must give each image its own stamp")
        return Verdict(drop=f"image stamp is {back_s:.3f} s older than the previous one: out of order, dropped")

    def check_frame(self, frame: str) -> Verdict:
        """Against the optical frame of the images before."""
        if self._frame in (None, frame):
            return Verdict()
        return Verdict(reset=f"images now come from camera {frame!r}, no longer from {self._frame!r}")

    def check_image(self, width: int, height: int, camera: Camera | None) -> Verdict:
        """Against the camera, px, and against the images before."""
        if camera is not None and (camera.width, camera.height) != (width, height):
            return Verdict(
                drop=f"image is {width}x{height} px but camera_info describes {camera.width}x{camera.height} px: "
                "the driver must send the camera_info of the images that it sends"
            )
        if self._size is None:
            return Verdict()
        if self._size != (width, height):
            was_wide, was_high = self._size
            return Verdict(reset=f"image size changed from {was_wide}x{was_high} to {width}x{height} px")
        if camera is not None and not self._calibrated:
            return Verdict(reset="camera_info arrived: the focal length is no longer estimated")
        return Verdict()

    def admit(self, frame: str, stamp_ns: int, width: int, height: int, camera: Camera | None) -> None:
        """Remember an image that goes to the tracker."""
        self._frame = frame
        self._stamp_ns, self._size, self._calibrated = stamp_ns, (width, height), camera is not None
