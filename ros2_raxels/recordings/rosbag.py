"""An image topic of a rosbag2 as a recording."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import inverse_pose
from ros2_raxels.recordings.bag_camera import camera_of_info, info_topic_of
from ros2_raxels.recordings.bag_depth import DepthOfStamps, check_registered, decoded
from ros2_raxels.recordings.bag_files import BagFile
from ros2_raxels.recordings.bag_order import Disorder, in_order
from ros2_raxels.recordings.camera_info import CameraInfoError
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import ImageArray, ImageError, decode_compressed, decode_image
from ros2_raxels.recordings.image_names import is_no_picture
from ros2_raxels.recordings.imu import RecordedImu, imu_readings
from ros2_raxels.recordings.odometry import base_poses, mount_of
from ros2_raxels.recordings.source import (
    DEFAULT_RATE_HZ,
    PROBED_FRAMES,
    CameraToOdom,
    EndedEarlyError,
    Frame,
    FrameSource,
    SourceError,
    UnreadDepths,
    check_camera_fits,
    median_rate_hz,
)

_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
_ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
_IMU_TYPE = "sensor_msgs/msg/Imu"
_STATIC_TOPIC = "/tf_static"


class _BrokenBagError(SourceError):
    """The reader of bags tripped over this one."""


class Bag(FrameSource):
    """Images of one topic of a rosbag2."""

    kind = "rosbag2"

    def __init__(
        self,
        path: Path,
        bag: BagFile,
        camera: Camera | None,
        topic: str | None,
        limit: int | None,
        ignore_calibration: bool = False,
        depth_topic: str | None = None,
    ) -> None:
        self._path, self._bag, self._limit, self._depth_topic = path, bag, limit, depth_topic
        self.name = path.resolve().name
        with self._open() as reader:
            self._topic, self._count, said = self._choose_topic(reader, topic)
            self.length = min(self._count, limit or self._count)
            stamps_ns, first, origin = self._probe(reader)
            size = first.shape[1], first.shape[0]
            if camera is not None or ignore_calibration:
                self.camera, said_of_camera = camera, "camera as given"
            else:
                self.camera, said_of_camera = self._read_camera(reader, size)
            check_camera_fits(self.camera, first, self._topic)
            said += self._see_depth(reader)
        self.rate_hz = median_rate_hz(stamps_ns, DEFAULT_RATE_HZ)
        self.notes = (
            f"{self._count} messages of {self._topic}",
            f"{origin}, {self.rate_hz:.4g} Hz",
            said_of_camera,
            *said,
            *bag.notes,
        )

    def odometry(self) -> CameraToOdom:
        """By the one topic of nav_msgs/Odometry and by /tf_static; see `FrameSource.odometry`."""
        with self._open() as reader:
            topic = self._only(reader, _ODOMETRY_TYPE, "of odometry", "a bag with that of the wheels alone", "--odom")
            where = f"{self._path}: {topic}"
            wheels, base = base_poses(self._messages(reader, topic), where)
            first_ns, image = next(self._messages(reader, self._topic))
            wheels.check_covers(first_ns, where)
            static = (message for _, message in self._read(reader, _STATIC_TOPIC))
            return wheels.seen_from(mount_of(static, image.header.frame_id, base, str(self._path)))

    def _see_depth(self, reader: Any) -> list[str]:
        """Look at the topic of depth images, if there is to be one; what to say about it."""
        self._depth_camera: Camera | None = None
        topic = self._depth_topic
        if topic is None:
            return []
        counts = _counts(reader, _IMAGE_TYPES)
        if not counts.get(topic):
            listed = ", ".join(sorted(other for other, count in counts.items() if count and _is_depth(other)))
            raise SourceError(f"{self._path} has no depth images on {topic!r}; choose one of {listed or 'none'}")
        first, image = (next(self._messages(reader, name))[1] for name in (topic, self._topic))
        check_registered(first, image, topic, self._topic)
        height, width = decoded(first, topic).shape
        self._depth_camera, _ = self._camera_of(reader, topic, (width, height), False)
        self.has_depth = True
        return [f"{counts[topic]} depth images of {width}x{height} px on {topic}"]

    def imu(self) -> RecordedImu:
        """By the one topic of sensor_msgs/Imu and by /tf_static; see `FrameSource.imu`."""
        with self._open() as reader:
            topic = self._only(reader, _IMU_TYPE, "of an IMU", "a bag with one of them", "--imu")
            where = f"{self._path}: {topic}"
            readings, frame = imu_readings(self._messages(reader, topic), where)
            _, image = next(self._messages(reader, self._topic))
            static = (message for _, message in self._read(reader, _STATIC_TOPIC))
            imu_to_camera = inverse_pose(mount_of(static, image.header.frame_id, frame, str(self._path)))
            return RecordedImu(readings, imu_to_camera, where)

    def _only(self, reader: Any, kind: str, what: str, remedy: str, option: str) -> str:
        """The one topic of a type of messages."""
        topics = sorted(topic for topic, count in _counts(reader, (kind,)).items() if count)
        if len(topics) != 1:
            raise SourceError(
                f"{self._path} has {len(topics)} topics {what} ({', '.join(topics) or 'none'}) and must have one; give "
                f"{remedy}, or leave {option} out"
            )
        return topics[0]

    def _probe(self, reader: Any) -> tuple[list[int], ImageArray, str]:
        """Ascending stamps of the first images, the first image, and where the stamps are from."""
        stamps_ns: list[int] = []
        first: ImageArray | None = None
        unstamped = 0
        for stamp_ns, message in self._messages(reader, self._topic):
            if first is None:
                first = self._decode(message, self._frame_name(0), Stretch())
            stamps_ns.append(stamp_ns)
            unstamped += not _stamp_ns(message)
            if len(stamps_ns) > PROBED_FRAMES:
                break
        if first is None:
            raise SourceError(f"{self._path}: topic {self._topic} holds no image; record it again")
        origin = "times of recording, because headers have none" if unstamped else "times from the headers"
        return sorted(stamps_ns), first, origin

    def __iter__(self) -> Iterator[Frame]:
        stretch, disorder, unread, index = Stretch(), Disorder(), UnreadDepths(), 0
        self.remarks, depths = (), None
        try:
            with self._open() as reader:
                depths = self._depths(reader)
                for stamp_ns, message in in_order(self._images(reader), disorder):
                    if index == self._limit:
                        return
                    name = self._frame_name(index)
                    image = self._decode(message, name, stretch)
                    check_camera_fits(self.camera, image, name)
                    depth = unread.passed_over(partial(depths.near, stamp_ns)) if depths else None
                    yield Frame(index, stamp_ns, image, self.camera, None, name, depth=depth)
                    index += 1
        except _BrokenBagError as error:
            if not index:
                raise
            raise EndedEarlyError(str(error)) from error
        finally:
            self.remarks = (*disorder.words(), *(depths.words() if depths else ()), *unread.words())

    def _depths(self, reader: Any) -> DepthOfStamps | None:
        if self._depth_topic is None:
            return None
        return DepthOfStamps(self._messages(reader, self._depth_topic), self._depth_topic, self._depth_camera)

    def _images(self, reader: Any) -> Iterator[tuple[int, Any]]:
        read = 0
        for stamped in self._messages(reader, self._topic):
            read += 1
            yield stamped
        if read < self._count:
            raise self._broken(ValueError(f"topic {self._topic} ends after {read} of {self._count} images"))

    def _frame_name(self, index: int) -> str:
        return f"{self._topic}#{index}"

    def _broken(self, error: Exception) -> _BrokenBagError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return _BrokenBagError(
            f"{self._path} is broken or truncated ({reason}); repair it with `ros2 bag reindex` or `mcap recover`"
        )

    # Corrupt bytes make the reader raise whatever they happen to trip over (struct, sqlite, yaml, assert), so that any
    # exception of its means a broken bag.

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise SourceError(f"{self._path} is a bag, which needs rosbags; `pip install rosbags`") from error
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(self._bag.unpacked())
                # Bags from before Iron carry no message definitions; those used here have not changed since.
                reader = AnyReader([file], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
                reader.open()
            except SourceError:
                raise
            except Exception as error:
                raise self._broken(error) from error
            stack.callback(reader.close)
            self._bag.forget(file)
            yield reader

    def _messages(self, reader: Any, topic: str) -> Iterator[tuple[int, Any]]:
        """Messages with a header, and their stamps, ns."""
        for log_ns, message in self._read(reader, topic):
            # Drivers that do not stamp leave 0; the time of recording is then the best that is known.
            yield _stamp_ns(message) or log_ns, message

    def _read(self, reader: Any, topic: str) -> Iterator[tuple[int, Any]]:
        """Messages, and when they were recorded, ns."""
        connections = [c for c in reader.connections if c.topic == topic]
        # With no connection to choose, the reader would give the messages of all.
        messages = iter(reader.messages(connections) if connections else ())
        while True:
            try:
                connection, log_ns, raw = next(messages)
                message = reader.deserialize(raw, connection.msgtype)
            except StopIteration:
                return
            except Exception as error:
                raise self._broken(error) from error
            yield log_ns, message

    def _choose_topic(self, reader: Any, wanted: str | None) -> tuple[str, int, list[str]]:
        """The topic to read, how many messages it has, and what to say about the choice."""
        counts = _counts(reader, _IMAGE_TYPES)
        listed = ", ".join(f"{topic} ({count})" for topic, count in sorted(counts.items()))
        if wanted is not None:
            if wanted not in counts:
                raise SourceError(f"{self._path} has no image topic {wanted!r}; choose one of {listed or 'none'}")
            return wanted, counts[wanted], []
        full = {topic: count for topic, count in counts.items() if count}
        if not full:
            others = listed or ", ".join(sorted({c.topic for c in reader.connections})) or "nothing"
            raise SourceError(f"{self._path} has no image topic with messages (it holds {others}); record one")
        chosen = _one_of(full)
        if chosen is None:
            raise SourceError(f"{self._path} has {len(full)} image topics; choose one of {listed} by --image-topic")
        if _is_depth(chosen):
            raise SourceError(
                f"{self._path} has no image topic but {chosen}, which holds depth by its name; choose it by "
                "--image-topic if it holds pictures"
            )
        rest = sorted(set(counts) - {chosen})
        return chosen, full[chosen], [f"not {', '.join(rest)}"] if rest else []

    def _read_camera(self, reader: Any, size: tuple[int, int]) -> tuple[Camera | None, str]:
        images = [topic for topic, count in _counts(reader, _IMAGE_TYPES).items() if count]
        return self._camera_of(reader, self._topic, size, len(images) == 1)

    def _camera_of(
        self, reader: Any, image_topic: str, size: tuple[int, int], is_only_image_topic: bool
    ) -> tuple[Camera | None, str]:
        infos = [topic for topic, count in _counts(reader, (_INFO_TYPE,)).items() if count]
        topic, said = info_topic_of(image_topic, infos, is_only_image_topic)
        if topic is None:
            return None, said
        try:
            camera, how = camera_of_info(lambda: (m for _, m in self._messages(reader, topic)), image_topic, size)
        except CameraInfoError as error:
            raise SourceError(f"{self._path}: {topic}: {error}") from error
        return camera, f"{said}, {how}" if how else said

    def _decode(self, message: Any, name: str, stretch: Stretch) -> ImageArray:
        try:
            if not hasattr(message, "encoding"):
                return decode_compressed(message.data, message.format, stretch=stretch)
            m = message
            image = decode_image(m.data, m.height, m.width, m.encoding, m.step, m.is_bigendian, stretch)
        except ImageError as error:
            raise SourceError(f"{self._path}: {name}: {error}") from error
        return image if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _counts(reader: Any, types: tuple[str, ...]) -> dict[str, int]:
    """Messages of each topic of these types."""
    counts: dict[str, int] = {}
    for connection in reader.connections:
        if connection.msgtype in types:
            counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
    return counts


def _one_of(counts: dict[str, int]) -> str | None:
    """The one topic of pictures: not one of depth, and raw where the same is there compressed too."""
    pictures = [topic for topic in counts if not _is_depth(topic)] or list(counts)
    bare = [topic for topic in pictures if f"{topic}/compressed" in pictures]
    rest = [topic for topic in pictures if topic.removesuffix("/compressed") not in bare]
    names = bare + rest
    return names[0] if len(names) == 1 else None


def _is_depth(topic: str) -> bool:
    return is_no_picture(topic.replace("/", " "))
