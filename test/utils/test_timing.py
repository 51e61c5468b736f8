"""timing: the wall time of a stage adds up over its blocks."""

from __future__ import annotations

import pytest

from ros2_raxels.utils import timing


def test_blocks_of_one_stage_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = iter([10.0, 10.5, 20.0, 21.0, 30.0, 30.25])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock_s))
    stage_s: dict[str, float] = {"before": 1.0}
    for name in ("look", "solve", "look"):
        with timing.timed(stage_s, name):
            pass
    assert stage_s == {"before": 1.0, "look": 0.75, "solve": 1.0}
