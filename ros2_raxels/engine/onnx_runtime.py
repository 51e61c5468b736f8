"""Runs graphs in ONNX Runtime, on the CPU or, where its provider is installed, on CUDA."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import Arrays, EngineError, TensorSpec, one_line
from ros2_raxels.engine.inputs import check_inputs, made_up_inputs

THREADS_VARIABLE = "RAXELS_ENGINE_THREADS"

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


class OnnxRuntimeEngine:
    """A graph in ONNX Runtime.

    Args:
        model: ONNX file.
        threads: of the CPU; 0 takes `RAXELS_ENGINE_THREADS`, or else the number of cores, at most 4, because the
            graphs are small.
        cuda: whether to use CUDA where its provider is installed.

    Attributes:
        inputs, outputs: what `run` takes and gives.

    Raises:
        EngineError: ONNX Runtime is not installed, the file is missing, truncated or not a graph, or the variable is no
            number.
    """

    def __init__(self, model: Path, threads: int = 0, *, cuda: bool = True) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(f"ONNX Runtime cannot be imported ({error}); pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        cores = len(os.sched_getaffinity(0))
        options.intra_op_num_threads = threads or _threads_of_environment() or min(cores, 4)
        # Between two runs, idle threads must not spin on the cores that OpenCV needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        available = onnxruntime.get_available_providers()
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider") if cuda else ("CPUExecutionProvider",)
        providers = [p for p in wanted if p in available]
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=providers)
        except Exception as error:  # onnxruntime raises a dozen classes of its own
            raise EngineError(
                f"{model} cannot be loaded ({one_line(str(error))}); install the package again"
            ) from error
        self._name = model.name
        self._version = str(onnxruntime.__version__)
        self.inputs = tuple(map(_spec, self._session.get_inputs()))
        self.outputs = tuple(map(_spec, self._session.get_outputs()))

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name.

        Raises:
            EngineError: an input is missing, unknown, or of the wrong shape or dtype, or the graph cannot run.
        """
        check_inputs(self.inputs, arrays)
        names = [spec.name for spec in self.outputs]
        try:
            return dict(zip(names, self._session.run(names, dict(arrays)), strict=True))
        except Exception as error:  # as above
            raise EngineError(f"{self.describe()} failed: {one_line(str(error))}; run `raxels engine check`") from error

    def warm_up(self, sides: Mapping[str, int]) -> None:
        """Run once on made-up inputs.

        Raises:
            EngineError: a side has no length, or the graph cannot run.
        """
        self.run(made_up_inputs(self.inputs, sides))

    def describe(self) -> str:
        """One line: backend, version, provider, model."""
        provider = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        return f"ONNX Runtime {self._version} ({provider}), {self._name}"


def _threads_of_environment() -> int:
    text = os.environ.get(THREADS_VARIABLE, "") or "0"
    if not text.isdecimal():
        raise EngineError(
            f"{THREADS_VARIABLE} = {text!r} must be a whole number, 0 to choose by the machine; correct it"
        )
    return int(text)


def _spec(argument: Any) -> TensorSpec:
    if argument.type not in _DTYPES:
        raise EngineError(f"{argument.name} of the graph is {argument.type}; it must be one of {', '.join(_DTYPES)}")
    return TensorSpec(argument.name, tuple(argument.shape), np.dtype(_DTYPES[argument.type]))
