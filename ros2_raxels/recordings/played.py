"""Recordings played otherwise than they were made: other sequences with the same truth, on which nothing was tuned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.image_codec import decode_compressed, encode_compressed
from ros2_raxels.recordings.source import Frame, FrameSource

_MIRROR: FloatArray = np.diag([-1.0, 1.0, 1.0, 1.0])


def _backwards(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The last frame first; numbers and stamps are those of a recording that was made so."""
    # A recording of a minute takes gigabytes as pixels.
    held = [(replace(f, image=f.image[:0]), encode_compressed(f.image, "png")) for f in frames]
    whole_ns = held[-1][0].stamp_ns + held[0][0].stamp_ns if held else 0
    for number, (frame, image) in enumerate(reversed(held)):
        yield replace(frame, index=number, stamp_ns=whole_ns - frame.stamp_ns, image=decode_compressed(image))


def _mirrored(frames: Iterable[Frame]) -> Iterator[Frame]:
    """What a camera sees in a mirror: left is right, in images, cameras and poses."""
    for frame in frames:
        pose = frame.camera_to_world
        yield replace(
            frame,
            image=np.ascontiguousarray(frame.image[:, ::-1]),
            camera=_mirrored_camera(frame.camera),
            camera_to_world=None if pose is None else _MIRROR @ pose @ _MIRROR,
        )


def _mirrored_camera(camera: Camera | None) -> Camera | None:
    return None if camera is None else camera.mirrored()


def _every_second(frames: Iterable[Frame]) -> Iterator[Frame]:
    """One of two frames, with its stamp; they are numbered anew."""
    for frame in frames:
        if frame.index % 2 == 0:
            yield replace(frame, index=frame.index // 2)


PLAYED: Mapping[str, Callable[[Iterable[Frame]], Iterator[Frame]]] = {
    "as_it_is": iter,
    "backwards": _backwards,
    "mirrored": _mirrored,
    "every_second": _every_second,
}
"""Ways to play a recording, by name."""


class PlayedSource(FrameSource):
    """A recording of one camera, played in a way of `PLAYED`. Its depth images are left out.

    Args:
        source: the recording.
        way: name of the way.
    """

    def __init__(self, source: FrameSource, way: str) -> None:
        self._source, self._way = source, way
        self.name = source.name if way == "as_it_is" else f"{source.name} {way}"
        self.kind, self.rate_hz, self.length = source.kind, source.rate_hz, source.length
        self.has_truth, self.is_metric, self.notes = source.has_truth, source.is_metric, source.notes
        self.camera = source.camera
        if way == "mirrored":
            self.camera = _mirrored_camera(source.camera)
        elif way == "every_second":
            self.rate_hz /= 2.0
            self.length = None if source.length is None else (source.length + 1) // 2

    def __iter__(self) -> Iterator[Frame]:
        return PLAYED[self._way](replace(frame, depth=None) for frame in self._source)
