#!/usr/bin/env python3
"""Augmented reality without depth: a cube that stands still in the scene, drawn into the live image.

    ros2 launch ros2_raxels raxels.launch.py params_file:=config/recipes/handheld.yaml \
        image:=/camera/image_raw camera_info:=/camera/camera_info &
    python3 examples/draw_in_scene.py --ros-args -r image:=/camera/image_raw -r camera_info:=/camera/camera_info

Watch `/draw_in_scene/image`. The unit of the world is the median depth of what the camera saw first, so a cube at
distance 1 stands about where things are. An image is drawn when its pose is there, some 20 ms later; one without a pose
is left out, and one whose pose is not known any more comes without the cube.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Any

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.nodes.common.messages import image_array, image_message, pose_array, stamp_ns
from ros2_raxels.recordings.camera_info import CameraInfoError, camera_from_info
from ros2_raxels.recordings.image_codec import ImageArray, ImageError

CENTRE, SIDE = (1.0, 0.0, 0.0), 0.2
"""In raxels_world: x forward, y left, z up where the camera began; unit: median depth of the scene."""

COLOUR, THICKNESS_PX = (255, 64, 160), 2
KEPT = 30
EDGES = [(a, b) for a in range(8) for b in range(a) if bin(a ^ b).count("1") == 1]


def cube() -> FloatArray:
    """(8, 3) corners."""
    corners = np.array([[(k >> axis) & 1 for axis in range(3)] for k in range(8)]) - 0.5
    return np.asarray(CENTRE + SIDE * corners)


def draw_cube(image: ImageArray, camera: PinholeCamera, camera_to_world: FloatArray) -> ImageArray:
    """A copy of an RGB image with the edges of which both ends lie in front of the camera."""
    drawn = image.copy()
    to_camera = inverse_pose(camera_to_world)
    pixels = camera.project(cube() @ to_camera[:3, :3].T + to_camera[:3, 3])
    for a, b in EDGES:
        ends = pixels[[a, b]]
        if np.isfinite(ends).all() and np.abs(ends).max() < 10 * camera.width:
            (ax, ay), (bx, by) = ends.round().astype(int).tolist()
            cv2.line(drawn, (ax, ay), (bx, by), COLOUR, THICKNESS_PX)
    return drawn


class SceneDrawer(Node):
    """Brings images and their poses together, and publishes the first with a cube at ~/image."""

    def __init__(self) -> None:
        super().__init__("draw_in_scene")
        self._camera: PinholeCamera | None = None
        self._images: OrderedDict[int, Any] = OrderedDict()
        self._poses: OrderedDict[int, Any] = OrderedDict()
        self._drawn = self.create_publisher(Image, "~/image", 1)
        self.create_subscription(CameraInfo, "camera_info", self._on_info, qos_profile_sensor_data)
        self.create_subscription(Image, "image", self._on_image, qos_profile_sensor_data)
        self.create_subscription(PoseWithCovarianceStamped, "raxels_pose/pose", self._on_pose, 10)

    def _on_info(self, info: CameraInfo) -> None:
        try:
            self._camera = camera_from_info(info)
        except CameraInfoError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_image(self, message: Image) -> None:
        self._keep(self._images, message)

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self._keep(self._poses, message)

    def _keep(self, where: OrderedDict[int, Any], message: Any) -> None:
        stamp = stamp_ns(message.header.stamp)
        where[stamp] = message
        if stamp in self._images and stamp in self._poses:
            self._publish(self._images.pop(stamp), self._poses.pop(stamp).pose)
        while len(where) > KEPT:
            where.popitem(last=False)

    def _publish(self, message: Image, pose: Any) -> None:
        try:
            image = image_array(message)
        except ImageError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
        if self._camera is not None and pose.covariance[0] < UNKNOWN_VARIANCE:
            image = draw_cube(image, self._camera, pose_array(pose.pose))
        self._drawn.publish(image_message(image, message.header))


def main() -> int:
    """Exit status: 0 when it is told to stop."""
    try:
        rclpy.init()
        rclpy.spin(SceneDrawer())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
