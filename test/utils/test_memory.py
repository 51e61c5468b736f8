"""memory: what is in RAM, by the kernel's own count, and what is given back."""

from __future__ import annotations

import gc
import mmap
import os
import re
import weakref
from pathlib import Path

from ros2_raxels.utils.memory import give_back, peak_rss_bytes, rss_bytes

_MIB = 2**20


def kernel_bytes(field: str) -> int:
    """A field of /proc/self/status, which is in KiB."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def test_memory_in_use_is_the_kernels() -> None:
    # Counters of the kernel are of the last few pages only nearly the same.
    assert abs(rss_bytes() - kernel_bytes("VmRSS")) < 2 * _MIB
    assert abs(peak_rss_bytes() - kernel_bytes("VmHWM")) < 2 * _MIB
    assert rss_bytes(os.getpid()) <= peak_rss_bytes() + 2 * _MIB


def test_memory_that_is_written_to_counts() -> None:
    before = rss_bytes()
    # From the kernel: an allocator may hand out what it has kept of earlier tests.
    with mmap.mmap(-1, 64 * _MIB) as block:
        assert rss_bytes() - before < 8 * _MIB
        block.write(b"1" * (64 * _MIB))
        assert rss_bytes() - before > 56 * _MIB


def test_cycles_are_freed() -> None:
    class Node:
        other: Node

    node = Node()
    node.other = node
    left = weakref.ref(node)
    gc.disable()
    try:
        del node
        assert left() is not None
        give_back()
        assert left() is None
    finally:
        gc.enable()
