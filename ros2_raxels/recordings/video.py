"""A video file, or a live camera, as a recording."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.recordings.source import (
    DEFAULT_RATE_HZ,
    PROBED_FRAMES,
    EndedEarlyError,
    Frame,
    FrameSource,
    SourceError,
    check_camera_fits,
)

_SPARE_FRAMES, _SPARE_SHARE = 2, 0.02
"""How much a video may miss of what its container says: editors cut between key frames, and counts are rounded."""


class Video(FrameSource):
    """Frames of a video file."""

    kind = "video"

    def __init__(self, path: Path, camera: Camera | None, rate_hz: float | None, limit: int | None) -> None:
        self._path, self._limit = path, limit
        capture = self._capture()
        try:
            fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
            turn_deg = capture.get(getattr(cv2, "CAP_PROP_ORIENTATION_META", -1))
            stamps_ns = self._probe(capture, camera)
        finally:
            capture.release()
        self.name, self.camera = path.stem, camera
        has_rate = math.isfinite(fps) and 0 < fps < 1e4
        self.rate_hz = rate_hz or (fps if has_rate else DEFAULT_RATE_HZ)
        self._claimed = int(count) if math.isfinite(count) and count > 0 else None
        self._claimed_s = self._claimed / fps if self._claimed and has_rate else None
        self.length = min(self._claimed, limit or self._claimed) if self._claimed else None
        # Some containers report 0 for every frame, and a rate that the caller gives outranks their times.
        self._has_times = rate_hz is None and len(stamps_ns) > 1 and bool((np.diff(stamps_ns) > 0).all())
        self.notes = self._notes(
            "given" if rate_hz else "of the container" if has_rate else "assumed (--rate-hz)", turn_deg
        )

    def _notes(self, rate_origin: str, turn_deg: float) -> tuple[str, ...]:
        rate = f"{self.rate_hz:.4g} Hz {rate_origin}"
        times = f"times from the container, {rate}" if self._has_times else f"no times, {rate}"
        turned = (f"turned by {turn_deg:g} deg as the container asks",) if turn_deg in (90, 180, 270) else ()
        return f"{self.length or 'an unknown number of'} frames", times, *turned

    def _capture(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise SourceError(f"{self._path} is no video that OpenCV can open; re-encode it as mp4 with ffmpeg")
        return capture

    def _probe(self, capture: cv2.VideoCapture, camera: Camera | None) -> list[int]:
        stamps_ns: list[int] = []
        for _ in range(PROBED_FRAMES):
            ok, image = capture.read()
            if not ok:
                break
            if not stamps_ns:
                check_camera_fits(camera, np.asarray(image, np.uint8), self._path)
            stamps_ns.append(_position_ns(capture))
        if not stamps_ns:
            raise SourceError(f"{self._path} holds no frame that can be decoded; re-encode it as mp4 with ffmpeg")
        return stamps_ns

    def __iter__(self) -> Iterator[Frame]:
        capture = self._capture()
        index, previous_ns, period_ns = 0, -1, round(1e9 / self.rate_hz)
        try:
            while self._limit is None or index < self._limit:
                ok, image = capture.read()
                if not ok:
                    self._check_end(index, previous_ns)
                    return
                stamp_ns = _position_ns(capture) if self._has_times else round(index / self.rate_hz * 1e9)
                if stamp_ns <= previous_ns:
                    stamp_ns = previous_ns + period_ns
                previous_ns = stamp_ns
                rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
                yield Frame(index, stamp_ns, rgb, self.camera, None, f"{self._path.name}#{index}")
                index += 1
        finally:
            capture.release()

    def _check_end(self, count: int, last_ns: int) -> None:
        """See that the video ends where its container says, by frames and by time.

        A count alone may be an estimate: of a film whose rate varies, from its duration.

        Raises:
            EndedEarlyError: it ends before.
        """
        claimed = self._claimed or 0
        if count >= claimed - max(_SPARE_FRAMES, _SPARE_SHARE * claimed):
            return
        if self._has_times and self._claimed_s is not None:
            last_s = last_ns / 1e9
            if self._claimed_s - last_s < max(
                _SPARE_FRAMES * last_s / max(1, count - 1), _SPARE_SHARE * self._claimed_s
            ):
                return
        raise EndedEarlyError(
            f"{self._path} ended early: it was cut short after {count} of the {claimed} frames that its container "
            "names; copy or record it again"
        )


def _position_ns(capture: cv2.VideoCapture) -> int:
    position_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
    return round(position_ms * 1e6) if math.isfinite(position_ms) else 0


class LiveCamera(FrameSource):
    """Frames of a camera of this machine, stamped with the wall clock."""

    kind = "camera"

    def __init__(self, device: int, camera: Camera | None, rate_hz: float | None, limit: int | None) -> None:
        self._device, self.camera, self.length = device, camera, limit
        self.name = f"camera {device}"
        capture = self._capture()
        fps = capture.get(cv2.CAP_PROP_FPS)
        capture.release()
        self.rate_hz = rate_hz or (fps if math.isfinite(fps) and 0 < fps < 1e4 else DEFAULT_RATE_HZ)
        self.notes = ("times from the wall clock of this machine",)

    def _capture(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self._device)
        if not capture.isOpened():
            raise SourceError(
                f"camera {self._device} cannot be opened; check /dev/video{self._device} and its permissions"
            )
        return capture

    def __iter__(self) -> Iterator[Frame]:
        capture = self._capture()
        index, previous_ns = 0, 0
        try:
            while self.length is None or index < self.length:
                ok, image = capture.read()
                # The wall clock may step back, and the stamps of a source may not.
                previous_ns = max(time.time_ns(), previous_ns + 1)
                if not ok:
                    raise SourceError(f"camera {self._device} stopped after {index} frames; check its cable")
                rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
                check_camera_fits(self.camera, rgb, self.name)
                yield Frame(index, previous_ns, rgb, self.camera, None, f"{self.name}#{index}")
                index += 1
        finally:
            capture.release()
