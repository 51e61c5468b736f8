"""engine.choose: TensorRT where it can be had, else ONNX Runtime and the reason; no failure of one stops the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ros_testing import ROOT

pytest.importorskip("onnxruntime")

from ros2_raxels.engine import EngineError, choose, tensorrt_flavour, tensorrt_plans
from ros2_raxels.engine.choose import EngineOptions, open_engines
from ros2_raxels.engine.inputs import made_up_inputs
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine
from ros2_raxels.engine.plan import Plan
from ros2_raxels.engine.store import PlanStore
from ros2_raxels.engine.tensorrt_build import USUAL
from ros2_raxels.engine.tensorrt_plans import PlanCompiler
from ros2_raxels.estimation.learned_prior import named_card

ROLES = ("encode", "rays")
CARD = ModelCard.read(named_card(""))
FOLDER = named_card("").parent
FACTS = {
    "inputs": [{"name": "x", "dtype": "float32", "shape": ["n"], "profile": [[1], [2], [3]]}],
    "outputs": [{"name": "y", "dtype": "float32", "shape": ["n"]}],
}
GPU = SimpleNamespace(target="sm89", name="a card", free_bytes=lambda: 8 * 10**9)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def options(said: list[str], tmp_path: Path) -> dict[str, Any]:
    return {"say": said.append, "warn": said.append, "folder": tmp_path / "engines"}


def fake_flavour() -> SimpleNamespace:
    """A TensorRT whose plans do not load. Nothing is computed with it."""

    class Log:
        ERROR = 1

    runtime = SimpleNamespace(deserialize_cuda_engine=lambda content: None)
    return SimpleNamespace(
        __name__="tensorrt", __version__="10.3", ILogger=Log, Runtime=lambda log: runtime, Logger=Log
    )


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine with a GPU and a TensorRT whose plans do not load; the names of the graphs that it has compiled."""
    compiled: list[str] = []

    def compile_plan(trt: Any, model: Path, *_: Any) -> Plan:
        compiled.append(model.stem)
        return Plan(b"plan", FACTS)

    monkeypatch.setattr(choose, "is_installed", lambda name: name == "tensorrt")
    monkeypatch.setattr(tensorrt_flavour, "_installed_flavours", lambda: [fake_flavour()])
    monkeypatch.setattr(choose, "open_device", lambda: GPU)
    monkeypatch.setattr(tensorrt_plans, "compile_plan", compile_plan)
    monkeypatch.setattr(tensorrt_plans, "memory_bytes", lambda *_: 0)
    return compiled


def assert_on_cpu(engines: Mapping[str, Any]) -> None:
    """The engines are ONNX Runtime in single precision, and compute what that computes."""
    for role in ROLES:
        reference = OnnxRuntimeEngine(FOLDER / CARD.graphs[role].file, threads=1)
        assert engines[role].describe().startswith("ONNX Runtime ")
        inputs = made_up_inputs(reference.inputs, USUAL | {"tracks": 20})
        expected, found = reference.run(inputs), engines[role].run(inputs)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)


# ---------------------------------------------------------------------------------------------------------------- auto


def test_without_tensorrt_onnx_runtime_is_used_and_one_line_says_so(
    options: dict[str, Any], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "is_installed", lambda _: False)
    engines = open_engines(CARD, FOLDER, ROLES, EngineOptions(**options))
    assert_on_cpu(engines)
    assert len(said) == 1
    assert said[0].startswith("engine: ONNX Runtime ")
    assert said[0].endswith(
        "compact_rays.onnx; not TensorRT, because Python packages tensorrt and tensorrt_rtx are not installed"
    )


def test_if_onnx_runtime_is_asked_for_nothing_else_is_looked_for(
    options: dict[str, Any], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "is_installed", lambda _: pytest.fail("looked for TensorRT"))
    engines = open_engines(CARD, FOLDER, ROLES, EngineOptions("onnxruntime", **options))
    assert set(engines) == set(ROLES)
    assert len(said) == 1
    assert "not TensorRT" not in said[0]


@pytest.mark.parametrize("backend", ["auto", "tensorrt"])
def test_a_driver_that_is_too_old_is_named(
    options: dict[str, Any],
    said: list[str],
    with_gpu: list[str],
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
) -> None:
    def too_old() -> Any:
        raise EngineError("CUDA: cudaGetDeviceCount failed with cudaErrorInsufficientDriver (35)")

    monkeypatch.setattr(choose, "open_device", too_old)
    if backend == "tensorrt":
        with pytest.raises(EngineError, match=r"backend tensorrt cannot be had: .*cudaErrorInsufficientDriver"):
            open_engines(CARD, FOLDER, ROLES, EngineOptions(backend, **options))
        assert said == []
        return
    assert_on_cpu(open_engines(CARD, FOLDER, ROLES, EngineOptions(backend, **options)))
    assert len(said) == 1
    assert "not TensorRT, because CUDA: cudaGetDeviceCount failed with cudaErrorInsufficientDriver" in said[0]


