"""engine.choose: the better engine where it can be had, the other one said why, and none in the way of the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ros_testing import ROOT

pytest.importorskip("onnxruntime")

from ros2_raxels.engine import Arrays, EngineError, OutOfProfileError, TensorSpec, choose, made_up_inputs
from ros2_raxels.engine.choose import EngineOptions, EngineWithFallback, build_plan, flavour_for, gpu_role, open_engines
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine
from ros2_raxels.engine.store import Plan, PlanStore
from ros2_raxels.engine.tensorrt_build import USUAL
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
    """A TensorRT whose plans do not load: only for what goes wrong; nothing is computed with it."""

    class Log:
        ERROR = 1

    runtime = SimpleNamespace(deserialize_cuda_engine=lambda content: None)
    return SimpleNamespace(
        __name__="tensorrt", __version__="10.3", ILogger=Log, Runtime=lambda log: runtime, Logger=Log
    )


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine with a card and a TensorRT whose plans do not load; the names of graphs that it has compiled."""
    compiled: list[str] = []

    def compile_plan(trt: Any, model: Path, *_: Any) -> Plan:
        compiled.append(model.stem)
        return Plan(b"plan", FACTS)

    monkeypatch.setattr(choose, "is_installed", lambda name: name == "tensorrt")
    monkeypatch.setattr(choose, "_installed_flavours", lambda: [fake_flavour()])
    monkeypatch.setattr(choose, "open_device", lambda: GPU)
    monkeypatch.setattr(choose, "compile_plan", compile_plan)
    monkeypatch.setattr(choose, "memory_bytes", lambda *_: 0)
    return compiled


def assert_on_cpu(engines: Mapping[str, Any]) -> None:
    """The engines are ONNX Runtime in single precision, and compute what it does."""
    for role in ROLES:
        reference = OnnxRuntimeEngine(FOLDER / CARD.graphs[role].file, threads=1)
        assert engines[role].describe().startswith("ONNX Runtime ")
        inputs = made_up_inputs(reference.inputs, USUAL | {"tracks": 20})
        expected, found = reference.run(inputs), engines[role].run(inputs)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)


# ---------------------------------------------------------------------------------------------------------------- auto


