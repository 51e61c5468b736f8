"""Whether there is enough memory and disk space to compile a plan."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from ros2_raxels.engine import EngineError
from ros2_raxels.engine.store import CACHE_ADVICE


def check_room(folder: Path, disk_bytes: int, memory_bytes: int) -> None:
    """Check before compiling that the plan will fit.

    Args:
        folder: that the plan will be kept in; need not exist yet.
        disk_bytes: that the plan may take.
        memory_bytes: of the host, that compiling takes.

    Raises:
        EngineError: too little memory, or too little disk space where the folder is or will be.
    """
    free = free_memory_bytes()
    if free is not None and free < memory_bytes:
        raise EngineError(
            f"{free / 1e6:.0f} MB of memory are free, compiling needs {memory_bytes / 1e6:.0f} MB; end something, or "
            "compile on another machine with `raxels engine build`"
        )
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    left = shutil.disk_usage(there).free
    if left < disk_bytes:
        raise EngineError(
            f"{left / 1e6:.0f} MB of disk are free at {there}, a plan needs {disk_bytes / 1e6:.0f} MB; {CACHE_ADVICE}"
        )


def free_memory_bytes(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Memory that the machine and the container's limit leave, the smaller of both; None where neither is known."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration, IndexError):
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    # "max" is no number and no limit.
    with contextlib.suppress(OSError, ValueError):
        found.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return min(found, default=None)
