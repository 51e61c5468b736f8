"""Frames from wherever a recording lives: posed set, image folder, video, rosbag2 or camera. Free of ROS."""

from __future__ import annotations

import json
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ros2_raxels.geometry.poses import FloatArray, GeometryError, PinholeCamera
from ros2_raxels.recordings.camera_info import CameraInfoError, camera_from_info
from ros2_raxels.recordings.image_codec import ImageArray, ImageError, decode_compressed, decode_image

DEFAULT_RATE_HZ = 30.0
"""Rate of recordings that carry no times, unless the caller knows better."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
_BAG_SUFFIXES = (".mcap", ".db3")
_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_PROBED_FRAMES = 10


class SourceError(ValueError):
    """A recording that cannot be read; the message is one line: the path, the value and the remedy."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a recording.

    Attributes:
        index: place in the recording, from 0.
        stamp_ns: time of exposure as recorded, or index / rate where nothing is recorded.
        image: (H, W, 3) uint8 RGB.
        camera: intrinsics of this image; None when they are not known.
        camera_to_world: true 4x4 pose of the optical frame, in the recording's unit; None when not known.
        name: file name, or topic and number, for messages to people.
    """

    index: int
    stamp_ns: int
    image: ImageArray
    camera: PinholeCamera | None
    camera_to_world: FloatArray | None
    name: str


class FrameSource(ABC):
    """A recording, or a live camera, as an iterable of `Frame`. Iterating again starts again.

    Attributes:
        name: the recording's name, for titles.
        kind: "posed set" | "image folder" | "video" | "rosbag2" | "camera".
        length: number of frames; None when unknown or endless. A video's is its container's claim.
        rate_hz: typical frame rate.
        camera: intrinsics of the first frame; None when not known.
        has_truth: whether every frame carries its true pose.
        is_metric: whether those poses are known to be in metres.

    Iterating raises `SourceError` for an image that cannot be read. Stamps increase strictly, except those of
    a bag, which are as recorded (a loop or a clock jump is the consumer's to see).
    """

    name: str
    kind: str
    length: int | None
    rate_hz: float
    camera: PinholeCamera | None
    has_truth: bool = False
    is_metric: bool = False

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Frames in order."""


def open_source(
    spec: str | Path,
    *,
    camera: PinholeCamera | None = None,
    rate_hz: float | None = None,
    image_topic: str | None = None,
    limit: int | None = None,
) -> FrameSource:
    """Open a recording and look at its beginning, so that what is wrong with it is said now.

    Args:
        spec: directory with cameras.json and images (posed set), directory of images, video file, rosbag2
            directory or .mcap / .db3 file, or an integer for a live camera.
        camera: intrinsics that replace those of the recording; of the same size as its images.
        rate_hz: frame rate where the recording carries no times (default: its own frame rate, else 30).
        image_topic: which image topic of a bag; needed only when there are several.
        limit: at most so many frames.

    Raises:
        SourceError: with one line that names the path, the value and the remedy.
    """
    if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz > 0):
        raise SourceError(f"rate {rate_hz} Hz must be positive; give the recording's frame rate")
    if limit is not None and limit < 1:
        raise SourceError(f"limit {limit} must be at least 1; leave it out to read all frames")
    if str(spec).isdecimal():
        return _LiveCamera(int(str(spec)), camera, rate_hz, limit)
    path = Path(spec).expanduser()
    if not path.exists():
        raise SourceError(f"{path} does not exist; give a posed set, image folder, video, rosbag2 or camera number")
    try:
        return _open_path(path, camera, rate_hz, image_topic, limit)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}; check its permissions") from error


