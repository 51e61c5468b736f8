"""engine.device: what is asked of the CUDA runtime and of torch, and errors in words, on a machine without a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ros2_raxels.engine import EngineError, device
from ros2_raxels.engine.device import open_device


class Error(int):
    """As the runtime gives it: a number with a name."""

    name = "cudaErrorNoDevice"


def runtime(**functions: Callable[..., Any]) -> SimpleNamespace:
    """A CUDA runtime that has only these functions."""
    return SimpleNamespace(**functions)


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Make one package the only one that reaches a GPU."""

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


def test_no_device_and_no_driver_have_different_messages(reach: Callable[[str, Any], None]) -> None:
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


# ---------------------------------------------------------------------------------------------------------- cuda-python


class Cuda:
    """A CUDA runtime whose device memory lies on the host, and that writes down what it is asked for."""

    cudaStreamNonBlocking = 1  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(  # noqa: N815
        cudaMemcpyHostToDevice="to device", cudaMemcpyDeviceToHost="to host"
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread-local")  # noqa: N815

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.memory: dict[int, np.ndarray] = {}
        self.freed: list[int] = []

    def __getattr__(self, function: str) -> Callable[..., tuple[Any, ...]]:
        """A function that does nothing but succeed."""

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append(function)
            return (Error(0), 7)

        return call

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        return Error(0), 1

    def cudaGetDeviceProperties(self, _: int) -> tuple[Any, ...]:
        return Error(0), SimpleNamespace(major=8, minor=9, name=b"a card" + bytes(10))

    def cudaMemGetInfo(self) -> tuple[Any, ...]:
        return Error(0), 5_000, 9_000

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        memory = np.zeros(size, np.uint8)
        self.memory[memory.ctypes.data] = memory
        return Error(0), memory.ctypes.data

    cudaMallocHost = cudaMalloc  # noqa: N815

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: str, stream: int) -> tuple[Any, ...]:
        self.calls.append(f"{size} bytes {kind} on stream {stream}")
        self.memory[to][:size] = self.memory[source][:size]
        return (Error(0),)

    def cudaFree(self, pointer: int) -> tuple[Any, ...]:
        self.freed.append(pointer)
        return (Error(0),)

    cudaFreeHost = cudaFree  # noqa: N815


@pytest.fixture
def cuda(reach: Callable[[str, Any], None]) -> Cuda:
    module = Cuda()
    reach("cuda.bindings.runtime", module)
    return module


def test_a_device_knows_its_target_name_stream_and_free_memory(cuda: Cuda) -> None:
    found = open_device()
    assert (found.target, found.name, found.stream) == ("sm89", "a card", 7)
    assert found.free_bytes() == 5_000


def test_buffers_copy_their_first_bytes_to_the_device_and_back(cuda: Cuda) -> None:
    buffer = open_device().buffer(8)
    there = cuda.memory[buffer.pointer]
    assert there is not buffer.host
    buffer.host[:] = np.arange(8)
    buffer.upload(5)
    assert there.tolist() == [0, 1, 2, 3, 4, 0, 0, 0]
    there[:] = 9
    buffer.download(2)
    assert buffer.host.tolist() == [9, 9, 2, 3, 4, 5, 6, 7]
    assert cuda.calls[-2:] == ["5 bytes to device on stream 7", "2 bytes to host on stream 7"]


def test_a_buffer_frees_both_its_memories(cuda: Cuda) -> None:
    buffer = open_device().buffer(8)
    allocated = set(cuda.memory)
    assert len(allocated) == 2
    del buffer
    assert set(cuda.freed) == allocated


def test_what_is_recorded_is_launched_as_a_graph(cuda: Cuda) -> None:
    found = open_device()
    del cuda.calls[:]
    replay = found.record(lambda: cuda.calls.append("enqueued"))
    recorded = ["cudaStreamBeginCapture", "enqueued", "cudaStreamEndCapture", "cudaGraphInstantiate"]
    assert cuda.calls == [*recorded, "cudaGraphDestroy"]
    replay()
    replay()
    assert cuda.calls[-2:] == ["cudaGraphLaunch"] * 2
    del replay
    assert cuda.calls[-1] == "cudaGraphExecDestroy"


def test_a_capture_ends_also_when_recording_fails(cuda: Cuda) -> None:
    def fail() -> None:
        raise RuntimeError("cannot be recorded")

    found = open_device()
    with pytest.raises(RuntimeError, match="cannot be recorded"):
        found.record(fail)
    assert cuda.calls[-1] == "cudaStreamEndCapture"


# ---------------------------------------------------------------------------------------------------------------- torch


class Tensor:
    """As much of a tensor of bytes as buffers use."""

    def __init__(self, content: np.ndarray) -> None:
        self._content = content

    def __getitem__(self, part: slice) -> Tensor:
        return Tensor(self._content[part])

    def copy_(self, source: Tensor, non_blocking: bool) -> None:
        assert non_blocking
        self._content[:] = source._content

    def numpy(self) -> np.ndarray:
        return self._content

    def data_ptr(self) -> int:
        return self._content.ctypes.data


def test_with_torch_alone_buffers_and_graphs_go_through_its_stream(reach: Callable[[str, Any], None]) -> None:
    calls: list[str] = []

    class Stream:
        cuda_stream = 7

        def synchronize(self) -> None:
            calls.append("synchronize")

    @contextlib.contextmanager
    def on(stream: Stream) -> Iterator[None]:
        calls.append("stream")
        yield

    @contextlib.contextmanager
    def graph(recorded: Any, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        calls.append(capture_error_mode)
        yield

    def empty(size: int, **_: Any) -> Tensor:
        return Tensor(np.zeros(size, np.uint8))

    cuda = SimpleNamespace(
        is_available=lambda: True,
        get_device_capability=lambda _: (12, 0),
        get_device_name=lambda _: "a card",
        Stream=Stream,
        stream=on,
        graph=graph,
        CUDAGraph=lambda: SimpleNamespace(replay=lambda: calls.append("replay")),
        mem_get_info=lambda: (5_000, 9_000),
    )
    reach("torch", SimpleNamespace(cuda=cuda, empty=empty, uint8=np.uint8))
    found = open_device()
    assert (found.target, found.name, found.stream, found.free_bytes()) == ("sm120", "a card", 7, 5_000)
    buffer = found.buffer(4)
    buffer.host[:] = [1, 2, 3, 4]
    buffer.upload(3)
    buffer.host[:] = 9
    buffer.download(4)
    assert buffer.host.tolist() == [1, 2, 3, 0]
    found.record(lambda: calls.append("enqueued"))()
    found.synchronize()
    assert calls == ["stream", "stream", "thread_local", "enqueued", "stream", "replay", "synchronize"]
