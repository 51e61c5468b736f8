"""TensorRT plans of a model's graphs for one kind of GPU: what names them, and what compiles them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ros2_raxels.engine import Say
from ros2_raxels.engine.headroom import check_room
from ros2_raxels.engine.model_card import MIXED, ModelCard
from ros2_raxels.engine.plan import Plan, PlanKey
from ros2_raxels.engine.store import PlanStore
from ros2_raxels.engine.tensorrt_build import SIDES, compile_plan, memory_bytes
from ros2_raxels.engine.tensorrt_flavour import architecture

_DISK_PER_ONNX_BYTE = 6
"""Of a plan, with a margin."""


def gpu_role(card: ModelCard, role: str) -> str:
    """Role of the graph that GPUs run: the one in half precision where the model has it."""
    return f"{role}{MIXED}" if f"{role}{MIXED}" in card.graphs else role


@dataclass(frozen=True)
class PlanCompiler:
    """Compiles the plans of one model for one kind of GPU. Roles are those of the card, with or without `MIXED`.

    Attributes:
        card: of the model.
        folder: where its graphs are.
        trt: module of a flavour of TensorRT.
        target: compute capability of the GPU, like "sm89".
        store: of plans.
        say: told every few seconds how far a build is.
    """

    card: ModelCard
    folder: Path
    trt: Any
    target: str
    store: PlanStore
    say: Say

    def key(self, role: str) -> PlanKey:
        """Key of the plan of a graph.

        Raises:
            EngineError: the graph is missing or damaged.
        """
        role = gpu_role(self.card, role)
        model, graph, trt = self.card.graph_path(self.folder, role), self.card.graphs[role], self.trt
        compiler = (trt.__name__, trt.__version__)
        return PlanKey(model.stem, graph.sha256, graph.precision, SIDES, *compiler, self.target, architecture())

    def compile(self, role: str) -> Plan:
        """Compile a graph.

        Raises:
            EngineError: the graph is missing or damaged, there is no room for it, or it cannot be compiled.
        """
        model = self.card.graph_path(self.folder, gpu_role(self.card, role))
        check_room(self.store.folder, _DISK_PER_ONNX_BYTE * model.stat().st_size, memory_bytes(self.trt, model))
        return compile_plan(self.trt, model, self.target, self.say, self.store.timing(self.key(role)))

    def build(self, role: str, *, again: bool = False) -> PlanKey:
        """Compile a graph into the store, unless a valid plan is there; with `again` even then.

        Raises:
            EngineError: it cannot be compiled or kept.
        """
        key = self.key(role)
        self.store.build(key, lambda: self.compile(role), again=again, must_keep=True)
        return key
