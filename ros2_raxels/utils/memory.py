"""Memory of processes, on Linux."""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path


def rss_bytes(process: int | str = "self") -> int:
    """What of a process, by its number or this one, is in RAM now."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def peak_rss_bytes() -> int:
    """The most that it ever was; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def give_back() -> None:
    """Free what only cycles refer to, and return to the system what the C library would keep."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
