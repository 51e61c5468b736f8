"""Speed of the graphs in torch on a GPU, beside the speed of plain matrix products and copies on the same GPU.

``python -m ros2_raxels.cli.engine_speed REPORT.json CARD [CARD]``, where torch sees a GPU.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ros2_raxels.engine import Arrays
from ros2_raxels.engine.inputs import made_up_inputs
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.engine.torch_run import TorchEngine, open_torch_engines
from ros2_raxels.evaluation.machine.machine import machine
from ros2_raxels.evaluation.machine.timing import Spread
from ros2_raxels.utils.files import write_json

_SIDE = 8192
_COPIED_BYTES = 2**32
_CALLS = 50
_BATCHES: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "encode": ("tracks", (448,)),
    "rays": ("hypotheses", (1, 4, 16, 64)),
    "sweep": ("views", (1, 4)),
    "joint": ("frames", (8,)),
}
"""The axis over which each graph is timed, and its lengths."""

_SIDES = {
    "frames": 4,
    "tracks": 448,
    "hypotheses": 1,
    "views": 1,
    "16*rows": 96,
    "16*columns": 128,
    "16*rows_16": 96,
    "16*columns_16": 128,
}


@dataclass(frozen=True)
class Ceiling:
    """The best that the GPU reaches: TFLOP/s of a large matrix product, TB/s read and written by a large copy."""

    float32_tflops: float
    tf32_tflops: float
    copy_tbs: float


@dataclass(frozen=True)
class GpuSpeed:
    """A graph at one size and precision of its matrix products.

    Attributes:
        graph, side, length: what was run, and how long its side is.
        precision: float32 or tf32.
        on_gpu: of the recorded graph alone.
        call: of a call from arrays to arrays.
        gflop: of matrix products and convolutions.
        share_of_flops: achieved, of the ceiling of that precision.
        moved_mb: weights, inputs and outputs: the least that must be read and written, 10^6 bytes.
        share_of_bytes: achieved, of the ceiling.
    """

    graph: str
    side: str
    length: int
    precision: str
    on_gpu: Spread
    call: Spread
    gflop: float
    share_of_flops: float
    moved_mb: float
    share_of_bytes: float


def _best_s(work: Callable[[], object], calls: int = 8) -> float:
    best = float("inf")
    for _ in range(calls):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return best


def measure_ceiling() -> Ceiling:
    """Measure the ceiling of the GPU in use."""
    a, b = (torch.randn(_SIDE, _SIDE, device="cuda") for _ in range(2))

    def tflops(precision: str) -> float:
        torch.set_float32_matmul_precision(precision)
        return 2e-12 * _SIDE**3 / _best_s(lambda: torch.mm(a, b))

    source = torch.empty(_COPIED_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copied_s = _best_s(lambda: target.copy_(source))
    return Ceiling(tflops("highest"), tflops("high"), 2e-12 * _COPIED_BYTES / copied_s)


def graph_speed(engine: TorchEngine, role: str, length: int, precision: str, weights: int, top: Ceiling) -> GpuSpeed:
    """Time one graph at one size.

    Args:
        engine: fresh: it records its graph at the precision that is set.
        role: of the graph.
        length: of its side.
        precision: as `GpuSpeed.precision`.
        weights: bytes of the model's that it reads.
        top: the ceiling.
    """
    side = _BATCHES[role][0]
    arrays: Arrays = made_up_inputs(engine.inputs, {**_SIDES, side: length})
    on_gpu = engine.replay_s(arrays, _CALLS)
    calls = []
    for _ in range(_CALLS):
        begin = time.perf_counter()
        out = engine.run(arrays)
        calls.append(time.perf_counter() - begin)
    flop, moved = engine.flop(arrays), weights + sum(a.nbytes for a in (*arrays.values(), *out.values()))
    best, most = min(on_gpu), top.float32_tflops if precision == "float32" else top.tf32_tflops
    return GpuSpeed(
        *(role, side, length, precision, Spread.of(on_gpu), Spread.of(calls), 1e-9 * flop),
        *(1e-12 * flop / best / most, 1e-6 * moved, 1e-12 * moved / best / top.copy_tbs),
    )


def main(arguments: Sequence[str]) -> int:
    """Measure the graphs of some cards and write a report."""
    if len(arguments) < 2:
        print("usage: python -m ros2_raxels.cli.engine_speed REPORT.json CARD [CARD]", file=sys.stderr)
        return 2
    top, speeds = measure_ceiling(), []
    for path in map(Path, arguments[1:]):
        card = ModelCard.read(path)
        roles = [role for role in _BATCHES if role in card.graphs]
        for precision, name in (("highest", "float32"), ("high", "tf32")):
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32 = name == "tf32"
            for role, length in ((r, n) for r in roles for n in _BATCHES[r][1]):
                engine = open_torch_engines(card, path.parent, [role])[role]
                weights = card.graph_path(path.parent, role).stat().st_size
                speeds.append(graph_speed(engine, role, length, name, weights, top))
                s = speeds[-1]
                print(
                    f"{role} {s.side}={length} {name}: {s.on_gpu.p50:.3f} ms on the GPU, {s.call.p50:.3f} ms a call, "
                    f"{100 * s.share_of_flops:.1f} % of FLOP/s, {100 * s.share_of_bytes:.1f} % of bytes/s"
                )
    report: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "machine": machine(),
        "ceiling": asdict(top),
        "graphs": [asdict(s) for s in speeds],
    }
    write_json(Path(arguments[0]), report, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
