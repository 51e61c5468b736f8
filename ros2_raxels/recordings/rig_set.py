"""Rig sets: images of a robot's cameras, with a ``rig.json`` of lenses, mounts, times and true poses of the base."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, GeometryError, inverse_pose
from ros2_raxels.geometry.rig import MountedCamera, Rig
from ros2_raxels.recordings.camera_info import CameraInfoError, camera_from_info
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.imu import IMU_FILE, RecordedImu, read_imu
from ros2_raxels.recordings.odometry import ODOMETRY_FILE, read_wheels
from ros2_raxels.recordings.posed_set import check_images, frame_rate_hz, frame_stamp_ns, rigid_pose
from ros2_raxels.recordings.source import (
    CameraToOdom,
    Frame,
    FrameSource,
    SourceError,
    check_camera_fits,
    check_increasing,
    median_rate_hz,
    read_image,
)
from ros2_raxels.utils.files import FileError, has, load_json, numbers, of_kind, take, take_list

RIG_FILE = "rig.json"

_WHOLE_IMAGE = SimpleNamespace(width=0, height=0, x_offset=0, y_offset=0)


@dataclass(frozen=True, eq=False)
class RigCamera:
    """One camera of a rig.

    Attributes:
        name: of the camera.
        folder: of its images, in the folder of the set.
        record: what the file says of its lens, see `lens`.
        camera_to_base: 4x4 of the optical frame in the base, m.
        where: names it in messages.
    """

    name: str
    folder: str
    record: object
    camera_to_base: FloatArray
    where: str

    def lens(self) -> Camera:
        """Intrinsics, px.

        Raises:
            SourceError: a value is missing or wrong, or the lens is of a model that cannot be tracked with.
        """
        try:
            return camera_from_info(self._info())
        except FileError as error:
            raise SourceError(str(error)) from error
        except CameraInfoError as error:
            raise SourceError(f"{self.where} {self.name!r}: {error}") from error

    def _info(self) -> Any:
        fx, fy, cx, cy = numbers(take(self.record, "K", self.where), (4,), f"{self.where}.K").tolist()
        distortion: list[float] = []
        if has(self.record, "D"):
            distortion = numbers(take(self.record, "D", self.where), (-1,), f"{self.where}.D").tolist()
        width, height = (
            of_kind(take(self.record, key, self.where), int, f"{self.where}.{key}") for key in ("width", "height")
        )
        model = of_kind(take(self.record, "distortion_model", self.where), str, f"{self.where}.distortion_model")
        return SimpleNamespace(
            width=width,
            height=height,
            k=(fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0),
            # Zeros bend nothing; a model that needs its zeros is told by its name.
            d=distortion if any(distortion) else (),
            distortion_model=model,
            roi=_WHOLE_IMAGE,
            binning_x=1,
            binning_y=1,
        )


@dataclass(frozen=True, eq=False)
class RigSet:
    """What a ``rig.json`` says. The images themselves are not looked at.

    Attributes:
        file: the ``rig.json``.
        name: of the set; empty where the file gives none.
        cameras: of the rig, at least one.
        images: N file names, the same in the folder of every camera.
        stamps_ns: N, strictly increasing; index / rate for a frame without a time.
        base_to_world: N 4x4, m; None for a frame without a pose.
        rate_hz: typical frame rate.
        is_metric: whether the unit is known to be the metre.
    """

    file: Path
    name: str
    cameras: tuple[RigCamera, ...]
    images: tuple[str, ...]
    stamps_ns: tuple[int, ...]
    base_to_world: tuple[FloatArray | None, ...]
    rate_hz: float
    is_metric: bool

    @classmethod
    def read(cls, file: Path, rate_hz: float | None = None, limit: int | None = None) -> RigSet:
        """What a ``rig.json`` says, every value checked; `rate_hz` and `limit` as for `PosedSet.read`.

        Raises:
            SourceError: it cannot be read, or a value is missing or wrong.
        """
        try:
            record = load_json(file)
            return cls._checked(file, record, rate_hz, limit)
        except FileError as error:
            raise SourceError(str(error)) from error

    @classmethod
    def _checked(cls, file: Path, record: object, rate_hz: float | None, limit: int | None) -> RigSet:
        cameras = [
            read_rig_camera(camera, f"{file}: cameras[{k}]")
            for k, camera in enumerate(take_list(record, "cameras", str(file)))
        ]
        frames = [(f, f"{file}: frames[{k}]") for k, f in enumerate(take_list(record, "frames", str(file))[:limit])]
        for what, found in (("cameras", cameras), ("frames", frames)):
            if not found:
                raise FileError(f"{file}: {what} is empty; it must list at least one")
        rate = rate_hz or frame_rate_hz(record, file)
        stamps_ns = [frame_stamp_ns(*frame, index / rate) for index, frame in enumerate(frames)]
        check_increasing(stamps_ns, file, [f"frames[{index}].timestamp" for index in range(len(frames))])
        return cls(
            file=file,
            name=str(take(record, "name", str(file))) if has(record, "name") else "",
            cameras=tuple(cameras),
            images=tuple(of_kind(take(f, "file", where), str, f"{where}.file") for f, where in frames),
            stamps_ns=tuple(stamps_ns),
            base_to_world=tuple(rigid_pose(f, "base_to_world", where) for f, where in frames),
            rate_hz=median_rate_hz(stamps_ns, rate),
            is_metric=isinstance(record, dict) and record.get("metric_scale") is True,
        )

    def chosen(self, name: str | None) -> tuple[RigCamera, ...]:
        """The camera of a name, or all of them, the one that leads first.

        Raises:
            SourceError: there is none of this name.
        """
        chosen = tuple(camera for camera in self.cameras if name in (None, camera.name))
        if not chosen:
            names = ", ".join(camera.name for camera in self.cameras)
            raise SourceError(f"{self.file} has no camera {name!r}; choose from {names}")
        return chosen


def read_rig_camera(record: object, where: str) -> RigCamera:
    """An entry of ``cameras``, without its lens.

    Args:
        record: of JSON.
        where: names it in messages.

    Raises:
        FileError: a value is missing or wrong.
    """
    name, folder = (of_kind(take(record, key, where), str, f"{where}.{key}") for key in ("name", "folder"))
    mount = rigid_pose(record, "camera_to_base", where)
    if mount is None:
        raise FileError(f"{where} has no 'camera_to_base'; add it")
    return RigCamera(name, folder, record, mount, where)


class RigSetSource(FrameSource):
    """Images of all cameras of a rig set, or of one, with lenses, mounts and true poses.

    Where a camera other than the first has no image of a moment, the others are given without it.
    """

    kind = "rig set"

    def __init__(
        self,
        path: Path,
        camera: Camera | None = None,
        rate_hz: float | None = None,
        limit: int | None = None,
        ignore_calibration: bool = False,
        ignore_exif: bool = False,
        camera_name: str | None = None,
    ) -> None:
        self._rig = rig = RigSet.read(path / RIG_FILE, rate_hz, limit)
        self._first, *self._beside = rig.chosen(camera_name)
        self._check_one_is_meant(camera is not None or ignore_calibration)
        self._path, self._upright = path, not ignore_exif
        self._images = self._files(self._first)
        check_images(rig.file, self._images)
        self.camera = camera or (None if ignore_calibration else self._first.lens())
        self.camera_to_base = self._mount = self._first.camera_to_base
        self.rig = self._mounted() if self._beside else None
        self.name = rig.name or path.resolve().name
        self.length = len(self._images)
        self.rate_hz = rig.rate_hz
        self.has_truth = all(pose is not None for pose in rig.base_to_world)
        self.is_metric = rig.is_metric
        self.notes = self._said()

    def _check_one_is_meant(self, other_calibration: bool) -> None:
        if self._beside and other_calibration:
            names = ", ".join(camera.name for camera in self._rig.cameras)
            raise SourceError(
                f"{self._rig.file} has {len(self._rig.cameras)} cameras ({names}), and a calibration from elsewhere is "
                "of one; choose it with --camera NAME of `raxels track`"
            )

    def _files(self, camera: RigCamera) -> list[Path]:
        return [self._path / camera.folder / image for image in self._rig.images]

    def _mounted(self) -> Rig:
        try:
            return Rig({c.name: MountedCamera(c.lens(), c.camera_to_base) for c in (self._first, *self._beside)})
        except GeometryError as error:
            raise SourceError(f"{self._rig.file}: {error}") from error

    def _said(self) -> tuple[str, ...]:
        if not self._beside:
            return (f"{self.length} images of camera {self._first.name!r} listed in {RIG_FILE}",)
        names = ", ".join(camera.name for camera in (self._first, *self._beside))
        listed = f"{self.length} images of each of the cameras {names} listed in {RIG_FILE}"
        said = [f"{listed}; poses are answered at those of {self._first.name!r}"]
        for camera in self._beside:
            missing = sum(not file.is_file() for file in self._files(camera))
            if missing == self.length:
                raise SourceError(
                    f"{self._path / camera.folder} holds no image of camera {camera.name!r}; choose another with "
                    "--camera NAME of `raxels track`"
                )
            if missing:
                said.append(f"camera {camera.name!r} has no image at {missing} of {self.length} moments")
        return tuple(said)

    def odometry(self) -> CameraToOdom:
        """By ``odom.csv`` beside the ``rig.json``; see `FrameSource.odometry`."""
        file = self._rig.file.with_name(ODOMETRY_FILE)
        if not file.is_file():
            return super().odometry()
        wheels = read_wheels(file)
        wheels.check_covers(self._rig.stamps_ns[0], str(file))
        return wheels.seen_from(self._mount)

    def imu(self) -> RecordedImu:
        """By ``imu.csv`` beside the ``rig.json``, in the axes of the base; see `FrameSource.imu`."""
        file = self._rig.file.with_name(IMU_FILE)
        if not file.is_file():
            return super().imu()
        return RecordedImu(read_imu(file), inverse_pose(self._mount), str(file))

    def __iter__(self) -> Iterator[Frame]:
        rig, stretch = self._rig, {camera.name: Stretch() for camera in (self._first, *self._beside)}
        for index, file in enumerate(self._images):
            image = self._read(file, self.camera, stretch[self._first.name])
            base = rig.base_to_world[index]
            truth = None if base is None else base @ self._mount
            others = {
                camera.name: self._read(there, self.rig[camera.name].camera, stretch[camera.name])
                for camera in self._beside
                if self.rig is not None and (there := self._path / camera.folder / file.name).is_file()
            }
            yield Frame(index, rig.stamps_ns[index], image, self.camera, truth, file.name, others)

    def _read(self, file: Path, camera: Camera | None, stretch: Stretch) -> ImageArray:
        image = read_image(file, upright=self._upright, stretch=stretch)
        check_camera_fits(camera, image, file)
        return image
