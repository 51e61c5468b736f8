"""A video file, or a live camera, as a recording."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.source import (
    DEFAULT_RATE_HZ,
    PROBED_FRAMES,
    Frame,
    FrameSource,
    SourceError,
    check_camera_fits,
)


class Video(FrameSource):
    """Frames of a video file."""

    kind = "video"

    def __init__(self, path: Path, camera: PinholeCamera | None, rate_hz: float | None, limit: int | None) -> None:
        self._path, self._limit = path, limit
        capture = self._capture()
        try:
            fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
            stamps_ns = self._probe(capture, camera)
        finally:
            capture.release()
        self.name = path.stem
        self.rate_hz = rate_hz or (fps if math.isfinite(fps) and 0 < fps < 1e4 else DEFAULT_RATE_HZ)
        self.length = min(int(count), limit or int(count)) if math.isfinite(count) and count > 0 else None
        self.camera = camera
        # Some containers report 0 for every frame, and a rate that the caller gives outranks their times.
        self._has_times = rate_hz is None and len(stamps_ns) > 1 and bool((np.diff(stamps_ns) > 0).all())

    def _capture(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise SourceError(f"{self._path} is no video that OpenCV can open; re-encode it as mp4 with ffmpeg")
        return capture

    def _probe(self, capture: cv2.VideoCapture, camera: PinholeCamera | None) -> list[int]:
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


def _position_ns(capture: cv2.VideoCapture) -> int:
    position_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
    return round(position_ms * 1e6) if math.isfinite(position_ms) else 0


class LiveCamera(FrameSource):
    """Frames of a camera of this machine, stamped with the wall clock."""

    kind = "camera"

    def __init__(self, device: int, camera: PinholeCamera | None, rate_hz: float | None, limit: int | None) -> None:
        self._device, self.camera, self.length = device, camera, limit
        self.name = f"camera {device}"
        capture = self._capture()
        fps = capture.get(cv2.CAP_PROP_FPS)
        capture.release()
        self.rate_hz = rate_hz or (fps if math.isfinite(fps) and 0 < fps < 1e4 else DEFAULT_RATE_HZ)

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
