"""The generated interfaces, or a word on how to build them."""

from __future__ import annotations

try:
    from raxels_interfaces.action import PredictViews
    from raxels_interfaces.msg import PathScore, PoseStatus
    from raxels_interfaces.srv import RankPaths
except ImportError as error:
    raise ImportError(
        "raxels_interfaces is not built or not sourced: `colcon build --base-paths . raxels_interfaces` in the "
        "checkout (`--base-paths src src/*/raxels_interfaces` in a workspace), then source install/setup.bash"
    ) from error

__all__ = ["PathScore", "PoseStatus", "PredictViews", "RankPaths"]