def test_without_tensorrt_onnx_runtime_is_taken_and_one_line_says_so(
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


def test_asked_for_onnx_runtime_nothing_else_is_looked_for(
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


def test_a_plan_that_does_not_load_is_set_aside_and_made_again_unless_it_was_made_just_now(
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
    build_plan(CARD, FOLDER, "rays", fake_flavour(), "sm89", store, print)
    del with_gpu[:], said[:]
    open_engines(CARD, FOLDER, ("rays",), EngineOptions(**options))
    assert with_gpu == ["compact_mixed_rays"]
    assert [" is set aside: " in line for line in said] == [True, False]


def test_nothing_that_packages_for_gpus_raise_keeps_the_cpu_from_its_work(
    options: dict[str, Any], said: list[str], with_gpu: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*_: Any) -> Plan:
        raise KeyError("BF16")

    monkeypatch.setattr(choose, "compile_plan", surprise)
    assert_on_cpu(open_engines(CARD, FOLDER, ROLES, EngineOptions(**options)))
    assert said[-1].endswith("; not TensorRT, because encode: KeyError: 'BF16'")
    with pytest.raises(EngineError, match="backend tensorrt cannot be had: encode: KeyError: 'BF16'"):
        open_engines(CARD, FOLDER, ROLES, EngineOptions("tensorrt", **options))


def test_progress_is_seen_by_default_and_goes_where_it_is_asked_to(
    options: dict[str, Any],
    said: list[str],
    with_gpu: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def slow(trt: Any, model: Path, target: str, say: Callable[[str], None], *_: Any) -> Plan:
        say(f"compiling {model.name} for {target}: 5 s")
        return Plan(b"plan", FACTS)

    monkeypatch.setattr(choose, "compile_plan", slow)
    line = "compiling compact_mixed_rays.onnx for sm89: 5 s"
    open_engines(CARD, FOLDER, ("rays",), EngineOptions(**options))
    assert capsys.readouterr().err == f"{line}\n"
    assert line not in said
    open_engines(CARD, FOLDER, ("rays",), EngineOptions(progress=said.append, **options))
    assert capsys.readouterr().err == ""
    assert line in said


def test_never_without_a_plan_means_the_cpu_or_a_refusal(
    options: dict[str, Any], said: list[str], with_gpu: list[str]
) -> None:
    open_engines(CARD, FOLDER, ROLES, EngineOptions("auto", "never", **options))
    assert "build_policy is never; run `raxels engine build`" in said[0]
    with pytest.raises(EngineError, match=r"backend tensorrt cannot be had: .*build_policy is never"):
        open_engines(CARD, FOLDER, ROLES, EngineOptions("tensorrt", "never", **options))
    assert with_gpu == []


def test_too_little_memory_on_the_card_or_in_the_machine_is_said_before_compiling(
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
    monkeypatch.setattr(choose, "memory_bytes", lambda *_: 10**15)
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


def test_other_backends_and_policies_are_named() -> None:
    with pytest.raises(EngineError, match="backend = 'cuda' must be one of auto, tensorrt, onnxruntime, torch"):
        EngineOptions("cuda")
    with pytest.raises(EngineError, match="build_policy = 'no' must be one of if_stale, never, always"):
        EngineOptions("auto", "no")


def test_the_flavour_follows_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    full = fake_flavour()
    members = {"NONE": 0, "CURRENT": 1, "SM89": 2}
    rtx = SimpleNamespace(
        __name__="tensorrt_rtx", __version__="1.7", ComputeCapability=SimpleNamespace(__members__=members)
    )
    monkeypatch.setattr(choose, "_installed_flavours", lambda: [full, rtx])
    assert flavour_for("sm90", "sm90") is full
    assert flavour_for("sm89", "sm89") is full
    assert flavour_for("sm89", "sm90") is rtx
    assert flavour_for("sm89", "") is rtx
    with pytest.raises(
        EngineError, match=r"nothing here compiles for sm90: tensorrt 10.3 .*\(none\); .*1.7 .*for sm89"
    ):
        flavour_for("sm90", "")


def test_gpus_get_half_precision_where_the_model_has_it() -> None:
    assert [gpu_role(CARD, role) for role in ROLES] == ["encode.mixed", "rays.mixed"]
    whole = ModelCard("m", "tiny", {"rays": CARD.graphs["rays"]}, 0.4, {})
    assert gpu_role(whole, "rays") == "rays"


# ------------------------------------------------------------------------------------------------------------ fall back


class Scripted:
    """An engine that answers with a number, or fails as told."""

    inputs = (TensorSpec("x", (1,), np.dtype(np.float32)),)
    outputs = (TensorSpec("y", (), np.dtype(np.float32)),)

    def __init__(self, name: str, answer: float) -> None:
        self.name, self.answer, self.calls = name, answer, 0
        self.error: EngineError | None = None

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return {"y": np.array(self.answer)}

    def warm_up(self, sides: Mapping[str, int]) -> None:
        self.run({})

    def describe(self) -> str:
        return self.name


X = {"x": np.zeros(1, np.float32)}


def test_a_gpu_that_fails_is_replaced_once_and_for_all(said: list[str]) -> None:
    gpu, cpu, made = Scripted("gpu", 1.0), Scripted("cpu", 2.0), []
    engine = EngineWithFallback(gpu, lambda: made.append(1) or cpu, said.append)
    assert (engine.run(X)["y"], engine.describe(), made) == (1.0, "gpu", [])
    gpu.error = EngineError("gpu failed: out of memory")
    assert [float(engine.run(X)["y"]) for _ in range(3)] == [2.0, 2.0, 2.0]
    assert (engine.describe(), made, gpu.calls) == ("cpu", [1], 2)
    assert said == ["engine: cpu from now on, because gpu failed: out of memory"]


def test_what_is_too_large_for_the_plan_goes_to_the_cpu_and_the_rest_stays(said: list[str]) -> None:
    gpu, cpu = Scripted("gpu", 1.0), Scripted("cpu", 2.0)
    engine = EngineWithFallback(gpu, lambda: cpu, said.append)
    for _ in range(2):
        gpu.error = OutOfProfileError("x has shape (9,), the plan is for [1] to [8]")
        assert engine.run(X)["y"] == 2.0
        gpu.error = None
        assert engine.run(X)["y"] == 1.0
    assert engine.describe() == "gpu"
    assert said == ["engine: cpu for some inputs, because x has shape (9,), the plan is for [1] to [8]"]


def test_wrong_inputs_are_nobodys_failure(said: list[str]) -> None:
    gpu, cpu = Scripted("gpu", 1.0), Scripted("cpu", 2.0)
    gpu.error = cpu.error = EngineError("inputs missing: ['x']")
    engine = EngineWithFallback(gpu, lambda: cpu, said.append)
    with pytest.raises(EngineError, match="inputs missing"):
        engine.run({})
    gpu.error = None
    assert (engine.run(X)["y"], engine.describe(), said) == (1.0, "gpu", [])


# -------------------------------------------------------------------------------------------------------------- serving

SERVING = """
import sys
import ros2_raxels.nodes.pose.pose_node
from ros2_raxels.estimation.learned_prior import load_denoiser
from ros2_raxels.view_synthesis.predictor import SHIPPED, ViewPredictor
from ros2_raxels.estimation.learned_prior import named_card
print(load_denoiser("").describe())
print(ViewPredictor.load(named_card("", SHIPPED)).card.name)
print([name for name in ("torch", "onnx", "tensorrt", "tensorrt_rtx", "ros2_raxels.model") if name in sys.modules])
"""


def test_serving_loads_neither_torch_nor_what_it_does_not_use() -> None:
    pytest.importorskip("rclpy")
    ran = subprocess.run([sys.executable, "-c", SERVING], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("compact: ONNX Runtime")
    assert lines[1:] == ["compact_views", "[]"]
