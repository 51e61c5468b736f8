"""Reads the messages of a rosbag2, and says in one line what is broken about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ros2_raxels.recordings.bag_files import BagFile
from ros2_raxels.recordings.source import SourceError

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
IMU_TYPE = "sensor_msgs/msg/Imu"
STATIC_TOPIC = "/tf_static"


class BrokenBagError(SourceError):
    """The reader of bags tripped over this one."""


def broken(path: Path, error: Exception) -> BrokenBagError:
    """What to raise for a bag, of which the reader said something."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return BrokenBagError(
        f"{path} is broken or truncated ({reason}); repair it with `ros2 bag reindex` or `mcap recover`"
    )


class OpenBag:
    """A bag that is being read.

    Corrupt bytes make the reader raise whatever they happen to trip over (struct, sqlite, yaml, assert), so that any
    exception of its means a broken bag.

    Args:
        path: as it was given, for messages.
        reader: of rosbags.
    """

    def __init__(self, path: Path, reader: Any) -> None:
        self.path, self._reader = path, reader

    def counts(self, *types: str) -> dict[str, int]:
        """Messages of each topic of these types, of all without one."""
        counts: dict[str, int] = {}
        for connection in self._reader.connections:
            if not types or connection.msgtype in types:
                counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
        return counts

    def read(self, *topics: str) -> Iterator[tuple[str, int, Any]]:
        """Topic of each message, when it was recorded, ns, and the message.

        Raises:
            BrokenBagError: the next one cannot be read.
        """
        connections = [c for c in self._reader.connections if c.topic in topics]
        # With no connection to choose, the reader would give the messages of all.
        messages = iter(self._reader.messages(connections) if connections else ())
        while True:
            try:
                connection, log_ns, raw = next(messages)
                message = self._reader.deserialize(raw, connection.msgtype)
            except StopIteration:
                return
            except Exception as error:
                raise broken(self.path, error) from error
            yield connection.topic, log_ns, message

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Messages with a header, and their stamps, ns."""
        return ((stamp_of(message, log_ns), message) for _, log_ns, message in self.read(topic))

    def static_transforms(self) -> Iterator[Any]:
        """The messages of /tf_static."""
        return (message for _, _, message in self.read(STATIC_TOPIC))

    def only(self, kind: str, what: str, remedy: str, option: str) -> str:
        """The one topic of a type of messages.

        Raises:
            SourceError: there is none, or several.
        """
        topics = sorted(topic for topic, count in self.counts(kind).items() if count)
        if len(topics) != 1:
            raise SourceError(
                f"{self.path} has {len(topics)} topics {what} ({', '.join(topics) or 'none'}) and must have one; give "
                f"{remedy}, or leave {option} out"
            )
        return topics[0]


def stamp_of(message: Any, log_ns: int) -> int:
    """Stamp of a message with a header, ns; when it was recorded, where its driver leaves 0."""
    return header_ns(message) or log_ns


def header_ns(message: Any) -> int:
    """Stamp of a message as its header has it, ns."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


@contextlib.contextmanager
def reading(path: Path, bag: BagFile) -> Iterator[OpenBag]:
    """A bag, opened.

    Args:
        path: as it was given, for messages.
        bag: what to read.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise SourceError(f"{path} is a bag, which needs rosbags; `pip install rosbags`") from error
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(bag.unpacked())
            # Bags from before Iron carry no message definitions; those used here have not changed since.
            reader = AnyReader([file], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
            reader.open()
        except SourceError:
            raise
        except Exception as error:
            raise broken(path, error) from error
        stack.callback(reader.close)
        bag.forget(file)
        yield OpenBag(path, reader)
