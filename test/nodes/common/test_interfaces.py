"""nodes.common.interfaces: without the generated interfaces there is a word on how to build them."""

from __future__ import annotations

import runpy
import sys

import pytest
from ros_testing import ROOT

MODULE = str(ROOT / "ros2_raxels" / "nodes" / "common" / "interfaces.py")


def test_the_interfaces_are_the_generated_ones():
    action = pytest.importorskip("raxels_interfaces.action")
    message = pytest.importorskip("raxels_interfaces.msg")
    service = pytest.importorskip("raxels_interfaces.srv")
    found = runpy.run_path(MODULE)
    assert [found[name] for name in found["__all__"]] == [
        message.PathScore,
        message.PoseStatus,
        action.PredictViews,
        service.RankPaths,
    ]


def test_without_interfaces_the_error_says_how_to_build_and_source_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "raxels_interfaces", None)
    monkeypatch.setitem(sys.modules, "raxels_interfaces.action", None)
    with pytest.raises(
        ImportError, match=r"colcon build --base-paths \. raxels_interfaces.*source install/setup\.bash"
    ):
        runpy.run_path(MODULE)
