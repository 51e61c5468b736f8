"""TF, read: the pose of one frame in another, by tf2_ros where it is installed and by our own tree elsewhere."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from ros2_raxels.geometry.frame_tree import (
    KEEP_S,
    FrameError,
    FrameTree,
    NoDataError,
    NotConnectedError,
    UnknownFrameError,
    bare,
)
from ros2_raxels.geometry.poses import FloatArray, GeometryError, make_pose, rotation_from_quaternion
from ros2_raxels.nodes.common.diagnostics import Problems
from ros2_raxels.nodes.common.tf_broadcaster import insert_edges, tf_qos

_POLL_S = 0.005


class TransformReader(ABC):
    """What nodes need of TF. Safe to use from any thread; the node must be spun in another."""

    @abstractmethod
    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        """``source_to_target``, 4x4, at a stamp; 0 means the latest that all edges between them share.

        Raises:
            FrameError: UnknownFrameError, NotConnectedError or NoDataError, in one line.
        """

    def wait_for(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> FloatArray:
        """The same, once it is there.

        Raises:
            FrameError: it is not after this long.
        """
        until = time.monotonic() + timeout_s
        while True:
            try:
                return self.lookup(target, source, stamp_ns)
            except FrameError:
                if time.monotonic() >= until:
                    raise
            # Asked again rather than woken: of thousands of edges a second, hardly any is the one waited for.
            time.sleep(_POLL_S)

    @abstractmethod
    def destroy(self) -> None:
        """Stop listening."""


class TreeReader(TransformReader):
    """Own subscriptions of /tf and /tf_static, kept in a `FrameTree`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tree = FrameTree()
        self._problems = Problems(node.get_logger())
        self._subscriptions = [
            node.create_subscription(TFMessage, topic, partial(self._on_edges, static=static), tf_qos(static))
            for topic, static in (("/tf", False), ("/tf_static", True))
        ]
        self._jumps = _when_time_jumps_back(node, self._tree.clear)

    def _on_edges(self, message: TFMessage, static: bool) -> None:
        for reason in insert_edges(self._tree, message, static):
            self._problems.report(reason)

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        """See `TransformReader`."""
        return self._tree.lookup(target, source, stamp_ns)

    def destroy(self) -> None:
        """See `TransformReader`."""
        self._jumps.unregister()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)


class Tf2Reader(TransformReader):
    """tf2_ros's own listener and buffer.

    Raises:
        ImportError: on construction, where tf2_ros is not installed.
    """

    def __init__(self, node: Node) -> None:
        import tf2_ros

        # Most particular first: each of tf2's exceptions, and what it means here.
        self._errors: tuple[tuple[type[Exception], type[FrameError]], ...] = (
            (tf2_ros.ConnectivityException, NotConnectedError),
            (tf2_ros.ExtrapolationException, NoDataError),
            (tf2_ros.TransformException, UnknownFrameError),
        )
        self._any_error = tf2_ros.TransformException
        # Without the node: with it, several releases raise when simulated time jumps back, and offer a service whose
        # name all nodes of a namespace would share.
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=KEEP_S))
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)
        self._jumps = _when_time_jumps_back(node, self._buffer.clear)

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        """See `TransformReader`."""
        if stamp_ns < 0:
            raise NoDataError(f"TF from {source} to {target} at {stamp_ns} ns: that is before 1970; correct the stamps")
        try:
            found = self._buffer.lookup_transform(bare(target), bare(source), Time(nanoseconds=stamp_ns))
            return pose_of_transform(found.transform)
        except GeometryError as error:
            raise NoDataError(f"TF from {source} to {target}: {error}") from error
        except self._any_error as error:
            meant = next(ours for theirs, ours in self._errors if isinstance(error, theirs))
            raise meant(f"TF from {source} to {target}: {' '.join(str(error).split())}") from error

    def destroy(self) -> None:
        """See `TransformReader`."""
        self._jumps.unregister()
        self._listener.unregister()


def make_reader(node: Node) -> TransformReader:
    """tf2_ros's where it is installed, our own otherwise; both hear the same topics."""
    try:
        return Tf2Reader(node)
    except ImportError:
        return TreeReader(node)


def pose_of_transform(transform: Any) -> FloatArray:
    """4x4 of a geometry_msgs/Transform."""
    at, turn = transform.translation, transform.rotation
    return make_pose(rotation_from_quaternion(np.array([turn.x, turn.y, turn.z, turn.w])), (at.x, at.y, at.z))


def _when_time_jumps_back(node: Node, forget: Callable[[], object]) -> Any:
    back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
    return node.get_clock().create_jump_callback(back, post_callback=lambda _: forget())
