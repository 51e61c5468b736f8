"""Compiles ONNX graphs to TensorRT plans; ``tensorrt_rtx`` needs no GPU for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from ros2_raxels.engine import EngineError, Say, one_line
from ros2_raxels.engine.plan import Plan, Sides
from ros2_raxels.engine.process_lock import REPORT_EVERY_S
from ros2_raxels.engine.store import keep
from ros2_raxels.engine.tensorrt_flavour import FULL, RTX, make_log, targets_of

SIDES: Sides = {
    "tracks": (2, 400, 1024),
    "frames": (2, 4, 33),
    "hypotheses": (1, 4, 32),
    "views": (1, 4, 16),
    "16*rows": (16, 96, 128),
    "16*columns": (16, 128, 128),
    "16*rows_16": (16, 96, 128),
    "16*columns_16": (16, 128, 128),
}
"""Least, usual and greatest length that plans are compiled for, by the name of the side in the graphs."""

USUAL = {name: usual for name, (_, usual, _) in SIDES.items()}

_MEMORY_BYTES = {FULL: 3_000_000_000, RTX: 400_000_000}
_BYTES_PER_ONNX_BYTE = 25
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT64": "int64", "INT32": "int32", "UINT8": "uint8", "BOOL": "bool"}


def memory_bytes(trt: Any, model: Path) -> int:
    """Host memory that compiling takes: measured for RTX (0.6 GB for 14 MB of ONNX), with a margin for the full one."""
    return _MEMORY_BYTES.get(trt.__name__, _MEMORY_BYTES[FULL]) + _BYTES_PER_ONNX_BYTE * model.stat().st_size


def compile_plan(trt: Any, model: Path, target: str, say: Say, timing: Path | None = None) -> Plan:
    """Compile a graph. The network is strongly typed: its precision is that of the file.

    Args:
        trt: module of a flavour.
        model: ONNX file.
        target: compute capability, like "sm89"; for the full flavour that of this machine's GPU.
        say: told every few seconds how far the build is.
        timing: file of timings measured by earlier builds; only the full flavour measures any.

    Raises:
        EngineError: TensorRT cannot read the graph or compile it, or not for this target.
    """
    begun = time.monotonic()
    log = make_log(trt)
    builder = trt.Builder(log)
    flags = trt.NetworkDefinitionCreationFlag.__members__.get("STRONGLY_TYPED")
    network = builder.create_network(0 if flags is None else 1 << int(flags))
    _parse(trt, network, log, model)
    config = builder.create_builder_config()
    # Single precision means single precision, not TF32.
    config.clear_flag(trt.BuilderFlag.TF32)
    # The report of layers says what was fused.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _set_target(trt, config, target)
    inputs = _set_profile(builder, config, network)
    cache = _attach_timings(trt, config, timing)
    content = _build(trt, builder, network, config, log, f"{model.name} for {target}", say)
    if cache is not None and timing is not None:
        keep(timing, bytes(memoryview(cache.serialize())))
    outputs = [_tensor(network.get_output(i)) for i in range(network.num_outputs)]
    facts = {"inputs": inputs, "outputs": outputs, "layers": dict(log.layers), "warnings": log.warnings[:20]}
    return Plan(content, facts | {"compile_s": round(time.monotonic() - begun, 2)})


def _parse(trt: Any, network: Any, log: Any, model: Path) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse_from_file(str(model)):
        return
    error = parser.get_error(0) if parser.num_errors else None
    where = f"node {error.node_name()} ({error.node_operator()}): {one_line(error.desc())}" if error else log.last
    raise EngineError(f"{trt.__name__} {trt.__version__} cannot read {model.name}: {where}")


def _set_target(trt: Any, config: Any, target: str) -> None:
    targets = targets_of(trt)
    if not targets:
        return  # it compiles for the device that is there
    if target not in targets:
        raise EngineError(
            f"{trt.__name__} {trt.__version__} does not compile for {target}, only for {', '.join(targets)}; name one "
            f"of those, or install {FULL}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), 0)


def _set_profile(builder: Any, config: Any, network: Any) -> list[dict[str, Any]]:
    """Add one optimization profile over all named sides; returns `Plan.facts` of the inputs."""
    profile, inputs = builder.create_optimization_profile(), []
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        facts = _tensor(tensor)
        unknown = [side for side in facts["shape"] if isinstance(side, str) and side not in SIDES]
        if unknown:
            raise EngineError(f"input {tensor.name} has a side {unknown[0]!r}, but sizes are known of {sorted(SIDES)}")
        facts["profile"] = [
            [SIDES[side][k] if isinstance(side, str) else side for side in facts["shape"]] for k in range(3)
        ]
        if any(isinstance(side, str) for side in facts["shape"]):
            profile.set_shape(tensor.name, *facts["profile"])
        inputs.append(facts)
    config.add_optimization_profile(profile)
    return inputs


def _tensor(tensor: Any) -> dict[str, Any]:
    # The sides of outputs have no names.
    names = (tensor.get_dimension_name(k) or f"{tensor.name}.{k}" for k in range(len(tensor.shape)))
    shape = [name if side < 0 else side for side, name in zip(tensor.shape, names, strict=True)]
    return {"name": tensor.name, "dtype": _DTYPES[tensor.dtype.name], "shape": shape}


def _attach_timings(trt: Any, config: Any, path: Path | None) -> Any:
    """Attach the timings of earlier builds; None where the flavour measures none."""
    if path is None or trt.__name__ != FULL:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    # A damaged one, or one of another GPU, is refused: begin anew.
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _build(trt: Any, builder: Any, network: Any, config: Any, log: Any, what: str, say: Say) -> bytes:
    """Serialised engine; built in a thread, so that progress is reported and Ctrl-C works."""
    monitor = _make_monitor(trt)
    config.progress_monitor = monitor
    results: list[Any] = []
    worker = threading.Thread(target=lambda: results.append(builder.build_serialized_network(network, config)))
    begun = time.monotonic()
    worker.start()
    try:
        while worker.is_alive():
            worker.join(REPORT_EVERY_S)
            if worker.is_alive():
                say(f"compiling {what}: {time.monotonic() - begun:.0f} s, {monitor.phase or 'starting'}")
    finally:
        monitor.go_on = False
        worker.join()
    if not results or results[0] is None:
        raise EngineError(f"{trt.__name__} {trt.__version__} cannot compile {what}: {log.last or 'no reason given'}")
    return bytes(memoryview(results[0]))


def _make_monitor(trt: Any) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Knows how far the build is, and ends it at the next step once `go_on` is false."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.phase, self.go_on = "", True
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            self.phase = phase_name

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.phase = f"{phase_name} {step + 1}/{self._steps.get(phase_name, 0)}"
            return self.go_on

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
