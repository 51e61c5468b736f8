"""``~/depth``: dense depth of the frames of the first camera that are kept as context, while somebody listens."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ros2_raxels.nodes.common.diagnostics import worded
from ros2_raxels.nodes.common.messages import camera_info_message, stamp_message
from ros2_raxels.nodes.views.layers import depth_image
from ros2_raxels.nodes.views.rig_context import RigContext
from ros2_raxels.nodes.views.view_maker import Predictor
from ros2_raxels.view_synthesis.context import ContextFrame, as_seen_by, shown_in

_NO_SCALE = (
    "~/depth is subscribed to, but the scale is not known: let the pose node find it, or set depth_in_units to get "
    "depths in the unit of world_frame"
)


class DepthPublisher:
    """Publishes ``~/depth``, ``~/depth_sigma`` and ``~/camera_info``, newest frame only, from a thread of its own.

    Args:
        node: whose topics they are.
        predictor: see there.
        rig: frames of the cameras; all are looked at, the first camera's have their depth told.
        is_metric: whether the world's unit is the metre.
        in_units: whether depths are wanted where it is not.
        report: told of what goes wrong, in one line.
    """

    def __init__(
        self,
        node: Node,
        predictor: Predictor,
        rig: RigContext,
        is_metric: Callable[[], bool],
        in_units: Callable[[], bool],
        report: Callable[[str], None],
    ) -> None:
        self._node, self._predictor, self._rig = node, predictor, rig
        self._is_metric, self._in_units, self._report = is_metric, in_units, report
        self._depth = node.create_publisher(Image, "~/depth", 1)
        self._sigma = node.create_publisher(Image, "~/depth_sigma", 1)
        # Where image_transport looks for the camera of ~/depth.
        self._info = node.create_publisher(CameraInfo, "~/camera_info", 1)
        self._thread = futures.ThreadPoolExecutor(1, "depth")
        self._running: futures.Future[None] | None = None
        self._told_ns = 0

    def update(self) -> None:
        """See whether there is a new frame, and somebody who wants its depth; call it a few times a second."""
        if not self._is_wanted or (self._running is not None and not self._running.done()):
            return
        own = self._rig[""].frames
        if not own or own[-1].stamp_ns == self._told_ns or len(self._rig.frames) < 2:
            return
        if not (self._is_metric() or self._in_units()):
            self._report(_NO_SCALE)
            return
        self._told_ns = own[-1].stamp_ns
        self._running = self._thread.submit(self._tell, own[-1], self._rig.frames)

    @property
    def _is_wanted(self) -> bool:
        return any(publisher.get_subscription_count() for publisher in (self._depth, self._sigma))

    def _tell(self, frame: ContextFrame, known: tuple[ContextFrame, ...]) -> None:
        try:
            for publisher, message in self._messages(frame, known):
                publisher.publish(message)
        except Exception as error:
            # Whatever an engine raises, the next frame is tried.
            self._report(f"no depth of an image: {worded(error)}")

    def _messages(self, frame: ContextFrame, known: tuple[ContextFrame, ...]) -> list[tuple[Any, Any]]:
        poses = np.array([one.camera_to_world for one in known])
        index = next(k for k, one in enumerate(known) if one is frame)
        images, seen = as_seen_by(frame.camera, known), shown_in(frame.camera, [one.camera for one in known])
        found = self._predictor.frame_depth(images, frame.camera, poses, index, seen)
        header = Header(stamp=stamp_message(frame.stamp_ns), frame_id=frame.frame_id)
        size = (found.camera.width, found.camera.height)
        return [
            (self._info, camera_info_message(found.camera, header)),
            (self._depth, depth_image(found.depth, size, header)),
            (self._sigma, depth_image(found.sigma, size, header)),
        ]

    def destroy(self) -> None:
        """Publish no more, once what is being computed is there."""
        self._thread.shutdown(cancel_futures=True)
        for publisher in (self._depth, self._sigma, self._info):
            self._node.destroy_publisher(publisher)
