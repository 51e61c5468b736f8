"""``raxels_pose`` and ``raxels_views`` in one process: images come in once for both."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ros2_raxels.nodes.common.runner import run_together
from ros2_raxels.nodes.pose.pose_node import PoseNode
from ros2_raxels.nodes.views.view_server import ViewServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; see `runner.run_together` for the exit status."""
    return run_together([PoseNode, ViewServer], arguments)


if __name__ == "__main__":
    sys.exit(main())
