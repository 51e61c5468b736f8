"""Which engine runs a graph on this machine: a valid TensorRT plan if it can be had, else ONNX Runtime; or as asked."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ros2_raxels.engine import Arrays, Engine, EngineError, OutOfProfileError
from ros2_raxels.engine.device import Device, open_device
from ros2_raxels.engine.model_card import MIXED, ModelCard
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine
from ros2_raxels.engine.store import BUILD_POLICIES, IF_STALE, Plan, PlanKey, PlanStore, Say, check_room
from ros2_raxels.engine.tensorrt_build import (
    FLAVOURS,
    SIDES,
    USUAL,
    architecture,
    compile_plan,
    is_installed,
    load_flavour,
    memory_bytes,
    targets_of,
)
from ros2_raxels.engine.tensorrt_run import PlanNotLoadedError, TensorRtEngine

AUTO, TENSORRT, ONNXRUNTIME, TORCH = "auto", "tensorrt", "onnxruntime", "torch"
BACKENDS = (AUTO, TENSORRT, ONNXRUNTIME, TORCH)

_DEVICE_BYTES = 500_000_000
_DISK_PER_ONNX_BYTE = 6


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class EngineOptions:
    """How engines are chosen.

    Attributes:
        backend: one of `BACKENDS`; anything but "auto" is had or refused.
        build_policy: one of `store.BUILD_POLICIES`.
        say: told in a line what was chosen and why.
        warn: told in a line what goes wrong and is made good.
        progress: told in a line how far long work is.
        folder: of plans; None takes the user's cache.

    Raises:
        EngineError: another backend or policy.
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
    """Engines of graphs, by role; those on a GPU have run once.

    Args:
        card: of the model.
        folder: where its graphs are.
        roles: of the card.
        options: see there.

    Raises:
        EngineError: a graph is missing, damaged or cannot be run, or not by the backend that was asked for.
    """
    options = options or EngineOptions()
    engines: dict[str, Engine] = {}
    reasons: list[str] = []
    if options.backend == TORCH:
        # Gigabytes that serving has no use for: not even looked for unless asked for.
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
    """What can be had of TensorRT, and why not all of it."""
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
    except Exception as error:  # whatever packages for GPUs raise, it must not keep the CPU from its work
        reasons.append(f"{what}{type(error).__name__}: {error}")
    return engines, reasons


def build_plan(
    card: ModelCard,
    folder: Path,
    role: str,
    trt: Any,
    target: str,
    store: PlanStore,
    say: Say,
    *,
    again: bool = False,
) -> PlanKey:
    """Compile a graph for a target into the store, unless a valid plan is there; `again` even then.

    Raises:
        EngineError: it cannot be compiled or kept.
    """
    role = gpu_role(card, role)
    key, compile_it = _recipe(card, folder, role, trt, target, store, say)
    store.build(key, compile_it, again=again, must_keep=True)
    return key


def flavour_for(target: str, here: str) -> Any:
    """The module of the better flavour of TensorRT that can compile for a target.

    Args:
        target: compute capability, like "sm89".
        here: that of the device of this machine; empty without one.

    Raises:
        EngineError: none is installed, or none that can.
    """
    reasons = []
    for trt in _installed_flavours():
        targets = targets_of(trt)
        if target in targets or (not targets and target == here):
            return trt
        known = ", ".join(targets) or f"the device that is there ({here or 'none'})"
        reasons.append(f"{trt.__name__} {trt.__version__} compiles for {known}")
    raise EngineError(f"nothing here compiles for {target}: {'; '.join(reasons)}")


def _installed_flavours() -> list[Any]:
    installed, reasons = [], []
    for name in FLAVOURS:
        try:
            installed.append(load_flavour(name))
        except EngineError as error:
            reasons.append(str(error))
    if not installed:
        raise EngineError("; ".join(reasons))
    return installed


def gpu_role(card: ModelCard, role: str) -> str:
    """The graph that GPUs run: that in half precision where the model has one."""
    return f"{role}{MIXED}" if f"{role}{MIXED}" in card.graphs else role


