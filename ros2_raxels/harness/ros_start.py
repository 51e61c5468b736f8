"""How a command becomes a process that may use ROS."""

from __future__ import annotations

import os

from ros2_raxels.utils.ros_environment import require_ros, ros_environment


def start_ros() -> None:
    """Set the environment that our nodes need and import rclpy. To be called before anything else is done.

    Where ROS was installed from wheels, the first import of rclpy replaces this process by a new one with the loader
    path that its libraries need: everything before it is done twice.

    Raises:
        RosNotFoundError: rclpy or the interface package is missing.
    """
    require_ros()
    os.environ.update(ros_environment())
    import rclpy  # noqa: F401
