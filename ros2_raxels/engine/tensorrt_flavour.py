"""The two Python packages of TensorRT: which is installed, what it compiles for, and its log."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import re
from collections import Counter
from typing import Any

from ros2_raxels.engine import EngineError, one_line

FULL, RTX = "tensorrt", "tensorrt_rtx"
FLAVOURS = (FULL, RTX)
"""Python packages with the same API, the better one first where both can serve the device."""

_LAYER = re.compile(r"^Name: (\S+), LayerType: (\w+)", re.MULTILINE)
_ATTENTION = re.compile("mha|attention", re.IGNORECASE)


def is_installed(name: str) -> bool:
    """Whether the package of a flavour is installed; importing it may still fail."""
    return importlib.util.find_spec(name) is not None


def load_flavour(name: str) -> Any:
    """The module of a flavour.

    Raises:
        EngineError: it is not installed, or cannot be imported.
    """
    if not is_installed(name):
        raise EngineError(f"Python package {name} is not installed")
    try:
        module = importlib.import_module(name)
        # Some versions of the full package can be imported without its libraries, and fail at the first use.
        module.Logger  # noqa: B018
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise EngineError(f"Python package {name} cannot be imported ({one_line(str(error))})") from error
    return module


def targets_of(trt: Any) -> tuple[str, ...]:
    """Compute capabilities of GPUs that need not be present to compile for; empty for the full flavour."""
    members = getattr(trt, "ComputeCapability", None)
    return tuple(name.lower() for name in members.__members__ if name.startswith("SM")) if members else ()


def architecture() -> str:
    """Architecture of this machine's CPU, as in `PlanKey`."""
    return platform.machine()


def flavour_for(target: str, here: str) -> Any:
    """The module of the better flavour of TensorRT that can compile for a target.

    Args:
        target: compute capability, like "sm89".
        here: compute capability of this machine's GPU; empty without one.

    Raises:
        EngineError: none is installed, or none compiles for the target.
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


def make_log(trt: Any) -> Any:
    """A logger of a flavour: `last` error, `warnings`, and number of `layers` by kind that its builder reports."""

    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps the last error, warnings, and what the builder reports of its layers."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = ""
            self.warnings: list[str] = []
            self.layers: Counter[str] = Counter()

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.last = one_line(message)
            elif severity == trt.ILogger.WARNING:
                self.warnings.append(one_line(message))
            else:
                for name, kind in _LAYER.findall(message):
                    self.layers["attention" if _ATTENTION.search(name) else kind] += 1

    return Log()
