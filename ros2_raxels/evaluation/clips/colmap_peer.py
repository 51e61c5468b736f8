"""COLMAP's incremental mapper on frames of a recording, offline, as a peer of the tracker. Needs pycolmap."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ros2_raxels.evaluation.clips.peers import PeerTrajectory
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, make_pose
from ros2_raxels.recordings.source import Frame
from ros2_raxels.utils.files import FileError

MOST_FRAMES = 200
"""Of a longer recording every second, third, ... frame is used."""

_KEYPOINTS = 2000
_OVERLAP = 10
_STAGES = 3


def map_offline(frames: Iterable[Frame], count: int, threads: int, most: int = MOST_FRAMES) -> PeerTrajectory:
    """SIFT, sequential matching and incremental mapping with the intrinsics given; the largest model counts.

    Args:
        frames: all of the recording.
        count: how many these are.
        threads: of every stage.
        most: see `MOST_FRAMES`.

    Returns:
        The frames that were registered; timed from images on disk to poses.

    Raises:
        FileError: pycolmap is missing, or a frame has no intrinsics or a lens with distortion.
    """
    require_colmap()
    stride = -(-count // most)
    with tempfile.TemporaryDirectory() as folder:
        cameras = _write_images([f for f in frames if f.index % stride == 0], Path(folder))
        begin = time.perf_counter()
        poses = _poses(_largest(_mapped(Path(folder), cameras, threads)))
        seconds = time.perf_counter() - begin
    indices = sorted(poses)
    found = np.array([poses[index] for index in indices]).reshape(-1, 4, 4)
    note = f"{len(cameras)} frames offered, {threads} threads"
    return PeerTrajectory(indices, found, seconds, note)


def require_colmap() -> None:
    """See that pycolmap can be imported.

    Raises:
        FileError: it cannot; the message says what to do.
    """
    try:
        import pycolmap  # noqa: F401
    except ImportError as error:
        raise FileError(
            f"peer colmap: pycolmap cannot be imported ({error}); pip install -r requirements/peers.txt, which pins it"
        ) from error


def _write_images(frames: Sequence[Frame], folder: Path) -> dict[int, PinholeCamera]:
    """Lossless copies, since a recording need not have files; the camera of each frame by its number."""
    cameras = {}
    for frame in frames:
        if frame.camera is None:
            raise FileError(f"peer colmap: {frame.name} has no intrinsics; it needs them")
        if frame.camera.is_distorted:
            raise FileError(f"peer colmap: {frame.name} is of a lens with distortion; undistort the images first")
        cameras[frame.index] = frame.camera.pinhole
        cv2.imwrite(str(folder / _name(frame.index)), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
    return cameras


def _name(index: int) -> str:
    return f"{index:06d}.png"


def _mapped(folder: Path, cameras: dict[int, PinholeCamera], threads: int) -> list[Any]:
    """All models that the mapper makes of the images in a folder."""
    import pycolmap

    pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR.value)
    pycolmap.set_random_seed(0)
    database = folder / "database.db"
    with tqdm(total=_STAGES, desc="colmap: features", disable=not sys.stderr.isatty()) as progress:
        _extract(database, folder, cameras, threads)
        progress.update()
        progress.set_description("colmap: matching")
        matching = pycolmap.FeatureMatchingOptions(num_threads=threads, use_gpu=False)
        pairing = pycolmap.SequentialPairingOptions(overlap=_OVERLAP, loop_detection=False)
        pycolmap.match_sequential(database, matching, pairing, device=pycolmap.Device.cpu)
        progress.update()
        progress.set_description("colmap: mapping")
        options = pycolmap.IncrementalPipelineOptions(
            num_threads=threads,
            random_seed=0,
            ba_refine_focal_length=False,
            ba_refine_extra_params=False,
            extract_colors=False,
        )
        models = pycolmap.incremental_mapping(database, folder, folder / "models", options)
        progress.update()
    return list(models.values())


def _extract(database: Path, folder: Path, cameras: dict[int, PinholeCamera], threads: int) -> None:
    import pycolmap

    options = pycolmap.FeatureExtractionOptions(num_threads=threads, use_gpu=False)
    options.sift.max_num_features = _KEYPOINTS
    names = defaultdict(list)
    for index, camera in cameras.items():
        names[camera].append(_name(index))
    for camera, of_camera in names.items():
        # The centre of the first pixel is (0.5, 0.5) there.
        values = (camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5)
        reader = pycolmap.ImageReaderOptions(camera_model="PINHOLE", camera_params=",".join(map(repr, values)))
        pycolmap.extract_features(
            database, folder, of_camera, pycolmap.CameraMode.SINGLE, reader, options, pycolmap.Device.cpu
        )


def _largest(models: Sequence[Any]) -> Any | None:
    return max(models, key=lambda model: int(model.num_reg_images()), default=None)


def _poses(model: Any | None) -> dict[int, FloatArray]:
    """camera_to_world by frame number."""
    poses = {}
    for image in model.images.values() if model is not None else ():
        if image.has_pose:
            world_to_camera = np.asarray(image.cam_from_world().matrix(), float)
            poses[int(Path(image.name).stem)] = inverse_pose(make_pose(world_to_camera[:, :3], world_to_camera[:, 3]))
    return poses
