"""engine_speed: shares of the ceiling by hand; measured only where there is a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands_rig import CapSys

torch = pytest.importorskip("torch")

from ros2_raxels.cli import engine_speed  # noqa: E402
from ros2_raxels.cli.engine_speed import Ceiling, graph_speed, main, measure_ceiling  # noqa: E402


class ScriptedEngine:
    """A graph of 6 GFLOP that takes a millisecond, and gives back as many numbers as it is given."""

    inputs: Any = None

    def replay_s(self, _: Any, calls: int) -> list[float]:
        return [0.001] * (calls - 1) + [0.002]

    def run(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"out": arrays["in"]}

    def flop(self, _: Any) -> int:
        return 6 * 10**9


@pytest.mark.parametrize(("precision", "share"), [("float32", 0.6), ("tf32", 0.3)])
def test_shares_are_of_the_ceiling_of_that_precision(
    precision: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[dict[str, int]] = []

    def inputs(_: Any, lengths: dict[str, int]) -> dict[str, np.ndarray]:
        sides.append(lengths)
        return {"in": np.zeros(1_000_000, np.float32)}

    monkeypatch.setattr(engine_speed, "made_up_inputs", inputs)
    engine: Any = ScriptedEngine()
    top = Ceiling(float32_tflops=10.0, tf32_tflops=20.0, copy_tbs=2.0)
    speed = graph_speed(engine, "rays", 16, precision, weights=2_000_000, top=top)
    assert (speed.graph, speed.side, speed.length, speed.precision) == ("rays", "hypotheses", 16, precision)
    assert sides[0]["hypotheses"] == 16
    # 6 GFLOP in 1 ms are 6 TFLOP/s; weights, input and output are 10 MB, which are 0.01 TB/s.
    assert (speed.gflop, speed.moved_mb) == (6.0, 10.0)
    assert speed.share_of_flops == pytest.approx(share)
    assert speed.share_of_bytes == pytest.approx(0.005)
    assert (speed.on_gpu.p50, speed.on_gpu.max) == (1.0, 2.0)


def test_other_arguments_are_refused(tmp_path: Path, capsys: CapSys) -> None:
    assert main([str(tmp_path / "report.json")]) == 2
    assert capsys.readouterr().err.startswith("usage: python -m ros2_raxels.cli.engine_speed")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_ceiling_of_a_gpu_is_ordered() -> None:
    top = measure_ceiling()
    assert 0 < top.float32_tflops <= 1.1 * top.tf32_tflops
    assert 0.05 < top.copy_tbs < 20