def _open_path(
    path: Path,
    camera: PinholeCamera | None,
    rate_hz: float | None,
    image_topic: str | None,
    limit: int | None,
) -> FrameSource:
    bag = _find_bag(path)
    if bag is not None:
        return _Bag(path, bag, camera, image_topic, limit)
    if image_topic is not None:
        raise SourceError(f"{path} is not a rosbag2, so it has no topic {image_topic!r}; leave the topic out")
    if path.is_dir():
        if (path / "cameras.json").exists():
            return _PosedSet(path, camera, rate_hz, limit)
        return _ImageFolder(path, camera, rate_hz, limit)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise SourceError(f"{path} is a single image; give the folder that holds the sequence")
    if path.suffix.lower() == ".bag":
        raise SourceError(f"{path} is a ROS 1 bag; convert it: `rosbags-convert --src {path.name} --dst NEW_DIR`")
    return _Video(path, camera, rate_hz, limit)


def _find_bag(path: Path) -> Path | None:
    """What to hand to the bag reader, or None when the path is no bag."""
    if path.is_file():
        return path if path.suffix in _BAG_SUFFIXES else None
    if (path / "metadata.yaml").exists():
        return path
    files = [file for suffix in _BAG_SUFFIXES for file in sorted(path.glob(f"*{suffix}"))]
    if len(files) > 1:
        raise SourceError(f"{path} holds {len(files)} bag files, no metadata.yaml; run `ros2 bag reindex {path}`")
    return files[0] if files else None


# ---------------------------------------------------------------------------------------------- image files


