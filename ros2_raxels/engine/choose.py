"""Chooses the engine for a graph on this machine: TensorRT where it can be had, else ONNX Runtime; or as asked."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ros2_raxels.engine import Engine, EngineError, Say
from ros2_raxels.engine.device import Device, open_device
from ros2_raxels.engine.fallback import EngineWithFallback
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine
from ros2_raxels.engine.plan import Plan
from ros2_raxels.engine.store import BUILD_POLICIES, IF_STALE, PlanStore
from ros2_raxels.engine.tensorrt_build import USUAL
from ros2_raxels.engine.tensorrt_flavour import FLAVOURS, flavour_for, is_installed
from ros2_raxels.engine.tensorrt_plans import PlanCompiler, gpu_role
from ros2_raxels.engine.tensorrt_run import PlanNotLoadedError, TensorRtEngine

AUTO, TENSORRT, ONNXRUNTIME, TORCH = "auto", "tensorrt", "onnxruntime", "torch"
BACKENDS = (AUTO, TENSORRT, ONNXRUNTIME, TORCH)

_DEVICE_BYTES = 500_000_000
"""Of the GPU's memory, that must be free before a plan is compiled on it."""


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class EngineOptions:
    """How engines are chosen.

    Attributes:
        backend: one of `BACKENDS`; anything but "auto" is used, or is an error.
        build_policy: one of `store.BUILD_POLICIES`.
        say: told in a line what was chosen and why.
        warn: told in a line what went wrong and how it was made good.
        progress: told in a line how far long work is.
        folder: of plans; None takes the user's cache.

    Raises:
        EngineError: unknown backend or policy.
    """

    backend: str = AUTO
    build_policy: str = IF_STALE
    say: Say = logging.getLogger(__name__).info
    warn: Say = logging.getLogger(__name__).warning
    progress: Say = _to_stderr
    folder: Path | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("backend", self.backend, BACKENDS),
            ("build_policy", self.build_policy, BUILD_POLICIES),
        ):
            if value not in allowed:
                raise EngineError(f"{name} = {value!r} must be one of {', '.join(allowed)}")


def open_engines(
    card: ModelCard, folder: Path, roles: Sequence[str], options: EngineOptions | None = None
) -> dict[str, Engine]:
    """Open engines of a model's graphs, by role. Those on a GPU are warmed up.

    Args:
        card: of the model.
        folder: where its graphs are.
        roles: of the card.
        options: see there.

    Raises:
        EngineError: a graph is missing or damaged, or cannot be run by the backend asked for.
    """
    options = options or EngineOptions()
    engines: dict[str, Engine] = {}
    reasons: list[str] = []
    if options.backend == TORCH:
        # Serving has no use for its gigabytes: it is imported only if asked for.
        from ros2_raxels.engine.torch_run import open_torch_engines

        engines = dict(open_torch_engines(card, folder, roles))
    elif options.backend != ONNXRUNTIME:
        engines, reasons = _on_gpu(card, folder, roles, options)
        if reasons and options.backend == TENSORRT:
            raise EngineError(f"backend tensorrt cannot be had: {'; '.join(reasons)}")
    for role in roles:
        if role not in engines:
            engines[role] = OnnxRuntimeEngine(card.graph_path(folder, role))
    chosen = " and ".join(engines[role].describe() for role in roles)
    options.say(f"engine: {chosen}" + (f"; not TensorRT, because {'; '.join(reasons)}" if reasons else ""))
    return engines


def _on_gpu(
    card: ModelCard, folder: Path, roles: Sequence[str], options: EngineOptions
) -> tuple[dict[str, Engine], list[str]]:
    """The engines that TensorRT can run, by role, and the reasons why it cannot run the others."""
    engines: dict[str, Engine] = {}
    reasons, what = [], ""
    try:
        gpu = _Gpu.find(options)
        for role in roles:
            what = f"{role}: "
            try:
                engines[role] = gpu.engine(card, folder, role)
            except EngineError as error:
                reasons.append(f"{what}{error}")
    except EngineError as error:
        reasons.append(str(error))
    except Exception as error:  # whatever packages for GPUs raise, the CPU must still serve
        reasons.append(f"{what}{type(error).__name__}: {error}")
    return engines, reasons


class _Gpu:
    """A GPU, and the flavour of TensorRT that serves it."""

    def __init__(self, trt: Any, device: Device, options: EngineOptions) -> None:
        self._trt, self._device, self._options = trt, device, options
        self._store = PlanStore(options.folder, options.warn)

    @classmethod
    def find(cls, options: EngineOptions) -> _Gpu:
        """The GPU of this process, with the better of the installed flavours.

        Raises:
            EngineError: no flavour is installed, none serves this GPU, or there is no GPU.
        """
        # Looked for before any is imported, which takes 100 MB.
        if not any(map(is_installed, FLAVOURS)):
            raise EngineError(f"Python packages {' and '.join(FLAVOURS)} are not installed")
        device = open_device()
        return cls(flavour_for(device.target, device.target), device, options)

    def engine(self, card: ModelCard, folder: Path, role: str) -> Engine:
        """An engine that falls back to the CPU. A plan that does not load is set aside and compiled once more.

        Raises:
            EngineError: there is no plan and none can be compiled, or the plan does not run.
        """
        compiler = PlanCompiler(card, folder, self._trt, self._device.target, self._store, self._options.progress)
        key, compiled = compiler.key(role), list[Plan]()

        def compile_here() -> Plan:
            self._check_memory()
            compiled.append(compiler.compile(role))
            return compiled[-1]

        def opened() -> TensorRtEngine:
            plan = self._store.obtain(key, compile_here, self._options.build_policy)
            graph = card.graphs[gpu_role(card, role)].file
            return TensorRtEngine(self._trt, plan, self._device, graph, self._store.kernels(key))

        try:
            engine = opened()
        except PlanNotLoadedError as error:
            self._store.set_aside(key, str(error))
            if compiled:
                raise  # it was compiled just now: another one would be the same
            engine = opened()
        engine.warm_up(USUAL)
        return EngineWithFallback(engine, functools.partial(_on_cpu, card, folder, role), self._options.warn)

    def _check_memory(self) -> None:
        free = self._device.free_bytes()
        if free < _DEVICE_BYTES:
            raise EngineError(f"{free / 1e6:.0f} MB of {self._device.name} are free, too few; end what uses it")


def _on_cpu(card: ModelCard, folder: Path, role: str) -> Engine:
    return OnnxRuntimeEngine(card.graph_path(folder, role), cuda=False)
