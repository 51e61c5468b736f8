"""A rosbag2 with images of several cameras as a recording of a rig."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.recordings.bag_files import BagFile
from ros2_raxels.recordings.bag_reader import IMAGE_TYPES, OpenBag, reading, stamp_of
from ros2_raxels.recordings.bag_rig import BagRig, find_rig, in_order_of_names, names_of
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.grouping import Group, Grouper
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.rosbag import Bag, Pixels, Reading, check_complete, decoded_image, pictures_of
from ros2_raxels.recordings.source import SourceError, check_camera_fits

_BETWEEN = ","


def open_bag(
    path: Path,
    bag: BagFile,
    camera: Camera | None = None,
    topic: str | None = None,
    limit: int | None = None,
    ignore_calibration: bool = False,
    depth_topic: str | None = None,
    camera_name: str | None = None,
) -> Bag:
    """Of one image topic, or of all cameras where there are several.

    Args:
        path: as it was given, for messages.
        bag: what to read.
        camera, limit, ignore_calibration: see `open_source`.
        topic: of the images; several, the first one of the camera that leads, with commas between. None for all.
        depth_topic: of depth images that go with the first camera.
        camera_name: the one camera to read, by the name that it has in a rig.

    Raises:
        SourceError: it cannot be read, or its image topics are none of a rig, and one has to be chosen.
    """
    with reading(path, bag) as opened:
        topics = _cameras(opened, topic, camera_name)
        if len(topics) > 1 and camera is None and not ignore_calibration:
            found = find_rig(opened, topics)
            _check(opened, topic, found)
            return RigBag(path, bag, opened, found, limit, depth_topic)
        chosen = topic if camera_name is None else topics[camera_name]
        return Bag(path, bag, opened, camera, chosen, limit, ignore_calibration, depth_topic)


def _cameras(bag: OpenBag, wanted: str | None, camera_name: str | None) -> dict[str, str]:
    """Image topics by name of the camera, of which all are to be read."""
    counts = bag.counts(*IMAGE_TYPES)
    if wanted is not None:
        topics = names_of([word.strip() for word in wanted.split(_BETWEEN)])
        for topic in topics.values():
            if topic not in counts and len(topics) > 1:
                listed = ", ".join(f"{t} ({count})" for t, count in sorted(counts.items()))
                raise SourceError(f"{bag.path} has no image topic {topic!r}; choose from {listed or 'none'}")
    else:
        topics = in_order_of_names(names_of(pictures_of([t for t, count in counts.items() if count])))
    if camera_name is None:
        return topics
    if camera_name not in topics:
        raise SourceError(f"{bag.path} has no camera {camera_name!r}; choose from {', '.join(topics) or 'none'}")
    return {camera_name: topics[camera_name]}


def _check(bag: OpenBag, wanted: str | None, found: BagRig) -> None:
    """See that there is a rig, and that it has the cameras that were asked for.

    Raises:
        SourceError: there is none.
    """
    if found.rig is not None and (wanted is None or not found.left_out):
        return
    counts = bag.counts(*IMAGE_TYPES)
    listed = ", ".join(f"{topic} ({count})" for topic, count in sorted(counts.items()))
    why = "; ".join(f"{name}: {words}" for name, words in found.left_out.items())
    raise SourceError(
        f"{bag.path} has {sum(map(bool, counts.values()))} image topics; choose one of {listed} by --image-topic. They "
        f"are not followed as one rig: {why}"
    )


class RigBag(Bag):
    """Images of several cameras of a rosbag2, put together by their stamps.

    Nothing is answered before the first image of the camera that leads. Where it has none later, a black one stands for
    it.
    """

    def __init__(
        self,
        path: Path,
        bag: BagFile,
        opened: OpenBag,
        found: BagRig,
        limit: int | None = None,
        depth_topic: str | None = None,
    ) -> None:
        leader, first = next(iter(found.cameras.items()))
        super().__init__(path, bag, opened, first.lens, first.topic, limit, depth_topic=depth_topic)
        assert found.rig is not None
        self._rig: Rig = found.rig
        self.rig, self.camera_to_base = found.rig, found.camera_to_base
        self._name_of = {camera.topic: name for name, camera in found.cameras.items()}
        self._tolerance_ns = found.tolerance_ns
        counts = opened.counts(*IMAGE_TYPES)
        self._counts = {topic: counts[topic] for topic in self._name_of}
        cameras = ", ".join(f"{name} ({camera.topic})" for name, camera in found.cameras.items())
        unused = [f"camera {name!r} is left out: {why}" for name, why in found.left_out.items()]
        where = () if found.camera_to_base is not None else ("/tf_static knows no base_link: poses are the camera's",)
        self.notes = (
            f"cameras {cameras}; poses are answered at those of {leader!r}",
            *self.notes[:2],
            *found.said,
            *unused,
            *where,
            *bag.notes,
        )

    def _begun(self) -> Reading:
        return _Moments(self._path, self._rig, self._name_of, self._counts, self._tolerance_ns)


class _Moments:
    """Images of several topics, put together; those of cameras beside the first that cannot be read are left out."""

    def __init__(
        self, path: Path, rig: Rig, name_of: Mapping[str, str], counts: Mapping[str, int], tolerance_ns: int
    ) -> None:
        self._path, self._rig, self._name_of, self._counts = path, rig, name_of, counts
        self._grouper: Grouper[Any] = Grouper(rig.names, tolerance_ns)
        self._stretch = {name: Stretch() for name in rig.names}
        self._black: ImageArray | None = None
        self._faults: dict[str, tuple[int, str]] = {}

    def taken(self, reader: OpenBag) -> Iterator[tuple[int, Group[Any]]]:
        read = dict.fromkeys(self._counts, 0)
        for topic, log_ns, message in reader.read(*self._name_of):
            read[topic] += 1
            for group in self._grouper.add(self._name_of[topic], stamp_of(message, log_ns), message):
                yield group.stamp_ns, group
        for group in self._grouper.flush():
            yield group.stamp_ns, group
        for topic, count in self._counts.items():
            check_complete(reader, topic, read[topic], count)

    def pixels(self, taken: Group[Any], name: str) -> Pixels | None:
        seen = {n: self._other(taken, n) for n in self._rig.others if n in taken.items}
        others = {n: image for n, image in seen.items() if image is not None}
        if self._rig.leader not in taken.items:
            return None if self._black is None else Pixels(self._black, others, leader_missing=True)
        image = self._read(taken, self._rig.leader, name)
        if self._black is None:
            self._black = np.zeros_like(image)
        return Pixels(image, others)

    def _other(self, group: Group[Any], name: str) -> ImageArray | None:
        try:
            return self._read(group, name, f"an image of camera {name!r}")
        except SourceError as error:
            count, first = self._faults.get(name, (0, str(error)))
            self._faults[name] = count + 1, first
            return None

    def _read(self, group: Group[Any], camera: str, name: str) -> ImageArray:
        image = decoded_image(group.items[camera], self._stretch[camera], f"{self._path}: {name}")
        check_camera_fits(self._rig[camera].camera, image, name)
        return image

    def words(self) -> tuple[str, ...]:
        missing, late = self._grouper.missing, self._grouper.late
        gaps = [
            f"camera {name!r} has no image at {missing[name]} moments, and {late[name]} that came late"
            for name in self._rig.names
            if missing[name] or late[name]
        ]
        faults = [
            f"{count} images of camera {name!r} left out; the first: {first}"
            for name, (count, first) in self._faults.items()
        ]
        return (*gaps, *faults)