def read_image(path: Path) -> ImageArray:
    """RGB pixels (H, W, 3) uint8 of an image file, upright by its EXIF orientation.

    Raises:
        SourceError: the file is missing, no image, truncated or absurdly large.
    """
    try:
        return decode_compressed(path.read_bytes(), honour_orientation=True)
    except (OSError, ImageError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def _check_camera_fits(camera: PinholeCamera | None, image: ImageArray, name: str | Path) -> None:
    height, width = image.shape[:2]
    if camera is not None and (camera.width, camera.height) != (width, height):
        raise SourceError(
            f"{name} is {width}x{height} px but its camera is {camera.width}x{camera.height} px; "
            "give the intrinsics of this image size"
        )


def _check_increasing(stamps_ns: list[int], where: str | Path, names: list[str]) -> None:
    for index in range(1, len(stamps_ns)):
        if stamps_ns[index] <= stamps_ns[index - 1]:
            raise SourceError(
                f"{where}: time of {names[index]}, {stamps_ns[index] / 1e9:.9f} s, is not after "
                f"{stamps_ns[index - 1] / 1e9:.9f} s of the one before; correct or sort the recording"
            )


def _median_rate_hz(stamps_ns: list[int], default_hz: float) -> float:
    gaps = np.diff(np.array(stamps_ns, dtype=np.int64))
    gaps = gaps[gaps > 0]
    return 1e9 / float(np.median(gaps)) if len(gaps) else default_hz


class _PosedSet(FrameSource):
    kind = "posed set"

    def __init__(self, path: Path, camera: PinholeCamera | None, rate_hz: float | None, limit: int | None) -> None:
        self._path, self._file = path, path / "cameras.json"
        record = self._load()
        frames = self._field(record, "frames", list, "cameras.json")[:limit]
        if not frames:
            raise SourceError(f"{self._file}: frames is empty; it must list at least one image")
        self.name = str(record.get("name") or path.resolve().name)
        rate = rate_hz or self._frame_rate(record)
        self._files = [self._image_file(frame, f"frames[{i}]") for i, frame in enumerate(frames)]
        self._cameras = [camera or self._camera(frame, f"frames[{i}]") for i, frame in enumerate(frames)]
        self._poses = [self._pose(frame, f"frames[{i}]") for i, frame in enumerate(frames)]
        self._stamps_ns = [self._stamp_ns(frame, i, rate) for i, frame in enumerate(frames)]
        _check_increasing(self._stamps_ns, self._file, [f"frames[{i}].timestamp" for i in range(len(frames))])
        self.length = len(frames)
        is_timed = any(frame.get("timestamp") is not None for frame in frames)
        self.rate_hz = _median_rate_hz(self._stamps_ns, rate) if is_timed else rate
        self.camera = self._cameras[0]
        self.has_truth = all(pose is not None for pose in self._poses)
        self.is_metric = record.get("metric_scale") is True

    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self._files):
            image = read_image(file)
            camera = self._cameras[index]
            _check_camera_fits(camera, image, file)
            yield Frame(index, self._stamps_ns[index], image, camera, self._poses[index], file.name)

    def _load(self) -> dict[str, Any]:
        try:
            record = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._file} is not readable JSON ({error}); write it again") from error
        if not isinstance(record, dict):
            raise SourceError(f"{self._file} holds a {type(record).__name__}; it must be an object with frames")
        return record

    def _wrong(self, field: str, value: object, wanted: str) -> SourceError:
        return SourceError(f"{self._file}: {field} = {str(value)[:80]!r} must be {wanted}")

    def _field(self, record: object, key: str, kind: type, where: str) -> Any:
        if not isinstance(record, dict) or key not in record:
            raise SourceError(f"{self._file}: {where} has no {key}; add it")
        value = record[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self._wrong(f"{where}.{key}", value, f"a {kind.__name__}")
        return value

    def _numbers(self, value: object, shape: tuple[int, ...], field: str) -> FloatArray:
        try:
            array = np.array(value, float)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.shape != shape or not np.isfinite(array).all():
            raise self._wrong(field, value, f"{'x'.join(map(str, shape))} finite numbers")
        return array

    def _frame_rate(self, record: dict[str, Any]) -> float:
        rate = record.get("frame_rate")
        if rate is None:
            return DEFAULT_RATE_HZ
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < math.inf:
            raise self._wrong("frame_rate", rate, "a positive number of Hz or null")
        return float(rate)

    def _image_file(self, frame: object, where: str) -> Path:
        file: Path = self._path / self._field(frame, "file", str, where)
        if not file.is_file():
            raise SourceError(f"{self._file}: {where}.file = {file} does not exist; restore the image")
        return file

    def _camera(self, frame: dict[str, Any], where: str) -> PinholeCamera | None:
        if frame.get("K") is None:
            return None
        intrinsics = self._numbers(frame["K"], (4,), f"{where}.K")
        width, height = (self._field(frame, key, int, where) for key in ("width", "height"))
        try:
            return PinholeCamera(width, height, *intrinsics.tolist())
        except GeometryError as error:
            raise SourceError(f"{self._file}: {where}.K: {error}") from error

    def _pose(self, frame: dict[str, Any], where: str) -> FloatArray | None:
        if frame.get("c2w") is None:
            return None
        pose = self._numbers(frame["c2w"], (4, 4), f"{where}.c2w")
        rotation = pose[:3, :3]
        rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-2) and np.linalg.det(rotation) > 0
        if not rigid or not np.allclose(pose[3], (0, 0, 0, 1), atol=1e-6):
            raise self._wrong(f"{where}.c2w", frame["c2w"], "a rotation and a translation over 0 0 0 1")
        return pose

    def _stamp_ns(self, frame: dict[str, Any], index: int, rate_hz: float) -> int:
        stamp = frame.get("timestamp")
        if stamp is None:
            return round(index / rate_hz * 1e9)
        if isinstance(stamp, bool) or not isinstance(stamp, (int, float)) or not math.isfinite(stamp):
            raise self._wrong(f"frames[{index}].timestamp", stamp, "a number of seconds or null")
        return round(stamp * 1e9)


