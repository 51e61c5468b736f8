"""``raxels soak``: real nodes for minutes or hours, faults on a schedule, and a report of latency, memory and poses."""

from ros2_raxels.soak.command import add_arguments, run

__all__ = ["add_arguments", "run"]
