"""Speed of the denoiser's graphs, also as a share of the processor's peak in matrix products."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import Arrays, Engine
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine
from ros2_raxels.engine.wrapper import EngineWrapper
from ros2_raxels.estimation.learned_prior import LearnedDenoiser
from ros2_raxels.evaluation.machine.machine import cores, matrix_product_gflops
from ros2_raxels.evaluation.machine.timing import Spread
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.tracks import Evidence

BATCHES = (1, 2, 4, 8, 16)
"""Numbers of hypotheses that are denoised in one batch."""


class WatchedEngine(EngineWrapper):
    """An engine that remembers its last input, and how long each run took, s."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.last: Arrays = {}
        self.seconds: list[float] = []

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """As the engine does."""
        begin = time.perf_counter()
        out = super().run(arrays)
        self.seconds.append(time.perf_counter() - begin)
        self.last = arrays
        return out


@dataclass(frozen=True)
class GraphSpeed:
    """One graph at one batch size.

    Attributes:
        graph: role in the model card.
        batch: hypotheses in one call; 1 for a graph without hypotheses.
        ms: of a call.
        gflop: arithmetic of its matrix products, 10^9 additions and multiplications.
        gflops: of the fastest call, 10^9 a second.
        share_of_peak: that over the peak of plain matrix products.
    """

    graph: str
    batch: int
    ms: Spread
    gflop: float
    gflops: float
    share_of_peak: float = math.nan


@dataclass(frozen=True)
class DenoiserSpeed:
    """A denoiser on the evidence of one clip.

    Attributes:
        peak_gflops: of plain matrix products on all cores; the better of two measurements, before and after.
        tracks: number of tracks in the evidence.
        graphs: at one batch size each.
    """

    peak_gflops: float
    tracks: int
    graphs: tuple[GraphSpeed, ...]


def denoiser_speed(card_path: Path, evidence: Evidence, bearings: FloatArray, calls: int) -> DenoiserSpeed:
    """Both graphs of a denoiser on the evidence of a clip.

    Args:
        card_path: model card.
        evidence, bearings: as for `LearnedDenoiser.judge`.
        calls: timed calls of each batch size, after one that is not timed.

    Raises:
        EngineError: the model is missing, damaged or cannot be run.
    """
    card = ModelCard.read(card_path)
    files = {role: card.graph_path(card_path.parent, role) for role in ("encode", "rays")}
    encode, rays = (WatchedEngine(OnnxRuntimeEngine(file)) for file in files.values())
    denoiser = LearnedDenoiser(card, encode, rays)
    peak = matrix_product_gflops(cores())
    for _ in range(1 + calls):
        judged = denoiser.judge(evidence, bearings)
    found = [_graph_speed("encode", 1, files["encode"], encode)]
    for batch in BATCHES:
        noise = np.random.default_rng(batch).normal(size=(batch, *bearings.shape))
        rays.seconds.clear()
        for _ in range(1 + calls):
            denoiser.sample(judged, bearings, noise)
        found.append(_graph_speed("rays", batch, files["rays"], rays))
    peak = max(peak, matrix_product_gflops(cores()))
    graphs = tuple(replace(graph, share_of_peak=graph.gflops / peak) for graph in found)
    return DenoiserSpeed(peak, len(evidence.seen), graphs)


def _graph_speed(role: str, batch: int, file: Path, engine: WatchedEngine) -> GraphSpeed:
    seconds = engine.seconds[1:]
    gflop = 1e-9 * matrix_flop(file, engine.last)
    return GraphSpeed(role, batch, Spread.of(seconds), gflop, gflop / min(seconds))


def matrix_flop(graph: Path, arrays: Arrays) -> int:
    """Additions and multiplications of the matrix products in one run of a graph whose left operands are no weights.

    ONNX Runtime runs the graph once, without optimising it, and reports all shapes.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "run")
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        session.run(None, dict(arrays))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return sum(_flop_of(event["args"]) for event in events if event.get("cat") == "Node" and "args" in event)


def _flop_of(node: Mapping[str, Any]) -> int:
    if node.get("op_name") not in ("MatMul", "Gemm") or "output_type_shape" not in node:
        return 0
    left, out = (next(iter(node[side][0].values())) for side in ("input_type_shape", "output_type_shape"))
    # Gemm may transpose its left operand: the dimension summed over is the one that the output lacks.
    summed = left[-1] if node["op_name"] == "MatMul" else math.prod(left) // out[0]
    return int(2 * math.prod(out) * summed)
