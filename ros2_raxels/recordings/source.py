"""What all recordings have in common: frames, errors, and the checks of sizes and times. Free of ROS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, GeometryError
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.depth_picture import DepthPicture
from ros2_raxels.recordings.image_codec import ImageArray, ImageError, decode_compressed
from ros2_raxels.utils.files import FileError

if TYPE_CHECKING:
    from ros2_raxels.recordings.imu import RecordedImu

DEFAULT_RATE_HZ = 30.0
"""Rate of recordings without times, unless the caller gives another."""

PROBED_FRAMES = 10
"""How many frames of a video or bag are looked at when it is opened."""


class SourceError(FileError):
    """A recording that cannot be read; the message is one line: the path, the value and the remedy."""


class EndedEarlyError(SourceError):
    """A recording that breaks off after some frames: cut short, or broken from there on. What came before is good."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a recording.

    Attributes:
        index: place in the recording, from 0.
        stamp_ns: time of exposure as recorded; index / rate where none is.
        image: (H, W, 3) uint8 RGB.
        camera: intrinsics of this image; None when they are not known.
        camera_to_world: true 4x4 pose of the optical frame, in the recording's unit; None when not known.
        name: file name, or topic and number, for messages to people.
        others: images of the other cameras of a rig at this moment, by name; those that are missing are left out. The
            image of the first camera is black where that one is missing.
        depth: the depth image that was taken with it; None where there is none.
        leader_missing: whether the first camera of a rig has no image of this moment.
    """

    index: int
    stamp_ns: int
    image: ImageArray
    camera: Camera | None
    camera_to_world: FloatArray | None
    name: str
    others: Mapping[str, ImageArray] = field(default_factory=dict)
    depth: DepthPicture | None = None
    leader_missing: bool = False


@dataclass(frozen=True)
class DepthOptions:
    """Which depth images are read with the images of a recording.

    Attributes:
        required: a recording without any is refused.
        unit_m: m, of whole numbers in files; None for what the data set has.
        topic: of a bag; None for none.
    """

    required: bool = False
    unit_m: float | None = None
    topic: str | None = None


CameraToOdom = Callable[[int], FloatArray | None]
"""camera_to_odom (4x4, m) at a stamp, ns; None where it is not known."""


class FrameSource(ABC):
    """A recording, or a live camera, as an iterable of `Frame`. Iterating again starts again.

    Attributes:
        name: the recording's name, for titles.
        kind: "posed set" | "rig set" | "image folder" | "video" | "rosbag2" | "camera".
        length: number of frames; None when unknown or endless. A video's is its container's claim.
        rate_hz: typical frame rate.
        camera: intrinsics of the first frame; None when not known.
        has_depth: whether frames carry depth images.
        has_truth: whether every frame carries its true pose.
        is_metric: whether those poses are known to be in metres.
        camera_to_base: 4x4 of the optical frame in the robot's base, m; None when it is not known.
        rig: all cameras, where frames have images of several; the first is the one of `camera`.
        notes: what was found and what had to be guessed, for people, in the words of a line: number and pattern of
            files, order, where times come from, a rate that is assumed, turned images, files passed over, which
            camera_info.
        remarks: the same of what only reading shows, such as stamps that repeat; complete once iteration has ended.

    Iterating raises `SourceError` for an image that cannot be read, and `EndedEarlyError` behind the last frame of a
    recording that was cut short. Stamps increase strictly; only where the clock of a bag jumps back further than
    messages overtake each other are they as recorded, for the consumer to notice.
    """

    name: str
    kind: str
    length: int | None
    rate_hz: float
    camera: Camera | None
    has_depth: bool = False
    has_truth: bool = False
    is_metric: bool = False
    camera_to_base: FloatArray | None = None
    rig: Rig | None = None
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Frames in order."""

    def odometry(self) -> CameraToOdom:
        """Where the camera was by the wheels.

        Raises:
            SourceError: the recording has no odometry, or it does not go with its frames.
        """
        raise SourceError(f"{self.name} has no odometry; only rig sets with odom.csv and bags can have it")

    def imu(self) -> RecordedImu:
        """The IMU that is mounted with the camera.

        Raises:
            SourceError: the recording has none.
        """
        raise SourceError(f"{self.name} has no IMU; only rig sets with imu.csv and bags can have it")


class UnreadDepths:
    """Depth images that cannot be read are no reason to stop: the frame goes on without, and that is said."""

    def __init__(self) -> None:
        self._count, self._first = 0, ""

    def passed_over(self, read: Callable[[], DepthPicture | None]) -> DepthPicture | None:
        """What `read` gives, or None where it raises `SourceError`."""
        try:
            return read()
        except SourceError as error:
            self._count, self._first = self._count + 1, self._first or str(error)
            return None

    def words(self) -> tuple[str, ...]:
        """For `FrameSource.remarks`."""
        return (f"{self._count} depth images left out; the first: {self._first}",) if self._count else ()


def read_image(path: Path, *, upright: bool = True, stretch: Stretch | None = None) -> ImageArray:
    """RGB pixels (H, W, 3) uint8 of an image file.

    Args:
        path: of the file.
        upright: turn it as its EXIF orientation asks.
        stretch: of the recording that a 16-bit image belongs to.

    Raises:
        SourceError: the file is missing, no image, truncated or absurdly large.
    """
    try:
        return decode_compressed(path.read_bytes(), honour_orientation=upright, stretch=stretch)
    except (OSError, ImageError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def check_camera_fits(camera: Camera | None, image: ImageArray, name: str | Path) -> None:
    """See that an image (H, W, ...) has the size that its camera says, where the camera is known.

    Raises:
        SourceError: it has another.
    """
    if camera is None:
        return
    try:
        camera.check_fits(image, str(name))
    except GeometryError as error:
        raise SourceError(str(error)) from error


def check_increasing(stamps_ns: Sequence[int], where: str | Path, names: Sequence[str]) -> None:
    """See that every stamp is later than the one before it.

    Args:
        stamps_ns: of the frames, in order.
        where: the recording, for the message.
        names: one for each stamp, for the message.

    Raises:
        SourceError: one is not.
    """
    for index in range(1, len(stamps_ns)):
        if stamps_ns[index] <= stamps_ns[index - 1]:
            raise SourceError(
                f"{where}: time of {names[index]}, {stamps_ns[index] / 1e9:.9f} s, is not after "
                f"{stamps_ns[index - 1] / 1e9:.9f} s of the one before; correct or sort the recording"
            )


def median_rate_hz(stamps_ns: Sequence[int], default_hz: float) -> float:
    """Frame rate by the median gap between stamps; the default where there is no gap."""
    gaps = np.diff(np.array(stamps_ns, dtype=np.int64))
    gaps = gaps[gaps > 0]
    return 1e9 / float(np.median(gaps)) if len(gaps) else default_hz
