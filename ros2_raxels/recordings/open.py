"""Opens a recording of any kind."""

from __future__ import annotations

import math
import re
from pathlib import Path

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.recordings.bag_files import find_bag
from ros2_raxels.recordings.image_folder import ImageFolder
from ros2_raxels.recordings.layouts import IMAGE_SUFFIXES
from ros2_raxels.recordings.posed_set import PosedSetSource
from ros2_raxels.recordings.rig_bag import open_bag
from ros2_raxels.recordings.rig_set import RIG_FILE, RigSetSource
from ros2_raxels.recordings.source import DepthOptions, FrameSource, SourceError
from ros2_raxels.recordings.video import LiveCamera, Video


def open_source(
    spec: str | Path,
    *,
    camera: Camera | None = None,
    rate_hz: float | None = None,
    image_topic: str | None = None,
    limit: int | None = None,
    ignore_calibration: bool = False,
    ignore_exif: bool = False,
    camera_name: str | None = None,
    depth: DepthOptions | None = None,
) -> FrameSource:
    """Open a recording and look at its beginning, so that its faults are reported at once.

    Args:
        spec: directory with rig.json (rig set) or cameras.json (posed set) and images, directory of images or of a
            known data set, video file, rosbag2 directory or .mcap / .db3 file (also .zstd), or an integer or
            /dev/videoN for a live camera. What exists under that name beats the number of a camera.
        camera: intrinsics that replace those of the recording, which are then not looked at; of the same size as its
            images.
        rate_hz: frame rate where the recording carries no times (default: its own frame rate, else 30).
        image_topic: which image topic of a bag, or several with commas between, the first one of the camera that leads;
            needed only when there are several that are not the cameras of a rig.
        limit: at most so many frames.
        ignore_calibration: the recording's own is not looked at, so that none of its faults matters: for callers that
            know better, but not yet for which image size.
        ignore_exif: take images as they are stored, whatever their EXIF orientation says, and no times from its dates.
        camera_name: which camera of a rig set or of a bag with several; None for all. Without meaning elsewhere.
        depth: which depth images are read; None for none.

    Raises:
        SourceError: with one line that names the path, the value and the remedy.
    """
    if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz > 0):
        raise SourceError(f"rate {rate_hz} Hz must be positive; give the recording's frame rate")
    if limit is not None and limit < 1:
        raise SourceError(f"limit {limit} must be at least 1; leave it out to read all frames")
    source = _open(spec, camera, rate_hz, image_topic, limit, ignore_calibration, ignore_exif, camera_name, depth)
    if depth is not None and depth.required and not source.has_depth:
        raise SourceError(
            f"{source.name} ({source.kind}) has no depth images that are recognised: TUM RGB-D, 7-Scenes and ScanNet "
            "folders, a folder depth beside the images, and bags with --depth-topic, have; leave --depth out"
        )
    return source


def has_several_cameras(path: Path) -> bool:
    """Whether a recording is of a kind that may hold several cameras, each with a name."""
    return (path / RIG_FILE).is_file() or (path.exists() and find_bag(path) is not None)


def _open(
    spec: str | Path,
    camera: Camera | None,
    rate_hz: float | None,
    image_topic: str | None,
    limit: int | None,
    ignore_calibration: bool,
    ignore_exif: bool,
    camera_name: str | None,
    depth: DepthOptions | None,
) -> FrameSource:
    path = Path(str(spec)).expanduser()
    device = re.fullmatch(r"(?:/dev/video)?([0-9]+)", str(spec))
    if device and not (path.is_dir() or path.is_file()):
        return LiveCamera(int(device[1]), camera, rate_hz, limit)
    if not path.exists():
        raise SourceError(f"{path} does not exist; give a posed set, image folder, video, rosbag2 or camera number")
    if not (path.is_dir() or path.is_file()):
        raise SourceError(f"{path} is a pipe or a device, which cannot be read twice; write it to a file and give that")
    try:
        if (path / RIG_FILE).is_file() and image_topic is None:
            return RigSetSource(path, camera, rate_hz, limit, ignore_calibration, ignore_exif, camera_name)
        bag = find_bag(path)
        if bag is not None:
            depth_topic = None if depth is None else depth.topic
            return open_bag(path, bag, camera, image_topic, limit, ignore_calibration, depth_topic, camera_name)
        return _open_path(path, camera, rate_hz, image_topic, limit, ignore_calibration, ignore_exif, depth)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}; check its permissions") from error


def _open_path(
    path: Path,
    camera: Camera | None,
    rate_hz: float | None,
    image_topic: str | None,
    limit: int | None,
    ignore_calibration: bool,
    ignore_exif: bool,
    depth: DepthOptions | None,
) -> FrameSource:
    if depth is not None and depth.topic is not None:
        raise SourceError(f"{path} is not a rosbag2, so it has no topic {depth.topic!r}; leave --depth-topic out")
    if image_topic is not None:
        raise SourceError(f"{path} is not a rosbag2, so it has no topic {image_topic!r}; leave the topic out")
    if path.is_dir():
        if (path / "cameras.json").exists():
            return PosedSetSource(path, camera, rate_hz, limit, ignore_calibration, ignore_exif, depth)
        return ImageFolder(path, camera, rate_hz, limit, ignore_exif, depth)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise SourceError(f"{path} is a single image; give the folder that holds the sequence")
    if path.suffix.lower() == ".bag":
        raise SourceError(f"{path} is a ROS 1 bag; convert it: `rosbags-convert --src {path.name} --dst NEW_DIR`")
    return Video(path, camera, rate_hz, limit)