def test_a_plan_that_does_not_load_is_set_aside_and_compiled_again_unless_it_was_just_compiled(
    options: dict[str, Any], said: list[str], with_gpu: list[str]
) -> None:
    engines = open_engines(CARD, FOLDER, ROLES, EngineOptions(**options))
    assert_on_cpu(engines)
    assert with_gpu == ["compact_mixed_encode", "compact_mixed_rays"]
    assert [line.split("-")[0] for line in said[:2]] == ["plan compact_mixed_encode", "plan compact_mixed_rays"]
    why = "tensorrt 10.3 (sm89), compact_mixed_encode.onnx: the plan cannot be loaded (no reason given)"
    assert said[0].endswith(f" is set aside: {why}")
    assert f"because encode: {why}; rays: " in said[2]
    assert len(said) == 3

    store = PlanStore(options["folder"])
    PlanCompiler(CARD, FOLDER, fake_flavour(), "sm89", store, print).build("rays")
    del with_gpu[:], said[:]
    open_engines(CARD, FOLDER, ("rays",), EngineOptions(**options))
    assert with_gpu == ["compact_mixed_rays"]
    assert [" is set aside: " in line for line in said] == [True, False]


def test_whatever_packages_for_gpus_raise_the_cpu_serves(
    options: dict[str, Any], said: list[str], with_gpu: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*_: Any) -> Plan:
        raise KeyError("BF16")

    monkeypatch.setattr(tensorrt_plans, "compile_plan", surprise)
    assert_on_cpu(open_engines(CARD, FOLDER, ROLES, EngineOptions(**options)))
    assert said[-1].endswith("; not TensorRT, because encode: KeyError: 'BF16'")
    with pytest.raises(EngineError, match="backend tensorrt cannot be had: encode: KeyError: 'BF16'"):
        open_engines(CARD, FOLDER, ROLES, EngineOptions("tensorrt", **options))


def test_progress_goes_to_stderr_by_default_or_where_it_is_sent(
    options: dict[str, Any],
    said: list[str],
    with_gpu: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def slow(trt: Any, model: Path, target: str, say: Callable[[str], None], *_: Any) -> Plan:
        say(f"compiling {model.name} for {target}: 5 s")
        return Plan(b"plan", FACTS)

    monkeypatch.setattr(tensorrt_plans, "compile_plan", slow)
    line = "compiling compact_mixed_rays.onnx for sm89: 5 s"
    open_engines(CARD, FOLDER, ("rays",), EngineOptions(**options))
    assert capsys.readouterr().err == f"{line}\n"
    assert line not in said
    open_engines(CARD, FOLDER, ("rays",), EngineOptions(progress=said.append, **options))
    assert capsys.readouterr().err == ""
    assert line in said


def test_without_a_plan_the_policy_never_means_the_cpu_or_an_error(
    options: dict[str, Any], said: list[str], with_gpu: list[str]
) -> None:
    open_engines(CARD, FOLDER, ROLES, EngineOptions("auto", "never", **options))
    assert "build_policy is never; run `raxels engine build`" in said[0]
    with pytest.raises(EngineError, match=r"backend tensorrt cannot be had: .*build_policy is never"):
        open_engines(CARD, FOLDER, ROLES, EngineOptions("tensorrt", "never", **options))
    assert with_gpu == []


def test_too_little_memory_on_the_gpu_or_in_the_machine_is_said_before_compiling(
    options: dict[str, Any],
    said: list[str],
    with_gpu: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = SimpleNamespace(target="sm89", name="a card", free_bytes=lambda: 10**8)
    monkeypatch.setattr(choose, "open_device", lambda: full)
    open_engines(CARD, FOLDER, ("rays",), EngineOptions(**options))
    assert "because rays: 100 MB of a card are free, too few" in said[-1]
    monkeypatch.setattr(choose, "open_device", lambda: GPU)
    monkeypatch.setattr(tensorrt_plans, "memory_bytes", lambda *_: 10**15)
    open_engines(CARD, FOLDER, ("rays",), EngineOptions(**options))
    assert "MB of memory are free, compiling needs 1000000000 MB" in said[-1]
    assert with_gpu == []


def test_a_graph_of_another_version_is_refused_by_every_backend(
    options: dict[str, Any], with_gpu: list[str], tmp_path: Path
) -> None:
    for graph in CARD.graphs.values():
        (tmp_path / graph.file).write_bytes((FOLDER / graph.file).read_bytes() + b"\0")
    for backend in ("auto", "onnxruntime", "tensorrt"):
        with pytest.raises(EngineError, match="is not the file that its card means"):
            open_engines(CARD, tmp_path, ROLES, EngineOptions(backend, **options))
    assert with_gpu == []


def test_unknown_backends_and_policies_are_errors() -> None:
    with pytest.raises(EngineError, match="backend = 'cuda' must be one of auto, tensorrt, onnxruntime, torch"):
        EngineOptions("cuda")
    with pytest.raises(EngineError, match="build_policy = 'no' must be one of if_stale, never, always"):
        EngineOptions("auto", "no")


# -------------------------------------------------------------------------------------------------------------- serving

SERVING = """
import sys
import ros2_raxels.nodes.pose.pose_node
from ros2_raxels.estimation.learned_prior import load_denoiser
from ros2_raxels.view_synthesis.predictor import SHIPPED, ViewPredictor
from ros2_raxels.estimation.learned_prior import named_card
print(load_denoiser("").describe())
print(ViewPredictor.load(named_card("", SHIPPED)).card.name)
print([name for name in ("torch", "onnx", "tensorrt", "tensorrt_rtx") if name in sys.modules])
print([name for name in sys.modules if name.startswith("ros2_raxels.model.")])
"""


def test_serving_imports_neither_torch_nor_tensorrt() -> None:
    pytest.importorskip("rclpy")
    ran = subprocess.run([sys.executable, "-c", SERVING], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("compact: ONNX Runtime")
    # The sampler is shared with training, and imports torch only for tensors.
    assert lines[1:] == ["compact_views", "[]", "['ros2_raxels.model.flow']"]
