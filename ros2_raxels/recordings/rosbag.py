"""An image topic of a rosbag2 as a recording."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import inverse_pose
from ros2_raxels.recordings.bag_camera import camera_of_info, info_topic_of
from ros2_raxels.recordings.bag_depth import DepthOfStamps, check_registered, decoded
from ros2_raxels.recordings.bag_files import BagFile
from ros2_raxels.recordings.bag_order import Disorder, in_order
from ros2_raxels.recordings.bag_reader import (
    IMAGE_TYPES,
    IMU_TYPE,
    INFO_TYPE,
    ODOMETRY_TYPE,
    BrokenBagError,
    OpenBag,
    broken,
    header_ns,
    reading,
)
from ros2_raxels.recordings.camera_info import CameraInfoError
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import ImageArray, ImageError, decode_compressed, decode_image
from ros2_raxels.recordings.image_names import is_no_picture
from ros2_raxels.recordings.imu import RecordedImu, imu_readings
from ros2_raxels.recordings.odometry import base_poses
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
from ros2_raxels.recordings.static_frames import mount_of


@dataclass(frozen=True, eq=False)
class Pixels:
    """The images of a moment; see `Frame`."""

    image: ImageArray
    others: Mapping[str, ImageArray] = field(default_factory=dict)
    leader_missing: bool = False


class Reading(Protocol):
    """What one iteration over a bag takes out of it, a moment at a time."""

    def taken(self, reader: OpenBag) -> Iterator[tuple[int, Any]]:
        """Stamp, ns, of each moment, and what came; raises `BrokenBagError` behind the last one of a broken bag."""

    def pixels(self, taken: Any, name: str) -> Pixels | None:
        """The images; None for no frame. Raises SourceError."""

    def words(self) -> tuple[str, ...]:
        """For `FrameSource.remarks`."""


class Bag(FrameSource):
    """Images of one topic of a rosbag2.

    Args:
        path: as it was given, for messages.
        bag: what is read.
        opened: the same, open while this is made.
        camera, limit, ignore_calibration: see `open_source`.
        topic: of the images; None for the only one.
        depth_topic: of depth images.
    """

    kind = "rosbag2"

    def __init__(
        self,
        path: Path,
        bag: BagFile,
        opened: OpenBag,
        camera: Camera | None,
        topic: str | None,
        limit: int | None,
        ignore_calibration: bool = False,
        depth_topic: str | None = None,
    ) -> None:
        self._path, self._bag, self._limit, self._depth_topic = path, bag, limit, depth_topic
        self.name = path.resolve().name
        self._topic, self._count, said = self._choose_topic(opened, topic)
        self.length = min(self._count, limit or self._count)
        stamps_ns, first, origin = self._probe(opened)
        size = first.shape[1], first.shape[0]
        if camera is not None or ignore_calibration:
            self.camera, said_of_camera = camera, "camera as given"
        else:
            self.camera, said_of_camera = self._read_camera(opened, size)
        check_camera_fits(self.camera, first, self._topic)
        said += self._see_depth(opened)
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
            topic = reader.only(ODOMETRY_TYPE, "of odometry", "a bag with that of the wheels alone", "--odom")
            where = f"{self._path}: {topic}"
            wheels, base = base_poses(reader.messages(topic), where)
            first_ns, image = next(reader.messages(self._topic))
            wheels.check_covers(first_ns, where)
            mount = mount_of(reader.static_transforms(), image.header.frame_id, base, str(self._path))
            return wheels.seen_from(mount)

    def _see_depth(self, reader: OpenBag) -> list[str]:
        """Look at the topic of depth images, if there is to be one; what to say about it."""
        self._depth_camera: Camera | None = None
        topic = self._depth_topic
        if topic is None:
            return []
        counts = reader.counts(*IMAGE_TYPES)
        if not counts.get(topic):
            listed = ", ".join(sorted(other for other, count in counts.items() if count and is_depth(other)))
            raise SourceError(f"{self._path} has no depth images on {topic!r}; choose one of {listed or 'none'}")
        first, image = (next(reader.messages(name))[1] for name in (topic, self._topic))
        check_registered(first, image, topic, self._topic)
        height, width = decoded(first, topic).shape
        self._depth_camera, _ = camera_of_topic(reader, topic, (width, height), False)
        self.has_depth = True
        return [f"{counts[topic]} depth images of {width}x{height} px on {topic}"]

    def imu(self) -> RecordedImu:
        """By the one topic of sensor_msgs/Imu and by /tf_static; see `FrameSource.imu`."""
        with self._open() as reader:
            topic = reader.only(IMU_TYPE, "of an IMU", "a bag with one of them", "--imu")
            where = f"{self._path}: {topic}"
            readings, frame = imu_readings(reader.messages(topic), where)
            _, image = next(reader.messages(self._topic))
            mount = mount_of(reader.static_transforms(), image.header.frame_id, frame, str(self._path))
            return RecordedImu(readings, inverse_pose(mount), where)

    def _probe(self, reader: OpenBag) -> tuple[list[int], ImageArray, str]:
        """Ascending stamps of the first images, the first image, and where the stamps are from."""
        stamps_ns: list[int] = []
        first: ImageArray | None = None
        unstamped = 0
        for stamp_ns, message in reader.messages(self._topic):
            if first is None:
                first = decoded_image(message, Stretch(), f"{self._path}: {self._frame_name(0)}")
            stamps_ns.append(stamp_ns)
            unstamped += not header_ns(message)
            if len(stamps_ns) > PROBED_FRAMES:
                break
        if first is None:
            raise SourceError(f"{self._path}: topic {self._topic} holds no image; record it again")
        origin = "times of recording, because headers have none" if unstamped else "times from the headers"
        return sorted(stamps_ns), first, origin

    def __iter__(self) -> Iterator[Frame]:
        reading, disorder, unread, index = self._begun(), Disorder(), UnreadDepths(), 0
        self.remarks, depths = (), None
        try:
            with self._open() as reader:
                depths = self._depths(reader)
                for stamp_ns, taken in in_order(reading.taken(reader), disorder):
                    if index == self._limit:
                        return
                    name = self._frame_name(index)
                    seen = reading.pixels(taken, name)
                    if seen is None:
                        continue
                    depth = unread.passed_over(partial(depths.near, stamp_ns)) if depths else None
                    image, others, missing = seen.image, seen.others, seen.leader_missing
                    yield Frame(index, stamp_ns, image, self.camera, None, name, others, depth, missing)
                    index += 1
        except BrokenBagError as error:
            if not index:
                raise
            raise EndedEarlyError(str(error)) from error
        finally:
            depth_words = (*(depths.words() if depths else ()), *unread.words())
            self.remarks = (*disorder.words(), *reading.words(), *depth_words)

    def _begun(self) -> Reading:
        """For one iteration."""
        return _OneTopic(self._path, self._topic, self._count, self.camera)

    def _depths(self, reader: OpenBag) -> DepthOfStamps | None:
        if self._depth_topic is None:
            return None
        return DepthOfStamps(reader.messages(self._depth_topic), self._depth_topic, self._depth_camera)

    def _frame_name(self, index: int) -> str:
        return f"{self._topic}#{index}"

    def _open(self) -> Any:
        return reading(self._path, self._bag)

    def _choose_topic(self, reader: OpenBag, wanted: str | None) -> tuple[str, int, list[str]]:
        """The topic to read, how many messages it has, and what to say about the choice."""
        counts = reader.counts(*IMAGE_TYPES)
        listed = ", ".join(f"{topic} ({count})" for topic, count in sorted(counts.items()))
        if wanted is not None:
            if wanted not in counts:
                raise SourceError(f"{self._path} has no image topic {wanted!r}; choose one of {listed or 'none'}")
            return wanted, counts[wanted], []
        full = {topic: count for topic, count in counts.items() if count}
        if not full:
            others = listed or ", ".join(sorted(reader.counts())) or "nothing"
            raise SourceError(f"{self._path} has no image topic with messages (it holds {others}); record one")
        pictures = pictures_of(full)
        if len(pictures) > 1:
            raise SourceError(f"{self._path} has {len(full)} image topics; choose one of {listed} by --image-topic")
        (chosen,) = pictures
        if is_depth(chosen):
            raise SourceError(
                f"{self._path} has no image topic but {chosen}, which holds depth by its name; choose it by "
                "--image-topic if it holds pictures"
            )
        rest = sorted(set(counts) - {chosen})
        return chosen, full[chosen], [f"not {', '.join(rest)}"] if rest else []

    def _read_camera(self, reader: OpenBag, size: tuple[int, int]) -> tuple[Camera | None, str]:
        images = [topic for topic, count in reader.counts(*IMAGE_TYPES).items() if count]
        return camera_of_topic(reader, self._topic, size, len(images) == 1)


class _OneTopic:
    """Images of one topic."""

    def __init__(self, path: Path, topic: str, count: int, camera: Camera | None) -> None:
        self._path, self._topic, self._count, self._camera = path, topic, count, camera
        self._stretch = Stretch()

    def taken(self, reader: OpenBag) -> Iterator[tuple[int, Any]]:
        read = 0
        for stamped in reader.messages(self._topic):
            read += 1
            yield stamped
        check_complete(reader, self._topic, read, self._count)

    def pixels(self, taken: Any, name: str) -> Pixels:
        image = decoded_image(taken, self._stretch, f"{self._path}: {name}")
        check_camera_fits(self._camera, image, name)
        return Pixels(image)

    def words(self) -> tuple[str, ...]:
        return ()


def check_complete(bag: OpenBag, topic: str, read: int, count: int) -> None:
    """See that so many images of a topic were there as the bag says.

    Raises:
        BrokenBagError: there were fewer.
    """
    if read < count:
        raise broken(bag.path, ValueError(f"topic {topic} ends after {read} of {count} images"))


def camera_of_topic(
    reader: OpenBag, image_topic: str, size: tuple[int, int], is_only_image_topic: bool
) -> tuple[Camera | None, str]:
    """The camera of the images of a topic, of a width and height, px, and what to say about it.

    Raises:
        SourceError: its camera_info cannot be used for these images.
    """
    infos = [topic for topic, count in reader.counts(INFO_TYPE).items() if count]
    topic, said = info_topic_of(image_topic, infos, is_only_image_topic)
    if topic is None:
        return None, said
    try:
        camera, how = camera_of_info(lambda: (m for _, m in reader.messages(topic)), image_topic, size)
    except CameraInfoError as error:
        raise SourceError(f"{reader.path}: {topic}: {error}") from error
    return camera, f"{said}, {how}" if how else said


def decoded_image(message: Any, stretch: Stretch, where: str) -> ImageArray:
    """Pixels (H, W, 3), RGB, of a message, raw or compressed; `where` names it.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        if not hasattr(message, "encoding"):
            return decode_compressed(message.data, message.format, stretch=stretch)
        m = message
        image = decode_image(m.data, m.height, m.width, m.encoding, m.step, m.is_bigendian, stretch)
    except ImageError as error:
        raise SourceError(f"{where}: {error}") from error
    return image if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)


def pictures_of(topics: Collection[str]) -> list[str]:
    """Topics of pictures: not of depth, where there are others, and raw where the same is there compressed too."""
    pictures = [topic for topic in topics if not is_depth(topic)] or list(topics)
    bare = [topic for topic in pictures if f"{topic}/compressed" in pictures]
    rest = [topic for topic in pictures if topic not in bare and topic.removesuffix("/compressed") not in bare]
    return sorted(bare + rest)


def is_depth(topic: str) -> bool:
    """Whether the name of a topic says that it holds depth, labels or the like."""
    return is_no_picture(topic.replace("/", " "))
