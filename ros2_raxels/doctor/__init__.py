"""``raxels doctor``: what is wrong with this machine and its ROS graph, worst first, each with its remedy."""

from ros2_raxels.doctor.command import add_arguments, run

__all__ = ["add_arguments", "run"]