class _ImageFolder(FrameSource):
    kind = "image folder"

    def __init__(self, path: Path, camera: PinholeCamera | None, rate_hz: float | None, limit: int | None) -> None:
        files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
        if not files:
            raise SourceError(f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)}); {_where_images_are(path)}")
        self._files = sorted(files, key=_natural_key)
        stamps_ns = [_stamp_from_name(file.stem) for file in self._files]
        known = [stamp for stamp in stamps_ns if stamp is not None]
        self.rate_hz = rate_hz or DEFAULT_RATE_HZ
        if len(known) == len(files):
            _check_increasing(known, path, [file.name for file in self._files])
            self._stamps_ns = known[:limit]
            self.rate_hz = _median_rate_hz(known, self.rate_hz)
        else:
            self._stamps_ns = [round(index / self.rate_hz * 1e9) for index in range(len(files))][:limit]
        self._files = self._files[:limit]
        self.name = path.resolve().name
        self.length = len(self._files)
        self.camera = camera
        first = read_image(self._files[0])
        self._shape = first.shape
        _check_camera_fits(camera, first, self._files[0])

    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self._files):
            image = read_image(file)
            if image.shape != self._shape:
                raise SourceError(
                    f"{file} is {image.shape[1]}x{image.shape[0]} px but the images before it are "
                    f"{self._shape[1]}x{self._shape[0]} px; keep one camera's images in a folder"
                )
            yield Frame(index, self._stamps_ns[index], image, self.camera, None, file.name)


def _where_images_are(path: Path) -> str:
    for folder in sorted(child for child in path.iterdir() if child.is_dir()):
        if any(file.suffix.lower() in IMAGE_SUFFIXES for file in folder.iterdir()):
            return f"there are some in {folder}: give that folder"
    return "give a folder that does"


def _natural_key(file: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Numbers by value, so that frame_2 comes before frame_10; the name itself where that ties."""
    parts = re.split(r"(\d+)", file.stem.lower())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts], file.name


def _stamp_from_name(stem: str) -> int | None:
    """Nanoseconds from an EuRoC name (1403636579763555584) or a TUM one (1305031102.175304)."""
    if re.fullmatch(r"\d{16,19}", stem):
        return int(stem)
    seconds = re.fullmatch(r"(\d{9,10})\.(\d{4,9})", stem)
    return int(seconds[1]) * 10**9 + int(seconds[2].ljust(9, "0")) if seconds else None


# ---------------------------------------------------------------------------------------------------- video


class _Video(FrameSource):
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
        for _ in range(_PROBED_FRAMES):
            ok, image = capture.read()
            if not ok:
                break
            if not stamps_ns:
                _check_camera_fits(camera, np.asarray(image, np.uint8), self._path)
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


class _LiveCamera(FrameSource):
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
                _check_camera_fits(self.camera, rgb, self.name)
                yield Frame(index, previous_ns, rgb, self.camera, None, f"{self.name}#{index}")
                index += 1
        finally:
            capture.release()


# -------------------------------------------------------------------------------------------------- rosbag2


class _Bag(FrameSource):
    kind = "rosbag2"

    def __init__(
        self, path: Path, file: Path, camera: PinholeCamera | None, topic: str | None, limit: int | None
    ) -> None:
        self._path, self._file, self._limit = path, file, limit
        self.name = path.resolve().name
        with self._open() as reader:
            self._topic, count = self._choose_topic(reader, topic)
            self.length = min(count, limit or count)
            self.camera = camera or self._read_camera(reader)
            stamps_ns: list[int] = []
            for index, (stamp_ns, message) in enumerate(self._messages(reader, self._topic)):
                if index == 0:
                    _check_camera_fits(self.camera, self._decode(message, self._frame_name(0)), self._topic)
                stamps_ns.append(stamp_ns)
                if index == _PROBED_FRAMES:
                    break
        if not stamps_ns:
            raise SourceError(f"{path}: topic {self._topic} holds no image; record it again")
        self.rate_hz = _median_rate_hz(stamps_ns, DEFAULT_RATE_HZ)

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        with self._open() as reader:
            for stamp_ns, message in self._messages(reader, self._topic):
                if index == self._limit:
                    return
                name = self._frame_name(index)
                image = self._decode(message, name)
                _check_camera_fits(self.camera, image, name)
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

    # The reader meets corrupt bytes with whatever exception they happen to cause (struct, sqlite, yaml,
    # assert), so everything it raises is taken as a verdict on the bag.

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
        return _Closing(reader)

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
            # Drivers that do not stamp leave 0: then the time of recording is the best there is.
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


class _Closing:
    """An open bag reader that is closed quietly, also when its file broke under it."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __enter__(self) -> Any:
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()
