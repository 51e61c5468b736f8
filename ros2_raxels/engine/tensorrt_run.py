"""Runs a TensorRT plan: pinned buffers, one stream, a CUDA graph while the shapes stay the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import Arrays, EngineError, OutOfProfileError, TensorSpec
from ros2_raxels.engine.device import Buffer, Device
from ros2_raxels.engine.inputs import check_inputs, made_up_inputs
from ros2_raxels.engine.plan import Plan
from ros2_raxels.engine.store import keep
from ros2_raxels.engine.tensorrt_flavour import RTX, make_log

_Shapes = tuple[tuple[int, ...], ...]


class PlanNotLoadedError(EngineError):
    """TensorRT refuses a plan: it is of another version or for another GPU, or the driver is too old."""


class TensorRtEngine:
    """A plan on the GPU.

    Args:
        trt: module of the flavour that compiled the plan.
        plan: for this device.
        device: to run on.
        name: of the graph, for messages.
        kernels: file in which ``tensorrt_rtx`` keeps the kernels that it compiles on this device; None keeps nothing.

    Attributes:
        inputs, outputs: what `run` takes and gives.

    Raises:
        PlanNotLoadedError: see there.
        EngineError: the device has no memory for it.
    """

    def __init__(self, trt: Any, plan: Plan, device: Device, name: str, kernels: Path | None = None) -> None:
        self._trt, self._device, self._name = trt, device, name
        self._kernels = kernels
        self._kernel_cache: Any = None
        self.inputs, self.outputs = plan.inputs, plan.outputs
        self._profile = {tensor["name"]: tensor["profile"] for tensor in plan.facts["inputs"]}
        self._log = make_log(trt)
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(plan.content)
        if self._engine is None:
            raise PlanNotLoadedError(
                f"{self.describe()}: the plan cannot be loaded ({self._log.last or 'no reason given'})"
            )
        self._context = self._make_context()
        if self._context is None:
            raise EngineError(f"{self.describe()}: no execution context ({self._log.last or 'no reason given'})")
        self._buffers: dict[str, Buffer] = {}
        self._shapes: _Shapes = ()
        self._has_run = False
        self._records = trt.__name__ != RTX
        self._replay: Callable[[], None] | None = None

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name.

        Raises:
            OutOfProfileError: a shape is outside the sizes that the plan was compiled for.
            EngineError: an input is missing, unknown, or of the wrong shape or dtype, or the device failed.
        """
        check_inputs(self.inputs, arrays)
        self._check_profile(arrays)
        try:
            return self._run(arrays)
        except EngineError:
            raise
        except Exception as error:  # whatever the device's package raises
            raise EngineError(f"{self.describe()} failed: {type(error).__name__}: {error}") from error

    def warm_up(self, sides: Mapping[str, int]) -> None:
        """Run on made-up inputs, often enough that the CUDA graph is recorded.

        Raises:
            EngineError: a side has no length, or the device failed.
        """
        arrays = made_up_inputs(self.inputs, sides)
        for _ in range(3):
            self.run(arrays)
        self._keep_kernels()

    def describe(self) -> str:
        """One line: backend, version, device, model."""
        return f"{self._trt.__name__} {self._trt.__version__} ({self._device.target}), {self._name}"

    def _make_context(self) -> Any:
        if self._trt.__name__ != RTX:
            return self._engine.create_execution_context()
        # RTX compiles kernels for new shapes as it runs, which cannot be captured; it records CUDA graphs by itself.
        config = self._engine.create_runtime_config()
        config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self._kernel_cache = config.create_runtime_cache()
        if self._kernels is not None and self._kernels.exists():
            # A cache of another device or driver is refused, and the kernels are compiled again.
            self._kernel_cache.deserialize(self._kernels.read_bytes())
        config.set_runtime_cache(self._kernel_cache)
        return self._engine.create_execution_context(config)

    def _keep_kernels(self) -> None:
        """Save the kernels, so that the next start compiles none."""
        if self._kernel_cache is None or self._kernels is None:
            return
        content = bytes(memoryview(self._kernel_cache.serialize()))
        if not self._kernels.exists() or self._kernels.read_bytes() != content:
            keep(self._kernels, content)

    def _check_profile(self, arrays: Arrays) -> None:
        for name, array in arrays.items():
            least, _, greatest = self._profile[name]
            if not all(low <= side <= high for low, side, high in zip(least, array.shape, greatest, strict=True)):
                raise OutOfProfileError(
                    f"{self.describe()}: {name} has shape {array.shape}, the plan is for {least} to {greatest}"
                )

    def _run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        shapes = tuple(arrays[spec.name].shape for spec in self.inputs)
        if shapes != self._shapes:
            self._bind(shapes)
        for spec in self.inputs:
            np.copyto(self._view(spec, arrays[spec.name].shape), arrays[spec.name])
        self._enqueue_or_replay()
        self._device.synchronize()
        # Copies, because the next run overwrites the buffers.
        return {spec.name: self._view(spec, self._shape(spec)).copy() for spec in self.outputs}

    def _bind(self, shapes: _Shapes) -> None:
        """Give the context all shapes and addresses. What was recorded with others is no longer valid."""
        self._shapes, self._has_run, self._replay = (), False, None
        for spec, shape in zip(self.inputs, shapes, strict=True):
            if not self._context.set_input_shape(spec.name, shape):
                raise EngineError(f"{self.describe()}: shape {shape} of {spec.name} is refused ({self._log.last})")
        for spec in (*self.inputs, *self.outputs):
            self._make_room(spec.name, self._size(spec))
            self._context.set_tensor_address(spec.name, self._buffers[spec.name].pointer)
        self._shapes = shapes

    def _make_room(self, name: str, size: int) -> None:
        have = self._buffers.get(name)
        if have is None or have.host.size < size:
            self._buffers[name] = self._device.buffer(size)

    def _enqueue_or_replay(self) -> None:
        """Enqueue the first time, which loads the kernels; record the second time; then replay."""
        if self._has_run and self._replay is None and self._records:
            try:
                self._replay = self._device.record(self._enqueue)
            except RuntimeError:
                # A plan that synchronises inside cannot be recorded. It runs unrecorded, or fails below.
                self._records = False
        (self._replay or self._enqueue)()
        self._has_run = True

    def _enqueue(self) -> None:
        for spec in self.inputs:
            self._buffers[spec.name].upload(self._size(spec))
        if not self._context.execute_async_v3(self._device.stream):
            raise EngineError(f"{self.describe()} failed: {self._log.last or 'no reason given'}")
        for spec in self.outputs:
            self._buffers[spec.name].download(self._size(spec))

    def _shape(self, spec: TensorSpec) -> tuple[int, ...]:
        return tuple(self._context.get_tensor_shape(spec.name))

    def _size(self, spec: TensorSpec) -> int:
        return int(np.prod(self._shape(spec), dtype=np.int64)) * spec.dtype.itemsize

    def _view(self, spec: TensorSpec, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        size = int(np.prod(shape, dtype=np.int64)) * spec.dtype.itemsize
        return self._buffers[spec.name].host[:size].view(spec.dtype).reshape(shape)
