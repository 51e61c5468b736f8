"""The pose node with a tracker that does what the first pixel of the image says. Run as a process by the tests."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, make_pose, rotation_from_vector
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.nodes.common.runner import run
from ros2_raxels.nodes.pose.pose_node import PoseNode
from ros2_raxels.tracking.map_update import MappingState
from ros2_raxels.tracking.metric_scale import Odometry, Scale, ScaleSource
from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackerSettings, TrackState
from ros2_raxels.utils.files import FileError, replacing

TRACK, RAISE, SLEEP, LOST, HELD, INITIALISE, NOT_FINITE, HANG, QUIT, SPOIL = 10, 20, 30, 40, 50, 60, 70, 80, 90, 100
"""SPOIL tracks, and raises when the keyframe is to be made."""

SLIPS = 120
"""Tracks, and leaves the wheels out until it is reset; the shutter is odd as well."""

SLIPPED, ROLLS = "the wheels are left out: they slip", "rolling shutter"

UNSAID = 110
"""Tracks, with an answer that no status can carry."""

BUSY = "the tracker is busy"
"""Printed before it sleeps or hangs."""

SLEEP_S = 2.0
HANG_S = 600.0
SLOW = "slow"
"""Model that takes HANG_S to load."""

STEP = 0.1
TURN_RAD = 0.02
VARIANCES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
"""Of x, y, z and the rotations about them, optical axes."""

QUALITY = SolveQuality(0.75, 0.5, 100, 80, 0.01, 0.02)
_STATES = {LOST: TrackState.LOST, HELD: TrackState.HELD, INITIALISE: TrackState.INITIALISING}


def scripted_pose(count: int) -> FloatArray:
    """Pose of the count-th tracked frame: one step forward a frame, turning right (about the optical y, down)."""
    return make_pose(rotation_from_vector([0.0, TURN_RAD * count, 0.0]), [0.0, 0.0, STEP * count])


class ScriptedTracker:
    """Counts tracked frames since the last reset; the message tells that and the focal length it was given."""

    engine_id = "scripted"
    mapping = MappingState()
    masked: ClassVar[dict[str, np.ndarray | None]] = {}

    def __init__(self, settings: TrackerSettings, model: str, odometry: Odometry) -> None:
        if model == SLOW:
            time.sleep(HANG_S)
        self._settings = settings
        self._odometry = odometry
        self._moved = np.eye(4)
        self._count = 0
        self._spoiled = False

    def reset(self) -> None:
        self._count = 0
        self._moved = np.eye(4)
        self.sensor_remarks, self.lens_trouble = (), ""

    def set_pose(self, camera_to_world: FloatArray, covariance: FloatArray) -> None:
        self._moved = camera_to_world @ inverse_pose(scripted_pose(self._count - 1))

    def point_up(self, up_in_camera: FloatArray) -> None:
        self._up = up_in_camera

    def keyframes_to_save(self, path: Path) -> Callable[[], int]:
        count = self._count

        def save() -> int:
            with replacing(path) as temporary:
                temporary.write_text(str(count))
            return count

        return save

    def load_keyframes(self, path: Path) -> int:
        if not path.is_file():
            raise FileError(f"{path} is not there")
        self._count = int(path.read_text())
        return self._count

    def tell_period(self, period_s: float | None) -> None:
        self.period_s = period_s

    def improve(self) -> None:
        spoiled, self._spoiled = self._spoiled, False
        if spoiled:
            raise ZeroDivisionError("as the image asked")

    depth_trouble = ""
    lens_trouble = ""
    sensor_remarks: tuple[str, ...] = ()
    map_remark = ""

    def use_mask(self, mask: np.ndarray | None, camera: str = "") -> None:
        self.masked = {**self.masked, camera: mask}

    def use_rig(self, rig: Rig | None) -> None:
        self.reset()

    def track(
        self,
        image: np.ndarray,
        stamp_ns: int,
        camera: PinholeCamera | None,
        depth: Any = None,
        *,
        others: Mapping[str, np.ndarray] | None = None,
    ) -> TrackedPose:
        action = int(image.reshape(-1)[0])
        if action == RAISE:
            raise ZeroDivisionError("as the image asked")
        if action == QUIT:
            raise SystemExit("as the image asked")
        if action in (SLEEP, HANG):
            print(BUSY, flush=True)
            time.sleep(SLEEP_S if action == SLEEP else HANG_S)
        if action == SLIPS:
            self.sensor_remarks, self.lens_trouble = (SLIPPED,), ROLLS
        state = _STATES.get(action, TrackState.TRACKING)
        pose = self._moved @ scripted_pose(self._count) * (np.nan if action == NOT_FINITE else 1.0)
        self._count += state == TrackState.TRACKING and action != NOT_FINITE
        focal = "estimated" if camera is None else f"{camera.fx:g}"
        message = f"count {self._count} focal {focal} lost.frames {self._settings.lost_frames}"
        message += f" beside {', '.join(others)}" if others else ""
        masked = [f"{name or 'first'} {int(mask.sum())}" for name, mask in self.masked.items() if mask is not None]
        message += f" masked {', '.join(masked)}" if masked else ""
        covariance = np.eye(6) * UNKNOWN_VARIANCE if state == TrackState.LOST else np.diag(VARIANCES)
        self._spoiled = action == SPOIL
        matches: Any = np.nan if action == UNSAID else QUALITY.correspondences
        quality = replace(QUALITY, correspondences=matches)
        answer = TrackedPose(stamp_ns, pose, covariance, state, quality, keyframe=self._spoiled, message=message)
        metric = self._settings.scale.source is ScaleSource.FIXED
        return replace(answer, scale=Scale(ScaleSource.FIXED, 2.0, 0.01)) if metric else answer


class ScriptedNode(PoseNode):
    """Waits longer than SLEEP_S for its worker, but not for HANG_S."""

    patience_s = 4.0


if __name__ == "__main__":
    sys.exit(run(lambda: ScriptedNode(ScriptedTracker)))
