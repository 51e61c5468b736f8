"""The cameras of a bag with several image topics: their names, lenses, and where they stand to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.frame_tree import FrameError, bare
from ros2_raxels.geometry.poses import FloatArray, GeometryError
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.recordings.bag_camera import first_calibrated, info_topic_of
from ros2_raxels.recordings.bag_reader import INFO_TYPE, OpenBag, stamp_of
from ros2_raxels.recordings.camera_info import is_rectified_topic
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.rosbag import camera_of_topic, decoded_image
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.recordings.static_frames import StaticFrames
from ros2_raxels.recordings.stereo_info import contradiction, stereo_mount

_LEADS = ("front", "left")
_PROBED = 30
_TOLERANCE_NS = 5_000_000
"""Between the stamps of cameras that are triggered together."""

_WIDEST_NS = 20_000_000
"""Between those of cameras that are not: a robot that turns has turned too far in more."""

_SAME_CLOCK_NS = 500_000_000
"""Between what the clocks of two cameras say of one time of recording."""


@dataclass(frozen=True, eq=False)
class BagCamera:
    """What is known of one camera from the beginning of its topic.

    Attributes:
        topic: of its images.
        frame: of its headers.
        lens: of its images.
        info: its camera_info; None where none is calibrated.
        stamps_ns: of the first images, ascending.
        clock_ns: how far its stamps lie behind the time of recording, typically.
    """

    topic: str
    frame: str
    lens: Camera
    info: Any
    stamps_ns: list[int]
    clock_ns: int

    @property
    def place(self) -> str:
        """Namespace of its topics; empty at the root."""
        return self.topic.removesuffix("/compressed").rpartition("/")[0]


@dataclass
class BagRig:
    """The rig of a bag.

    Attributes:
        cameras: that can be used, by name, the one that leads first.
        mounts: camera_to_leader (4x4, m) of each.
        camera_to_base: of the leader, 4x4, m; None where nothing tells.
        tolerance_ns: between the stamps of one moment.
        left_out: why a camera is not used, by name.
        said: what was guessed, in words.
    """

    cameras: dict[str, BagCamera] = field(default_factory=dict)
    mounts: dict[str, FloatArray] = field(default_factory=dict)
    camera_to_base: FloatArray | None = None
    tolerance_ns: int = _TOLERANCE_NS
    left_out: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def rig(self) -> Rig | None:
        """Of the cameras, on the base where that is known; None where there are fewer than two."""
        return _rig(self.cameras, self.mounts, self.camera_to_base) if len(self.cameras) > 1 else None


def _rig(cameras: Mapping[str, BagCamera], mounts: Mapping[str, FloatArray], base: FloatArray | None) -> Rig:
    leader = np.eye(4) if base is None else base
    return Rig({name: MountedCamera(camera.lens, leader @ mounts[name]) for name, camera in cameras.items()})


def names_of(topics: Sequence[str]) -> dict[str, str]:
    """A name for the camera of each image topic: the part of the topic that the others do not share.

    In the order of the topics; of their names where those are told: see `in_order_of_names`.
    """
    parts = [topic.removesuffix("/compressed").strip("/").split("/") for topic in topics]
    if len(parts) > 1:
        shortest = min(map(len, parts))
        first = next((k for k in range(shortest) if len({p[k] for p in parts}) > 1), shortest)
        last = next((k for k in range(shortest) if len({p[-1 - k] for p in parts}) > 1), shortest)
        parts = [p[first : len(p) - last] or p for p in parts]
    return {"_".join(p): topic for p, topic in zip(parts, topics, strict=True)}


def in_order_of_names(topics: Mapping[str, str]) -> dict[str, str]:
    """The camera that looks ahead or is the left one first, the others by name."""

    def rank(name: str) -> tuple[int, str]:
        return next((k for k, word in enumerate(_LEADS) if word in name.lower()), len(_LEADS)), name

    return {name: topics[name] for name in sorted(topics, key=rank)}


def find_rig(bag: OpenBag, topics: Mapping[str, str]) -> BagRig:
    """The cameras of these topics, by name, the one that is to lead first.

    The first camera whose lens is known leads. Where the others stand comes from /tf_static, or from P of a stereo
    pair where that tells nothing, which is said. Those of which that is not known are left out with the reason.
    """
    found = BagRig()
    frames = StaticFrames(bag.static_transforms())
    for name, topic in topics.items():
        camera, why = _seen(bag, topic)
        if camera is not None:
            why = _same_as_before(camera, found, frames)
        if camera is None or why:
            found.left_out[name] = why
            continue
        _add(found, name, camera, frames)
    if found.cameras:
        found.camera_to_base = frames.to_base(next(iter(found.cameras.values())).frame)
    for name, camera in found.cameras.items():
        if bare(camera.frame) in frames.changed:
            found.said.append(f"/tf_static moves camera {name!r} on its base; it is taken to be where it was first")
    return found


def _seen(bag: OpenBag, topic: str) -> tuple[BagCamera | None, str]:
    """A camera, or why it cannot be used."""
    stamps_ns: list[int] = []
    apart_ns: list[int] = []
    first: Any = None
    for _, log_ns, message in islice(bag.read(topic), _PROBED):
        first = message if first is None else first
        stamps_ns.append(stamp_of(message, log_ns))
        apart_ns.append(log_ns - stamps_ns[-1])
    if first is None:
        return None, f"{topic} holds no image"
    try:
        height, width = decoded_image(first, Stretch(), topic).shape[:2]
        lens, said = camera_of_topic(bag, topic, (width, height), False)
    except SourceError as error:
        return None, str(error).removeprefix(f"{bag.path}: ")
    if lens is None:
        return None, said
    info = _info(bag, topic)
    return BagCamera(topic, first.header.frame_id, lens, info, sorted(stamps_ns), int(np.median(apart_ns))), ""


def _info(bag: OpenBag, image_topic: str) -> Any:
    topic, _ = info_topic_of(image_topic, [t for t, count in bag.counts(INFO_TYPE).items() if count], False)
    return None if topic is None else first_calibrated((m for _, m in bag.messages(topic)), image_topic)[0]


def _same_as_before(camera: BagCamera, found: BagRig, frames: StaticFrames) -> str:
    """Whether the images are another form of a camera's that is there already, raw and rectified for example."""
    for name, other in found.cameras.items():
        in_one_place = bool(camera.place) and camera.place == other.place
        if camera.frame == other.frame and (in_one_place or frames.knows(camera.frame)):
            return f"images of camera {name!r} in another form, by their frame {camera.frame!r}"
    return ""


