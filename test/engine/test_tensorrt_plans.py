"""engine.tensorrt_plans: the key names graph, compiler and GPU, and plans are compiled into the store once."""

from __future__ import annotations

import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ros2_raxels.engine import EngineError, tensorrt_plans
from ros2_raxels.engine.model_card import Graph, ModelCard, sha256
from ros2_raxels.engine.plan import Plan, PlanKey
from ros2_raxels.engine.store import PlanStore
from ros2_raxels.engine.tensorrt_build import SIDES
from ros2_raxels.engine.tensorrt_plans import PlanCompiler, gpu_role

TRT = SimpleNamespace(__name__="tensorrt_rtx", __version__="1.7")
FACTS: dict[str, Any] = {"inputs": [], "outputs": []}


@pytest.fixture
def compiler(tmp_path: Path) -> PlanCompiler:
    """Of a model whose rays, but not whose sweep, are there in half precision too."""
    graphs = {}
    for role, precision in (("rays", "fp32"), ("rays.mixed", "mixed"), ("sweep", "fp32")):
        file = tmp_path / f"m_{role.replace('.', '_')}.onnx"
        file.write_bytes(role.encode())
        graphs[role] = Graph(file.name, sha256(file), precision)
    card = ModelCard("m", "tiny", graphs, 0.4, {})
    return PlanCompiler(card, tmp_path, TRT, "sm89", PlanStore(tmp_path / "engines"), print)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Path | None]]:
    """File, target and file of timings of each plan that was compiled."""
    calls = []

    def compile_plan(trt: Any, model: Path, target: str, say: Any, timing: Path | None) -> Plan:
        assert trt is TRT
        calls.append((model.name, target, timing))
        return Plan(b"plan %d" % len(calls), FACTS)

    monkeypatch.setattr(tensorrt_plans, "compile_plan", compile_plan)
    monkeypatch.setattr(tensorrt_plans, "memory_bytes", lambda *_: 0)
    return calls


def test_gpus_run_half_precision_where_the_model_has_it(compiler: PlanCompiler) -> None:
    assert gpu_role(compiler.card, "rays") == "rays.mixed"
    assert gpu_role(compiler.card, "rays.mixed") == "rays.mixed"
    assert gpu_role(compiler.card, "sweep") == "sweep"


def test_the_key_names_graph_compiler_gpu_and_machine(compiler: PlanCompiler) -> None:
    digest = sha256(compiler.folder / "m_rays_mixed.onnx")
    expected = PlanKey("m_rays_mixed", digest, "mixed", SIDES, "tensorrt_rtx", "1.7", "sm89", platform.machine())
    assert compiler.key("rays") == compiler.key("rays.mixed") == expected


def test_a_plan_is_compiled_into_the_store_once_unless_again(
    compiler: PlanCompiler, compiled: list[tuple[str, str, Path | None]]
) -> None:
    key = compiler.build("rays")
    assert key == compiler.key("rays")
    assert compiler.build("rays") == key
    timing = compiler.store.timing(key)
    assert compiled == [("m_rays_mixed.onnx", "sm89", timing)]
    assert compiler.store.find(key) == Plan(b"plan 1", FACTS)
    compiler.build("rays", again=True)
    assert compiler.store.find(key) == Plan(b"plan 2", FACTS)


def test_without_memory_or_the_right_graph_nothing_is_compiled(
    compiler: PlanCompiler, compiled: list[tuple[str, str, Path | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_plans, "memory_bytes", lambda *_: 10**15)
    with pytest.raises(EngineError, match="MB of memory are free, compiling needs 1000000000 MB"):
        compiler.build("rays")
    (compiler.folder / "m_sweep.onnx").write_bytes(b"another")
    with pytest.raises(EngineError, match=r"m_sweep.onnx is not the file that its card means"):
        compiler.build("sweep")
    assert compiled == []
