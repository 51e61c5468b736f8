"""Where the poses of a camera go in a robot's tree of frames: which frames are named, and which edge is published."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE, compounded, with_unit
from ros2_raxels.geometry.frame_tree import FrameError, NoDataError, bare
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, inverse_pose
from ros2_raxels.nodes.pose.frame_changes import FrameChanges
from ros2_raxels.nodes.pose.level import Level
from ros2_raxels.tracking.types import TrackedPose, TrackState

_UNIT_SIGMA = 0.5
"""Of the distance between base and camera while the unit is unknown: it may be twice as long, or nothing at all.

In all directions, for nobody knows where a reader puts the origin, from which the error is counted.
"""

_NO_LEVER_M = 1e-6


class TfMode(str, enum.Enum):
    """Which edge is published."""

    AUTO = "auto"
    OFF = "off"
    WORLD_TO_BASE = "world_to_base"
    MAP_TO_ODOM = "map_to_odom"
    ODOM_TO_BASE = "odom_to_base"


class Unscaled(str, enum.Enum):
    """What is said of lengths while none is in metres."""

    WITHHOLD = "withhold"
    """No odometry, and no edge that needs the distance from base to camera."""
    UNKNOWN = "unknown"
    """Odometry that says of every length that it is not known, and no such edge."""
    PUBLISH = "publish"
    """All in the unit of the trajectory."""


@dataclass(frozen=True)
class FrameNames:
    """Names of the frames of the robot; `world` is the one whose unit need not be metres."""

    world: str = "raxels_world"
    map: str = "map"
    odom: str = "odom"
    base: str = "base_link"


class Transforms(Protocol):
    """What is asked of the tree."""

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        """``source_to_target`` (4x4); raises FrameError."""


@dataclass(frozen=True)
class Edge:
    """An edge to publish: `pose` (4x4) is ``child_to_parent``."""

    parent: str
    child: str
    pose: FloatArray


@dataclass(frozen=True)
class Placed:
    """An answer of the tracker in the frames of the robot.

    Attributes:
        parent, child: frames of `pose`.
        pose: 4x4 ``child_to_parent``.
        covariance: 6x6 of (x, y, z, rotation about x, y, z), axes of `parent`.
        edge: to publish; None for none.
        refusal: why an edge that the mode asks for is not there, in one line; empty otherwise.
        change: in what frames or mount differ from those of the answer before, in one line; empty if in nothing.
        twist: (linear, angular) of `child` in its own axes, and 6x6 of that; None where it is not known.
    """

    parent: str
    child: str
    pose: FloatArray
    covariance: FloatArray
    edge: Edge | None = None
    refusal: str = ""
    change: str = ""
    twist: tuple[FloatArray, FloatArray] | None = None


@dataclass(frozen=True)
class _Mount:
    """How tracker poses become poses of the child: ``to_world @ camera_to_world @ from_child``."""

    child: str
    to_world: FloatArray
    from_child: FloatArray


class Placement:
    """Puts poses of the camera into the robot's tree.

    The world is where the base stood in the first frame, or without a base the first camera: x forward, y left, z up
    (REP-103). Where an IMU says that z is not up, the world is turned until it is.

    While the scale is unknown the lever arm from base to camera is taken as it is: the optical frame is where it was
    seen to be, and the base as far from it as if the unit were the metre, of which it is a guess. How wrong that may be
    is in the covariance of the base.

    Between ``map`` and ``odom`` a pose that is only held leaves the edge as it was, and odometry carries the base on:
    with the edge made to fit, the base would stand still in the map while the robot drives.

    Args:
        names: of the frames.
        transforms: the tree.
        other_parent: ``(child, parent)`` to another living parent of the child, or an empty string.
        unscaled: whether edges that need metres are published without them; others are.
        is_level: whether z is kept up by gravity.
    """

    def __init__(
        self,
        names: FrameNames,
        transforms: Transforms,
        other_parent: Callable[[str, str], str],
        unscaled: Unscaled = Unscaled.PUBLISH,
        is_level: bool = True,
    ) -> None:
        self.names, self._unscaled = names, unscaled
        self._transforms = transforms
        self._other_parent = other_parent
        self._first: tuple[str, FloatArray] | None = None
        self._odom_to_map: FloatArray | None = None
        self._mount = _Mount("", OPTICAL_TO_BODY, np.eye(4))
        self._parent = names.world
        self._level = Level() if is_level else None
        self._changes = FrameChanges()

    def forget(self) -> None:
        """The next pose begins a new trajectory."""
        self._first = self._odom_to_map = None
        if self._level is not None:
            self._level.forget()

    def place(self, answer: TrackedPose, optical: str, mode: TfMode, invert: bool = False) -> Placed:
        """Frames, pose and edge of an answer.

        Args:
            answer: of the tracker.
            optical: frame of its images.
            mode: which edge is wanted.
            invert: publish it from child to parent, so that the child keeps its own parent.
        """
        optical_to_base, missing = self._optical_to_base(optical, answer.stamp_ns)
        self._mount, turned = self._upright(self._mounted(optical, optical_to_base), answer)
        placed = self._placed(answer, optical, mode, invert, missing)
        mount = inverse_pose(self._mount.from_child)
        change = self._changes.of(placed.parent, placed.child, optical, mount, missing)
        change = "; ".join(filter(None, (change, turned)))
        return replace(placed, change=change, twist=self._twist(answer))

    def _upright(self, mount: _Mount, answer: TrackedPose) -> tuple[_Mount, str]:
        """A mount whose world is kept upright, and by how much that was turned in one step, in a line."""
        if self._level is None:
            return mount, ""
        turned = self._level.see(answer.up, mount.to_world, answer.camera_to_world, answer.stamp_ns)
        return replace(mount, to_world=self._level.turn @ mount.to_world), turned

    def _placed(
        self,
        answer: TrackedPose,
        optical: str,
        mode: TfMode,
        invert: bool,
        missing: str,
    ) -> Placed:
        metric = answer.scale.is_metric
        child, auto = self._mount.child, mode is TfMode.AUTO
        if auto:
            mode, invert = self._chosen(child, optical, metric, invert)
        refusal = self._impossible(mode, missing, metric)
        self._parent = self.names.world if refusal else self._parent_for(mode)
        refusal = refusal or self._withheld(mode, metric)
        pose: FloatArray = self._mount.to_world @ answer.camera_to_world @ self._mount.from_child
        covariance = self._covariance(answer, pose)
        if refusal or mode is TfMode.OFF:
            return Placed(self._parent, child, pose, covariance, None, refusal)
        edge = Edge(self._parent, child, pose)
        if mode is TfMode.MAP_TO_ODOM:
            try:
                edge, pose = self._map_to_odom(pose, child, answer)
            except FrameError as error:
                return Placed(self._parent, child, pose, covariance, None, str(error))
        edge = Edge(edge.child, edge.parent, inverse_pose(edge.pose)) if invert else edge
        return Placed(self._parent, child, pose, covariance, edge)

    def camera_pose(self, pose: FloatArray, covariance: FloatArray, frame: str) -> tuple[FloatArray, FloatArray]:
        """Back: camera_to_world of the tracker, and its covariance, from a pose of the child as `place` gives it.

        Raises:
            FrameError: no pose has been published yet, or `frame` is not the one in which poses are given.
        """
        if not self._mount.child:
            raise FrameError(
                "no pose has been published yet, so the frame of this one is not known; wait for the first"
            )
        if bare(frame) != self._parent:
            raise FrameError(f"frame {frame!r} is not the frame in which poses are published; use {self._parent!r}")
        camera = pose @ inverse_pose(self._mount.from_child)
        moved = compounded(with_unit(covariance, 0.0), pose, camera)[:6, :6]
        turned = np.kron(np.eye(2), self._mount.to_world[:3, :3])
        return inverse_pose(self._mount.to_world) @ camera, np.asarray(turned.T @ moved @ turned)

    def _optical_to_base(self, optical: str, stamp_ns: int) -> tuple[FloatArray | None, str]:
        if not self.names.base:
            return None, "tf.base_frame is empty; name the robot's base"
        try:
            return self._transforms.lookup(self.names.base, optical, stamp_ns), ""
        except NoDataError:
            # A joint that moves is published after the image was taken.
            try:
                return self._transforms.lookup(self.names.base, optical), ""
            except FrameError as error:
                return None, str(error)
        except FrameError as error:
            return None, str(error)

    def _mounted(self, optical: str, optical_to_base: FloatArray | None) -> _Mount:
        if optical_to_base is None:
            # Where the base stood first is not forgotten: its world must be the same when it is known again.
            return _Mount(optical, OPTICAL_TO_BODY, np.eye(4))
        if self._first is None or self._first[0] != optical:
            self._first = (optical, optical_to_base)
        return _Mount(self.names.base, self._first[1], inverse_pose(optical_to_base))

    def _chosen(self, child: str, optical: str, metric: bool, invert: bool) -> tuple[TfMode, bool]:
        """What `auto` means for this robot, now."""
        other = self._other_parent(child, self.names.world)
        if child == optical or not other:
            return TfMode.WORLD_TO_BASE, invert
        if metric and other == self.names.odom:
            return TfMode.MAP_TO_ODOM, invert
        # The base has an owner: hang the world below it.
        return TfMode.WORLD_TO_BASE, True

    def _impossible(self, mode: TfMode, missing: str, metric: bool) -> str:
        if mode not in (TfMode.MAP_TO_ODOM, TfMode.ODOM_TO_BASE):
            return ""
        if missing:
            return f"tf.mode {mode.value} needs the pose of the camera on the base: {missing}"
        return "" if metric else f"tf.mode {mode.value} needs metres, and the scale is not known yet; see scale.mode"

    def _withheld(self, mode: TfMode, metric: bool) -> str:
        """Why no edge to the base is published: in a unit that is not the metre it would be in the wrong place."""
        lever_m = float(np.linalg.norm(self._mount.from_child[:3, 3]))
        if metric or mode is TfMode.OFF or self._unscaled is Unscaled.PUBLISH or lever_m < _NO_LEVER_M:
            return ""
        return (
            f"no edge to {self._mount.child}, which is {lever_m:.2g} m away from the camera, while the scale is not "
            "known; see scale.mode and odometry.unscaled"
        )

    def _parent_for(self, mode: TfMode) -> str:
        return {TfMode.MAP_TO_ODOM: self.names.map, TfMode.ODOM_TO_BASE: self.names.odom}.get(mode, self.names.world)

    def _map_to_odom(self, pose: FloatArray, child: str, answer: TrackedPose) -> tuple[Edge, FloatArray]:
        """The edge, and the pose of the child that it leads to."""
        try:
            child_to_odom = self._transforms.lookup(self.names.odom, child, answer.stamp_ns)
        except NoDataError:
            child_to_odom = self._transforms.lookup(self.names.odom, child)
        if self._odom_to_map is None or answer.state is TrackState.TRACKING or answer.corrected:
            self._odom_to_map = pose @ inverse_pose(child_to_odom)
        return Edge(self.names.map, self.names.odom, self._odom_to_map), self._odom_to_map @ child_to_odom

    def _twist(self, answer: TrackedPose) -> tuple[FloatArray, FloatArray] | None:
        if answer.step is None or answer.corrected:
            return None
        metric = answer.scale.is_metric
        twist, covariance = answer.step.velocity(self._mount.from_child, answer.scale.sigma if metric else 0.0)
        if not metric:
            lever = float(np.linalg.norm(self._mount.from_child[:3, 3]) * np.linalg.norm(twist[3:]))
            covariance[:3, :3] += (_UNIT_SIGMA * lever) ** 2 * np.eye(3)
        return twist, covariance

    def _covariance(self, answer: TrackedPose, pose: FloatArray) -> FloatArray:
        if answer.covariance[0, 0] >= UNKNOWN_VARIANCE:
            return answer.covariance
        turned = np.kron(np.eye(2), self._mount.to_world[:3, :3])
        camera = self._mount.to_world @ answer.camera_to_world
        covariance = compounded(with_unit(turned @ answer.covariance @ turned.T, 0.0), camera, pose)[:6, :6]
        if not answer.scale.is_metric:
            lever = float(np.linalg.norm(self._mount.from_child[:3, 3]))
            covariance[:3, :3] += (_UNIT_SIGMA * lever) ** 2 * np.eye(3)
        if self._level is not None and answer.state is TrackState.TRACKING:
            covariance = self._level.bounded(covariance)
        return covariance
