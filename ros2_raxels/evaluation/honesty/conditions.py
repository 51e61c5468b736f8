"""What a recording goes through before it is tracked: missing frames, a wrong focal length, something that moves.

Each condition takes the frames of a recording and gives those that a tracker gets to see. The same recording gives the
same frames each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import Frame, FrameSource
from ros2_raxels.scenes.random_textures import glyphs, leaves

Change = Callable[[Iterable[Frame]], Iterator[Frame]]

GAP_S, GAP_EVERY_S = 0.5, 1.5
"""A burst of missing frames, and the time in which one comes: a third of the frames are missing."""

_SEED = 20
_EARLY = 0.05
"""Of a period: stamps are not even."""

_WIDTH_PX = 320.0
_SPEED_PX = (30.0, 120.0)
"""Of what moves, across a picture of `_WIDTH_PX`, in a second."""

_PAUSE_S = 1.0
"""Between two passes, and before the first."""

_TEXTURES = (leaves, glyphs, leaves)
_ENLARGED = 1.5
"""Size of a texture over that of the picture."""

_GAINS = (0.5, 0.7, 1.0, 1.4, 1.9)
_GAIN_LASTS_S = 2.0
_BLUR_SHARE = 0.03
"""Length of the blur, of the width of the picture."""


def as_they_are(frames: Iterable[Frame]) -> Iterator[Frame]:
    """All of them."""
    yield from frames


def with_gaps(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Bursts of half a second are missing, a third of the time; the first second is there."""
    generator, window, gap_s = np.random.default_rng(_SEED), -1, 0.0
    begin_s: float | None = None
    for frame in frames:
        stamp_s = frame.stamp_ns * 1e-9
        begin_s = stamp_s if begin_s is None else begin_s
        since_s = stamp_s - begin_s
        while window < since_s // GAP_EVERY_S:
            window += 1
            early = generator.uniform(0.0, GAP_EVERY_S - GAP_S)
            gap_s = window * GAP_EVERY_S + (GAP_EVERY_S - GAP_S if window == 0 else early)
        if not gap_s <= since_s < gap_s + GAP_S:
            yield frame


def at_rate(rate_hz: float) -> Change:
    """Those that come at a lower rate."""

    def change(frames: Iterable[Frame]) -> Iterator[Frame]:
        period_ns = 1e9 / rate_hz
        begin_ns, last = None, -1
        for frame in frames:
            begin_ns = frame.stamp_ns if begin_ns is None else begin_ns
            period = int((frame.stamp_ns - begin_ns) / period_ns + _EARLY)
            if period > last:
                last = period
                yield frame

    return change


