"""A frame of the stream, and poses beside a keyframe."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.matching.features import Features
from ros2_raxels.tracking.metric_scale import Scale


@dataclass(eq=False)
class StreamFrame:
    """A frame that later frames are compared with.

    Attributes:
        number: in the stream; later frames have higher ones.
        stamp_ns: of the image.
        features: of the working image.
        camera: of the working image.
        camera_to_world: 4x4, as well as it is known by now.
        inverse_depth: (G,) of the points of the flow grid (`Matcher.grid`) in world units, NaN where not known; None
            where none is.
        covariance: 7x7 of (translation, rotation about the world's axes, logarithm of the unit) since the trajectory
            began.
        parent: number of the keyframe that it was solved against; None where a trajectory began.
        trajectory: number of the keyframe with which its trajectory began; of the older one where a loop joined two.
        grown: natural logarithm of how much lengths around it have been corrected since it was made.
    """

    number: int
    stamp_ns: int
    features: Features
    camera: PinholeCamera
    camera_to_world: FloatArray
    inverse_depth: FloatArray | None = None
    covariance: FloatArray = field(default_factory=lambda: np.zeros((7, 7)))
    parent: int | None = None
    trajectory: int = 0
    grown: float = 0.0


@dataclass(frozen=True)
class KeyframePose:
    """A pose beside a keyframe, which may be corrected later.

    Attributes:
        keyframe: its number.
        pose: 4x4, in the keyframe.
        grown: that of the keyframe when the pose was placed.
    """

    keyframe: int
    pose: FloatArray
    grown: float


def beside(frame: StreamFrame, camera_to_world: FloatArray) -> KeyframePose:
    """Where a pose (4x4) stands beside a keyframe now."""
    return KeyframePose(frame.number, relative_pose(frame.camera_to_world, camera_to_world), frame.grown)


@dataclass
class Trajectory:
    """What holds for all keyframes of a trajectory.

    Attributes:
        unit: distance that counts as far, the median depth where it began.
        scale: what is known of metres; of the present one, when its owner has last said so.
    """

    unit: float = 1.0
    scale: Scale = field(default_factory=Scale)


def scaled_about(pose: FloatArray, factor: float, centre: FloatArray) -> FloatArray:
    """A pose after everything has become `factor` times as large about a point (3,)."""
    scaled = pose.copy()
    scaled[:3, 3] = centre + factor * (pose[:3, 3] - centre)
    return scaled
