"""engine.tensorrt_run: binding, recording and replaying against a GPU on the host, and failures in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ros2_raxels.engine import EngineError, OutOfProfileError, TensorSpec
from ros2_raxels.engine.plan import Plan
from ros2_raxels.engine.tensorrt_run import PlanNotLoadedError, TensorRtEngine

X = {"x": np.ones(2, np.float32)}
FACTS = {
    "inputs": [{"name": "x", "dtype": "float32", "shape": ["n"], "profile": [[1], [2], [3]]}],
    "outputs": [{"name": "y", "dtype": "float32", "shape": ["y.0"]}],
}
"""Of a plan that computes ``y = 2 x + 1`` for one to three numbers."""


class Log:
    """Base of loggers, as TensorRT has it."""

    ERROR = 1


class Gpu:
    """A device whose memory lies on the host. It writes down what it is asked for.

    Args:
        has_memory: whether buffers can be allocated.
        records: whether CUDA graphs can be recorded.
    """

    target, stream = "sm89", 5

    def __init__(self, *, has_memory: bool = True, records: bool = True) -> None:
        self.has_memory, self.records = has_memory, records
        self.memory: dict[int, np.ndarray] = {}
        self.calls: list[str] = []

    def buffer(self, size: int) -> Any:
        if not self.has_memory:
            raise EngineError("CUDA: cudaMalloc failed with cudaErrorMemoryAllocation (2)")
        self.calls.append(f"allocate {size}")
        host, there = np.zeros((2, size), np.uint8)
        pointer = 1 + len(self.memory)
        self.memory[pointer] = there

        def upload(count: int) -> None:
            there[:count] = host[:count]

        def download(count: int) -> None:
            host[:count] = there[:count]

        return SimpleNamespace(host=host, pointer=pointer, upload=upload, download=download)

    def record(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        if not self.records:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")
        self.calls.append("record")

        def replay() -> None:
            self.calls.append("replay")
            enqueue()

        return replay

    def synchronize(self) -> None:
        self.calls.append("synchronize")


class Context:
    """Computes ``y = 2 x + 1`` in the memory of a GPU, for the shapes and addresses that it was given."""

    def __init__(self, gpu: Gpu, *, takes_shapes: bool = True, runs: bool = True) -> None:
        self._gpu, self._takes_shapes, self._runs = gpu, takes_shapes, runs
        self._addresses: dict[str, int] = {}
        self._shape: tuple[int, ...] = ()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "x"
        self._gpu.calls.append(f"bind {shape}")
        self._shape = shape
        return self._takes_shapes

    def get_tensor_shape(self, _: str) -> tuple[int, ...]:
        return self._shape

    def set_tensor_address(self, name: str, pointer: int) -> bool:
        self._addresses[name] = pointer
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == self._gpu.stream
        x, y = (self._gpu.memory[self._addresses[name]].view(np.float32) for name in "xy")
        count = self._shape[0]
        y[:count] = 2 * x[:count] + 1
        return self._runs


def engine(gpu: Gpu, context: Context | None, *, loads: bool = True) -> TensorRtEngine:
    loaded = SimpleNamespace(create_execution_context=lambda: context) if loads else None
    one = SimpleNamespace(deserialize_cuda_engine=lambda content: loaded)
    flavour = SimpleNamespace(__name__="tensorrt", __version__="10.3", ILogger=Log, Runtime=lambda log: one)
    return TensorRtEngine(flavour, Plan(b"", FACTS), gpu, "x.onnx")  # type: ignore[arg-type]


def answer(of: TensorRtEngine, *values: float) -> list[float]:
    (y,) = of.run({"x": np.array(values, np.float32)}).values()
    assert y.dtype == np.float32
    return [float(value) for value in y]


# -------------------------------------------------------------------------------------------------------------- running


def test_a_plan_has_the_tensors_of_its_facts_and_describes_itself() -> None:
    gpu = Gpu()
    found = engine(gpu, Context(gpu))
    assert found.inputs == (TensorSpec("x", ("n",), np.dtype(np.float32)),)
    assert found.outputs == (TensorSpec("y", ("y.0",), np.dtype(np.float32)),)
    assert found.describe() == "tensorrt 10.3 (sm89), x.onnx"


def test_the_first_run_enqueues_the_second_records_and_later_ones_replay() -> None:
    gpu = Gpu()
    found = engine(gpu, Context(gpu))
    assert answer(found, 1.0, 2.0) == [3.0, 5.0]
    assert gpu.calls == ["bind (2,)", "allocate 8", "allocate 8", "synchronize"]
    for later in (["record", "replay", "synchronize"], ["replay", "synchronize"]):
        del gpu.calls[:]
        assert answer(found, 4.0, -1.0) == [9.0, -1.0]
        assert gpu.calls == later


def test_another_shape_is_bound_again_and_forgets_what_was_recorded() -> None:
    gpu = Gpu()
    found = engine(gpu, Context(gpu))
    for _ in range(3):
        answer(found, 1.0, 2.0)
    del gpu.calls[:]
    # Smaller ones fit into the buffers that are there.
    assert answer(found, 7.0) == [15.0]
    assert gpu.calls == ["bind (1,)", "synchronize"]
    del gpu.calls[:]
    assert answer(found, 7.0, 8.0, 9.0) == [15.0, 17.0, 19.0]
    assert gpu.calls == ["bind (3,)", "allocate 12", "allocate 12", "synchronize"]


def test_an_answer_is_not_overwritten_by_the_next_run() -> None:
    gpu = Gpu()
    found = engine(gpu, Context(gpu))
    first = found.run(X)["y"]
    found.run({"x": np.zeros(2, np.float32)})
    assert first.tolist() == [3.0, 3.0]


def test_a_plan_that_cannot_be_recorded_runs_unrecorded() -> None:
    gpu = Gpu(records=False)
    found = engine(gpu, Context(gpu))
    for _ in range(3):
        assert answer(found, 1.0, 2.0) == [3.0, 5.0]
    assert "replay" not in gpu.calls


def test_after_warming_up_the_graph_is_recorded() -> None:
    gpu = Gpu()
    found = engine(gpu, Context(gpu))
    found.warm_up({"n": 2})
    del gpu.calls[:]
    answer(found, 1.0, 2.0)
    assert gpu.calls == ["replay", "synchronize"]
    with pytest.raises(EngineError, match=r"no length for \['n'\], only {'frames': 2}"):
        found.warm_up({"frames": 2})


class KernelCache:
    """Kernels that RTX compiled: a name for each run of warming up."""

    def __init__(self) -> None:
        self.content = b"compiled"

    def deserialize(self, content: bytes) -> None:
        self.content = content + b" and loaded"

    def serialize(self) -> bytes:
        return self.content


def test_rtx_records_by_itself_and_its_kernels_are_kept_for_the_next_start(tmp_path: Path) -> None:
    kernels = tmp_path / "x.kernels"

    def opened(gpu: Gpu) -> TensorRtEngine:
        config = SimpleNamespace(create_runtime_cache=KernelCache, set_runtime_cache=lambda cache: None)
        loaded = SimpleNamespace(
            create_runtime_config=lambda: config, create_execution_context=lambda given: Context(gpu)
        )
        flavour = SimpleNamespace(
            __name__="tensorrt_rtx",
            __version__="1.7",
            ILogger=Log,
            Runtime=lambda log: SimpleNamespace(deserialize_cuda_engine=lambda content: loaded),
            CudaGraphStrategy=SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole"),
        )
        found = TensorRtEngine(flavour, Plan(b"", FACTS), gpu, "x.onnx", kernels)  # type: ignore[arg-type]
        assert config.cuda_graph_strategy == "whole"
        return found

    gpu = Gpu()
    found = opened(gpu)
    assert not kernels.exists()
    found.warm_up({"n": 2})
    assert kernels.read_bytes() == b"compiled"
    assert {"record", "replay"}.isdisjoint(gpu.calls)
    opened(Gpu()).warm_up({"n": 2})
    assert kernels.read_bytes() == b"compiled and loaded"


# ------------------------------------------------------------------------------------------------------------- failures


def test_a_plan_that_does_not_load_and_a_device_without_room_are_different_errors() -> None:
    with pytest.raises(PlanNotLoadedError, match=r"tensorrt 10.3 \(sm89\), x.onnx: the plan cannot be loaded"):
        engine(Gpu(), None, loads=False)
    with pytest.raises(EngineError, match=r"x.onnx: no execution context") as refused:
        engine(Gpu(), None)
    assert not isinstance(refused.value, PlanNotLoadedError)


@pytest.mark.parametrize(
    ("gpu", "context", "words"),
    [
        ({}, {"runs": False}, r"tensorrt 10.3 \(sm89\), x.onnx failed: no reason given"),
        ({}, {"takes_shapes": False}, r"shape \(2,\) of x is refused"),
        ({"has_memory": False}, {}, "cudaMalloc failed with cudaErrorMemoryAllocation"),
    ],
)
def test_a_run_that_fails_is_an_engine_error(gpu: dict[str, bool], context: dict[str, bool], words: str) -> None:
    device = Gpu(**gpu)
    with pytest.raises(EngineError, match=words):
        engine(device, Context(device, **context)).run(X)


def test_errors_of_the_devices_package_are_engine_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise OSError("device lost")

    gpu = Gpu()
    found = engine(gpu, Context(gpu))
    monkeypatch.setattr(gpu, "synchronize", lost)
    with pytest.raises(EngineError, match=r"tensorrt 10.3 \(sm89\), x.onnx failed: OSError: device lost"):
        found.run(X)


def test_sizes_outside_the_plan_and_wrong_inputs_are_different_errors() -> None:
    gpu = Gpu()
    with pytest.raises(OutOfProfileError, match=r"x has shape \(4,\), the plan is for \[1\] to \[3\]"):
        engine(gpu, Context(gpu)).run({"x": np.ones(4, np.float32)})
    with pytest.raises(EngineError, match="input x is float64") as refused:
        engine(gpu, Context(gpu)).run({"x": np.ones(2)})
    assert not isinstance(refused.value, OutOfProfileError)
    assert gpu.calls == []
