"""engine.device and engine.tensorrt_run: what goes wrong, in words; and on a machine with a GPU, the whole of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ros2_raxels.engine import EngineError, OutOfProfileError, device
from ros2_raxels.engine.choose import EngineOptions, open_engines
from ros2_raxels.engine.device import open_device
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.engine.store import Plan
from ros2_raxels.engine.tensorrt_run import PlanNotLoadedError, TensorRtEngine
from ros2_raxels.estimation.learned_prior import named_card

X = {"x": np.ones(2, np.float32)}
FACTS = {
    "inputs": [{"name": "x", "dtype": "float32", "shape": ["n"], "profile": [[1], [2], [3]]}],
    "outputs": [{"name": "y", "dtype": "float32", "shape": ["y.0"]}],
}

# -------------------------------------------------------------------------------------------------------------- devices


class Error(int):
    """As the runtime gives it: a number with a name."""

    name = "cudaErrorNoDevice"


def runtime(**functions: Callable[..., Any]) -> SimpleNamespace:
    """A CUDA runtime of which only what is given works: for errors alone."""
    return SimpleNamespace(**functions)


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Makes one package the only one that reaches a GPU."""

    def only(name: str, module: Any) -> None:
        monkeypatch.setattr(device, "_is_there", lambda asked: asked == name)
        monkeypatch.setattr(device, "_imported", lambda asked: module)
        monkeypatch.setattr(device, "_DEVICE_FILES", ("null",))

    return only


def test_errors_of_cuda_have_their_name_and_number(reach: Callable[[str, Any], None]) -> None:
    reach("cuda.bindings.runtime", runtime(cudaGetDeviceCount=lambda: (Error(100), None)))
    with pytest.raises(
        EngineError, match=r"CUDA: cudaGetDeviceCount failed with cudaErrorNoDevice \(100\); see that a GPU"
    ):
        open_device()


def test_no_device_and_no_driver_are_told_apart(reach: Callable[[str, Any], None]) -> None:
    def no_driver() -> Any:
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    reach("cuda.cudart", runtime(cudaGetDeviceCount=lambda: (Error(0), 0)))
    with pytest.raises(EngineError, match="there is no CUDA device; see that a GPU and its driver are there"):
        open_device()
    reach("cuda.cudart", runtime(cudaGetDeviceCount=no_driver))
    with pytest.raises(EngineError, match=r"cudaGetDeviceCount failed \(Failed to dlopen libcuda.so.1\); see that"):
        open_device()


def test_torch_is_not_imported_where_no_gpu_can_be(
    reach: Callable[[str, Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    reach("torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False)))
    with pytest.raises(EngineError, match=r"torch finds no CUDA device; .*, or pip install cuda-python"):
        open_device()
    reach("neither", None)
    with pytest.raises(EngineError, match="no package reaches the GPU; pip install cuda-python"):
        open_device()
    monkeypatch.setattr(device, "_DEVICE_FILES", ("no-such-device*",))
    monkeypatch.setattr(device, "_imported", lambda name: pytest.fail(f"imported {name}"))
    monkeypatch.setattr(device, "_is_there", lambda name: name == "torch")
    with pytest.raises(EngineError, match=r"there is no CUDA device \(none of no-such-device\* in /dev\)"):
        open_device()


# -------------------------------------------------------------------------------------------------------------- running


class Log:
    """Base of loggers, as TensorRT has it."""

    ERROR = 1


class Context:
    """Takes shapes and addresses, and cannot run: for errors alone; nothing is computed with it."""

    def __init__(self, *, takes_shapes: bool = True) -> None:
        self.takes_shapes = takes_shapes

    def set_input_shape(self, *_: Any) -> bool:
        return self.takes_shapes

    def get_tensor_shape(self, _: str) -> tuple[int, ...]:
        return (2,)

    def set_tensor_address(self, *_: Any) -> bool:
        return True

    def execute_async_v3(self, _: int) -> bool:
        return False


class Memory:
    """Of the host alone."""

    target, stream = "sm89", 0

    def __init__(self, *, room: bool = True) -> None:
        self.room = room

    def buffer(self, size: int) -> Any:
        if not self.room:
            raise EngineError("CUDA: cudaMalloc failed with cudaErrorMemoryAllocation (2)")
        return SimpleNamespace(host=np.zeros(size, np.uint8), pointer=0, upload=lambda _: None, download=lambda _: None)


def engine(context: Context | None, memory: Memory | None = None, *, loads: bool = True) -> TensorRtEngine:
    loaded = SimpleNamespace(create_execution_context=lambda: context) if loads else None
    one = SimpleNamespace(deserialize_cuda_engine=lambda content: loaded)
    flavour = SimpleNamespace(__name__="tensorrt", __version__="10.3", ILogger=Log, Runtime=lambda log: one)
    return TensorRtEngine(flavour, Plan(b"", FACTS), memory or Memory(), "x.onnx")  # type: ignore[arg-type]


def test_plans_and_devices_that_refuse_are_told_apart() -> None:
    with pytest.raises(PlanNotLoadedError, match=r"tensorrt 10.3 \(sm89\), x.onnx: the plan cannot be loaded"):
        engine(None, loads=False)
    with pytest.raises(EngineError, match=r"x.onnx: no execution context") as refused:
        engine(None)
    assert not isinstance(refused.value, PlanNotLoadedError)


@pytest.mark.parametrize(
    ("context", "memory", "words"),
    [
        (Context(), Memory(), r"tensorrt 10.3 \(sm89\), x.onnx failed: no reason given"),
        (Context(takes_shapes=False), Memory(), r"shape \(2,\) of x is refused"),
        (Context(), Memory(room=False), "cudaMalloc failed with cudaErrorMemoryAllocation"),
    ],
)
def test_a_run_that_fails_is_an_engine_error(context: Context, memory: Memory, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        engine(context, memory).run(X)


def test_sizes_that_the_plan_is_not_for_are_told_from_wrong_inputs() -> None:
    with pytest.raises(OutOfProfileError, match=r"x has shape \(4,\), the plan is for \[1\] to \[3\]"):
        engine(Context()).run({"x": np.ones(4, np.float32)})
    with pytest.raises(EngineError, match="input x is float64") as refused:
        engine(Context()).run({"x": np.ones(2)})
    assert not isinstance(refused.value, OutOfProfileError)


# ------------------------------------------------------------------------------------------------------- the real thing


@pytest.mark.gpu
@pytest.mark.parametrize(("backend", "policies"), [("tensorrt", ("if_stale", "never")), ("torch", ("if_stale",))])
def test_the_gpu_says_what_the_cpu_says(tmp_path: Path, backend: str, policies: tuple[str, ...]) -> None:
    """Compiled, kept, loaded again, recorded and replayed: the answers are those of ONNX Runtime."""
    from ros2_raxels.cli.engine_parity import compare_poses
    from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine

    try:
        target = open_device().target
    except EngineError as error:
        pytest.skip(str(error))
    card, folder, roles = ModelCard.read(named_card("")), named_card("").parent, ("encode", "rays")
    said: list[str] = []
    reference = {role: OnnxRuntimeEngine(card.graph_path(folder, role), cuda=False) for role in roles}
    for policy in policies:
        options = EngineOptions(backend, policy, said.append, said.append, said.append, tmp_path / "engines")
        parity = compare_poses(card, reference, open_engines(card, folder, roles, options))
        assert parity.holds, parity
        assert f"({'cuda' if backend == 'torch' else target})" in said[-1]
