"""Runs graphs in torch, from the weights beside a card: for development, and for GPUs that TensorRT cannot serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ros2_raxels.engine import Arrays, EngineError, one_line
from ros2_raxels.engine.inputs import check_inputs, made_up_inputs
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine

if TYPE_CHECKING:
    from torch import Tensor, nn

_WARM_RUNS = 3
"""Runs before a CUDA graph is recorded, in which libraries choose their kernels."""


def open_torch_engines(card: ModelCard, folder: Path, roles: Sequence[str]) -> dict[str, TorchEngine]:
    """Open engines of graphs, by role, on the GPU if torch sees one.

    Raises:
        EngineError: torch is not installed, or a file is missing, damaged or of another model.
    """
    try:
        import torch
        from safetensors.torch import load_file

        from ros2_raxels.model.denoiser import JointDenoiser
        from ros2_raxels.model.graphs import graph_of
        from ros2_raxels.model.presets import ModelSize
    except ImportError as error:
        raise EngineError(f"backend torch: {error}; pip install torch, or use another backend") from error
    path = card.weights_path(folder)
    try:
        weights = {name.removeprefix("average."): value.float() for name, value in load_file(path).items()}
        model = JointDenoiser(ModelSize.from_record(card.size))
        # Weights that no graph uses are not kept. If one were used after all, the answer would be NaN, not plausible.
        unknown = {name: torch.full_like(value, torch.nan) for name, value in model.state_dict().items()}
        model.load_state_dict({**unknown, **weights})
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model.eval().to(device)
        engines = {}
        for role in roles:
            graph, _, outputs = graph_of(model, role)
            header = OnnxRuntimeEngine(card.graph_path(folder, role), cuda=False)
            engines[role] = TorchEngine(graph.eval(), header, outputs, f"{card.name} {role}")
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, EngineError):
            raise
        raise EngineError(
            f"{path} does not hold the weights of {card.name}: {one_line(str(error))}; export the model again"
        ) from error
    return engines


class TorchEngine:
    """A graph in torch. On a GPU it is recorded as a CUDA graph, which is replayed while shapes stay the same.

    Args:
        graph: module, on its device.
        header: the same graph in ONNX Runtime, which specifies inputs and outputs.
        outputs: names of what the module returns, in order.
        name: of the graph, for messages.

    Attributes:
        inputs, outputs: what `run` takes and gives.
    """

    def __init__(self, graph: nn.Module, header: OnnxRuntimeEngine, outputs: Sequence[str], name: str) -> None:
        self.inputs, self.outputs = header.inputs, header.outputs
        self._graph, self._names, self._name = graph, tuple(outputs), name
        self._device = next(graph.parameters()).device
        self._shapes: tuple[tuple[int, ...], ...] = ()
        self._given: list[Tensor] = []
        self._answer: tuple[Tensor, ...] = ()
        self._replay: Callable[[], None] | None = None

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name.

        Raises:
            EngineError: an input is missing, unknown, or of the wrong shape or dtype, or torch fails.
        """
        import torch

        check_inputs(self.inputs, arrays)
        given = [torch.from_numpy(arrays[spec.name]) for spec in self.inputs]
        try:
            with torch.inference_mode():
                found = self._on_gpu(given) if self._device.type == "cuda" else self._compute(given)
                by_name = dict(zip(self._names, (f.cpu().numpy() for f in found), strict=True))
        except RuntimeError as error:
            raise EngineError(f"{self.describe()} failed: {one_line(str(error))}") from error
        return {spec.name: by_name[spec.name] for spec in self.outputs}

    def warm_up(self, sides: Mapping[str, int]) -> None:
        """Run once on made-up inputs.

        Raises:
            EngineError: a side has no length, or torch fails.
        """
        self.run(made_up_inputs(self.inputs, sides))

    def replay_s(self, arrays: Arrays, calls: int) -> list[float]:
        """Seconds that the recorded graph takes on the GPU, for each of some calls, without copies to and from it.

        Raises:
            EngineError: as `run`; there is no GPU.
        """
        import torch

        self.run(arrays)
        if self._replay is None:
            raise EngineError(f"{self.describe()}: nothing is recorded without a GPU; run it where torch sees one")
        found = []
        for _ in range(calls):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begin.record()
            self._replay()
            end.record()
            end.synchronize()
            found.append(1e-3 * begin.elapsed_time(end))
        return found

    def flop(self, arrays: Arrays) -> int:
        """Additions and multiplications of the matrix products and convolutions for such inputs."""
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.utils.flop_counter import FlopCounterMode

        given = [torch.from_numpy(arrays[spec.name]).to(self._device) for spec in self.inputs]
        # The counter does not know all fused kernels of attention; as matrix products it counts each.
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            self._compute(given)
        return int(counter.get_total_flops())

    def describe(self) -> str:
        """One line: backend, version, device, model."""
        import torch

        return f"torch {torch.__version__} ({self._device.type}), {self._name}"

    def _compute(self, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(self._graph(*given))

    def _on_gpu(self, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
        shapes = tuple(tuple(g.shape) for g in given)
        if shapes != self._shapes or self._replay is None:
            self._record(given, shapes)
        for ours, theirs in zip(self._given, given, strict=True):
            ours.copy_(theirs, non_blocking=True)
        if self._replay is not None:
            self._replay()
        return self._answer

    def _record(self, given: Sequence[Tensor], shapes: tuple[tuple[int, ...], ...]) -> None:
        import torch

        # If recording fails, the graph of other shapes must not be replayed with these tensors.
        self._shapes, self._replay, self._answer = (), None, ()
        self._given = [g.to(self._device) for g in given]
        aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM_RUNS):
                self._compute(self._given)
        torch.cuda.current_stream(self._device).wait_stream(aside)
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded):
            self._answer = self._compute(self._given)
        self._shapes, self._replay = shapes, recorded.replay
