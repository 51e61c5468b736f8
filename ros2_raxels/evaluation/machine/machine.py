"""What measured speed and memory depend on: processor, cores and versions."""

from __future__ import annotations

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ros2_raxels import __version__

_PRODUCT_SIDE = 512


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, and versions."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "onnxruntime": _version("onnxruntime"),
        "ros2_raxels": __version__,
    }


def origin(command: str) -> dict[str, Any]:
    """What every report begins with: the machine, the command that made it, and when."""
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"machine": machine(), "command": command, "time": when}


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def matrix_product_gflops(threads: int, seconds: float = 1.5) -> float:
    """Peak of plain float32 matrix products on so many threads at once, GFLOP/s.

    Products of 512x512, each short enough to end before another process gets the core. The fastest of each thread
    counts, because whatever else the machine does can only make them slower.
    """
    generator = np.random.default_rng(0)
    sides = (_PRODUCT_SIDE, _PRODUCT_SIDE)
    a, b = (generator.standard_normal(sides, np.float32) for _ in range(2))
    until = time.perf_counter() + seconds

    def quickest(_: int) -> float:
        best, out, now = float("inf"), np.empty(sides, np.float32), time.perf_counter()
        while now < until:
            np.matmul(a, b, out=out)
            begin, now = now, time.perf_counter()
            best = min(best, now - begin)
        return best

    with ThreadPoolExecutor(threads) as pool:
        return sum(2e-9 * _PRODUCT_SIDE**3 / best for best in pool.map(quickest, range(threads)))
