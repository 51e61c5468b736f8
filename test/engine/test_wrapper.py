"""wrapper: an engine around another one is that one, but for what it adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.engine import Arrays, TensorSpec
from ros2_raxels.engine.wrapper import EngineWrapper


class Doubling:
    """An engine that notes down what it is warmed up with."""

    def __init__(self) -> None:
        self.inputs = (TensorSpec("x", ("n",), np.dtype(np.float32)),)
        self.outputs = (TensorSpec("y", ("n",), np.dtype(np.float32)),)
        self.sides: Mapping[str, int] = {}

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        return {"y": 2.0 * arrays["x"]}

    def warm_up(self, sides: Mapping[str, int]) -> None:
        self.sides = sides

    def describe(self) -> str:
        return "doubles"


def test_all_is_passed_on() -> None:
    inside = Doubling()
    engine = EngineWrapper(inside)  # type: ignore[arg-type]
    assert (engine.inputs, engine.outputs, engine.describe()) == (inside.inputs, inside.outputs, "doubles")
    np.testing.assert_array_equal(engine.run({"x": np.float32([1.0, 3.0])})["y"], [2.0, 6.0])
    engine.warm_up({"n": 4})
    assert inside.sides == {"n": 4}
