"""An engine around another one, for those that add something to what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from ros2_raxels.engine import Arrays, Engine, TensorSpec


class EngineWrapper:
    """Does as the engine inside does; see `Engine`.

    Args:
        engine: inside.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Tensors that `run` takes."""
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Tensors that `run` returns."""
        return self._engine.outputs

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name."""
        return self._engine.run(arrays)

    def warm_up(self, sides: Mapping[str, int]) -> None:
        """Run once on made-up inputs."""
        self._engine.warm_up(sides)

    def describe(self) -> str:
        """Backend, in one line."""
        return self._engine.describe()
