"""``raxels soak``: real nodes for as long as wanted, faults on a schedule, and what latency, memory and poses did."""

from ros2_raxels.soak.command import add_arguments, run

__all__ = ["add_arguments", "run"]
