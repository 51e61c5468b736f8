"""Whether images are answered at the rate at which they come. Free of ROS."""

from __future__ import annotations

from collections import deque

from ros2_raxels.tracking.budget import Pace

_IMAGES = 150
_ENOUGH_IMAGES = 30
_TOO_FEW = 0.9
"""Share of the images: a controller notices that a tenth is missing."""

_SMOOTHING = 0.05


class Load:
    """The newest images, and what became of them. One thread tells of images, one of answers; any thread may ask.

    Attributes:
        period_s: from one image to the next; None before there were two.
        answered: share of the images that no newer one has replaced, 0 to 1.
        frame_s: what an answer takes, smoothed; 0 before the first.
    """

    def __init__(self) -> None:
        self._pace = Pace()
        self._replaced: deque[bool] = deque(maxlen=_IMAGES)
        self.period_s: float | None = None
        self.answered = 1.0
        self.frame_s = 0.0

    def see_image(self, stamp_ns: int, replaced: bool) -> None:
        """One has come, and has taken the place of one that waited or not."""
        self._pace.see(stamp_ns)
        self._replaced.append(replaced)
        self.period_s = self._pace.period_s
        self.answered = 1.0 - sum(self._replaced) / len(self._replaced)

    def see_answer(self, frame_s: float) -> None:
        """One was answered, after so long."""
        self.frame_s += _SMOOTHING * (frame_s - self.frame_s) if self.frame_s else frame_s

    @property
    def trouble(self) -> str:
        """What is wrong and what to do, in a line; empty where nothing is."""
        if self.period_s is None or len(self._replaced) < _ENOUGH_IMAGES or self.answered >= _TOO_FEW:
            return ""
        return (
            f"too slow for this rate: only {100 * self.answered:.0f} % of the images at {1.0 / self.period_s:.1f} Hz "
            f"are answered, each in {1e3 * self.frame_s:.0f} ms; lower the rate of the camera or the size of its "
            "images, or take load off this machine"
        )

    def values(self) -> dict[str, str]:
        """For diagnostics."""
        rate = "nan" if self.period_s is None else f"{1.0 / self.period_s:.1f}"
        return {
            "rate by stamps (Hz)": rate,
            "images answered (%)": f"{100 * self.answered:.0f}",
            "answer takes (ms)": f"{1e3 * self.frame_s:.1f}",
        }
