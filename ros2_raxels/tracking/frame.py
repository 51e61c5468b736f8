"""Frames of the stream: as they came, as keyframes of the map, and poses that are told beside a keyframe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.matching.features import Features
from ros2_raxels.tracking.depth_prior import DepthPrior


class Seen(Protocol):
    """What matching needs of a frame, keyframe or not."""

    @property
    def number(self) -> int:
        """In the stream; later frames have higher ones."""
        ...

    @property
    def features(self) -> Features:
        """Of the working image."""
        ...

    @property
    def camera(self) -> Camera:
        """Of the working image."""
        ...

    @property
    def depth(self) -> DepthPrior | None:
        """What is known of its depths before anything is solved; None for nothing."""
        ...


@dataclass(frozen=True, eq=False)
class Side:
    """The image of another camera of a rig at the moment of a frame.

    Attributes:
        features: of the working image.
        camera: of the working image.
    """

    features: Features
    camera: Camera


@dataclass(frozen=True, eq=False)
class StreamFrame:
    """A frame as it came.

    Attributes:
        number: in the stream; later frames have higher ones.
        stamp_ns: of the image.
        features: of the working image.
        camera: of the working image.
        depth: what is known of its depths before anything is solved; None for nothing.
        sides: images of the other cameras of a rig, by name.
    """

    number: int
    stamp_ns: int
    features: Features
    camera: Camera
    depth: DepthPrior | None = None
    sides: Mapping[str, Side] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SolvedFrame:
    """A frame whose pose is known.

    Attributes:
        frame: as it came.
        camera_to_world: 4x4.
        covariance: 7x7 of (translation, rotation about the world's axes, logarithm of the unit) since the trajectory
            began.
        velocity: (6,) turn, rad/s, and translation, world units/s, both about the camera's axes; None where it is not
            known.
    """

    frame: StreamFrame
    camera_to_world: FloatArray
    covariance: FloatArray
    velocity: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A frame of the map. Only the map replaces one by another of the same number.

    Attributes:
        frame: as it came.
        camera_to_world: 4x4, as well as it is known by now.
        covariance: see `SolvedFrame`.
        inverse_depth: (G,) of the points of the flow grid (`Matcher.grid`), per world unit; NaN where not known.
        parent: number of the keyframe that it was solved against; None where a trajectory began.
        trajectory: number of the keyframe with which its trajectory began; of the older one where a loop joined two.
        log_growth: natural logarithm of the factor by which lengths around it have been corrected since it was made.
        handed_on: depths in world units that older keyframes tell, where matches do not; None elsewhere.
        velocity: see `SolvedFrame`.
    """

    frame: StreamFrame
    camera_to_world: FloatArray
    covariance: FloatArray
    inverse_depth: FloatArray
    parent: int | None = None
    trajectory: int = 0
    log_growth: float = 0.0
    handed_on: DepthPrior | None = None
    velocity: FloatArray | None = None

    @property
    def number(self) -> int:
        """See `StreamFrame`."""
        return self.frame.number

    @property
    def features(self) -> Features:
        """See `StreamFrame`."""
        return self.frame.features

    @property
    def camera(self) -> Camera:
        """See `StreamFrame`."""
        return self.frame.camera

    @property
    def depth(self) -> DepthPrior | None:
        """See `StreamFrame`; None where the trajectory is not in metres."""
        return self.frame.depth


@dataclass(frozen=True)
class KeyframePose:
    """A pose beside a keyframe, which may be corrected later.

    Attributes:
        keyframe: its number.
        pose: 4x4, in the keyframe.
        log_growth: that of the keyframe when the pose was placed.
    """

    keyframe: int
    pose: FloatArray
    log_growth: float


def beside(keyframe: Keyframe, camera_to_world: FloatArray) -> KeyframePose:
    """A pose (4x4), told relative to a keyframe as that is known now."""
    return KeyframePose(keyframe.number, relative_pose(keyframe.camera_to_world, camera_to_world), keyframe.log_growth)


def scaled_about(pose: FloatArray, factor: float, centre: FloatArray) -> FloatArray:
    """A pose (4x4) after everything has become `factor` times as large about a point (3,)."""
    scaled = pose.copy()
    scaled[:3, 3] = centre + factor * (pose[:3, 3] - centre)
    return scaled


def grown(pose: FloatArray, log_growth: float) -> FloatArray:
    """A relative pose (4x4) after lengths have grown by a factor, given by its natural logarithm."""
    return scaled_about(pose, float(np.exp(log_growth)), np.zeros(3))
