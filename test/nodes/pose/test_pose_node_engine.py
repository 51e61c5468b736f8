"""``raxels_pose`` and its engine: chosen, built alone, or refused, by parameters of a real process."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("onnxruntime")

from ros_testing import Spawn

from ros2_raxels.engine import EngineError
from ros2_raxels.engine.device import open_device

NODE = "ros2_raxels.nodes.pose.pose_node"

pytestmark = pytest.mark.ros


def has_gpu() -> bool:
    try:
        open_device()
    except EngineError:
        return False
    return True


def test_build_only_makes_the_engines_ready_and_ends(spawn: Spawn) -> None:
    node = spawn(NODE, "-p", "engine.build_only:=true", "-p", "engine.backend:=onnxruntime")
    assert node.wait() == 0
    chosen = [line for line in node.lines if "engine: " in line]
    assert "engine: ONNX Runtime" in chosen[0]
    assert "compact_encode.onnx and ONNX Runtime" in chosen[0]
    assert chosen[0].endswith("compact_rays.onnx")
    assert "Traceback" not in node.log


def test_build_only_without_an_engine_is_an_error(spawn: Spawn) -> None:
    node = spawn(NODE, "-p", "engine.build_only:=true", "-p", "model:=/nowhere/card.json")
    assert node.wait() == 2
    assert "model = '/nowhere/card.json' cannot be used" in node.lines[-1]


@pytest.mark.skipif(has_gpu(), reason="what a machine without a GPU says")
def test_tensorrt_without_a_gpu_is_refused_and_auto_says_why_not(
    spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    auto = spawn(NODE, "-p", "engine.build_only:=true")
    asked = spawn(NODE, "-p", "engine.backend:=tensorrt")
    assert asked.wait() == 2
    assert "model = '' cannot be used: backend tensorrt cannot be had: " in asked.lines[-1]
    assert auto.wait() == 0
    (line,) = [line for line in auto.lines if "not TensorRT, because " in line]
    installed = any(importlib.util.find_spec(name) for name in ("tensorrt", "tensorrt_rtx"))
    assert ("CUDA" in line) if installed else ("are not installed" in line)
    assert not (tmp_path / "ros2_raxels").exists()


def test_other_backends_and_policies_are_refused_by_name(spawn: Spawn) -> None:
    backend = spawn(NODE, "-p", "engine.backend:=cuda")
    policy = spawn(NODE, "-p", "engine.build_policy:=sometimes")
    assert (backend.wait(), policy.wait()) == (2, 2)
    assert "engine.backend = 'cuda' must be one of 'auto', 'tensorrt', 'onnxruntime', 'torch'" in backend.lines[-1]
    assert "engine.build_policy = 'sometimes' must be one of 'if_stale', 'never', 'always'" in policy.lines[-1]


def test_a_learned_matcher_that_was_not_imported_is_missed_where_it_is_asked_for(
    spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    node = spawn(NODE, "-p", "matcher:=learned", "-p", "model:=none")
    assert node.wait() == 2
    assert "matcher = 'learned' cannot be used: there is no learned matcher in " in node.lines[-1]
    assert "run `raxels engine import learned-matcher`" in node.lines[-1]
