"""engine.fallback: an engine that fails is replaced for good; one whose sizes do not fit only for these inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ros2_raxels.engine import Arrays, EngineError, OutOfProfileError, TensorSpec
from ros2_raxels.engine.fallback import EngineWithFallback


@pytest.fixture
def said() -> list[str]:
    return []


class Scripted:
    """An engine that answers with a number, or raises the error that it is given."""

    inputs = (TensorSpec("x", (1,), np.dtype(np.float32)),)
    outputs = (TensorSpec("y", (), np.dtype(np.float32)),)

    def __init__(self, name: str, answer: float) -> None:
        self.name, self.answer, self.calls = name, answer, 0
        self.error: EngineError | None = None

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return {"y": np.array(self.answer)}

    def warm_up(self, sides: Mapping[str, int]) -> None:
        self.run({})

    def describe(self) -> str:
        return self.name


X = {"x": np.zeros(1, np.float32)}


def test_an_engine_that_fails_is_replaced_once_and_for_all(said: list[str]) -> None:
    gpu, cpu, made = Scripted("gpu", 1.0), Scripted("cpu", 2.0), []
    engine = EngineWithFallback(gpu, lambda: made.append(1) or cpu, said.append)
    assert (engine.run(X)["y"], engine.describe(), made) == (1.0, "gpu", [])
    gpu.error = EngineError("gpu failed: out of memory")
    assert [float(engine.run(X)["y"]) for _ in range(3)] == [2.0, 2.0, 2.0]
    assert (engine.describe(), made, gpu.calls) == ("cpu", [1], 2)
    assert said == ["engine: cpu from now on, because gpu failed: out of memory"]


def test_inputs_outside_the_plans_sizes_go_to_the_other_engine_and_the_rest_stays(said: list[str]) -> None:
    gpu, cpu = Scripted("gpu", 1.0), Scripted("cpu", 2.0)
    engine = EngineWithFallback(gpu, lambda: cpu, said.append)
    for _ in range(2):
        gpu.error = OutOfProfileError("x has shape (9,), the plan is for [1] to [8]")
        assert engine.run(X)["y"] == 2.0
        gpu.error = None
        assert engine.run(X)["y"] == 1.0
    assert engine.describe() == "gpu"
    assert said == ["engine: cpu for some inputs, because x has shape (9,), the plan is for [1] to [8]"]


def test_inputs_that_both_refuse_replace_no_engine(said: list[str]) -> None:
    gpu, cpu = Scripted("gpu", 1.0), Scripted("cpu", 2.0)
    gpu.error = cpu.error = EngineError("inputs missing: ['x']")
    engine = EngineWithFallback(gpu, lambda: cpu, said.append)
    with pytest.raises(EngineError, match="inputs missing"):
        engine.run({})
    gpu.error = None
    assert (engine.run(X)["y"], engine.describe(), said) == (1.0, "gpu", [])


def test_inputs_outputs_and_warming_up_are_those_of_the_engine_in_use(said: list[str]) -> None:
    gpu, cpu = Scripted("gpu", 1.0), Scripted("cpu", 2.0)
    engine = EngineWithFallback(gpu, lambda: cpu, said.append)
    assert (engine.inputs, engine.outputs) == (Scripted.inputs, Scripted.outputs)
    engine.warm_up({})
    assert (gpu.calls, cpu.calls) == (1, 0)
    gpu.error = EngineError("gpu failed")
    engine.run(X)
    engine.warm_up({})
    assert (gpu.calls, cpu.calls) == (2, 2)
