"""The numbers of a demo: the frame of each pose, its latency and its error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ros2_raxels.geometry.camera import Camera, ordinary_camera
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, inverse_pose, make_pose
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.geometry.trajectory import AbsoluteError, absolute_error, rotation_error_deg
from ros2_raxels.harness.observer import Heard
from ros2_raxels.harness.play import frame_numbers
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import Frame, FrameSource

_KEPT_IMAGES = 48
_KEPT_HEIGHT_PX = 360
_USUAL_SIZE_PX = (640, 480)
_UNHEARD = np.full((3, 3), np.nan)
FEWEST_TO_ALIGN = 3
"""Number of positions that determine a similarity."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A camera of a recording.

    Attributes:
        name: of a camera of a rig; empty where there is one camera alone.
        camera: its intrinsics.
        mount: camera_to_base (4x4, m) where poses are those of a base; the identity where they are the camera's.
    """

    name: str
    camera: Camera
    mount: FloatArray


@dataclass(frozen=True, eq=False)
class Recording:
    """What is known of the frames that were played, by frame number.

    Attributes:
        name: for titles.
        stamps_ns: (N,) as recorded.
        truth: (N, 4, 4) to the world, from what poses are answered for: the camera, or the base of a rig. None unless
            every frame has one.
        unit: of the truth, "m" or "units".
        camera: of the first frame; None where it is not known.
        images: some frames, downscaled, by number: one image of each camera, see `shown`. An image that is missing is
            left black.
        rig: all cameras where there are several, of which poses are those of the base; None for one camera.
    """

    name: str
    stamps_ns: list[int]
    truth: FloatArray | None
    unit: str
    camera: Camera | None
    images: dict[int, tuple[ImageArray, ...]]
    rig: Rig | None = None

    @property
    def shown(self) -> tuple[Shown, ...]:
        """The cameras, the first one first; where nothing is known of it, one with an ordinary field of view."""
        if self.rig is not None:
            return tuple(Shown(name, c.camera, c.camera_to_base) for name, c in self.rig.cameras.items())
        width, height = _USUAL_SIZE_PX
        for image, *_ in self.images.values():
            height, width = image.shape[:2]
            break
        return (Shown("", self.camera or ordinary_camera(width, height), np.eye(4)),)

    @property
    def to_body(self) -> FloatArray:
        """(3, 3) from the axes of what poses are answered for to x forward, y left, z up."""
        return OPTICAL_TO_BODY[:3, :3] if self.rig is None else np.eye(3)


def read_recording(source: FrameSource, played: int) -> Recording:
    """Read the first ``played`` frames of a source again; of a live camera only the name is known."""
    stamps_ns: list[int] = []
    poses: list[FloatArray] = []
    images: dict[int, tuple[ImageArray, ...]] = {}
    rig = source.rig
    to_camera = np.eye(4) if rig is None else inverse_pose(rig[rig.leader].camera_to_base)
    if source.kind != "camera":
        every = max(1, math.ceil(played / _KEPT_IMAGES))
        for frame in source:
            if frame.index == played:
                break
            stamps_ns.append(frame.stamp_ns)
            if frame.camera_to_world is not None:
                poses.append(frame.camera_to_world @ to_camera)
            if frame.index % every == 0:
                images[frame.index] = _kept(frame, rig)
    truth = np.array(poses) if poses and len(poses) == len(stamps_ns) else None
    unit = "m" if source.is_metric else "units"
    return Recording(source.name, stamps_ns, truth, unit, source.camera, images, rig)


def _kept(frame: Frame, rig: Rig | None) -> tuple[ImageArray, ...]:
    """Images of all cameras of a frame, downscaled."""
    others = [] if rig is None else [frame.others.get(name, _nothing(rig[name].camera)) for name in rig.others]
    return tuple(_reduced(image) for image in (frame.image, *others))


def _nothing(camera: Camera) -> ImageArray:
    return np.zeros((camera.height, camera.width, 3), np.uint8)


def _reduced(image: ImageArray) -> ImageArray:
    height, width = image.shape[:2]
    factor = min(1.0, _KEPT_HEIGHT_PX / height)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, eq=False)
class Summary:
    """The demo's result.

    Attributes:
        recording: what was played.
        played: frames that the camera published.
        delivered: frames that reached the pose node.
        indices: (M,) frame number of each pose, increasing.
        poses: (M, 4, 4) as published, of the camera or of the base of a rig to the world.
        latency_s: (M,) from stamp to reception; empty when stamps are not those of the wall clock.
        confidence: (M,).
        covariance: (M, 3, 3) of the positions as published, in the axes of the world; NaN where it was not heard.
        transforms: number of transforms received on TF.
        error: of the positions after Sim(3) alignment; None without truth or with fewer than three poses.
        rotation_rmse_deg: of the rotations, after the rotation that aligns them best; NaN where ``error`` is None.
            (Alignment by positions leaves the roll about a straight path undetermined.)
    """

    recording: Recording
    played: int
    delivered: int
    indices: list[int]
    poses: FloatArray
    latency_s: FloatArray
    confidence: FloatArray
    covariance: FloatArray
    transforms: int
    error: AbsoluteError | None
    rotation_rmse_deg: float

    @property
    def coverage(self) -> float:
        """Share of the played frames that have a pose."""
        return len(self.indices) / self.played if self.played else 0.0

    @property
    def latency_percentiles_s(self) -> tuple[float, float] | None:
        """Median and 95th percentile; None where unknown."""
        if not len(self.latency_s):
            return None
        median, high = np.percentile(self.latency_s, (50, 95))
        return float(median), float(high)

    def drawn(self) -> tuple[FloatArray, FloatArray | None]:
        """Estimate (M, 4, 4) and truth (N, 4, 4) in the body axes (x forward, z up) of the first pose.

        With truth both are in its unit; otherwise the estimate is as published.
        """
        if self.error is None or self.recording.truth is None:
            return self.poses, None
        first = make_pose(self.recording.to_body, np.zeros(3)) @ inverse_pose(self.recording.truth[0])
        return first @ self.error.aligned, first @ self.recording.truth

    def drawn_covariance(self) -> FloatArray:
        """(M, 3, 3) of the positions that `drawn` gives."""
        turns = self.drawn()[0][:, :3, :3] @ self.poses[:, :3, :3].swapaxes(1, 2)
        scale = 1.0 if self.error is None else self.error.scale
        return np.asarray(scale**2 * turns @ self.covariance @ turns.swapaxes(1, 2))

    def record(self) -> dict[str, Any]:
        """For report.json: names carry their units, None is unknown."""
        latency, error = self.latency_percentiles_s, self.error
        return {
            "source": self.recording.name,
            "cameras": [one.name for one in self.recording.shown if one.name],
            "frames_played": self.played,
            "frames_delivered": self.delivered,
            "poses": len(self.indices),
            "coverage": self.coverage,
            "transforms": self.transforms,
            "latency_p50_s": latency[0] if latency else None,
            "latency_p95_s": latency[1] if latency else None,
            "truth_unit": self.recording.unit if error else None,
            "path_length": error.path_length if error else None,
            "ate_sim3_rmse": error.translation_rmse if error else None,
            "ate_sim3_percent_of_path": error.translation_percent if error else None,
            "rotation_rmse_deg": self.rotation_rmse_deg if error else None,
            "scale": error.scale if error else None,
        }


def summarise(heard: Heard, recording: Recording, played: int, speed: float, source_stamps: bool) -> Summary:
    """Numbers of one run.

    Args:
        heard: what the observer received.
        recording: what was played.
        played: number of frames published, as stated by the camera.
        speed: of playback, relative to the recording.
        source_stamps: whether frames carried the stamps of the recording instead of the wall clock.
    """
    number = {stamp: index for index, stamp in enumerate(recording.stamps_ns)}
    if not source_stamps:
        number = frame_numbers(heard.published_ns, recording.stamps_ns, played, speed)
    stamps = sorted((stamp for stamp in heard.poses if stamp in number), key=number.__getitem__)
    indices = [number[stamp] for stamp in stamps]
    poses = np.array([heard.poses[stamp] for stamp in stamps]).reshape(-1, 4, 4)
    covariances = [heard.published[stamp][1][:3, :3] if stamp in heard.published else _UNHEARD for stamp in stamps]
    error, rotation_rmse_deg = None, math.nan
    if recording.truth is not None and len(indices) >= FEWEST_TO_ALIGN:
        error = absolute_error(poses, recording.truth[indices])
        rotation_rmse_deg = float(np.sqrt(np.mean(rotation_error_deg(poses, recording.truth[indices]) ** 2)))
    return Summary(
        recording=recording,
        played=played,
        delivered=heard.received,
        indices=indices,
        poses=poses,
        latency_s=np.array([] if source_stamps else [heard.latency_s[stamp] for stamp in stamps]),
        confidence=np.array([heard.confidence.get(stamp, np.nan) for stamp in stamps]),
        covariance=np.array(covariances, float).reshape(-1, 3, 3),
        transforms=len(heard.transforms),
        error=error,
        rotation_rmse_deg=rotation_rmse_deg,
    )
