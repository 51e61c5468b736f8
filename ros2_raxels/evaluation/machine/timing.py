"""Statistics of repeated timings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Median, 95th percentile, maximum and mean, ms."""

    p50: float
    p95: float
    max: float
    mean: float

    @staticmethod
    def of(seconds: Iterable[float]) -> Spread:
        """Statistics of one or more durations, s."""
        ms = 1e3 * np.array(list(seconds))
        p50, p95 = np.percentile(ms, (50, 95))
        return Spread(float(p50), float(p95), float(ms.max()), float(ms.mean()))
