"""Precision of matrix products in training, as the device computes them fast."""

from __future__ import annotations

from pathlib import Path

import torch

PRECISIONS = ("auto", "bf16", "fp32")

_CPU_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
"""Of x86, and the last one of aarch64. A CPU without them emulates bf16, four to eight times slower than fp32."""

_FIRST_CUDA = 8
"""Major compute capability of the first GPUs with bf16 (Ampere)."""


def has_bf16(device: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether a device multiplies bf16 matrices in hardware.

    Args:
        device: as torch names it; must be there.
        cpuinfo: where Linux tells the flags of the CPU. Where it does not, the answer is no.
    """
    where = torch.device(device)
    if where.type == "cuda":
        return torch.cuda.get_device_capability(where)[0] >= _FIRST_CUDA
    try:
        flags = cpuinfo.read_text(encoding="utf-8").split()
    except OSError:
        return False
    return where.type == "cpu" and not set(_CPU_FLAGS).isdisjoint(flags)


def choose_bf16(precision: str, device: str) -> tuple[bool, str]:
    """Whether to train in bf16, and a line that says why.

    Args:
        precision: one of `PRECISIONS`.
        device: see `has_bf16`.
    """
    if precision != "auto":
        return precision == "bf16", f"precision {precision}, as asked for"
    if has_bf16(device):
        return True, f"precision bf16, which {device} has in hardware; --precision fp32 avoids it"
    return False, f"precision fp32: {device} has no bf16 in hardware and would emulate it; --precision bf16 forces it"