def _recipe(
    card: ModelCard, folder: Path, role: str, trt: Any, target: str, store: PlanStore, say: Say
) -> tuple[PlanKey, Callable[[], Plan]]:
    """Name of a plan, and what makes it."""
    model, graph = card.graph_path(folder, role), card.graphs[role]
    key = PlanKey(
        model.stem, graph.sha256, graph.precision, SIDES, trt.__name__, trt.__version__, target, architecture()
    )

    def compile_it() -> Plan:
        check_room(store.folder, _DISK_PER_ONNX_BYTE * model.stat().st_size, memory_bytes(trt, model))
        return compile_plan(trt, model, target, say, store.timing(key))

    return key, compile_it


class _Gpu:
    """A device and the flavour of TensorRT that serves it."""

    def __init__(self, trt: Any, device: Device, options: EngineOptions) -> None:
        self._trt, self._device, self._options = trt, device, options
        self._store = PlanStore(options.folder, options.warn)

    @classmethod
    def find(cls, options: EngineOptions) -> _Gpu:
        """The better flavour of those installed, and the device.

        Raises:
            EngineError: none is installed, there is no device, or none is for this device.
        """
        # Before the import of any, which takes 100 MB.
        if not any(map(is_installed, FLAVOURS)):
            raise EngineError(f"Python packages {' and '.join(FLAVOURS)} are not installed")
        device = open_device()
        return cls(flavour_for(device.target, device.target), device, options)

    def engine(self, card: ModelCard, folder: Path, role: str) -> Engine:
        """An engine that falls back to the CPU; a plan that does not load is set aside and compiled once more.

        Raises:
            EngineError: no plan can be had, or none that runs.
        """
        role_here = gpu_role(card, role)
        trt, store, target = self._trt, self._store, self._device.target
        key, compile_it = _recipe(card, folder, role_here, trt, target, store, self._options.progress)
        compiled: list[Plan] = []

        def checked() -> Plan:
            self._check_memory()
            compiled.append(compile_it())
            return compiled[-1]

        def opened() -> TensorRtEngine:
            plan = store.obtain(key, checked, self._options.build_policy)
            return TensorRtEngine(trt, plan, self._device, card.graphs[role_here].file, store.kernels(key))

        try:
            engine = opened()
        except PlanNotLoadedError as error:
            store.set_aside(key, str(error))
            if compiled:
                raise  # it was made just now: another one would be the same
            engine = opened()
        engine.warm_up(USUAL)
        return EngineWithFallback(engine, functools.partial(_on_cpu, card, folder, role), self._options.warn)

    def _check_memory(self) -> None:
        free = self._device.free_bytes()
        if free < _DEVICE_BYTES:
            raise EngineError(f"{free / 1e6:.0f} MB of {self._device.name} are free, too few; end what uses it")


def _on_cpu(card: ModelCard, folder: Path, role: str) -> Engine:
    return OnnxRuntimeEngine(card.graph_path(folder, role), cuda=False)


class EngineWithFallback:
    """Runs a graph on an engine that may fail, and from its first failure on another one.

    Args:
        engine: the better one.
        make_other: called when it is needed for the first time.
        warn: told once that, and why, the other one is used.

    Attributes:
        inputs, outputs: what `run` takes and gives.
    """

    def __init__(self, engine: Engine, make_other: Callable[[], Engine], warn: Say) -> None:
        self._engine, self._warn = engine, warn
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self._other = functools.cache(make_other)
        self._failed = self._said_profile = False

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name.

        Raises:
            EngineError: both failed; inputs that do not fit are refused by both.
        """
        if self._failed:
            return self._other().run(arrays)
        try:
            return self._engine.run(arrays)
        except OutOfProfileError as error:
            # Only this call is too large or too small for it.
            if not self._said_profile:
                self._said_profile = True
                self._warn(f"engine: {self._other().describe()} for some inputs, because {error}")
            return self._other().run(arrays)
        except EngineError as error:
            # Had the inputs been the reason, the other one refuses them too, and nothing has changed.
            answer = self._other().run(arrays)
            self._failed = True
            self._warn(f"engine: {self._other().describe()} from now on, because {error}")
            return answer

    def warm_up(self, sides: Mapping[str, int]) -> None:
        """Run once on made-up inputs.

        Raises:
            EngineError: as `Engine.warm_up`.
        """
        (self._other() if self._failed else self._engine).warm_up(sides)

    def describe(self) -> str:
        """In a line: that of the engine in use."""
        return (self._other() if self._failed else self._engine).describe()
