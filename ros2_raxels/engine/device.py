"""The CUDA device of this process, through cuda-python or torch: one stream, pinned buffers, CUDA graphs."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import EngineError

_Bytes = npt.NDArray[np.uint8]
_DEVICE_FILES = ("nvidia*", "nvhost*", "nvgpu*", "nvmap", "dxg")
"""Device files of desktops and servers, of Jetson, and of WSL."""

_ADVICE = "see that a GPU and its driver are there (nvidia-smi)"


class Buffer(Protocol):
    """Memory of the device, and pinned memory of the host of the same size."""

    host: _Bytes
    pointer: int
    """Address on the device."""

    def upload(self, size: int) -> None:
        """Enqueue a copy of the first bytes to the device."""

    def download(self, size: int) -> None:
        """Enqueue a copy of the first bytes from the device."""


class Device(Protocol):
    """A GPU with one stream. Not for use from two threads at once."""

    target: str
    """Compute capability, like "sm89"."""
    name: str
    stream: int

    def buffer(self, size: int) -> Buffer:
        """Allocate `size` bytes on the device and on the host."""

    def synchronize(self) -> None:
        """Wait for everything that is enqueued."""

    def record(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Record a CUDA graph of what `enqueue` enqueues on the stream; returns what enqueues it again, in one call."""

    def free_bytes(self) -> int:
        """Free memory of the device."""


def has_device_files() -> bool:
    """Whether a GPU's driver has put its files into /dev."""
    return any(any(Path("/dev").glob(pattern)) for pattern in _DEVICE_FILES)


def open_device() -> Device:
    """The first CUDA device that this process sees.

    Raises:
        EngineError: no device, a driver that is missing or too old, or no package to reach it.
    """
    for module in ("cuda.bindings.runtime", "cuda.cudart"):
        if _is_there(module):
            return _CudaPython(_imported(module))
    # Importing torch takes a second and half a gigabyte: not on machines that cannot have a GPU.
    if not has_device_files():
        raise EngineError(f"there is no CUDA device (none of {', '.join(_DEVICE_FILES)} in /dev); {_ADVICE}")
    if _is_there("torch"):
        return _Torch(_imported("torch"))
    raise EngineError("no package reaches the GPU; pip install cuda-python")


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(f"Python package {module} cannot be imported ({error}); install it again") from error


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False


class _CudaPython:
    """Through ``cuda.bindings.runtime``."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        if not self.call("cudaGetDeviceCount"):
            raise EngineError(f"there is no CUDA device; {_ADVICE}")
        properties = self.call("cudaGetDeviceProperties", 0)
        self.target = f"sm{properties.major}{properties.minor}"
        self.name = properties.name.decode().rstrip("\0")
        self.call("cudaSetDevice", 0)
        self._stream = self.call("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking)
        self.stream = int(self._stream)

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of the CUDA runtime; returns what it returns beside the error.

        Raises:
            EngineError: it failed.
        """
        try:
            error, *values = getattr(self._runtime, function)(*arguments)
        except RuntimeError as problem:  # there is no driver to ask
            raise EngineError(f"CUDA: {function} failed ({problem}); {_ADVICE}") from problem
        if int(error):
            raise EngineError(f"CUDA: {function} failed with {error.name} ({int(error)}); {_ADVICE}")
        return values[0] if len(values) == 1 else values

    def copy(self, to: int, source: int, size: int, kind: str) -> None:
        """Enqueue a copy."""
        kinds = self._runtime.cudaMemcpyKind
        self.call("cudaMemcpyAsync", to, source, size, getattr(kinds, f"cudaMemcpy{kind}"), self._stream)

    def buffer(self, size: int) -> Buffer:
        """Allocate `size` bytes on the device and on the host."""
        return _CudaPythonBuffer(self, size)

    def synchronize(self) -> None:
        """Wait for everything that is enqueued."""
        self.call("cudaStreamSynchronize", self._stream)

    def record(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Record a CUDA graph of what `enqueue` enqueues on the stream."""
        # Thread-local: allocations by other threads of the process must not break the capture.
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call("cudaStreamBeginCapture", self._stream, mode)
        try:
            enqueue()
        finally:
            graph = self.call("cudaStreamEndCapture", self._stream)
        ready = self.call("cudaGraphInstantiate", graph, 0)
        self.call("cudaGraphDestroy", graph)

        def replay() -> None:
            self.call("cudaGraphLaunch", ready, self._stream)

        # Not at the end of the process: the runtime may be gone by then.
        weakref.finalize(replay, self._runtime.cudaGraphExecDestroy, ready).atexit = False
        return replay

    def free_bytes(self) -> int:
        """Free memory of the device."""
        return int(self.call("cudaMemGetInfo")[0])


class _CudaPythonBuffer:
    def __init__(self, device: _CudaPython, size: int) -> None:
        self._device = device
        self.pointer = int(device.call("cudaMalloc", size))
        self._pinned = int(device.call("cudaMallocHost", size))
        self.host: _Bytes = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self._pinned))

    def upload(self, size: int) -> None:
        """Enqueue a copy of the first bytes to the device."""
        self._device.copy(self.pointer, self._pinned, size, "HostToDevice")

    def download(self, size: int) -> None:
        """Enqueue a copy of the first bytes from the device."""
        self._device.copy(self._pinned, self.pointer, size, "DeviceToHost")

    def __del__(self) -> None:
        # At the end of the process the runtime may be gone by then, and has freed everything.
        if hasattr(self, "_pinned"):
            self._device._runtime.cudaFreeHost(self._pinned)
        if hasattr(self, "pointer"):
            self._device._runtime.cudaFree(self.pointer)


class _Torch:
    """Through torch, for machines that have its CUDA build and no cuda-python."""

    def __init__(self, torch: Any) -> None:
        if not torch.cuda.is_available():
            raise EngineError(f"torch finds no CUDA device; {_ADVICE}, or pip install cuda-python")
        self.torch = torch
        self.target = "sm{}{}".format(*torch.cuda.get_device_capability(0))
        self.name = str(torch.cuda.get_device_name(0))
        self.queue = torch.cuda.Stream()
        self.stream = int(self.queue.cuda_stream)

    def buffer(self, size: int) -> Buffer:
        """Allocate `size` bytes on the device and on the host."""
        return _TorchBuffer(self, size)

    def synchronize(self) -> None:
        """Wait for everything that is enqueued."""
        self.queue.synchronize()

    def record(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Record a CUDA graph of what `enqueue` enqueues on the stream."""
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph, stream=self.queue, capture_error_mode="thread_local"):
            enqueue()

        def replay() -> None:
            with self.torch.cuda.stream(self.queue):
                graph.replay()

        return replay

    def free_bytes(self) -> int:
        """Free memory of the device."""
        return int(self.torch.cuda.mem_get_info()[0])


class _TorchBuffer:
    def __init__(self, device: _Torch, size: int) -> None:
        torch = device.torch
        self._device = device
        self._pinned = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        self._there = torch.empty(size, dtype=torch.uint8, device="cuda")
        self.host: _Bytes = self._pinned.numpy()
        self.pointer = int(self._there.data_ptr())

    def upload(self, size: int) -> None:
        """Enqueue a copy of the first bytes to the device."""
        with self._device.torch.cuda.stream(self._device.queue):
            self._there[:size].copy_(self._pinned[:size], non_blocking=True)

    def download(self, size: int) -> None:
        """Enqueue a copy of the first bytes from the device."""
        with self._device.torch.cuda.stream(self._device.queue):
            self._pinned[:size].copy_(self._there[:size], non_blocking=True)
