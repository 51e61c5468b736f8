"""Both nodes in one process, each with a script in place of what it computes with. Run as a process by the tests."""

from __future__ import annotations

import sys

from scripted_node import ScriptedNode, ScriptedTracker
from scripted_views import PaintingPredictor

from ros2_raxels.nodes.common.runner import run_together
from ros2_raxels.nodes.views.view_server import ViewServer

if __name__ == "__main__":
    sys.exit(run_together([lambda: ScriptedNode(ScriptedTracker), lambda: ViewServer(PaintingPredictor)]))
