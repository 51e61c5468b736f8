"""``raxels demo``: a recording played through real ROS 2 nodes, with the results as numbers and a picture."""

from ros2_raxels.demo.command import add_arguments, run

__all__ = ["add_arguments", "run"]
