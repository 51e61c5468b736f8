"""An image topic of a rosbag2 as a recording."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.camera_info import CameraInfoError, camera_from_info
from ros2_raxels.recordings.image_codec import ImageArray, ImageError, decode_compressed, decode_image
from ros2_raxels.recordings.source import (
    DEFAULT_RATE_HZ,
    PROBED_FRAMES,
    Frame,
    FrameSource,
    SourceError,
    check_camera_fits,
    median_rate_hz,
)

_BAG_SUFFIXES = (".mcap", ".db3")
_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


def find_bag(path: Path) -> Path | None:
    """The path to give to the bag reader; None when this is no bag."""
    if path.is_file():
        return path if path.suffix in _BAG_SUFFIXES else None
    if (path / "metadata.yaml").exists():
        return path
    files = [file for suffix in _BAG_SUFFIXES for file in sorted(path.glob(f"*{suffix}"))]
    if len(files) > 1:
        raise SourceError(f"{path} holds {len(files)} bag files, no metadata.yaml; run `ros2 bag reindex {path}`")
    return files[0] if files else None


class Bag(FrameSource):
    """Images of one topic of a rosbag2."""

    kind = "rosbag2"

    def __init__(
        self,
        path: Path,
        file: Path,
        camera: PinholeCamera | None,
        topic: str | None,
        limit: int | None,
        ignore_calibration: bool = False,
    ) -> None:
        self._path, self._file, self._limit = path, file, limit
        self.name = path.resolve().name
        with self._open() as reader:
            self._topic, count = self._choose_topic(reader, topic)
            self.length = min(count, limit or count)
            self.camera = camera or (None if ignore_calibration else self._read_camera(reader))
            stamps_ns: list[int] = []
            for index, (stamp_ns, message) in enumerate(self._messages(reader, self._topic)):
                if index == 0:
                    check_camera_fits(self.camera, self._decode(message, self._frame_name(0)), self._topic)
                stamps_ns.append(stamp_ns)
                if index == PROBED_FRAMES:
                    break
        if not stamps_ns:
            raise SourceError(f"{path}: topic {self._topic} holds no image; record it again")
        self.rate_hz = median_rate_hz(stamps_ns, DEFAULT_RATE_HZ)

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        with self._open() as reader:
            for stamp_ns, message in self._messages(reader, self._topic):
                if index == self._limit:
                    return
                name = self._frame_name(index)
                image = self._decode(message, name)
                check_camera_fits(self.camera, image, name)
                yield Frame(index, stamp_ns, image, self.camera, None, name)
                index += 1
        if self.length is not None and index < self.length:
            raise self._broken(ValueError(f"topic {self._topic} ends after {index} of {self.length} images"))

    def _frame_name(self, index: int) -> str:
        return f"{self._topic}#{index}"

    def _broken(self, error: Exception) -> SourceError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return SourceError(
            f"{self._path} is broken or truncated ({reason}); repair it with `ros2 bag reindex` or `mcap recover`"
        )

    # Corrupt bytes make the reader raise whatever they happen to trip over (struct, sqlite, yaml, assert), so that any
    # exception of its means a broken bag.

    def _open(self) -> Any:
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise SourceError(f"{self._path} is a bag, which needs rosbags; `pip install rosbags`") from error
        try:
            # Bags from before Iron carry no message definitions; those used here have not changed since.
            reader = AnyReader([self._file], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
            reader.open()
        except Exception as error:
            raise self._broken(error) from error
        return contextlib.closing(reader)

    def _messages(self, reader: Any, topic: str) -> Iterator[tuple[int, Any]]:
        connections = [c for c in reader.connections if c.topic == topic]
        messages = iter(reader.messages(connections))
        while True:
            try:
                connection, log_ns, raw = next(messages)
                message = reader.deserialize(raw, connection.msgtype)
                stamp = message.header.stamp
                stamp_ns = int(stamp.sec) * 10**9 + int(stamp.nanosec)
            except StopIteration:
                return
            except Exception as error:
                raise self._broken(error) from error
            # Drivers that do not stamp leave 0; the time of recording is then the best that is known.
            yield stamp_ns or log_ns, message

    def _choose_topic(self, reader: Any, wanted: str | None) -> tuple[str, int]:
        counts: dict[str, int] = {}
        for connection in reader.connections:
            if connection.msgtype in _IMAGE_TYPES:
                counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
        listed = ", ".join(f"{topic} ({count})" for topic, count in sorted(counts.items()))
        if not counts:
            others = ", ".join(sorted({c.topic for c in reader.connections})) or "nothing"
            raise SourceError(f"{self._path} has no image topic (it holds {others}); record an image topic")
        if wanted is not None:
            if wanted not in counts:
                raise SourceError(f"{self._path} has no image topic {wanted!r}; choose one of {listed}")
            return wanted, counts[wanted]
        if len(counts) > 1:
            raise SourceError(f"{self._path} has {len(counts)} image topics; choose one of {listed}")
        return next(iter(counts.items()))

    def _read_camera(self, reader: Any) -> PinholeCamera | None:
        image_topic = self._topic.removesuffix("/compressed")
        namespace, _, base = image_topic.rpartition("/")
        info_topic = f"{namespace}/camera_info"
        topics = {c.topic for c in reader.connections if c.msgtype == "sensor_msgs/msg/CameraInfo"}
        if info_topic not in topics:
            return None
        for _, info in self._messages(reader, info_topic):
            if not np.any(info.k):
                return None
            try:
                return camera_from_info(info, rectified="rect" in base and info.p[0] > 0)
            except CameraInfoError as error:
                raise SourceError(f"{self._path}: {info_topic}: {error}") from error
        return None

    def _decode(self, message: Any, name: str) -> ImageArray:
        try:
            if not hasattr(message, "encoding"):
                return decode_compressed(message.data, message.format)
            m = message
            image = decode_image(m.data, m.height, m.width, m.encoding, m.step, m.is_bigendian)
        except ImageError as error:
            raise SourceError(f"{self._path}: {name}: {error}") from error
        return image if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)