def _add(found: BagRig, name: str, camera: BagCamera, frames: StaticFrames) -> None:
    """Take a camera up, or say why not."""
    if not found.cameras:
        found.cameras[name], found.mounts[name] = camera, np.eye(4)
        return
    first, leader = next(iter(found.cameras.items()))
    why = _clock_trouble(first, leader, camera)
    mount = None
    if not why:
        mount, why = _mount(found, name, camera, frames)
    if mount is not None:
        why = _moments_trouble(found, name, camera)
    if mount is not None and not why:
        try:
            _rig({**found.cameras, name: camera}, {**found.mounts, name: mount}, None)
        except GeometryError as error:
            why = str(error)
    if mount is None or why:
        found.left_out[name] = why
        return
    found.cameras[name], found.mounts[name] = camera, mount


def _clock_trouble(first: str, leader: BagCamera, camera: BagCamera) -> str:
    behind_ns = camera.clock_ns - leader.clock_ns
    if abs(behind_ns) < _SAME_CLOCK_NS:
        return ""
    return (
        f"its clock is {abs(behind_ns) * 1e-9:.2f} s {'behind' if behind_ns > 0 else 'ahead of'} that of {first!r}, by "
        "the times of recording, so that its images are of no moment of the others'; synchronise the clocks"
    )


def _mount(found: BagRig, name: str, camera: BagCamera, frames: StaticFrames) -> tuple[FloatArray | None, str]:
    """camera_to_leader (4x4, m), or why it is not known."""
    first, leader = next(iter(found.cameras.items()))
    by_p = None
    if leader.info is not None and camera.info is not None:
        by_p = stereo_mount(leader.info, camera.info, is_rectified_topic(camera.topic))
    try:
        # Drivers that are not configured give all cameras one frame.
        if bare(camera.frame) == bare(leader.frame):
            raise FrameError(f"{camera.topic} and {leader.topic} are in one frame, {camera.frame!r}")
        mount = frames.tree.lookup(bare(leader.frame), bare(camera.frame))
    except FrameError as error:
        if by_p is None:
            return None, f"where it stands is not known: {error}; record /tf_static, or P of a stereo pair"
        apart_mm = 1e3 * np.linalg.norm(by_p[:3, 3])
        found.said.append(
            f"camera {name!r} stands {apart_mm:.1f} mm from {first!r} by P of their camera_info, because /tf_static "
            f"does not tell: {error}"
        )
        return by_p, ""
    words = "" if by_p is None else contradiction(mount, by_p)
    if words:
        found.said.append(f"camera {name!r} and {first!r}: {words}")
    return mount, ""


def _moments_trouble(found: BagRig, name: str, camera: BagCamera) -> str:
    """Widen what is taken for one moment where cameras are not triggered together; why that cannot be done."""
    first, leader = next(iter(found.cameras.items()))
    apart_ns = _apart_ns(leader.stamps_ns, camera.stamps_ns)
    if apart_ns is None or apart_ns <= _TOLERANCE_NS:
        return ""
    apart = f"{apart_ns * 1e-6:.1f} ms apart from those of {first!r}"
    if apart_ns > _WIDEST_NS:
        return f"its images are {apart}: not of one moment; trigger the cameras together"
    found.tolerance_ns = max(found.tolerance_ns, min(_WIDEST_NS, 3 * apart_ns // 2))
    found.said.append(f"images of camera {name!r} are {apart}, and taken to be of one moment: turns are less sure")
    return ""


def _apart_ns(ours: Sequence[int], theirs: Sequence[int]) -> int | None:
    """How far images of two cameras typically lie apart, from the slower one to the nearest; None if never close."""
    begin, end = max(ours[0], theirs[0]) - _WIDEST_NS, min(ours[-1], theirs[-1]) + _WIDEST_NS
    both = [np.array([s for s in stamps if begin <= s <= end], np.int64) for stamps in (ours, theirs)]
    few, many = sorted(both, key=len)
    if not len(few):
        return None
    return int(np.median(np.abs(few[:, None] - many[None]).min(axis=1)))