def with_focal(factor: float) -> Change:
    """The focal length is given wrong by a factor."""

    def change(frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            camera = frame.camera
            wrong = None if camera is None else replace(camera, fx=camera.fx * factor, fy=camera.fy * factor)
            yield replace(frame, camera=wrong)

    return change


def with_exposure_steps(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Every two seconds the exposure is another one, from one frame to the next."""
    generator, window, gain = np.random.default_rng(_SEED), -1, 1.0
    begin_ns: int | None = None
    for frame in frames:
        begin_ns = frame.stamp_ns if begin_ns is None else begin_ns
        while window < (frame.stamp_ns - begin_ns) * 1e-9 // _GAIN_LASTS_S:
            window += 1
            gain = float(generator.choice([g for g in _GAINS if g != gain]))
        yield replace(frame, image=np.clip(frame.image * gain, 0, 255).astype(np.uint8))


def with_blur(frames: Iterable[Frame]) -> Iterator[Frame]:
    """A third of the time, in bursts of half a second, the images are blurred sideways."""
    frames = list(frames)
    sharp = {frame.index for frame in with_gaps(frames)}
    for frame in frames:
        yield frame if frame.index in sharp else replace(frame, image=_blurred(frame.image))


def with_something_moving(share: float) -> Change:
    """A wall from top to bottom of the picture, so much of its width, passes through it again and again.

    It moves as it pleases in the picture, whatever the camera does, at a walking pace.
    """

    def change(frames: Iterable[Frame]) -> Iterator[Frame]:
        passes: list[_Pass] = []
        generator = np.random.default_rng(_SEED)
        begin_ns: int | None = None
        for frame in frames:
            begin_ns = frame.stamp_ns if begin_ns is None else begin_ns
            now_s = (frame.stamp_ns - begin_ns) * 1e-9
            while not passes or now_s > passes[-1].end_s:
                passes.append(_Pass.drawn(generator, share, (passes[-1].end_s if passes else 0.0) + _PAUSE_S))
            yield replace(frame, image=passes[-1].before(frame.image, now_s))

    return change


@dataclass(frozen=True)
class Condition:
    """One of the battery.

    Attributes:
        name: of it.
        words: what is done to the recording.
        change: does it.
    """

    name: str
    words: str
    change: Change


CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition("as_it_is", "the recording as it is", as_they_are),
        Condition("gaps", "bursts of half a second missing, a third of the frames", with_gaps),
        Condition("5hz", "five frames a second", at_rate(5.0)),
        Condition("focal", "a focal length that is 5 % too long", with_focal(1.05)),
        Condition("moving20", "a wall over 20 % of the width passes by", with_something_moving(0.2)),
        Condition("moving40", "over 40 %", with_something_moving(0.4)),
        Condition("moving60", "over 60 %", with_something_moving(0.6)),
        Condition("exposure", "steps of the exposure every two seconds", with_exposure_steps),
        Condition("blur", "blurred for half a second, a third of the time", with_blur),
    )
}
"""By name."""


class ChangedSource(FrameSource):
    """A recording under a condition; frames keep their numbers and stamps.

    Args:
        source: the recording.
        change: see `Condition`.
    """

    def __init__(self, source: FrameSource, change: Change) -> None:
        self._source, self._change = source, change
        self.name, self.kind, self.rate_hz, self.length = source.name, source.kind, source.rate_hz, None
        self.camera, self.has_truth, self.is_metric = source.camera, source.has_truth, source.is_metric
        self.camera_to_base, self.notes = source.camera_to_base, source.notes

    def __iter__(self) -> Iterator[Frame]:
        return self._change(self._source)


@dataclass(frozen=True, eq=False)
class _Pass:
    """A wall on its way through the picture; lengths are shares of the picture's width.

    Attributes:
        begin_s, end_s: when it comes in, and when it has left.
        width: of the wall.
        speed: in a second; from right to left where it is negative.
        tilt: px down in a px across, of its texture's motion.
        texture: number of its texture.
    """

    begin_s: float
    end_s: float
    width: float
    speed: float
    tilt: float
    texture: int

    @staticmethod
    def drawn(generator: np.random.Generator, width: float, begin_s: float) -> _Pass:
        """At random, from the time that is given."""
        speed = float(generator.uniform(*_SPEED_PX)) / _WIDTH_PX
        lasts_s = (1.0 + width) / speed
        texture = int(generator.integers(len(_TEXTURES)))
        sign = 1.0 if generator.random() < 0.5 else -1.0
        return _Pass(begin_s, begin_s + lasts_s, width, sign * speed, float(generator.uniform(-0.1, 0.1)), texture)

    def before(self, image: ImageArray, now_s: float) -> ImageArray:
        """The image with the wall before it."""
        height, width = image.shape[:2]
        since_s, start = now_s - self.begin_s, -self.width if self.speed > 0 else 1.0
        left = (start + self.speed * since_s) * width
        low, high = (int(np.clip(round(edge), 0, width)) for edge in (left, left + self.width * width))
        if since_s < 0 or low >= high:
            return image
        # The texture moves by fractions of a px as well.
        placed: FloatArray = np.array([[1.0, 0.0, left], [0.0, 1.0, self.tilt * self.speed * since_s * width]])
        texture = _texture(self.texture, round(_ENLARGED * max(height, width)))
        wall = cv2.warpAffine(texture, placed, (width, height), borderMode=cv2.BORDER_WRAP)
        found = image.copy()
        found[:, low:high] = wall[:, low:high]
        return found


@cache
def _texture(number: int, size_px: int) -> ImageArray:
    """(size_px, size_px, 3), periodic."""
    tile = _TEXTURES[number](np.random.default_rng([_SEED, number]))
    return np.asarray(cv2.resize(tile, (size_px, size_px), interpolation=cv2.INTER_AREA))


def _blurred(image: ImageArray) -> ImageArray:
    length = max(3, round(_BLUR_SHARE * image.shape[1]))
    return np.asarray(cv2.blur(image, (length, 1)))
