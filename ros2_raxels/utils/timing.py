"""Wall time of the stages of a computation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(stage_s: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall time of a block, s, to the stage of this name."""
    begin = time.perf_counter()
    yield
    stage_s[name] = stage_s.get(name, 0.0) + time.perf_counter() - begin
