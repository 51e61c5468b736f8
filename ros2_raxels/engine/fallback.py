"""Runs a graph on the better of two engines, and on the other one when that fails."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from ros2_raxels.engine import Arrays, Engine, EngineError, OutOfProfileError, Say


class EngineWithFallback:
    """Runs a graph on an engine that may fail, and from its first failure on, on another one.

    Args:
        engine: the better one.
        make_other: opens the other one, when it is needed for the first time.
        warn: told once that the other one is used, and why.

    Attributes:
        inputs, outputs: what `run` takes and gives.
    """

    def __init__(self, engine: Engine, make_other: Callable[[], Engine], warn: Say) -> None:
        self._engine, self._warn = engine, warn
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self._other = functools.cache(make_other)
        self._failed = self._said_profile = False

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name.

        Raises:
            EngineError: both failed, as they do on inputs that do not fit.
        """
        if self._failed:
            return self._other().run(arrays)
        try:
            return self._engine.run(arrays)
        except OutOfProfileError as error:
            # Only this call is too large or too small for the plan.
            if not self._said_profile:
                self._said_profile = True
                self._warn(f"engine: {self._other().describe()} for some inputs, because {error}")
            return self._other().run(arrays)
        except EngineError as error:
            # If the inputs are the reason, the other one refuses them too, and the better one stays in use.
            answer = self._other().run(arrays)
            self._failed = True
            self._warn(f"engine: {self._other().describe()} from now on, because {error}")
            return answer

    def warm_up(self, sides: Mapping[str, int]) -> None:
        """Run once on made-up inputs.

        Raises:
            EngineError: as `Engine.warm_up`.
        """
        (self._other() if self._failed else self._engine).warm_up(sides)

    def describe(self) -> str:
        """`Engine.describe` of the engine in use."""
        return (self._other() if self._failed else self._engine).describe()
