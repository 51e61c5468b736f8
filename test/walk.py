"""A rendered walk through a room, and what a tracker says of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.poses import (
    FloatArray,
    relative_pose,
    rotation_angle_rad,
)
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.metric_scale import ScaleSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackedPose, TrackState

Image = npt.NDArray[np.uint8]
CAMERA = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
COUNT = 60
STEP_NS = 66_666_667
FIRST_NS = 1_700_000_000_123_456_789
BLACK = np.zeros((240, 320, 3), np.uint8)
INITIALISING, TRACKING, HELD, LOST = TrackState.INITIALISING, TrackState.TRACKING, TrackState.HELD, TrackState.LOST


class Walk:
    """Four seconds of a seven-second loop at 15 Hz."""

    def __init__(self) -> None:
        room = furnished_room(3)
        self.poses = handheld_loop(7.0, 15.0, seed=1)[:COUNT]
        seen = [render(room, CAMERA, pose) for pose in self.poses]
        self.images = [image for image, _ in seen]
        self.depths_m = [depth for _, depth in seen]
        self.depth_m = float(np.median(seen[0][1]))

    def __getitem__(self, frames: slice | list[int]) -> list[Image]:
        return self.images[frames] if isinstance(frames, slice) else [self.images[k] for k in frames]

    def error(self, found: list[TrackedPose], frames: list[int], scale: float) -> tuple[float, float]:
        """Largest translation, share of the scene's depth, and rotation, deg, of poses in the world of frame 0."""
        truth = relative_pose(self.poses[0], self.poses[frames])
        poses = np.array([f.camera_to_world for f in found])
        off = np.linalg.norm(scale * poses[:, :3, 3] - truth[:, :3, 3], axis=1).max()
        turn = rotation_angle_rad(np.swapaxes(poses[:, :3, :3], 1, 2) @ truth[:, :3, :3]).max()
        return float(off / self.depth_m), float(np.degrees(turn))


def follow(tracker: Tracker, images: list[Image], camera: PinholeCamera | None = CAMERA) -> list[TrackedPose]:
    return [tracker.track(image, FIRST_NS + k * STEP_NS, camera) for k, image in enumerate(images)]


class SensorDepths:
    """A depth prior: an image of depths along z, m, with the noise of structured light; NaN where there is a hole."""

    source = ScaleSource.DEPTH
    scale_sigma = 0.005

    def __init__(self, depth_m: FloatArray, noise_per_m: float = 0.0015, seed: int = 0) -> None:
        noise = np.random.default_rng(seed).normal(0.0, noise_per_m, depth_m.shape)
        self._depth_m, self._noise_per_m = depth_m + noise * depth_m**2, noise_per_m

    def at(self, pixels: FloatArray, camera: Camera) -> tuple[FloatArray, FloatArray]:
        column, row = np.round(pixels).astype(int).T
        inverse = 1.0 / self._depth_m[row, column]
        return inverse, np.hypot(self._noise_per_m, 0.003 * inverse)


def states(found: list[TrackedPose]) -> list[TrackState]:
    return [f.state for f in found]


def solved_from(found: list[TrackedPose]) -> int:
    """The first answer after the first cameras: from there poses have depth, before it a camera stands or turns."""
    return [f.has_depth for f in found].index(True)


def similarity(found: FloatArray, truth: FloatArray) -> tuple[float, float]:
    """Scale that fits positions best under Sim(3), and the root mean square that remains."""
    p, q = found - found.mean(axis=0), truth - truth.mean(axis=0)
    turn, _ = Rotation.align_vectors(q, p)
    scale = (turn.apply(p) * q).sum() / (p * p).sum()
    return float(scale), float(np.sqrt(((scale * turn.apply(p) - q) ** 2).sum(axis=1).mean()))


def path_m(poses: FloatArray) -> float:
    return float(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).sum())
