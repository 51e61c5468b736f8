"""Memory of processes, on Linux."""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path


def rss_bytes(process: int | str = "self") -> int:
    """Resident memory of a process, by its number; by default of this one."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def peak_rss_bytes() -> int:
    """Peak resident memory of this process."""
    # Linux counts in KiB, and each counter by itself: the peak may lag behind what is resident by some pages.
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, rss_bytes())


def give_back() -> None:
    """Collect reference cycles, and return to the system the heap that the C library would keep."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
